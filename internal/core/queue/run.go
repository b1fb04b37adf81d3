package queue

import (
	"context"
	"sync"
	"time"
)

// Run hands deliveries to sessions until ctx ends, then waits for the sessions
// under way (their context is sessions, which the caller cancels when waiting
// must end) and sets free what is still held. It is called once.
func (q *Queue) Run(ctx, sessions context.Context, work Session) error {
	finding, cut := context.WithCancel(sessions)
	defer cut()
	q.mu.Lock()
	q.session, q.ctx, q.finding = work, sessions, finding
	for _, l := range q.lanes {
		q.staff(l, l.ready())
	}
	q.resolveNext()
	q.mu.Unlock()
	var loops sync.WaitGroup
	loops.Go(func() { q.keep(ctx) })
	loops.Go(func() { q.watch(ctx) })
	q.loop(ctx)
	cut()
	loops.Wait()
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

// stop ends the sessions and returns what they did not begin.
func (q *Queue) stop() error {
	q.mu.Lock()
	q.ctx, q.paused, q.hungry, q.wanting, q.asking = nil, true, nil, nil, nil
	close(q.quit)
	q.mu.Unlock()
	q.wg.Wait()
	q.mu.Lock()
	for _, s := range q.off {
		s.d.out = false
	}
	q.off = nil
	rest := q.extract(func(*Delivery) bool { return true })
	q.mu.Unlock()
	return q.leave(context.Background(), rest)
}
