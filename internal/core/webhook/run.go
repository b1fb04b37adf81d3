package webhook

import (
	"context"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

const (
	// lease is how long a claim is ours. It is far longer than a request may
	// take, and short enough for what a dead program held to go on soon.
	lease = 2 * time.Minute
	// refresh is how often changes made by other programs are looked for.
	refresh = 10 * time.Second
	// errorPause is how long to leave a store alone that failed.
	errorPause = time.Second
)

// Run makes the calls until ctx ends, then waits for those in flight.
func (s *Service) Run(ctx context.Context) error {
	r, err := s.start(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.drain()
	for ctx.Err() == nil {
		r.cycle(ctx)
		r.sleep(ctx)
	}
	return nil
}

// runner is the state of Run.
type runner struct {
	s         *Service
	plan      *schedule
	done      chan outcome
	refreshAt int64
	calls     context.Context // of the requests in flight
	cancel    context.CancelFunc
}

func (s *Service) start(ctx context.Context) (*runner, error) {
	// SQLite's directory belongs to one program, so no claim there is alive.
	if s.db.Dialect == db.SQLite {
		if err := s.db.Write(ctx, func(tx *db.Tx) error { return releaseClaims(tx, s.node) }); err != nil {
			return nil, err
		}
	}
	r := &runner{s: s, plan: newSchedule(s.o.Parallel, s.o.PerReceiver), done: make(chan outcome, s.o.Parallel)}
	r.calls, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

// cycle takes in what happened and starts every call that may start.
func (r *runner) cycle(ctx context.Context) {
	now := clock.Micro(r.s.clock().Now())
	if now >= r.refreshAt {
		r.refresh(ctx, now)
	}
	for name := range r.s.wakes.take() {
		r.plan.due(name, now)
	}
	for {
		// The store goes by the clock too: were it set back meanwhile, calls due
		// by the old time would be picked, and not found due, over and over.
		turns := r.plan.pick(clock.Micro(r.s.clock().Now()))
		if len(turns) == 0 {
			break
		}
		r.claim(ctx, turns)
	}
	r.s.count.lanes.Store(int64(len(r.plan.lanes)))
}

// refresh reads what other programs may have changed: registrations, and
// lanes with calls this one has not heard of.
func (r *runner) refresh(ctx context.Context, now int64) {
	r.refreshAt = now + refresh.Microseconds()
	if err := r.s.Reload(ctx); err != nil && ctx.Err() == nil {
		r.s.log.Error("webhook registrations not read", "error", err)
	}
	var lanes map[string]int64
	err := r.s.db.Read(ctx, func(tx *db.Tx) (err error) {
		lanes, err = lanesDue(tx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		r.s.log.Error("webhook lanes not read", "error", err)
	}
	for name, due := range lanes {
		r.plan.due(name, due)
	}
}

// claim leases calls for the turns in one transaction and starts them.
func (r *runner) claim(ctx context.Context, turns []want) {
	lists, next := make([][]claimed, len(turns)), make([]int64, len(turns))
	err := r.s.db.Group(ctx, func(tx *db.Tx) (err error) {
		for i, t := range turns {
			if lists[i], next[i], err = claimLane(tx, t.lane.name, t.n, r.s.node, lease); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.s.log.Error("webhook calls not claimed", "error", err)
	}
	now := clock.Micro(r.s.clock().Now())
	for i, t := range turns {
		if err != nil {
			r.plan.settle(t, 0, now+errorPause.Microseconds(), now)
			continue
		}
		r.plan.settle(t, len(lists[i]), next[i], now)
		for j := range lists[i] {
			go r.make(t.lane.name, &lists[i][j])
		}
	}
}

func (r *runner) make(lane string, c *claimed) {
	o := r.s.attempt(r.calls, c)
	o.lane = lane
	r.done <- o // has room for every request in flight
}

// sleep waits for the next thing to do.
func (r *runner) sleep(ctx context.Context) {
	at := min(r.plan.wait(), r.refreshAt)
	timer, stop := r.s.clock().After(clock.FromMicro(at).Sub(r.s.clock().Now()))
	defer stop()
	select {
	case o := <-r.done:
		r.plan.done(o)
		r.collect()
	case <-r.s.wakes.c:
	case <-timer:
	case <-ctx.Done():
	}
}

// collect takes in the other requests that ended meanwhile.
func (r *runner) collect() {
	for {
		select {
		case o := <-r.done:
			r.plan.done(o)
		default:
			return
		}
	}
}

// drain waits for the requests in flight; those that take longer than the
// Drain option are broken off and their claims given back.
func (r *runner) drain() {
	defer r.cancel()
	timer, stop := r.s.clock().After(r.s.o.Drain)
	defer stop()
	for r.plan.inflight > 0 {
		select {
		case o := <-r.done:
			r.plan.done(o)
		case <-timer:
			r.cancel()
		}
	}
}
