package webhook

import (
	"fmt"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
)

// A million calls wait for a receiver that is gone: what a start costs, and a
// claim for somebody else.
func BenchmarkBacklog(b *testing.B) {
	const rows = 1_000_000
	d := coretest.SQLite(b, clock.System{})
	source := ids.NewSource(clock.System{})
	stage := func(lane string, n int) {
		must(b, d.Write(b.Context(), func(tx *db.Tx) error {
			for range n {
				tx.Stage(insertCall, source.Next(), "a", int64(1), "delivered", int64(1), int64(1), "http://x/", lane, fmt.Sprintf("%0900d", 1),
					string(Waiting), int64(0), int64(0), tx.Now, int64(0), tx.Now)
			}
			return nil
		}))
	}
	for range rows / 10000 {
		stage("https://gone.example:443", 10000)
	}
	stage("https://well.example:443", 100000)
	began := time.Now()
	must(b, d.Read(b.Context(), func(tx *db.Tx) error {
		m, err := lanesDue(tx)
		if len(m) != 2 {
			b.Fatalf("%d lanes", len(m))
		}
		return err
	}))
	start := time.Since(began)
	for b.Loop() {
		must(b, d.Group(b.Context(), func(tx *db.Tx) error {
			list, _, err := claimLane(tx, "https://well.example:443", 8, 1, lease)
			if len(list) != 8 {
				b.Fatalf("%d claimed", len(list))
			}
			return err
		}))
	}
	b.ReportMetric(float64(start.Microseconds()), "us/start")
}
