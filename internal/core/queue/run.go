package queue

import (
	"context"
	"time"

	"postroad/internal/base/db"
)

const (
	loadBatch = 2000             // deliveries claimed at a time
	idleScan  = 30 * time.Second // scan at least this often, whatever the next due time
	fullScan  = time.Second      // as long as something waits for room
	maxPause  = 5 * time.Second  // between searches past the rows of full lanes
)

// Run hands deliveries to sessions until ctx ends, then waits for the sessions
// under way (their context is sessions, which the caller cancels when waiting
// must end) and sets free what is still held. It is called once.
func (q *Queue) Run(ctx, sessions context.Context, work Session) error {
	q.mu.Lock()
	q.session, q.ctx = work, sessions
	for _, l := range q.lanes {
		q.staff(l, l.ready())
	}
	q.mu.Unlock()
	q.loop(ctx)
	return q.stop()
}

func (q *Queue) loop(ctx context.Context) {
	beat, stopBeat := q.clock.After(heartbeat)
	defer func() { stopBeat() }()
	for ctx.Err() == nil {
		q.expect(0)
		next, err := q.load(ctx)
		if err != nil && ctx.Err() == nil {
			q.log.Error("loading due deliveries", "error", err)
			next = time.Second
		}
		q.expect(q.clock.Now().Add(next).UnixMicro())
		timer, stop := q.clock.After(next)
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer:
		case <-beat:
			beat, stopBeat = q.clock.After(heartbeat)
			if err := q.beat(ctx); err != nil && ctx.Err() == nil {
				q.log.Error("queue heartbeat", "error", err)
			}
		}
		stop()
	}
}

// expect notes when the loader looks next. It is 0 while the loader looks, for
// what becomes due meanwhile may have been missed: see plan.
func (q *Queue) expect(at int64) {
	if at == 0 {
		at = 1<<63 - 1
	}
	q.mu.Lock()
	q.planned = at
	q.mu.Unlock()
}

// load claims due deliveries while there is room and returns how long nothing
// more can be claimed.
//
// While some lanes are full a claim has to look past their rows, which may be
// many and all in vain. Nine tenths of the time it is not made: then only lanes
// that have room again are filled, from rows that come first anyway.
func (q *Queue) load(ctx context.Context) (time.Duration, error) {
	for {
		b := q.bounds()
		if b.room <= 0 {
			return fullScan, nil // a release wakes the loader
		}
		began := q.clock.Now()
		if pause := q.search.Sub(began); b.tight() && pause > 0 {
			b = bounds{room: b.room}
			if n, err := q.claim(ctx, b); n == 0 || err != nil {
				return min(pause, fullScan), err
			}
			continue
		}
		n, err := q.claim(ctx, b)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			wait, err := q.nextDue(ctx, b)
			now := q.clock.Now()
			q.search = now.Add(min(9*now.Sub(began), maxPause))
			return wait, err
		}
	}
}

// bounds say what the window can take now.
type bounds struct {
	room      int
	full      []string // lanes that take nothing
	crowded   []string // lanes that take no retries
	noRetries bool     // no lane takes any
}

// tight reports whether rows that are due may have to wait.
func (b *bounds) tight() bool { return b.noRetries || len(b.full)+len(b.crowded) > 0 }

func (q *Queue) bounds() bounds {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := bounds{room: q.opt.Window - len(q.mine), noRetries: q.retries >= max(1, q.opt.Window/2)}
	for name, l := range q.lanes {
		switch all, again := q.full(l); {
		case all:
			l.starved = true
			b.full = append(b.full, name)
		case again && !b.noRetries:
			l.starved = true
			b.crowded = append(b.crowded, name)
		}
	}
	q.starved = q.starved || b.room <= 0
	q.starving = q.starving || b.noRetries
	return b
}

// claim reserves room for due deliveries and marks them as held in one
// transaction.
func (q *Queue) claim(ctx context.Context, b bounds) (int, error) {
	var got []*Delivery
	err := q.db.Group(ctx, func(tx *db.Tx) error {
		got = nil
		list, err := due(tx, min(b.room, loadBatch), b)
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
	return len(got), err
}

// nextDue returns the time until the earliest waiting delivery that there is
// room for is due.
func (q *Queue) nextDue(ctx context.Context, b bounds) (time.Duration, error) {
	var at int64
	err := q.db.Read(ctx, func(tx *db.Tx) (err error) {
		at, err = earliest(tx, b)
		return err
	})
	limit := idleScan
	if b.tight() {
		limit = fullScan
	}
	if err != nil || at == 0 {
		return limit, err
	}
	wait := time.Duration(at-q.clock.Now().UnixMicro()) * time.Microsecond
	return min(max(wait, 5*time.Millisecond), limit), nil
}

// stop ends the sessions and returns what they did not begin.
func (q *Queue) stop() error {
	q.mu.Lock()
	q.ctx, q.paused, q.hungry, q.wanting = nil, true, nil, nil
	close(q.quit)
	q.mu.Unlock()
	q.wg.Wait()
	q.mu.Lock()
	var rest []*Delivery
	for _, l := range q.lanes {
		rest = append(append(rest, l.first...), l.again...)
		l.first, l.again = nil, nil
	}
	q.mu.Unlock()
	return q.leave(context.Background(), rest)
}
