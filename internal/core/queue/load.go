package queue

import (
	"context"
	"time"

	"postroad/internal/base/db"
)

const (
	loadBatch = 2000             // deliveries claimed at a time
	laneBatch = 200              // lanes claimed from at a time
	idleScan  = 30 * time.Second // scan at least this often, whatever the next due time
	fullScan  = time.Second      // as long as something waits for room
	maxPause  = 5 * time.Second  // between searches through all lanes
)

// load claims due deliveries while there is room and returns how long nothing
// more can be claimed.
//
// As long as no lane is full the rows are taken in the order of their time.
// With a full lane, whose rows may be any number and come first, it goes lane by
// lane: those that have room again, and, not more than a tenth of the time, all
// that have rows.
func (q *Queue) load(ctx context.Context) (time.Duration, error) {
	for {
		b := q.bounds()
		if b.room <= 0 {
			return fullScan, nil // a release wakes the loader
		}
		var n int
		var wait time.Duration
		var err error
		if len(b.full) > 0 {
			n, wait, err = q.loadLanes(ctx, b)
		} else if n, err = q.claim(ctx, func(tx *db.Tx) ([]*Delivery, error) { return due(tx, min(b.room, loadBatch)) }); n == 0 && err == nil {
			wait, err = q.nextDue(ctx)
		}
		if n == 0 || err != nil {
			return wait, err
		}
	}
}

// bounds say what the window can take now.
type bounds struct {
	room  int
	full  map[string]bool // lanes that take nothing from the table
	roomy []string        // lanes that were full and are not any more
}

func (q *Queue) bounds() bounds {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := bounds{room: q.opt.Window - len(q.mine), full: map[string]bool{}}
	for name, l := range q.lanes {
		if q.share(l) <= 0 {
			l.starved, b.full[name] = true, true
		}
	}
	q.starved = q.starved || b.room <= 0
	if b.room > 0 {
		for name := range q.roomy {
			if !b.full[name] {
				b.roomy = append(b.roomy, name)
			}
		}
		clear(q.roomy)
	}
	return b
}

// loadLanes claims from lanes that have room.
func (q *Queue) loadLanes(ctx context.Context, b bounds) (n int, wait time.Duration, err error) {
	if len(b.roomy) > 0 {
		if n, err = q.claimLanes(ctx, b.roomy); n > 0 || err != nil {
			return n, 0, err
		}
	}
	began := q.clock.Now()
	if pause := q.search.Sub(began); pause > 0 {
		return 0, min(pause, fullScan), nil
	}
	names, next, err := q.lanesDue(ctx, b.full)
	if err == nil && len(names) > 0 {
		n, err = q.claimLanes(ctx, names)
	}
	now := q.clock.Now()
	if n == 0 {
		q.search = now.Add(min(9*now.Sub(began), maxPause))
	}
	return n, min(next, fullScan), err
}

// lanesDue returns lanes outside full with rows that are due, and the time
// until another has some.
func (q *Queue) lanesDue(ctx context.Context, full map[string]bool) (names []string, next time.Duration, err error) {
	next = fullScan
	err = q.db.Read(ctx, func(tx *db.Tx) error {
		return eachLane(tx, func(name string, at int64) {
			wait := time.Duration(at-tx.Now) * time.Microsecond
			switch {
			case full[name]:
			case wait > 0:
				next = min(next, wait)
			case len(names) < laneBatch:
				names = append(names, name)
			}
		})
	})
	return names, next, err
}

// claimLanes claims from each of the lanes what it has room for.
func (q *Queue) claimLanes(ctx context.Context, names []string) (int, error) {
	return q.claim(ctx, func(tx *db.Tx) (out []*Delivery, err error) {
		for _, name := range names {
			q.mu.Lock()
			l := q.lane(name)
			n := min(q.share(l), loadBatch)
			q.tidy(l)
			q.mu.Unlock()
			if n <= 0 || len(out) >= loadBatch {
				continue
			}
			list, err := dueIn(tx, name, n)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
		return out, nil
	})
}

// claim reserves room for the deliveries that find returns, as far as there is
// some, and marks them as held in one transaction.
func (q *Queue) claim(ctx context.Context, find func(*db.Tx) ([]*Delivery, error)) (int, error) {
	var got []*Delivery
	err := q.db.Group(ctx, func(tx *db.Tx) error {
		got = nil
		list, err := find(tx)
		if err != nil {
			return err
		}
		for _, d := range list {
			if q.reserve(d) {
				got = append(got, d)
			}
		}
		mine := got
		tx.AfterRollback(func() { q.unclaim(mine) })
		tx.AfterCommit(func() { q.push(mine) })
		return hold(tx, q.node, mine)
	})
	if err != nil {
		return 0, err
	}
	return len(got), nil
}

// nextDue returns the time until the earliest waiting delivery is due.
func (q *Queue) nextDue(ctx context.Context) (time.Duration, error) {
	var at int64
	err := q.db.Read(ctx, func(tx *db.Tx) (err error) {
		at, err = earliest(tx)
		return err
	})
	if err != nil || at == 0 {
		return idleScan, err
	}
	wait := time.Duration(at-q.clock.Now().UnixMicro()) * time.Microsecond
	return min(max(wait, 5*time.Millisecond), idleScan), nil
}
