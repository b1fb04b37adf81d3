package dnsx

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// question is what is asked and the key of the cache.
type question struct {
	name  string // lower case, no final dot
	qtype uint16
}

// answer is the result of a question: records of the type asked for, or err of
// kind NotFound or NoData.
type answer struct {
	records []dns.RR
	err     *Error
	name    string        // what the records stand under when aliases were followed
	ttl     time.Duration // from the cache: what is left of it
	secure  bool          // every reply it was made of was validated, by a resolver we trust
}

// cache keeps answers until they expire; the least recently used goes first when
// there are too many.
type cache struct {
	now     func() time.Time
	size    int
	mu      sync.Mutex
	entries map[question]*list.Element
	recent  *list.List // of *entry, most recent first
}

type entry struct {
	q       question
	a       answer
	expires time.Time
}

func newCache(size int, now func() time.Time) *cache {
	return &cache{now: now, size: size, entries: map[question]*list.Element{}, recent: list.New()}
}

func (c *cache) get(q question) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[q]
	if !ok {
		return answer{}, false
	}
	e := element.Value.(*entry)
	left := e.expires.Sub(c.now())
	if left <= 0 {
		c.remove(element)
		return answer{}, false
	}
	c.recent.MoveToFront(element)
	a := e.a
	a.ttl = min(a.ttl, left) // a clock set back makes nothing younger
	return a, true
}

func (c *cache) put(q question, a answer) {
	if a.ttl <= 0 || c.size <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[q]; ok {
		c.remove(element)
	}
	c.entries[q] = c.recent.PushFront(&entry{q: q, a: a, expires: c.now().Add(a.ttl)})
	for c.recent.Len() > c.size {
		c.remove(c.recent.Back())
	}
}

func (c *cache) remove(element *list.Element) {
	c.recent.Remove(element)
	delete(c.entries, element.Value.(*entry).q)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.recent.Init()
}
