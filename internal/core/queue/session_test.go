package queue

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/core/coretest"
)

// TestFairSessions: a lane with much work gives sessions to lanes without one
// when there are no more, and all of them when there are more lanes than
// sessions.
func TestFairSessions(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, clock.System{}), Options{Sessions: 4, Policy: sessions(4), Window: 10000})
	type turn struct {
		lane string
		done chan struct{}
	}
	turns := make(chan turn)
	r.run(func(ctx context.Context, l *Lane) {
		for {
			got := l.Take(ctx, 1)
			if got == nil {
				return
			}
			x := turn{l.Name, make(chan struct{})}
			select {
			case turns <- x:
				<-x.done
			case <-ctx.Done():
				return
			}
			r.finish(got)
		}
	})
	r.stage(r.make("busy.test", 1000))
	for range 20 {
		x := receive(t, turns, "a turn")
		if x.lane != "busy.test" {
			t.Fatal("a lane from nowhere")
		}
		close(x.done)
	}
	const lanes, each = 8, 10
	for i := range lanes {
		r.stage(r.make(fmt.Sprintf("small%d.test", i), each))
	}
	served := map[string]int{}
	for small := 0; small < lanes*each; {
		x := receive(t, turns, "a turn")
		if served[x.lane]++; x.lane != "busy.test" {
			small++
		}
		if n := r.Depth().Sessions; n > 4 {
			t.Fatalf("%d sessions", n)
		}
		close(x.done)
	}
	if n := served["busy.test"]; n > 3*lanes*each {
		t.Errorf("the busy lane had %d turns while the small ones waited for their %d", n, lanes*each)
	}
	go func() {
		for x := range turns {
			close(x.done)
		}
	}()
}

// TestIdlePlace: a session that only waits gives its place to a lane that has
// work, at once: the clock stands still.
func TestIdlePlace(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Sessions: 2})
	done := make(chan string, 10)
	r.run(r.all(func(d *Delivery) { done <- d.Lane }))
	for i := range 10 {
		name := fmt.Sprintf("lane%d.test", i)
		r.stage(r.make(name, 1))
		if got := receive(t, done, name); got != name {
			t.Fatalf("got %s, want %s", got, name)
		}
	}
	r.until("two idle sessions", func() bool { return r.Depth().Idle == 2 && r.Depth().Sessions == 2 })
}

// TestNoLostWork pushes work at the moment a session goes idle. The clock
// stands still, so a session that missed it would wait for ever.
func TestNoLostWork(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Sessions: 2, Policy: sessions(2)})
	done := make(chan struct{}, 4)
	r.run(func(ctx context.Context, l *Lane) {
		for {
			got := l.Take(ctx, 1)
			if got == nil {
				return
			}
			for _, d := range got {
				r.release(d)
				done <- struct{}{}
			}
		}
	})
	for i := range 20000 {
		for _, d := range r.make(fmt.Sprintf("lane%d.test", i%3), 1+i%2) {
			if !r.reserve(d) {
				t.Fatal("no room")
			}
			r.push([]*Delivery{d})
		}
		for range 1 + i%2 {
			receive(t, done, fmt.Sprintf("delivery %d", i))
		}
	}
}

// TestLinger: an idle session ends when its time is over, and its lane with it.
func TestLinger(t *testing.T) {
	c := fake()
	r := newRig(t, coretest.SQLite(t, c), Options{})
	var began, ended atomic.Int64
	work := r.all(func(*Delivery) {})
	r.run(func(ctx context.Context, l *Lane) {
		began.Add(1)
		defer ended.Add(1)
		work(ctx, l)
	})
	r.stage(r.make("a.test", 1))
	r.until("an idle session", func() bool { return r.Depth().Idle == 1 })
	c.Advance(r.opt.Linger - 1)
	r.stage(r.make("a.test", 1))
	r.until("the same session to take it", func() bool { return r.Depth() == Depth{Sessions: 1, Idle: 1, Lanes: 1} })
	r.until("it to end", func() bool {
		c.Advance(r.opt.Linger)
		return r.Depth() == Depth{}
	})
	if began.Load() != 1 || ended.Load() != 1 {
		t.Errorf("%d sessions began, %d ended", began.Load(), ended.Load())
	}
}

// TestSessionsStay: a lane that would like more sessions than there is room for
// keeps those it has, and their connections; it does not trade them for new ones.
func TestSessionsStay(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Sessions: 4, Policy: sessions(4)})
	var began atomic.Int64
	done := make(chan string, 100)
	work := r.all(func(d *Delivery) { done <- d.Lane })
	r.run(func(ctx context.Context, l *Lane) {
		began.Add(1)
		work(ctx, l)
	})
	for range 50 {
		r.stage(r.make("a.test", 20))
		for range 20 {
			receive(t, done, "a delivery")
		}
	}
	if n := began.Load(); n > 4 {
		t.Fatalf("%d sessions were begun where 4 may run", n)
	}
}

// TestAllLanesAdvance: lanes that all have more than a quantum of work share
// the sessions by turns, also those that wanted a second one before.
func TestAllLanesAdvance(t *testing.T) {
	const lanes, each = 9, 300
	r := newRig(t, coretest.SQLite(t, fake()), Options{Sessions: 4, Policy: sessions(20)})
	var mu sync.Mutex
	done, total := map[string]int{}, 0
	half := make(chan map[string]int, 1)
	r.run(r.all(func(d *Delivery) {
		mu.Lock()
		defer mu.Unlock()
		done[d.Lane]++
		if total++; total == lanes*each/2 {
			half <- maps.Clone(done)
		}
	}))
	var all []*Delivery
	for i := range lanes {
		all = append(all, r.make(fmt.Sprintf("lane%d.test", i), each)...)
	}
	r.stage(all)
	got := receive(t, half, "half of the work")
	for i := range lanes {
		if n := got[fmt.Sprintf("lane%d.test", i)]; n < each/6 {
			t.Errorf("lane %d had %d of %d turns when half of all were taken: %v", i, n, each, got)
		}
	}
}
