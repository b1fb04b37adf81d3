package queue

import (
	"container/heap"
	"context"
	"time"
)

// An alarm is when a lane that the policy held back, or a flow, may go on.
// Times are compared by the monotonic clock where there is one, so that setting
// the clock neither ends a wait nor makes it longer.
type alarm struct {
	at   time.Time
	lane *Lane
	flow *flow
}

// alarms is a heap.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	n := len(*a) - 1
	x := (*a)[n]
	(*a)[n] = alarm{}
	*a = (*a)[:n]
	return x
}

func (q *Queue) alarm(at time.Time, l *Lane, f *flow) {
	heap.Push(&q.alarms, alarm{at, l, f})
	if q.alarms[0].at.Equal(at) {
		poke(q.rearm)
	}
}

// watch lets lanes and flows go on when their time has come, until ctx ends.
func (q *Queue) watch(ctx context.Context) {
	for {
		var timer <-chan time.Time
		stop := func() {}
		if wait, some := q.ring(); some {
			timer, stop = q.clock.After(wait)
		}
		select {
		case <-timer:
		case <-q.rearm:
		case <-ctx.Done():
			stop()
			return
		}
		stop()
	}
}

// ring ends the waits that are over and returns how long the next one lasts.
func (q *Queue) ring() (wait time.Duration, some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for len(q.alarms) > 0 {
		next := q.alarms[0]
		if wait := next.at.Sub(now); wait > 0 {
			return wait, true
		}
		heap.Pop(&q.alarms)
		switch l, f := next.lane, next.flow; {
		case l != nil && l.until.Equal(next.at):
			l.until = time.Time{}
			q.staff(l, 1)
		case f != nil && f.stuck && f.until.Equal(next.at):
			l = f.key.lane
			q.unblock(f)
			q.staff(l, 1)
		}
	}
	return 0, false
}
