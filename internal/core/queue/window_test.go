package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// TestWindow: whatever is due, no more than the window is in memory, and all
// of it is delivered.
func TestWindow(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{Window: 3000, Sessions: 64})
		due := 50000
		if d.Dialect == db.Postgres {
			due = 20000
		}
		var list []*Delivery
		for i := range due / 100 { // messages of a hundred recipients, most to one place
			lane := "big.test"
			if i%5 == 0 {
				lane = fmt.Sprintf("l%d.test", i%200)
			}
			group := r.make(lane, 100)
			for _, x := range group {
				x.MessageID = group[0].MessageID
			}
			list = append(list, group...)
		}
		r.store(list)
		var seen sync.Map
		var count, most atomic.Int64
		r.run(r.all(func(d *Delivery) {
			if _, twice := seen.LoadOrStore(d.ID, true); twice {
				t.Errorf("delivery %d was handed out twice", d.ID)
			}
			if held := int64(r.Depth().Held); held > most.Load() {
				most.Store(held)
			}
			count.Add(1)
		}))
		r.until("all deliveries", func() bool { return count.Load() == int64(due) })
		r.until("an empty window", func() bool { return r.Depth().Held == 0 })
		if most.Load() > 3000 || most.Load() < 500 {
			t.Errorf("at most %d deliveries were held, want up to 3000", most.Load())
		}
		if n := len(r.rows()); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestIsolation: destinations that take nothing hold up no other, however many
// there are and however much waits for them.
func TestIsolation(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{Window: 400, Sessions: 200, Policy: sessions(2)})
		var list []*Delivery
		for i := range 30 {
			list = append(list, r.make(fmt.Sprintf("dead%d.test", i), 100)...)
		}
		r.store(list)
		release := make(chan struct{})
		done := make(chan string, 100)
		r.run(func(ctx context.Context, l *Lane) {
			for {
				got := l.Take(ctx, 1)
				if got == nil {
					return
				}
				if got[0].Lane[:4] == "dead" {
					<-release
				} else {
					done <- got[0].Lane
				}
				r.finish(got)
			}
		})
		defer close(release)
		r.until("the dead lanes to hold what they can", func() bool { return r.Depth().Lanes == 30 })
		for i := range 40 { // accepted now, and due from the table
			name := fmt.Sprintf("good%d.test", i)
			if i%2 == 0 {
				r.stage(r.make(name, 1))
			} else {
				r.store(r.make(name, 1))
				r.Wake()
			}
			if got := receive(t, done, name); got != name {
				t.Fatalf("got %s, want %s", got, name)
			}
		}
		if held := r.Depth().Held; held > 400 {
			t.Errorf("%d held", held)
		}
	})
}

// TestRetryStorm: while masses of retries are due, new mail to the same place
// is taken next.
func TestRetryStorm(t *testing.T) {
	d := coretest.SQLite(t, clock.System{})
	r := newRig(t, d, Options{Window: 1000, Policy: sessions(1)})
	storm := r.make("x.test", 20000)
	for _, d := range storm {
		d.Tries = 1
	}
	r.store(storm)
	took, goOn := make(chan *Delivery), make(chan struct{})
	r.run(func(ctx context.Context, l *Lane) {
		for {
			got := l.Take(ctx, 1)
			if got == nil {
				return
			}
			select {
			case took <- got[0]:
				<-goOn
			case <-ctx.Done():
				return
			}
			r.finish(got)
		}
	})
	receive(t, took, "the first retry")
	for i := range 20 {
		fresh := r.make("x.test", 1)
		r.stage(fresh)
		for n := 0; ; n++ {
			goOn <- struct{}{}
			if got := receive(t, took, "a delivery"); got.ID == fresh[0].ID {
				break
			}
			if n > 3 {
				t.Fatalf("new mail %d waits behind %d retries", i, n)
			}
		}
	}
	close(goOn)
	go func() {
		for range took {
		}
	}()
}

// TestPriority: while both wait, every fourth turn is a retry's.
func TestPriority(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{})
	list := r.make("a.test", 40)
	for i, d := range list {
		if i%2 == 0 {
			d.Tries = 1
		}
	}
	r.offer(list)
	order := ""
	for range 24 {
		if r.next("a.test", 1)[0].retry {
			order += "r"
		} else {
			order += "n"
		}
	}
	if want := "nnnrnnnrnnnrnnnrnnnrnnnr"; order != want {
		t.Errorf("order %s, want %s", order, want)
	}
}

// TestTogether: recipients of a message are taken together, those with own
// variables and other messages are not.
func TestTogether(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{})
	list := r.make("a.test", 9)
	for _, d := range list[:5] {
		d.MessageID = 1
	}
	for _, d := range list[5:8] {
		d.MessageID, d.Vars = 2, "{}"
	}
	r.offer(list)
	var sizes []int
	for {
		got := r.next("a.test", 3)
		if got == nil {
			break
		}
		sizes = append(sizes, len(got))
	}
	if fmt.Sprint(sizes) != "[3 2 1 1 1 1]" {
		t.Errorf("groups of %v", sizes)
	}
}

// TestShares checks the dynamic threshold.
func TestShares(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Window: 1000})
	fill := func(lane string, tries int) (n int) {
		for missed := 0; missed < 2; { // a flow for each, so that no flow is the limit
			id := r.ids.Next()
			if r.reserve(&Delivery{ID: id, Destination: lane, DomainID: id, Tries: tries}) {
				n++
			} else {
				missed++
			}
		}
		return n
	}
	if n := fill("first", 0); n != 166 {
		t.Errorf("a lone lane gets %d of 1000", n)
	}
	last := 166
	for i := range 200 {
		n := fill(fmt.Sprint("lane", i), 0)
		if n > last || n == 0 {
			t.Errorf("lane %d gets %d after %d", i, n, last)
		}
		last = n
	}
	retries := fill("retries", 1)
	if fresh := fill("retries", 0); retries == 0 || fresh < retries-1 {
		t.Errorf("%d retries leave room for %d", retries, fresh)
	}
	if r.Depth().Held > 1000 {
		t.Errorf("%+v", r.Depth())
	}
}
