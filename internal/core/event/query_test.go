package event

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func each(t *testing.T, fn func(t *testing.T, s *Service, c *clock.Fake)) {
	c := clock.NewFake(noon)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, service(t, d, c), c) })
}

func service(t testing.TB, d *db.DB, c clock.Clock, sinks ...Sink) *Service {
	t.Helper()
	s, err := New(d, ids.NewSource(c), slog.New(slog.DiscardHandler), sinks...)
	must(t, err)
	return s
}

// put appends an event and gives its id.
func put(t testing.TB, s *Service, domain int64, typ Type, recipient string) int64 {
	t.Helper()
	e := &Event{DomainID: domain, MessageID: 77, Doc: Doc{Event: typ, Recipient: recipient,
		Message: &Message{Headers: Headers{MessageID: "m-" + recipient, Subject: "Hello " + recipient}, Attachments: []Attachment{}}}}
	must(t, s.Append(t.Context(), e))
	return e.ID
}

func idsOf(p *Page) []int64 {
	out := []int64{}
	for _, e := range p.Events {
		out = append(out, e.ID)
	}
	return out
}

func filter(t testing.TB, pairs ...string) Filter {
	t.Helper()
	var fields []FieldFilter
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, FieldFilter{pairs[i], pairs[i+1]})
	}
	f, err := NewFilter(fields)
	must(t, err)
	return f
}

// walk follows the pages of q to the end.
func walk(t testing.TB, s *Service, q Query) []int64 {
	t.Helper()
	var out []int64
	for range 1000 {
		p, err := s.Find(t.Context(), q)
		must(t, err)
		out = append(out, idsOf(p)...)
		if p.Done {
			return out
		}
		q.After = p.Cursor
	}
	t.Fatal("no end")
	return nil
}

func TestFindOrderAndPages(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		var all, two, three []int64
		for i := range 60 {
			d := int64(1 + i%3)
			id := put(t, s, d, Delivered, fmt.Sprintf("r%d@x.org", i))
			if d != 3 {
				two = append(two, id)
			}
			if d == 3 {
				three = append(three, id)
			}
			all = append(all, id)
			if i%7 == 0 {
				c.Advance(9 * time.Hour)
			}
		}
		down := func(v []int64) []int64 { v = slices.Clone(v); slices.Reverse(v); return v }
		for _, limit := range []int{1, 2, 7, 20, 100} {
			for _, q := range []struct {
				q    Query
				want []int64
			}{
				{Query{DomainIDs: []int64{1, 2, 3}, Ascending: true}, all},
				{Query{DomainIDs: []int64{3, 2, 1, 2}}, down(all)},
				{Query{DomainIDs: []int64{1, 2}}, down(two)},
				{Query{DomainIDs: []int64{3}, Ascending: true}, three},
				{Query{DomainIDs: []int64{1, 2, 3}, From: all[10], To: all[50]}, down(all[10:50])},
				{Query{DomainIDs: []int64{1, 2, 3}, From: all[10], To: all[50], Ascending: true}, all[10:50]},
				{Query{DomainIDs: []int64{1, 2, 3}, From: all[10], To: all[10]}, nil},
				{Query{DomainIDs: []int64{9}}, nil}, {Query{}, nil},
				{Query{DomainIDs: []int64{1, 2, 3}, Filter: filter(t, "recipient", "r12@x.org OR R40@X.org")}, []int64{all[40], all[12]}},
				{Query{DomainIDs: []int64{1, 2, 3}, Filter: filter(t, "subject", "r12 OR r40"), Ascending: true}, []int64{all[12], all[40]}},
				{Query{DomainIDs: []int64{1}, Filter: filter(t, "recipient", "r13@x.org")}, nil},
			} {
				q.q.Limit = limit
				if got := walk(t, s, q.q); !slices.Equal(got, q.want) {
					t.Errorf("limit %d, %+v:\n got %v\nwant %v", limit, q.q, got, q.want)
				}
				n, exact, err := s.Count(t.Context(), q.q)
				if err != nil || !exact || n != int64(len(q.want)) {
					t.Errorf("%+v: counted %d %v, %v", q.q, n, exact, err)
				}
			}
		}
	})
}

func TestFindFilters(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		a := put(t, s, 1, Accepted, "a@x.org")
		b := put(t, s, 1, Delivered, "a@x.org")
		f := &Event{DomainID: 1, Doc: Doc{Event: Failed, Severity: Temporary, Recipient: "b@x.org"}}
		must(t, s.Append(t.Context(), f))
		o := put(t, s, 1, Opened, "b@x.org")
		for _, q := range []struct {
			filter Filter
			want   []int64
		}{
			{filter(t, "event", "accepted OR opened"), []int64{a, o}},
			{filter(t, "event", "NOT delivered"), []int64{a, f.ID, o}},
			{filter(t, "event", "list_uploaded"), nil},
			{filter(t, "severity", "temporary"), []int64{f.ID}},
			{filter(t, "message-id", "m-a@x.org"), []int64{a, b}},
			{filter(t, "message-id", "m-a@x.org", "event", "delivered"), []int64{b}},
			{filter(t, "subject", "hello"), []int64{a, b, o}},
			{Filter{}, []int64{a, b, f.ID, o}},
		} {
			if got := walk(t, s, Query{DomainIDs: []int64{1}, Ascending: true, Filter: q.filter, Limit: 2}); !slices.Equal(got, q.want) {
				t.Errorf("%+v: %v, want %v", q.filter, got, q.want)
			}
		}
	})
}

// A window of the index search holds 500 rows of a domain when there are many.
func TestFindWindows(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		var rare []int64
		bulk(t, s, 1, 3000, func(i int) Type {
			if i%700 == 699 {
				return Complained
			}
			return Delivered
		}, func(e *Event) {
			if e.Doc.Event == Complained {
				rare = append(rare, e.ID)
			}
		})
		domains := []int64{1}
		for i := range 60 {
			domains = append(domains, int64(100+i))
		}
		q := Query{DomainIDs: domains, Filter: filter(t, "event", "complained"), Limit: 3, Ascending: true}
		if got := walk(t, s, q); !slices.Equal(got, rare) {
			t.Errorf("%v, want %v", got, rare)
		}
		q.Ascending = false
		slices.Reverse(rare)
		if got := walk(t, s, q); !slices.Equal(got, rare) {
			t.Errorf("%v, want %v", got, rare)
		}
	})
}

// A query that has cost enough gives what it has and goes on where it stopped.
func TestFindCost(t *testing.T) {
	d := coretest.SQLite(t, clock.NewFake(noon))
	s := service(t, d, clock.NewFake(noon))
	for i := range 20 {
		put(t, s, 1, Delivered, fmt.Sprintf("r%d@x.org", i))
	}
	q := Query{DomainIDs: []int64{1}, Filter: filter(t, "subject", "r3 OR r12"), Ascending: true, Limit: 10}
	f := newFinder(s, q, 10)
	f.docs = maxDocs - 5
	must(t, f.run(t.Context()))
	if len(f.out) != 1 || f.done || f.cursor() < f.out[0].id {
		t.Fatalf("%d rows, done %v", len(f.out), f.done)
	}
	q.After = f.cursor()
	if rest := walk(t, s, q); len(rest) != 1 || rest[0] <= f.out[0].id {
		t.Errorf("%v", rest)
	}
	g := newFinder(s, q, 10)
	g.docs = emptyFactor*maxDocs + 1
	must(t, g.run(t.Context()))
	if g.done || len(g.out) != 0 {
		t.Errorf("a spent query went on: %d", len(g.out))
	}
}

// bulk appends many events in large transactions.
func bulk(t testing.TB, s *Service, domain int64, n int, typ func(int) Type, got func(*Event)) {
	t.Helper()
	for i := 0; i < n; {
		must(t, s.db.Write(context.Background(), func(tx *db.Tx) error {
			for range min(1000, n-i) {
				e := &Event{DomainID: domain, MessageID: int64(i), Doc: Doc{Event: typ(i), Recipient: fmt.Sprintf("user%d@example.org", i),
					Message: &Message{Headers: Headers{MessageID: fmt.Sprintf("%d@shop.example", i), From: "shop@shop.example", To: "x@y.z", Subject: "An offer"}, Attachments: []Attachment{}, Size: int64(i)}}}
				if err := s.Seal(e); err != nil {
					return err
				}
				if err := s.Stage(tx, e); err != nil {
					return err
				}
				if got != nil {
					got(e)
				}
				i++
			}
			return nil
		}))
	}
}

func TestPartitions(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		base := c.Now() // the engines share the clock
		first := put(t, s, 1, Accepted, "a@x.org")
		c.Advance(24 * time.Hour)
		second := put(t, s, 1, Delivered, "a@x.org")
		c.Advance(24 * time.Hour)
		third := put(t, s, 1, Opened, "a@x.org")
		list, err := s.OfMessage(t.Context(), 77, 10_000)
		must(t, err)
		if len(list) != 3 || list[0].ID != first || list[2].Doc.Event != Opened {
			t.Fatalf("%+v", list)
		}
		if DayOf(first) != DayOf(ids.Floor(base)) || DayOf(third) <= DayOf(second) || DayOf(first).Start() > first || DayOf(first).end() != DayOf(second).Start() {
			t.Errorf("days %d %d", DayOf(first), DayOf(third))
		}
		n, err := s.DropBefore(t.Context(), base.Add(24*time.Hour))
		if err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if got := walk(t, s, Query{DomainIDs: []int64{1}, Ascending: true}); !slices.Equal(got, []int64{second, third}) {
			t.Errorf("%v", got)
		}
		if n, err := s.DropBefore(t.Context(), base.Add(24*time.Hour)); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// A table that is gone while a query is on its way is passed over; one that is
// listed and missing is an error.
func TestFindDroppedPartition(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		first := put(t, s, 1, Accepted, "a@x.org")
		c.Advance(24 * time.Hour)
		kept := put(t, s, 1, Delivered, "a@x.org")
		f := newFinder(s, Query{DomainIDs: []int64{1}, Ascending: true}, 10)
		runs := 0
		must(t, f.again(t.Context(), func(tx *db.Tx) error {
			if runs++; runs == 1 {
				f.day = 20200101
				return f.each(tx, "id", "", "", 0, 1, nil)
			}
			return f.walk(tx)
		}))
		if runs != 2 || len(f.out) != 1+1 || f.out[1].id != kept {
			t.Errorf("%d runs, %d rows", runs, len(f.out))
		}
		must(t, s.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec("DROP TABLE " + DayOf(first).table())
			return err
		}))
		if _, err := s.Find(t.Context(), Query{DomainIDs: []int64{1}}); err == nil {
			t.Error("a missing table was not noticed")
		}
	})
}

// Partitions may be made by several sessions at once.
func TestPartitionRace(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for range cap(errs) {
			wg.Go(func() {
				e := &Event{DomainID: 1, Doc: Doc{Event: Accepted}}
				if err := s.Seal(e); err != nil {
					errs <- err
					return
				}
				errs <- s.db.Write(context.Background(), func(tx *db.Tx) error { return s.Stage(tx, e) })
			})
		}
		wg.Wait()
		for range cap(errs) {
			must(t, <-errs)
		}
		if got := walk(t, s, Query{DomainIDs: []int64{1}}); len(got) != cap(errs) {
			t.Errorf("%d events", len(got))
		}
	})
}

type sink struct {
	err  error
	seen []string
}

func (k *sink) Event(_ *db.Tx, e *Event) error {
	k.seen = append(k.seen, e.Doc.ID)
	return k.err
}

func TestAppend(t *testing.T) {
	c := clock.NewFake(noon)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		k := &sink{}
		s := service(t, d, c, k)
		live, stop := s.Subscribe()
		e := &Event{DomainID: 1, MessageID: 5, Detail: "220 hello", Doc: Doc{Event: Failed, Severity: Temporary, Recipient: "a@X.org"}}
		must(t, s.Append(t.Context(), e))
		if got := <-live; got != e {
			t.Errorf("subscriber got %+v", got)
		}
		stop()
		stop()
		if _, open := <-live; open {
			t.Error("channel is still open")
		}
		list, err := s.OfMessage(t.Context(), 5, 10_000)
		must(t, err)
		got := list[0]
		if got.Detail != "220 hello" || got.Doc.LogLevel != "warn" || got.Doc.RecipientDom != "X.org" || len(got.Doc.ID) != 22 ||
			string(got.Doc.UserVariables) != "{}" || got.Doc.Timestamp.Time() != noon || got.Doc.Tags == nil || k.seen[0] != got.Doc.ID {
			t.Errorf("%+v", got)
		}
		k.err = fmt.Errorf("refused")
		if err := s.Append(t.Context(), &Event{DomainID: 1, MessageID: 5, Doc: Doc{Event: Failed}}); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%v", err)
		}
		if list, err := s.OfMessage(t.Context(), 5, 10_000); err != nil || len(list) != 1 {
			t.Errorf("%d events, %v", len(list), err)
		}
	})
}

func TestSubscriberThatSleeps(t *testing.T) {
	c := clock.NewFake(noon)
	s := service(t, coretest.SQLite(t, c), c)
	live, stop := s.Subscribe()
	defer stop()
	for range cap(live) + 10 {
		s.subs.publish(&Event{})
	}
	if len(live) != cap(live) {
		t.Errorf("%d of %d", len(live), cap(live))
	}
}

func TestDoc(t *testing.T) {
	for _, c := range []struct {
		d           Doc
		hook, level string
	}{
		{Doc{Event: Failed, Severity: Temporary}, "temporary_fail", "warn"}, {Doc{Event: Failed, Severity: Permanent}, "permanent_fail", "error"},
		{Doc{Event: Delivered}, "delivered", "info"}, {Doc{Event: Rejected}, "", "warn"}, {Doc{Event: Stored}, "", "info"}, {Doc{Event: Complained}, "complained", "warn"},
	} {
		if c.d.WebhookName() != c.hook || c.d.logLevel() != c.level {
			t.Errorf("%+v: %q %q", c.d, c.d.WebhookName(), c.d.logLevel())
		}
	}
	for _, us := range []int64{0, 1, 1529704976104692, 999999, 1500000000000001, 4102444800999999} {
		b, err := Timestamp(us).MarshalJSON()
		must(t, err)
		var back Timestamp
		must(t, back.UnmarshalJSON(b))
		if int64(back) != us {
			t.Errorf("%d is %s is %d", us, b, back)
		}
	}
	seen := map[string]bool{}
	for i := range int64(1000) {
		seen[publicID(i)] = true
	}
	if len(seen) != 1000 {
		t.Error("public ids collide")
	}
}

func TestCodec(t *testing.T) {
	c, err := newCodec()
	must(t, err)
	for _, s := range []string{"", "x", strings.Repeat("{\"event\":\"delivered\"}", 5000), "\x00\xff"} {
		b, err := c.unpack(c.pack([]byte(s)))
		if err != nil || string(b) != s {
			t.Errorf("%.20q: %.20q, %v", s, b, err)
		}
	}
	if _, err := c.unpack([]byte("no frame")); err == nil {
		t.Error("damage was not noticed")
	}
}

func BenchmarkFind(b *testing.B) {
	c := clock.NewFake(noon)
	s := service(b, coretest.SQLite(b, c), c)
	bulk(b, s, 1, 100_000, func(i int) Type {
		if i%20_000 == 10 {
			return Complained
		}
		return Delivered
	}, nil)
	for _, bench := range []struct {
		name string
		q    Query
		want int
	}{
		{"newest300", Query{Limit: 300}, 300},
		{"rareType", Query{Limit: 300, Filter: filter(b, "event", "complained")}, 5},
		{"recipient", Query{Limit: 300, Filter: filter(b, "recipient", "user777@example.org")}, 1},
		{"subjectRare20k", Query{Limit: 300, From: 1, Filter: filter(b, "size", "99000")}, 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			bench.q.DomainIDs = []int64{1}
			for b.Loop() {
				f, err := s.find(b.Context(), bench.q, bench.q.Limit)
				if err != nil || len(f.out) != bench.want {
					b.Fatal(len(f.out), err)
				}
			}
		})
	}
}
