package queue

import (
	"context"
	"time"

	"postroad/internal/base/db"
)

const (
	grace      = time.Minute // after the deadline, for an attempt at the deadline
	sweepEvery = time.Minute
	sweepBatch = 500 // expired from the table at a time
	backBatch  = 500 // given back to the table at a time
	parkBatch  = 1000
	hurry      = time.Second
)

// setOff is a held delivery that goes back to the table: for the time wait, or
// with 0 because it found no room in its lane.
type setOff struct {
	d    *Delivery
	wait time.Duration
}

// keep does what is not on the way of deliveries that flow, until ctx ends:
// it expires, puts off, and brings back what was put off.
func (q *Queue) keep(ctx context.Context) {
	sweep, stop := q.clock.After(0)
	defer func() { stop() }()
	for {
		var again <-chan time.Time
		stopAgain := func() {}
		if err := q.tidyUp(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("queue upkeep", "error", err)
			again, stopAgain = q.clock.After(hurry)
		}
		select {
		case <-ctx.Done():
		case <-q.tend:
		case <-again:
		case <-sweep:
			stop()
			sweep, stop = q.clock.After(sweepEvery)
			q.inspect()
			if err := q.sweep(ctx); err != nil && ctx.Err() == nil {
				q.log.Error("expiring deliveries", "error", err)
			}
		}
		stopAgain()
		if ctx.Err() != nil {
			return
		}
	}
}

// tidyUp does what others have left to the keeper.
func (q *Queue) tidyUp(ctx context.Context) error {
	if err := q.giveAllBack(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	stale := q.stale
	q.stale = nil
	q.mu.Unlock()
	q.expire(ctx, stale)
	return q.resume(ctx)
}

// inspect looks through the window for what cannot go for long and for what is
// overdue.
func (q *Queue) inspect() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	gone := q.extract(func(d *Delivery) bool { return q.overdue(d, now) })
	q.stale = append(append(q.stale, gone...), q.failed...)
	q.failed = nil
	closed := map[*Lane]time.Duration{}
	for _, l := range q.lanes {
		if l.unknown {
			continue
		}
		for _, f := range l.stuck {
			if wait := f.until.Sub(now); wait > patient {
				q.setAside(f, wait)
			}
		}
		if wait := q.closedFor(l, now); wait > 0 {
			closed[l] = wait
		} else if l.sessions == 0 {
			q.staff(l, 1) // nobody has said that it may go on
		}
	}
	if len(closed) > 0 {
		for _, d := range q.extract(func(d *Delivery) bool { return closed[d.place.key.lane] > 0 }) {
			q.off = append(q.off, setOff{d, closed[d.place.key.lane]})
		}
	}
	q.prune(now)
	if len(q.off)+len(q.stale) > 0 {
		poke(q.tend)
	}
}

// closedFor returns how long l stays without sessions if it has been so for
// some time already, and bars it so long.
func (q *Queue) closedFor(l *Lane, now time.Time) time.Duration {
	if q.may(l) > 0 || now.Sub(l.idleSince) < patient {
		return 0
	}
	wait := q.opt.Policy.Take(l.Name, 1)
	if wait <= 0 {
		wait = blindly
	}
	q.shut[l.Name] = now.Add(min(wait, maxShut))
	return wait
}

// prune bounds what is remembered of long waits. Those that are over are kept
// as long as there are few: something may still be put off on their account.
func (q *Queue) prune(now time.Time) {
	if len(q.shut) > maxPlaces {
		for name, until := range q.shut {
			if !until.After(now) {
				delete(q.shut, name)
			}
		}
	}
	if len(q.muted) > maxPlaces {
		for s, until := range q.muted {
			if !until.After(now) {
				delete(q.muted, s)
			}
		}
	}
}

// giveAllBack writes to the table what was set off.
func (q *Queue) giveAllBack(ctx context.Context) error {
	for {
		q.mu.Lock()
		n := min(len(q.off), backBatch)
		list := q.off[:n:n]
		q.off = q.off[n:]
		now := q.clock.Now()
		q.mu.Unlock()
		if n == 0 {
			return nil
		}
		err := q.db.Group(ctx, func(tx *db.Tx) error {
			for _, s := range list {
				if s.wait == 0 {
					q.giveBack(tx, s.d, s.d.Due, s.d.wasDue)
				} else {
					q.giveBack(tx, s.d, s.d.putOff(now, s.wait), s.d.firstDue())
				}
			}
			return nil
		})
		if err != nil {
			q.mu.Lock()
			q.off = append(q.off, list...)
			q.mu.Unlock()
			return err
		}
	}
}

// overdue reports whether the deadline of d is over for so long that it gets no
// more attempt.
func (q *Queue) overdue(d *Delivery, now time.Time) bool {
	return q.opt.Settle != nil && d.Deadline < now.UnixMicro()-grace.Microseconds() && d.Deadline < q.outdatedBefore(now)
}

// outdatedBefore returns before which time a deadline must have been.
func (q *Queue) outdatedBefore(now time.Time) int64 {
	return now.UnixMicro() - (grace + q.steps.lenience(now)).Microseconds()
}

// adopt holds an overdue delivery from the table beside the lanes.
func (q *Queue) adopt(d *Delivery) bool {
	if _, held := q.mine[d.ID]; held || q.paused {
		return false
	}
	q.mine[d.ID] = d
	d.place, d.out = nil, true
	return true
}

// outdated hands overdue deliveries to the keeper.
func (q *Queue) outdated(list []*Delivery) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	q.stale = append(q.stale, list...)
	q.mu.Unlock()
	poke(q.tend)
}

// expireAt takes the first delivery of a flow out for the keeper to expire.
func (q *Queue) expireAt(s *schedule, f *flow) {
	d := f.list[f.head]
	d.out = true
	f.drop(1)
	s.n--
	q.stale = append(q.stale, d)
	poke(q.tend)
}

// sweep expires what waits in the table, a batch at a time: what no lane has
// room for, what was put off, and what other nodes left.
func (q *Queue) sweep(ctx context.Context) error {
	if q.opt.Settle == nil {
		return nil
	}
	for {
		q.mu.Lock()
		before := q.outdatedBefore(q.clock.Now())
		q.mu.Unlock()
		list, err := q.seize(ctx, func(tx *db.Tx) ([]*Delivery, error) { return over(tx, before, sweepBatch) })
		if err != nil || len(list) == 0 {
			return err
		}
		q.expire(ctx, list)
		if err := q.giveAllBack(ctx); err != nil {
			return err
		}
	}
}

// seize holds rows beside the lanes. They are no more than find returns, whatever
// room there is.
func (q *Queue) seize(ctx context.Context, find func(*db.Tx) ([]*Delivery, error)) (held []*Delivery, err error) {
	err = q.db.Group(ctx, func(tx *db.Tx) error {
		held = nil
		list, err := find(tx)
		if err != nil {
			return err
		}
		q.mu.Lock()
		for _, d := range list {
			if q.adopt(d) {
				held = append(held, d)
			}
		}
		q.mu.Unlock()
		mine := held
		tx.AfterRollback(func() { q.unclaim(mine) })
		return hold(tx, q.node, mine)
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// expire ends overdue deliveries. What cannot be recorded is tried again with
// the next sweep.
func (q *Queue) expire(ctx context.Context, list []*Delivery) {
	_, rest, err := q.settle(ctx, list, Order{Kind: Expire, Reason: "too old"})
	if err != nil && ctx.Err() == nil {
		q.log.Error("expired deliveries could not be recorded", "count", len(rest), "error", err)
	}
	q.mu.Lock()
	q.failed = append(q.failed, rest...)
	q.mu.Unlock()
}

// settleBatch is how many outcomes Settle records in a transaction.
const settleBatch = 100

// settle has outcomes recorded, and returns how many were and which could not
// be: one that cannot does not keep others from it.
func (q *Queue) settle(ctx context.Context, list []*Delivery, o Order) (done int64, rest []*Delivery, err error) {
	for len(list) > 0 {
		n := min(len(list), settleBatch)
		part := list[:n:n]
		list = list[n:]
		failed := q.opt.Settle(ctx, part, o)
		if failed != nil && n > 1 && ctx.Err() == nil {
			for i := range part {
				if failed = q.opt.Settle(ctx, part[i:i+1:i+1], o); failed != nil {
					err = failed
				}
			}
		} else if failed != nil {
			err = failed
		}
		for _, d := range part {
			if q.holds(d.ID) {
				rest = append(rest, d)
			} else {
				done++
			}
		}
	}
	return done, rest, err
}

// resume brings back what was put off on account of those whose limits have
// risen: it waits again for what it waited for before.
func (q *Queue) resume(ctx context.Context) error {
	q.mu.Lock()
	risen := q.risen
	q.risen = newRisen(false)
	q.mu.Unlock()
	if risen.none() {
		return nil
	}
	err := q.resumeFor(ctx, risen)
	if err != nil {
		q.mu.Lock()
		q.risen.all = true
		q.mu.Unlock()
		return err
	}
	q.Wake()
	return nil
}

func (q *Queue) resumeFor(ctx context.Context, risen risen) error {
	last := &Delivery{}
	for {
		var list []*Delivery
		if err := q.db.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = parked(tx, last, parkBatch)
			return err
		}); err != nil || len(list) == 0 {
			return err
		}
		last = list[len(list)-1]
		if back := q.freed(list, risen); len(back) > 0 {
			if err := q.db.Write(ctx, func(tx *db.Tx) error { return unpark(tx, back) }); err != nil {
				return err
			}
			q.Wake()
		}
	}
}

// freed picks from deliveries that were put off those that may go now.
func (q *Queue) freed(list []*Delivery, risen risen) (back []*Delivery) {
	q.route(list)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for _, d := range list {
		_, lane := risen.lanes[d.Lane]
		_, sender := risen.senders[d.sender()]
		if !risen.all && !lane && !sender && (d.Lane != "" || len(risen.lanes) == 0) {
			continue
		}
		if risen.all && d.Lane != "" && q.opt.Policy.Sessions(d.Lane) <= 0 {
			q.shut[d.Lane] = now.Add(blindly) // after a start: nobody else remembers
		}
		if _, no := q.bar(d); !no {
			back = append(back, d)
		}
	}
	return back
}
