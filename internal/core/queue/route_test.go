package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/core/coretest"
)

// table is what a router knows.
type table struct {
	mu    sync.Mutex
	lanes map[string]string
}

func (t *table) route(d *Delivery) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lane, ok := t.lanes[d.Destination]
	return lane, ok
}

func (t *table) set(destination, lane string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lanes[destination] = lane
}

// TestRouting: destinations whose lane takes long to find delay no other, are
// asked for one at a time each, and several in one lane share it.
func TestRouting(t *testing.T) {
	known := &table{lanes: map[string]string{}}
	release := make(chan struct{})
	var calls, at atomic.Int64
	var asking sync.Map
	o := Options{Route: known.route, ResolveMax: 8, Resolve: func(ctx context.Context, d *Delivery) {
		calls.Add(1)
		if _, twice := asking.LoadOrStore(d.Destination, true); twice {
			t.Errorf("%s is asked for twice at a time", d.Destination)
		}
		defer asking.Delete(d.Destination)
		if n := at.Add(1); n > 8 {
			t.Errorf("%d calls at a time", n)
		}
		defer at.Add(-1)
		if d.Destination == "stalled.test" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		if d.Destination != "lost.test" {
			known.set(d.Destination, "mx:"+d.Destination[strings.IndexByte(d.Destination, '.')+1:])
		}
	}}
	r := newRig(t, coretest.SQLite(t, clock.System{}), o)
	done := make(chan *Delivery, 1000)
	r.run(r.all(func(d *Delivery) { done <- d }))
	r.stage(r.make("stalled.test", 20))
	for i := range 50 {
		r.stage(r.make(fmt.Sprintf("d%d.provider.test", i), 2))
	}
	r.stage(r.make("lost.test", 1))
	lanes := map[string]int{}
	for range 101 {
		lanes[receive(t, done, "a delivery").Lane]++
	}
	if lanes["mx:provider.test"] != 100 || lanes["lost.test"] != 1 {
		t.Errorf("lanes %v", lanes)
	}
	r.stage(r.make("stalled.test", 5))
	close(release)
	for range 25 {
		if d := receive(t, done, "the stalled"); d.Lane != "mx:test" {
			t.Errorf("lane %q", d.Lane)
		}
	}
	if n := calls.Load(); n > 60 {
		t.Errorf("%d calls for 52 destinations", n)
	}
	r.until("an empty window", func() bool { return r.Depth().Held == 0 })
}

// TestRoutedRoom: destinations that turn out to share a lane get one share of
// the window together; what exceeds it waits in the table, also when it came
// from there, and all of it is delivered once there is room.
func TestRoutedRoom(t *testing.T) {
	known := &table{lanes: map[string]string{}}
	o := Options{Window: 600, Sessions: 8, Route: known.route, Resolve: func(_ context.Context, d *Delivery) { known.set(d.Destination, "mx") }}
	r := newRig(t, coretest.SQLite(t, clock.System{}), o)
	for i := range 40 {
		list := r.make(fmt.Sprintf("d%d.test", i), 50)
		r.store(list[10:])
		r.stage(list[:10])
	}
	hold := make(chan struct{})
	var n atomic.Int64
	r.run(func(ctx context.Context, l *Lane) {
		for got := l.Take(ctx, 10); got != nil; got = l.Take(ctx, 10) {
			select {
			case <-hold:
			case <-ctx.Done():
				return
			}
			n.Add(int64(len(got)))
			r.finish(got)
		}
	})
	r.until("the lane to have its share only", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		l := r.lanes["mx"]
		return l != nil && len(r.mine) == l.held && l.held <= 100 && len(r.off) == 0
	})
	close(hold)
	r.until("all to be delivered", func() bool { return n.Load() == 2000 && len(r.rows()) == 0 })
}

// TestRerouted: the lane is decided anew when a delivery enters the window.
func TestRerouted(t *testing.T) {
	known := &table{lanes: map[string]string{"a.test": "old"}}
	r := newRig(t, coretest.SQLite(t, fake()), Options{Route: known.route})
	list := r.make("a.test", 2)
	r.store(list)
	known.set("a.test", "new")
	if _, err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.next("new", 1); len(got) != 1 || got[0].Lane != "new" {
		t.Errorf("got %+v", got)
	}
}
