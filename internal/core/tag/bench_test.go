package tag

import (
	"fmt"
	"log/slog"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

// What a tagged event costs where it happens: a row staged, in transactions of a
// hundred as they are under load.
func BenchmarkSink(b *testing.B) {
	d := coretest.SQLite(b, clock.System{})
	source := ids.NewSource(clock.System{})
	s := New(d, source, slog.New(slog.DiscardHandler), Options{})
	for _, tags := range [][]string{nil, {"newsletter"}, {"newsletter", "2026-03", "premium"}} {
		b.Run(fmt.Sprintf("%d tags", len(tags)), func(b *testing.B) {
			b.ReportAllocs()
			e := is(event.Accepted, tags...)
			e.Doc.RecipientDom = "gmail.com"
			for i := 0; i < b.N; {
				if err := d.Group(b.Context(), func(tx *db.Tx) error {
					for range 100 {
						i++
						e.ID = source.Next()
						if err := s.Event(tx, e); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// How fast events are counted: few tags, a few each in many campaigns, and a new
// tag with every message.
func BenchmarkCount(b *testing.B) {
	for _, n := range []int{3, 1000, 1_000_000} {
		b.Run(fmt.Sprintf("of %d tags", n), func(b *testing.B) {
			c := clock.NewFake(start)
			d := coretest.SQLite(b, c)
			w := newWorld(b, c, d, Options{PerDomain: 10_000_000, PerAccount: 10_000_000})
			for i := 0; i < b.N; {
				b.StopTimer()
				w.must(d.Write(b.Context(), func(tx *db.Tx) error {
					for range 10_000 {
						i++
						e := is([]event.Type{event.Accepted, event.Delivered}[i%2], "newsletter", fmt.Sprint("campaign ", i/2%n))
						e.ID = w.ids.Next()
						e.Doc.RecipientDom = []string{"gmail.com", "yahoo.com", "example.net"}[i%3]
						e.Doc.Timestamp = event.Timestamp(start.UnixMicro())
						if err := w.Event(tx, e); err != nil {
							return err
						}
					}
					return nil
				}))
				b.StartTimer()
				w.must(w.count(b.Context()))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
