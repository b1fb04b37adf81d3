package queue

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
)

func benchQueue(b *testing.B, o Options) *Queue {
	d := coretest.SQLite(b, clock.System{})
	q, err := New(b.Context(), d, ids.NewSource(d.Clock()), slog.New(slog.DiscardHandler), o)
	if err != nil {
		b.Fatal(err)
	}
	return q
}

// BenchmarkMemory: what the window costs per delivery, without the database.
func BenchmarkMemory(b *testing.B) {
	for _, lanes := range []int{1, 100} {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) {
			q := benchQueue(b, Options{})
			names := make([]string, lanes)
			for i := range names {
				names[i] = fmt.Sprintf("lane%d.test", i)
			}
			ctx := context.Background()
			q.ctx = ctx
			occupy(q, names)
			b.ReportAllocs()
			const block = 100
			list := make([]*Delivery, block)
			var id int64
			for b.Loop() {
				for i := range list {
					id++
					d := &Delivery{ID: id, MessageID: id, DomainID: 1, Destination: names[i%lanes]}
					list[i] = d
					one := []*Delivery{d}
					q.route(one)
					q.mu.Lock()
					v, _ := q.admit(d, false)
					q.mu.Unlock()
					if v != admitted {
						b.Fatal("no room")
					}
					q.push(one)
				}
				for i := range list {
					l := q.lanes[names[i%lanes]]
					got, _ := q.take(l, 100, false)
					for _, d := range got {
						q.release(d)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/block, "ns/delivery")
		})
	}
}

// BenchmarkStore: a delivery's whole way with the database, 64 in a
// transaction.
func BenchmarkStore(b *testing.B) {
	q := benchQueue(b, Options{})
	ctx := context.Background()
	q.ctx = ctx
	names := []string{"lane0.test", "lane1.test", "lane2.test", "lane3.test"}
	occupy(q, names)
	const block = 64
	var id int64
	b.ReportAllocs()
	for b.Loop() {
		list := make([]*Delivery, block)
		for i := range list {
			id++
			list[i] = &Delivery{ID: id, MessageID: id, DomainID: 1, Recipient: fmt.Sprintf("user%d@lane%d.test", id, i%4), Destination: fmt.Sprintf("lane%d.test", i%4), Deadline: 1 << 60}
		}
		if err := q.db.Group(ctx, func(tx *db.Tx) error { q.Stage(tx, list); return nil }); err != nil {
			b.Fatal(err)
		}
		if err := q.db.Group(ctx, func(tx *db.Tx) error {
			for i := range list {
				got, _ := q.take(q.lanes[names[i%4]], 100, false)
				if len(got) != 1 {
					b.Error(len(got))
				}
				for _, d := range got {
					q.Finish(tx, d)
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/block, "ns/delivery")
}

func occupy(q *Queue, names []string) {
	q.opt.Policy = sessions(1)
	for _, n := range names {
		q.lane(&Delivery{Lane: n}).sessions = 1
	}
}
