package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// TestExpiry: what is overdue ends wherever it waits, and nothing else does.
func TestExpiry(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		stall := make(chan struct{})
		p := newRules(1)
		p.muted["muted"] = 30 * time.Second // in memory all the time
		p.left["limited.test"] = 0
		p.wait = time.Minute
		o, b := newBook(Options{Window: 400, Policy: p, Resolve: func(ctx context.Context, _ *Delivery) {
			select {
			case <-stall:
			case <-ctx.Done():
			}
		}, Route: func(d *Delivery) (string, bool) { return d.Destination, d.Destination != "unknown.test" }})
		r := newRig(t, d, o)
		b.r = r
		began := make(chan *Delivery, 1)
		r.run(func(ctx context.Context, l *Lane) {
			for got := l.Take(ctx, 1); got != nil; got = l.Take(ctx, 1) {
				began <- got[0]
				<-ctx.Done() // a destination that takes for ever
			}
		})
		all := r.make("busy.test", 300)
		all = append(all, from("muted", r.make("muted.test", 10))...)
		all = append(all, r.make("limited.test", 10)...)
		all = append(all, r.make("unknown.test", 10)...)
		later := r.make("later.test", 10) // its due time is long after the deadline
		for _, x := range later {
			x.Due += 10 * 3600e6
		}
		all = append(all, later...)
		for _, x := range all {
			x.Deadline = c.Now().Add(10 * time.Minute).UnixMicro()
		}
		r.stage(all)
		keep := r.make("muted.test", 1)
		from("muted", keep)
		r.stage(keep)
		x := receive(t, began, "a session")
		start := c.Now()
		r.until("all to expire but one in a session and one whose time is not over", func() bool {
			c.Advance(5 * time.Second)
			if after := c.Now().Sub(start); b.count() > 0 && after < 11*time.Minute {
				t.Fatalf("expired after %v", after)
			}
			return b.count() == len(all)-1
		})
		rows := r.rows()
		if _, ok := rows[x.ID]; !ok || len(rows) != 2 {
			t.Errorf("rows %v", rows)
		}
		if held := r.Depth().Held; held > 2 {
			t.Errorf("%d held", held)
		}
	})
}

// TestExpiryFails: an outcome that cannot be recorded is tried again, and keeps
// no other from being recorded.
func TestExpiryFails(t *testing.T) {
	c := fake()
	o, b := newBook(Options{})
	var calls atomic.Int64
	var bad int64
	o.Settle = func(ctx context.Context, list []*Delivery, o Order) error {
		calls.Add(1)
		for _, d := range list {
			if d.ID == bad {
				return errors.New("cannot be")
			}
		}
		return b.settle(ctx, list, o)
	}
	r := newRig(t, coretest.SQLite(t, c), o)
	b.r = r
	list := r.make("a.test", 250)
	bad = list[70].ID
	for _, d := range list {
		d.Deadline = d.Due - 3600e6
	}
	r.store(list)
	r.run(r.all(func(*Delivery) { t.Error("an overdue delivery was handed out") }))
	r.until("the others to end", func() bool { return b.count() == 249 })
	n := calls.Load()
	c.Advance(sweepEvery)
	r.until("another try", func() bool { return calls.Load() > n })
	if n := calls.Load(); n > 120 {
		t.Errorf("%d calls", n)
	}
	if rows := r.rows(); len(rows) != 1 || rows[bad] != r.node {
		t.Errorf("rows %v", rows)
	}
}

// TestSteps: a clock that is set forward makes deadlines later by as much.
func TestSteps(t *testing.T) {
	now := fake().Now()
	for i, c := range []struct {
		events string
		walls  []time.Duration // what the wall clock went on, per minute of the monotonic one
		want   time.Duration
	}{
		{"time passes", []time.Duration{time.Minute, time.Minute}, 0},
		{"the clock is adjusted", []time.Duration{59 * time.Second, 61 * time.Second}, 0},
		{"set forward", []time.Duration{time.Hour + time.Minute}, time.Hour},
		{"set back", []time.Duration{time.Minute - time.Hour}, 0},
		{"set forward and back", []time.Duration{time.Hour + time.Minute, time.Minute - time.Hour}, 0},
		{"set forward by a year", []time.Duration{365 * 24 * time.Hour}, bigStep},
	} {
		t.Run(fmt.Sprint(i, " ", c.events), func(t *testing.T) {
			s := &steps{}
			s.observe(now, 0, 0)
			at, got := now, time.Duration(0)
			for _, wall := range c.walls {
				at = at.Add(time.Minute)
				got = s.observe(at, wall, time.Minute)
			}
			if got != c.want {
				t.Errorf("lenient by %v, want %v", got, c.want)
			}
			if got := s.observe(at.Add(bigStep), bigStep, bigStep); got != 0 {
				t.Errorf("still %v after a day", got)
			}
		})
	}
}
