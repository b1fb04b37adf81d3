package queue

import (
	"context"
	"time"

	"postroad/internal/base/db"
)

const (
	heartbeat  = 10 * time.Second // how often a node says that it lives
	staleAfter = time.Minute      // silence after which its deliveries are set free
	loadBatch  = 2000             // deliveries claimed at a time
	idleScan   = 30 * time.Second // scan at least this often, whatever the next due time
)

// Run hands deliveries to sessions until ctx ends, then waits for the sessions
// under way (their context is sessions, which the caller cancels when waiting
// must end) and sets free what was not begun.
func (q *Queue) Run(ctx, sessions context.Context, work Session) error {
	q.mu.Lock()
	q.session, q.ctx, q.paused = work, sessions, false
	for _, l := range q.lanes {
		q.staff(l)
	}
	q.mu.Unlock()
	q.loop(ctx)
	return q.stop()
}

func (q *Queue) loop(ctx context.Context) {
	beat, stopBeat := q.clock.After(heartbeat)
	defer func() { stopBeat() }()
	for {
		next, err := q.load(ctx)
		if err != nil && ctx.Err() == nil {
			q.log.Error("loading due deliveries", "error", err)
			next = time.Second
		}
		timer, stop := q.clock.After(next)
		select {
		case <-ctx.Done():
			stop()
			return
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

// load claims due deliveries while there is room and returns how long nothing
// more will be due.
func (q *Queue) load(ctx context.Context) (time.Duration, error) {
	for {
		room, full := q.room()
		if room <= 0 {
			return 50 * time.Millisecond, nil
		}
		got, err := q.claim(ctx, min(room, loadBatch), full)
		if err != nil {
			return 0, err
		}
		for _, d := range got {
			q.push(d)
		}
		if len(got) == 0 {
			return q.nextDue(ctx, len(full) > 0)
		}
	}
}

// room returns how many more deliveries the window takes and the lanes that
// take none.
func (q *Queue) room() (int, []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var full []string
	for name, l := range q.lanes {
		if l.held >= q.opt.LaneWindow {
			full = append(full, name)
		}
	}
	return q.opt.Window - q.held, full
}

// claim reserves room for due deliveries and marks them as held in one
// transaction.
func (q *Queue) claim(ctx context.Context, limit int, full []string) (got []*Delivery, err error) {
	err = q.db.Group(ctx, func(tx *db.Tx) error {
		got = got[:0]
		list, err := due(tx, limit, full)
		if err != nil {
			return err
		}
		for _, d := range list {
			if q.reserve(d.Lane) {
				got = append(got, d)
			}
		}
		mine := append([]*Delivery(nil), got...)
		tx.AfterRollback(func() {
			for _, d := range mine {
				q.release(d.Lane)
			}
		})
		return hold(tx, q.node, got)
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// nextDue returns the time until the earliest waiting delivery is due. While
// lanes are full their overdue rows would make that zero for ever.
func (q *Queue) nextDue(ctx context.Context, crowded bool) (time.Duration, error) {
	if crowded {
		return 50 * time.Millisecond, nil
	}
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

// stop ends the sessions and returns what they did not begin.
func (q *Queue) stop() error {
	q.mu.Lock()
	q.ctx, q.paused, q.wanting = nil, true, nil
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
	return q.setFree(context.Background(), rest)
}
