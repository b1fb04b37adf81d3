package queue

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// patience is how long a test waits for something before it fails.
const patience = time.Minute

// rig is a queue on a store, and what makes deliveries for it.
type rig struct {
	*Queue
	t   *testing.T
	d   *db.DB
	ids *ids.Source
}

func newRig(t *testing.T, d *db.DB, o Options) *rig {
	t.Helper()
	source := ids.NewSource(d.Clock())
	q, err := New(t.Context(), d, source, slog.New(slog.DiscardHandler), o)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{q, t, d, source}
}

// run works the queue until the function it returns is called or the test ends.
func (r *rig) run(work Session) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sessions, cut := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, sessions, work) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					r.t.Error(err)
				}
			case <-time.After(patience):
				r.t.Error("the queue does not stop")
			}
			cut()
		})
	}
	r.t.Cleanup(stop)
	r.t.Cleanup(cut) // runs first: a test that failed leaves no session behind
	return stop
}

// make returns n deliveries of one message each to the lane, due now.
func (r *rig) make(lane string, n int) (out []*Delivery) {
	now := r.d.Clock().Now().UnixMicro()
	for range n {
		id := r.ids.Next()
		out = append(out, &Delivery{ID: id, MessageID: id, DomainID: 1, Recipient: fmt.Sprint(id, "@", lane), Destination: lane, Due: now, Deadline: now + 1e12})
	}
	return out
}

// stage accepts deliveries as a message does.
func (r *rig) stage(list []*Delivery) {
	r.t.Helper()
	if err := r.d.Group(context.Background(), func(tx *db.Tx) error { r.Stage(tx, list); return nil }); err != nil {
		r.t.Fatal(err)
	}
}

// store writes deliveries to the table only, as if they had waited there.
func (r *rig) store(list []*Delivery) {
	r.t.Helper()
	if err := r.d.Write(context.Background(), func(tx *db.Tx) error {
		for _, d := range list {
			stage(tx, insDelivery, d, row{due: d.Due, wasDue: d.wasDue, tries: d.Tries, attempt: d.Attempt})
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
}

// finish ends deliveries.
func (r *rig) finish(list []*Delivery) {
	if err := r.d.Group(context.Background(), func(tx *db.Tx) error {
		for _, d := range list {
			r.Finish(tx, d)
		}
		return nil
	}); err != nil {
		r.t.Error(err)
	}
}

// rows returns the ids in the table with the node that holds each.
func (r *rig) rows() map[int64]int64 {
	r.t.Helper()
	out := map[int64]int64{}
	if err := r.d.Read(context.Background(), func(tx *db.Tx) error {
		return tx.Each(func(rows *sql.Rows) error {
			var id, node int64
			err := rows.Scan(&id, &node)
			out[id] = node
			return err
		}, "SELECT id, node FROM delivery")
	}); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// until waits for a condition that changes without a sign.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-look.C:
		case <-late:
			r.t.Fatalf("waited in vain for %s; window %+v, %d rows", what, r.Depth(), len(r.rows()))
		}
	}
}

// receive takes from a channel or fails.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// all takes and ends everything, telling each delivery to seen.
func (r *rig) all(seen func(*Delivery)) Session {
	return func(ctx context.Context, l *Lane) {
		for {
			list := l.Take(ctx, 100)
			if list == nil {
				return
			}
			for _, d := range list {
				seen(d)
			}
			r.finish(list)
		}
	}
}

func fake() *clock.Fake { return clock.NewFake(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)) }

// sessions is a policy without limits but that of sessions per lane.
type sessions int

func (n sessions) Sessions(string) int                        { return int(n) }
func (sessions) Take(string, int) time.Duration               { return 0 }
func (sessions) TakeFlow(string, int64, string) time.Duration { return 0 }

// reserve takes room for one delivery as Stage does.
func (r *rig) reserve(d *Delivery) bool {
	r.route([]*Delivery{d})
	r.mu.Lock()
	defer r.mu.Unlock()
	verdict, _ := r.admit(d, false)
	return verdict == admitted
}

// offer makes deliveries ready in memory, without the table.
func (r *rig) offer(list []*Delivery) {
	r.t.Helper()
	grouped(list)
	for _, d := range list {
		if !r.reserve(d) {
			r.t.Fatal("no room")
		}
	}
	r.push(list)
}

// next takes what a session of the lane would get.
func (r *rig) next(lane string, limit int) []*Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[lane]
	if l == nil {
		return nil
	}
	return r.pop(l, limit, r.clock.Now())
}

// atHand returns how often each delivery is ready or waits for its lane.
func (r *rig) atHand() map[int64]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[int64]int{}
	for _, f := range r.flows {
		for _, d := range f.list[f.head:] {
			seen[d.ID]++
		}
	}
	for _, l := range r.lanes {
		for _, d := range l.pending {
			seen[d.ID]++
		}
	}
	return seen
}
