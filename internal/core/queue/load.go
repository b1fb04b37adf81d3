package queue

import (
	"context"
	"time"

	"postroad/internal/base/db"
)

const (
	loadBatch = 2000             // deliveries claimed at a time
	hopBatch  = 5000             // destinations looked at in one search
	nameBatch = 200              // of these claimed from at a time
	fullBatch = 8                // and such as found no room before
	minPage   = 100              // rows read of a destination at least
	fullPage  = 250              // rows read of a full one at most
	maxPlaces = 10000            // destinations whose rows are claimed from the middle
	idleScan  = 30 * time.Second // scan at least this often, whatever the next due time
	fullScan  = time.Second      // as long as something waits for room
	maxPause  = 5 * time.Second  // between searches through all destinations
)

// load claims due deliveries while there is room and returns how long nothing
// more can be claimed.
//
// As long as everything finds room the rows are taken in the order of their
// time. When something finds none, whose rows may be any number and come first,
// it goes destination by destination: those that have room again, and, not more
// than a tenth of the time, all that have rows.
func (q *Queue) load(ctx context.Context) (time.Duration, error) {
	for {
		b := q.bounds()
		if b.room <= 0 {
			return fullScan, nil // a release wakes the loader
		}
		if b.searching {
			n, wait, err := q.loadSome(ctx, b)
			if n == 0 || err != nil {
				return wait, err
			}
			continue
		}
		c, err := q.claim(ctx, func(tx *db.Tx) ([]*Delivery, error) { return due(tx, min(b.room, loadBatch)) })
		if err != nil {
			return 0, err
		}
		if c.found == 0 {
			return q.nextDue(ctx)
		}
		if c.refused == c.found && !q.bounds().searching {
			return fullScan, nil // the queue is stopping
		}
	}
}

// bounds say what the window can take now.
type bounds struct {
	room      int
	lane      int                 // what one lane may hold of it at most
	searching bool                // something found no room
	full      map[string]struct{} // destinations of lanes that take nothing now
	roomy     []string            // destinations that found no room and may now
}

func (q *Queue) bounds() bounds {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := bounds{room: q.opt.Window - len(q.mine), lane: q.room(len(q.mine)), searching: len(q.full) > 0, full: map[string]struct{}{}}
	q.starved = q.starved || b.room <= 0
	if b.room <= 0 {
		return b
	}
	for l := range q.full {
		if !l.hasRoom(b.lane, false, true) {
			for name := range l.missed {
				b.full[name] = struct{}{}
			}
		}
	}
	for name := range q.roomy {
		b.roomy = append(b.roomy, name)
		delete(q.places, name) // from its first row
	}
	clear(q.roomy)
	return b
}

// loadSome claims from destinations that have room.
func (q *Queue) loadSome(ctx context.Context, b bounds) (n int, wait time.Duration, err error) {
	if len(b.roomy) > 0 {
		if n, err = q.claimFrom(ctx, b.roomy, len(b.roomy), b.lane); n > 0 || err != nil {
			return n, 0, err
		}
	}
	began := q.clock.Now()
	if pause := q.search.Sub(began); pause > 0 {
		return 0, min(pause, fullScan), nil
	}
	wait = fullScan
	for round := false; ; { // until something is claimed or all have been seen
		round = round || q.hop == ""
		names, fulls, next, failed := q.destinationsDue(ctx, b.full)
		wait, err = min(wait, next), failed
		if err == nil && len(names)+len(fulls) > 0 {
			n, err = q.claimFrom(ctx, append(names, fulls...), len(names), b.lane)
		}
		if n > 0 || err != nil || round && q.hop == "" {
			break
		}
	}
	now := q.clock.Now()
	if n == 0 {
		q.search = now.Add(min(9*now.Sub(began), maxPause))
	}
	return n, wait, err
}

// destinationsDue returns destinations with rows that are due, and the time
// until another has some. It goes on where it ended the last time. Of the full
// ones it returns a few: some of their rows may have a lane with room.
func (q *Queue) destinationsDue(ctx context.Context, full map[string]struct{}) (names, fulls []string, next time.Duration, err error) {
	var last string
	seen := 0
	next = fullScan
	err = q.db.Read(ctx, func(tx *db.Tx) error {
		return eachDestination(tx, q.hop, hopBatch, func(name string, at int64) bool {
			seen++
			if wait := time.Duration(at-tx.Now) * time.Microsecond; wait > 0 {
				next = min(next, wait)
			} else if _, is := full[name]; !is {
				names = append(names, name)
			} else {
				fulls = append(fulls, name)
			}
			last = name
			return len(names) < nameBatch
		})
	})
	if q.hop = last; seen < hopBatch && len(names) < nameBatch {
		q.hop = "" // to the end
	}
	return names, q.someOf(fulls), next, err
}

// someOf picks full destinations to look at: now and then, and others each time.
func (q *Queue) someOf(fulls []string) []string {
	now := q.clock.Now()
	if len(fulls) == 0 || now.Before(q.look) {
		return nil
	}
	q.look = now.Add(maxPause)
	if n := len(fulls); n > fullBatch {
		q.turn = (q.turn + fullBatch) % n
		fulls = append(fulls[q.turn:], fulls[:q.turn]...)[:fullBatch]
	}
	return fulls
}

// spot is a place in the rows of a destination.
type spot struct{ due, id int64 }

// claimFrom claims from each of the destinations what finds room. Where some of
// the rows found none, the next claim goes on behind them, and after the last
// row from the first again.
//
// The names from open on are of lanes that are full: little is read of them.
func (q *Queue) claimFrom(ctx context.Context, names []string, open, room int) (int, error) {
	type read struct {
		name string
		list []*Delivery
		more bool
	}
	var reads []read
	c, err := q.claim(ctx, func(tx *db.Tx) (out []*Delivery, err error) {
		reads = nil
		for i, name := range names {
			n := min(loadBatch-len(out), max(room, minPage))
			if i >= open {
				n = min(n, fullPage)
			}
			if n <= 0 {
				q.again(name)
				continue
			}
			list, err := dueIn(tx, name, q.places[name], n)
			if err != nil {
				return nil, err
			}
			reads = append(reads, read{name, list, len(list) == n})
			out = append(out, list...)
		}
		return out, nil
	})
	if err != nil {
		return 0, err
	}
	if len(q.places) > maxPlaces {
		clear(q.places)
	}
	for _, r := range reads {
		without := 0
		for _, d := range r.list {
			if d.missed {
				without++
			}
		}
		switch {
		case r.more && without > 0:
			last := r.list[len(r.list)-1]
			q.places[r.name] = spot{last.Due, last.ID}
		case r.more:
			q.again(r.name)
			delete(q.places, r.name)
		default:
			delete(q.places, r.name)
		}
	}
	return c.found - c.refused, nil
}

// again has the loader come back to a destination that has more rows.
func (q *Queue) again(name string) {
	q.mu.Lock()
	q.roomy[name] = struct{}{}
	q.mu.Unlock()
}

// claims are what became of rows.
type claims struct{ found, refused int }

// claim reserves room for the deliveries that find returns, as far as there is
// some, and marks them as held in one transaction. What may not go for long is
// put off instead, and what is overdue is held to be expired.
func (q *Queue) claim(ctx context.Context, find func(*db.Tx) ([]*Delivery, error)) (claims, error) {
	var c claims
	err := q.db.Group(ctx, func(tx *db.Tx) error {
		c = claims{}
		list, err := find(tx)
		if err != nil {
			return err
		}
		c.found = len(list)
		q.route(list)
		grouped(list)
		mine, stale := q.sort(tx, list, &c)
		held := append(mine[:len(mine):len(mine)], stale...)
		tx.AfterRollback(func() { q.unclaim(held) })
		tx.AfterCommit(func() {
			q.push(mine)
			q.outdated(stale)
		})
		return hold(tx, q.node, held)
	})
	return c, err
}

// sort admits what has room and returns it, and what is overdue.
func (q *Queue) sort(tx *db.Tx, list []*Delivery, c *claims) (mine, stale []*Delivery) {
	now := q.clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range list {
		if q.overdue(d, now) && q.adopt(d) {
			stale = append(stale, d)
			continue
		}
		switch verdict, until := q.admit(d, true); verdict {
		case admitted:
			mine = append(mine, d)
		case refused:
			d.missed = true
			c.refused++
		case barred:
			stage(tx, upsDelivery, d, row{due: until, wasDue: d.firstDue(), tries: d.Tries, attempt: d.Attempt})
		}
	}
	return mine, stale
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
