package workspace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// fill puts n messages into a workspace, a minute between two. One in a hundred is
// inbound; statuses are those of a living installation, most of them delivered.
func fill(b testing.TB, w *world, workspace string, n int) {
	const batch = 4096
	r := rand.New(rand.NewPCG(1, 2))
	for done := 0; done < n; {
		err := w.db.Write(b.Context(), func(tx *db.Tx) error {
			p, err := lock(tx, workspace, w.IDs.Next())
			if err != nil {
				return err
			}
			for i := 0; i < batch && done < n; i++ {
				m := sample(w, r, done)
				tx.Now = begin.Add(time.Duration(done) * time.Minute).UnixMicro()
				if err := w.store(tx, p, m); err != nil {
					return err
				}
				p.seq, p.at = m.seq, m.created
				done++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func sample(w *world, r *rand.Rand, i int) *email {
	m := w.newEmail(outbound)
	m.from, m.to = fmt.Sprintf("Team %d <team%d@m.example.com>", i%20, i%20), fmt.Sprintf("person%d@mail%d.example.org", i*7919%1_000_003, i%50)
	m.subject, m.messageID, m.plain = "Your order", "<"+m.uuid+"@m.example.com>", "text"
	m.sessionID = fmt.Sprintf("wses_%d", i/5)
	m.status = delivered
	switch n := r.IntN(1000); {
	case n < 300:
		m.status = opened
	case n < 350:
		m.status = clicked
	case n < 370:
		m.status = bounced
	case n < 372:
		m.status = failed
	case n < 373:
		m.status = sent
	}
	if i%100 == 0 {
		m.direction, m.from, m.to = inbound, m.to, m.from
	}
	return m
}

// BenchmarkWarm is what a start reads of 1,000,000 messages.
func BenchmarkWarm(b *testing.B) {
	c := clock.NewFake(begin)
	w := newWorld(b, c, coretest.SQLite(b, c))
	fill(b, w, "big", size())
	for b.Loop() {
		w.columns = columns{}
		if err := w.warm(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.columns.bytes)/(1<<20), "MB")
}

// BenchmarkList is every kind of list query on 1,000,000 messages of a workspace,
// with its total; p50-ms and p99-ms are of one query. What one of them reads into
// memory the next finds there, but where its name says otherwise.
func BenchmarkList(b *testing.B) {
	c := clock.NewFake(begin)
	w := newWorld(b, c, coretest.SQLite(b, c))
	n := size()
	fill(b, w, "big", n)
	ptr := func(s status) *status { return &s }
	in := inbound
	day := func(d int) int64 { return begin.AddDate(0, 0, d).UnixMicro() }
	var query int
	for _, q := range []struct {
		name string
		f    func() filter
	}{
		{"first page", func() filter { return filter{} }},
		{"deep offset", func() filter { return filter{offset: query * 7919 % n} }},
		{"status delivered", func() filter { return filter{status: ptr(delivered)} }},
		{"status delivered, deep", func() filter { return filter{status: ptr(delivered), offset: query * 7919 % 600_000} }},
		{"status failed", func() filter { return filter{status: ptr(failed)} }},
		{"direction inbound", func() filter { return filter{direction: &in} }},
		{"dates of a month", func() filter { return filter{start: day(query % 600), end: day(query%600 + 30)} }},
		{"dates of a year and status", func() filter { return filter{start: day(query % 300), end: day(query%300 + 365), status: ptr(opened)} }},
		{"from, all", func() filter { return filter{from: "m.example.com"} }},
		{"from, one sender", func() filter { return filter{from: fmt.Sprintf("TEAM%d@", query%20)} }},
		{"to, nothing in memory", func() filter {
			w.columns = columns{}
			return filter{to: fmt.Sprintf("person%d@", query)}
		}},
		{"to, one person", func() filter { return filter{to: fmt.Sprintf("person%d@", query*104729%n)} }},
		{"to, none", func() filter { return filter{to: "nobody"} }},
		{"to, all", func() filter { return filter{to: "example.org"} }},
		{"to, all, deep", func() filter { return filter{to: "person", offset: query * 7919 % n} }},
		{"to and status", func() filter { return filter{to: "mail7.", status: ptr(opened)} }},
		{"from, to and status", func() filter { return filter{from: "team", to: "mail7.", status: ptr(opened)} }},
		{"session", func() filter { return filter{sessionID: fmt.Sprintf("wses_%d", query*7919%(n/5))} }},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				query++
				f := q.f()
				f.limit = 50
				began := time.Now()
				list, _, err := w.list(b.Context(), "big", &f)
				took = append(took, time.Since(began))
				if err != nil || len(list) > 50 {
					b.Fatal(err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// size is how many messages a benchmark is about: fewer in a short one.
func size() int {
	if testing.Short() {
		return 20_000
	}
	return 1_000_000
}
