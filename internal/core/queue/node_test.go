package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/core/coretest"
	"postroad/internal/core/schema"
)

func openPostgres(t *testing.T, url string, c clock.Clock) *db.DB {
	t.Helper()
	steps, err := schema.Steps()
	if err != nil {
		t.Fatal(err)
	}
	return dbtest.Open(t, url, c, steps)
}

// TestTwoNodes: nodes on one database never hold the same row.
func TestTwoNodes(t *testing.T) {
	url := dbtest.PostgresURL(t)
	const due = 4000
	var mu sync.Mutex
	seen := map[int64]int{}
	by := map[int]int{}
	var last *rig
	for i := range 3 {
		r := newRig(t, openPostgres(t, url, clock.System{}), Options{Window: 200, Sessions: 16})
		if i == 0 {
			var list []*Delivery
			for n := range 20 {
				list = append(list, r.make(fmt.Sprintf("l%d.test", n), due/20)...)
			}
			r.store(list)
		}
		r.ids.Seed(int64(i+1) << 61) // ids of one node are not another's
		r.run(r.all(func(d *Delivery) {
			mu.Lock()
			defer mu.Unlock()
			seen[d.ID]++
			by[i]++
			if d.Attempt != 1 {
				t.Errorf("claim %d", d.Attempt)
			}
		}))
		last = r
	}
	last.until("an empty table", func() bool { return len(last.rows()) == 0 })
	mu.Lock()
	defer mu.Unlock()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("delivery %d was handed out %d times", id, n)
		}
	}
	if len(seen) != due {
		t.Errorf("%d deliveries, want %d", len(seen), due)
	}
	t.Log("handed out by node:", by)
}

// TestBury: the deliveries of a node that fell silent are taken over, with
// their claim counted; those of one that lives are not.
func TestBury(t *testing.T) {
	c := fake()
	url := dbtest.PostgresURL(t)
	dead := newRig(t, openPostgres(t, url, c), Options{Name: "dead"})
	dead.stage(dead.make("dead.test", 3))
	c.Advance(time.Millisecond) // ids of one process at one time
	alive := newRig(t, openPostgres(t, url, c), Options{Name: "alive"})
	alive.stage(alive.make("alive.test", 1))
	c.Advance(time.Millisecond)
	heir := newRig(t, openPostgres(t, url, c), Options{Name: "heir"})
	beat := func() int {
		t.Helper()
		c.Advance(heartbeat)
		if err := alive.d.Write(t.Context(), func(tx *db.Tx) error { return announce(tx, alive.node, "alive") }); err != nil {
			t.Fatal(err)
		}
		if err := heir.beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := heir.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		return heir.Depth().Held
	}
	for range silentBeats {
		if n := beat(); n != 0 {
			t.Fatalf("%d deliveries taken over too early", n)
		}
	}
	c.Advance(-30 * time.Second) // a clock that is set does not change whose row is whose
	if n := beat(); n != 3 {
		t.Fatalf("%d deliveries taken over, want 3", n)
	}
	for range 3 * silentBeats {
		beat()
	}
	var list []*Delivery
	for got := heir.next("dead.test", 1); got != nil; got = heir.next("dead.test", 1) {
		list = append(list, got...)
	}
	if len(list) != 3 {
		t.Errorf("%d deliveries as never tried, want 3", len(list))
	}
	for _, d := range list {
		if d.Attempt != 2 || d.Tries != 0 {
			t.Errorf("claim %d, tries %d, want the second and none", d.Attempt, d.Tries)
		}
	}
	nodes := map[int64]int{}
	for _, n := range heir.rows() {
		nodes[n]++
	}
	if nodes[heir.node] != 3 || nodes[alive.node] != 1 || len(nodes) != 2 {
		t.Errorf("rows by node: %v", nodes)
	}
}

// TestRestart: a start takes over what its dead predecessor held.
func TestRestart(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		first := newRig(t, d, Options{Name: "here"})
		list := first.make("a.test", 5)
		first.stage(list)
		for id, node := range first.rows() {
			if node != first.node {
				t.Errorf("%d is held by %d", id, node)
			}
		}
		second := newRig(t, d, Options{Name: "here"})
		got := make(chan *Delivery, 10)
		second.run(second.all(func(d *Delivery) { got <- d }))
		for range list {
			if x := receive(t, got, "a delivery"); x.Attempt != 2 || x.Tries != 0 {
				t.Errorf("claim %d, tries %d, want the second and none", x.Attempt, x.Tries)
			}
		}
	})
}

// TestCrashes: claims by programs that died are not attempts; an outcome is one
// and takes their claims off.
func TestCrashes(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{Name: "here"})
		r.stage(r.make("a.test", 3))
		const crashes = 10
		for range crashes {
			c.Advance(time.Millisecond) // ids of one process at one time
			r = newRig(t, d, Options{Name: "here"})
			if c, err := r.claim(t.Context(), func(tx *db.Tx) ([]*Delivery, error) { return due(tx, 10) }); c != (claims{found: 3}) || err != nil {
				t.Fatalf("claimed %+v, error %v", c, err)
			}
		}
		list := r.next("a.test", 1)
		if x := list[0]; x.Tries != 0 || x.Attempt != 1+crashes {
			t.Fatalf("tries %d, claims %d", x.Tries, x.Attempt)
		}
		again := func(fail error) {
			t.Helper()
			if err := d.Write(t.Context(), func(tx *db.Tx) error {
				return errors.Join(r.Defer(tx, list[0], tx.Now), fail)
			}); !errors.Is(err, fail) {
				t.Fatal(err)
			}
		}
		again(errors.New("rolled back")) // and recorded again: one attempt all the same
		again(nil)
		for want := 1; want < 3; want++ {
			if c, err := r.claim(t.Context(), func(tx *db.Tx) ([]*Delivery, error) { return due(tx, 10) }); c != (claims{found: 1}) || err != nil {
				t.Fatalf("claimed %+v, error %v", c, err)
			}
			for list[0].Tries == want-1 { // the others wait to be tried for the first time
				list = r.next("a.test", 1)
			}
			if list[0].Tries != want || list[0].Attempt != 1 {
				t.Fatalf("after %d outcomes: %+v", want, list[0])
			}
			again(nil)
		}
	})
}

// TestStop: a stop gives back what was not begun as if nothing had been, and
// keeps what was begun without an outcome.
func TestStop(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{Policy: sessions(1)})
		begun := make(chan *Delivery)
		stop := r.run(func(ctx context.Context, l *Lane) {
			if got := l.Take(ctx, 1); got != nil {
				begun <- got[0]
				<-r.quit // ends without recording an outcome
			}
		})
		r.stage(r.make("a.test", 10))
		x := receive(t, begun, "a delivery")
		stop()
		r.stage(r.make("a.test", 1)) // accepted by a request that outlived the queue
		for id, node := range r.rows() {
			if node != 0 {
				t.Errorf("row %d is held by %d", id, node)
			}
		}
		var claims []int
		if err := d.Read(t.Context(), func(tx *db.Tx) error {
			list, err := due(tx, 100)
			for _, d := range list {
				if claims = append(claims, d.Attempt); (d.Attempt == 1) != (d.ID == x.ID) {
					t.Errorf("row %d has %d claims", d.ID, d.Attempt)
				}
			}
			return err
		}); err != nil && d.Dialect == db.SQLite { // the claim's lock clause is not for readers on PostgreSQL
			t.Fatal(err)
		}
		if d.Dialect == db.SQLite && len(claims) != 11 {
			t.Errorf("%d rows", len(claims))
		}
	})
}

// TestLostCommit: a commit that was taken for failed and had succeeded does
// not strand its rows.
func TestLostCommit(t *testing.T) {
	c := fake()
	d := coretest.SQLite(t, c)
	r := newRig(t, d, Options{})
	list := r.make("a.test", 2)
	if err := d.Write(t.Context(), func(tx *db.Tx) error { // as the table has it afterwards
		for _, x := range list {
			stage(tx, insDelivery, x, row{node: r.node, due: x.Due})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("connection lost")
	if err := d.Write(t.Context(), func(tx *db.Tx) error { r.Stage(tx, r.make("a.test", 1)); return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	got := make(chan *Delivery, 3)
	r.run(r.all(func(d *Delivery) { got <- d }))
	r.until("the heartbeat to find them", func() bool {
		c.Advance(heartbeat)
		return len(got) == 2
	})
}

func TestCancel(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{Policy: sessions(1)})
		list := append(r.make("a.test", 10), r.make("b.test", 5)...)
		for i, x := range list {
			x.DomainID = int64(1 + i%2)
		}
		list[3].Due += 1e9
		list[4].Due += 1e9
		r.stage(list)
		cancel := func(fail error) (n int64) {
			t.Helper()
			err := d.Write(t.Context(), func(tx *db.Tx) (err error) {
				if n, err = r.CancelDomain(tx, 2); err == nil {
					err = fail
				}
				return err
			})
			if !errors.Is(err, fail) {
				t.Fatal(err)
			}
			return n
		}
		cancel(errors.New("changed my mind"))
		if r.Depth().Held != 13 || len(r.rows()) != 15 {
			t.Fatalf("after a rollback: %+v, %d rows", r.Depth(), len(r.rows()))
		}
		if n := cancel(nil); n != 7 {
			t.Errorf("cancelled %d, want 7", n)
		}
		if r.Depth().Held != 7 || len(r.rows()) != 8 {
			t.Errorf("%+v, %d rows", r.Depth(), len(r.rows()))
		}
		got := make(chan *Delivery, 20)
		r.run(r.all(func(d *Delivery) { got <- d }))
		for range 7 {
			if x := receive(t, got, "a delivery"); x.DomainID != 1 {
				t.Errorf("a cancelled delivery was handed out: %+v", x)
			}
		}
		r.until("the window to be empty", func() bool { return r.Depth().Held == 0 })
	})
}
