// Package pace bounds how often something may happen per key: connections of an
// address, failed logins of a user. Its memory is bounded whatever the keys are.
package pace

import (
	"sync"
	"time"
)

// maxDebt bounds, in bursts, how far a key can get behind by Charge: who stops
// is let in again after that time.
const maxDebt = 4

// Limit admits Burst events at once and one more each Every. The zero Limit
// admits everything.
type Limit struct {
	Burst int
	Every time.Duration
}

// Pacer applies one limit to many keys, by the generic cell rate algorithm: a
// key costs one time. It is safe for concurrent use.
type Pacer[K comparable] struct {
	limit Limit
	max   int

	mu sync.Mutex
	at map[K]time.Time // when all that was taken will have been earned
}

// New returns a pacer that remembers at most max keys. When there are more, those
// that have nothing to remember go first, then any.
func New[K comparable](l Limit, max int) *Pacer[K] {
	return &Pacer[K]{limit: l, max: max, at: make(map[K]time.Time)}
}

func (p *Pacer[K]) off() bool { return p.limit.Burst <= 0 || p.limit.Every <= 0 }

// room is how far ahead of now a key may be.
func (p *Pacer[K]) room(n int) time.Duration { return time.Duration(n) * p.limit.Every }

// Take counts an event at now if the limit admits it, and reports whether.
func (p *Pacer[K]) Take(k K, now time.Time) bool {
	if p.off() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at[k].After(now.Add(p.room(p.limit.Burst - 1))) {
		return false
	}
	p.charge(k, now)
	return true
}

// Blocked reports whether the limit would refuse an event at now.
func (p *Pacer[K]) Blocked(k K, now time.Time) bool {
	if p.off() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[k].After(now.Add(p.room(p.limit.Burst - 1)))
}

// Charge counts an event at now, admitted or not.
func (p *Pacer[K]) Charge(k K, now time.Time) {
	if p.off() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.charge(k, now)
}

func (p *Pacer[K]) charge(k K, now time.Time) {
	t, ok := p.at[k]
	if !ok && len(p.at) >= p.max {
		p.evict(now)
	}
	if t.Before(now) {
		t = now
	}
	t = t.Add(p.limit.Every)
	if most := now.Add(p.room(maxDebt * p.limit.Burst)); t.After(most) {
		t = most
	}
	p.at[k] = t
}

// Forget clears what is remembered of a key.
func (p *Pacer[K]) Forget(k K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, k)
}

// evict makes room for an eighth of the keys, so that a full table is not
// searched on every event.
func (p *Pacer[K]) evict(now time.Time) {
	for k, t := range p.at {
		if !t.After(now) {
			delete(p.at, k)
		}
	}
	keep := p.max - max(1, p.max/8)
	for k := range p.at {
		if len(p.at) <= keep {
			return
		}
		delete(p.at, k)
	}
}
