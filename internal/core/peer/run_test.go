package peer_test

import (
	"context"
	"testing"
	"time"

	"postroad/internal/core/peer"
)

// run starts Run and returns what ends it.
func run(t *testing.T, w *world) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestRun: checks are made and results written while it runs, and the last results
// when it ends.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		stop := run(t, w)
		w.publish("x.example", "1", text("enforce", week, "old.x.example"))
		w.policy("x.example")
		w.publish("x.example", "2", text("enforce", week, "new.x.example"))
		w.clock.Advance(16 * time.Minute)
		until(t, "the check", func() bool { return w.policy("x.example").ID == "2" })
		today := w.clock.Now()
		w.Record(peer.Result{PolicyDomain: "x.example", Success: true})
		other := peer.New(w.db, nil, w.dns, w.o) // reads what is written
		until(t, "the first write", func() bool {
			w.clock.Advance(time.Second)
			list, err := other.Results(w.ctx(), today)
			if err != nil {
				t.Fatal(err)
			}
			return len(list) == 1 && list[0].Sessions == 1
		})
		w.Record(peer.Result{PolicyDomain: "x.example", Success: true})
		stop()
		var n int64
		for _, day := range []time.Time{today, w.clock.Now()} {
			if day == today || day.UTC().YearDay() != today.UTC().YearDay() {
				list, err := other.Results(w.ctx(), day)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range list {
					n += l.Sessions
				}
			}
		}
		if n != 2 {
			t.Errorf("%d sessions were written", n)
		}
	})
}
