// Package cache is a small bounded map of recently read rows for look-ups that
// every request makes. Entries live for a fixed time, which bounds how long
// another node's change goes unseen; a change in this process drops them at
// once, and a read that began before the change cannot put the old row back.
package cache

import (
	"sync"
	"time"

	"postroad/internal/base/clock"
)

// Cache maps K to V. Get does not allocate. Values are shared and must not be
// modified.
type Cache[K comparable, V any] struct {
	clock clock.Clock
	ttl   time.Duration
	max   int

	mu  sync.RWMutex
	m   map[K]entry[V]
	gen uint64 // grows with every drop
}

type entry[V any] struct {
	v     V
	until time.Time
}

// New returns a cache of at most max entries that live for ttl.
func New[K comparable, V any](c clock.Clock, ttl time.Duration, max int) *Cache[K, V] {
	return &Cache[K, V]{clock: c, ttl: ttl, max: max, m: make(map[K]entry[V])}
}

// Get returns the value of k if it is there and fresh.
func (c *Cache[K, V]) Get(k K) (v V, ok bool) {
	c.mu.RLock()
	e, ok := c.m[k]
	c.mu.RUnlock()
	if !ok || !c.clock.Now().Before(e.until) {
		return v, false
	}
	return e.v, true
}

// Load returns the value of k, reading it with fn if it is not there. Errors
// are not kept. Two callers may read at the same time.
func (c *Cache[K, V]) Load(k K, fn func() (V, error)) (V, error) {
	if v, ok := c.Get(k); ok {
		return v, nil
	}
	gen := c.Generation()
	v, err := fn()
	if err == nil {
		c.Put(k, v, gen)
	}
	return v, err
}

// Generation is what Put needs to know from before the value was read.
func (c *Cache[K, V]) Generation() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.gen
}

// Put keeps v unless something was dropped since gen.
func (c *Cache[K, V]) Put(k K, v V, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen != c.gen {
		return
	}
	if _, ok := c.m[k]; !ok && len(c.m) >= c.max {
		c.evict()
	}
	c.m[k] = entry[V]{v: v, until: c.clock.Now().Add(c.ttl)}
}

// Drop forgets k.
func (c *Cache[K, V]) Drop(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	delete(c.m, k)
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	clear(c.m)
}

// Len returns the number of entries, stale ones included.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.m)
}

// evict makes room for an eighth of the entries, so that a full cache is not
// searched on every Put: stale ones first, then any.
func (c *Cache[K, V]) evict() {
	now := c.clock.Now()
	for k, e := range c.m {
		if !now.Before(e.until) {
			delete(c.m, k)
		}
	}
	keep := c.max - max(1, c.max/8)
	for k := range c.m {
		if len(c.m) <= keep {
			return
		}
		delete(c.m, k)
	}
}
