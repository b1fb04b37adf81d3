package queue

import (
	"context"
	"sync"
	"time"

	"postroad/internal/base/db"
)

// Counts is what the table holds, by state.
type Counts struct {
	Waiting, Due, Held int64 // due later, due now, in a window
	Oldest             int64 // microseconds; due time of the longest overdue, 0 when none
}

// sizes remembers a count of the table. Counting a million rows takes a while,
// so a count is good for fifty times as long as it took: a small queue is
// counted afresh, a large one takes 2 % of a processor at most.
type sizes struct {
	mu    sync.Mutex
	known bool
	c     Counts
	until time.Time
	busy  chan struct{} // closed when the count under way is over
	err   error
}

const (
	countShare = 50
	countSoon  = 250 * time.Millisecond // how long an old count waits for the new one
)

// Counts returns the queue's size, as counted some time ago when it is large.
func (q *Queue) Counts(ctx context.Context) (Counts, error) {
	s := q.sizes
	s.mu.Lock()
	if s.known && q.clock.Now().Before(s.until) {
		defer s.mu.Unlock()
		return s.c, nil
	}
	if s.busy == nil {
		s.busy = make(chan struct{})
		go q.count(s.busy)
	}
	busy, known := s.busy, s.known
	s.mu.Unlock()
	var late <-chan time.Time
	if known {
		t := time.NewTimer(countSoon) // of the caller, not of the queue
		defer t.Stop()
		late = t.C
	}
	select {
	case <-busy:
	case <-late:
	case <-ctx.Done():
		if !known {
			return Counts{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c, s.err
}

// count counts on, whether or not the one who asked still waits.
func (q *Queue) count(done chan struct{}) {
	s := q.sizes
	began := q.clock.Now()
	var c Counts
	err := q.db.Read(context.Background(), func(tx *db.Tx) (err error) {
		c, err = counts(tx, began.UnixMicro())
		return err
	})
	now := q.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.c, s.known, s.until = c, true, now.Add(countShare*now.Sub(began))
	}
	s.busy = nil
	close(done)
}
