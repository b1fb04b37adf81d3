package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
)

// TestAdmin: what can be seen and ordered from outside.
func TestAdmin(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		start := c.Now().UnixMicro()
		o, b := newBook(Options{Window: 10000, Policy: sessions(1)})
		r := newRig(t, d, o)
		b.r = r
		old := from("acme", r.make("old.test", 30))
		for _, x := range old {
			x.Tag, x.Due = "news", x.Due+1e12
		}
		r.store(old)
		c.Advance(30 * time.Minute)
		fresh := from("acme", r.make("a.test", 40))
		other := from("other", r.make("b.test", 5))
		for _, x := range other {
			x.DomainID = 9
		}
		r.stage(append(fresh, other...))

		top, err := r.Top(t.Context(), "destination", 2)
		if err != nil || len(top) != 2 || top[0].Key != "a.test" || top[0].Count != 40 || top[0].Ages[0] != 40 || top[1].Key != "old.test" || top[1].Ages[3] != 30 {
			t.Fatalf("top %+v, %v", top, err)
		}
		if at := top[1].Oldest; at < start || at > start+1e6 {
			t.Errorf("oldest %d", top[1].Oldest)
		}
		for by, want := range map[string]string{"account": "acme", "domain": "1", "tag": ""} {
			if top, err := r.Top(t.Context(), by, 1); err != nil || len(top) != 1 || top[0].Key != want {
				t.Errorf("top by %s: %+v, %v", by, top, err)
			}
		}
		if _, err := r.Top(t.Context(), "recipient", 1); !errs.Is(err, errs.Invalid) {
			t.Errorf("error %v", err)
		}

		lanes, err := r.Lanes(t.Context())
		if err != nil || len(lanes) != 3 {
			t.Fatalf("lanes %+v, %v", lanes, err)
		}
		if l := lanes[0]; l.Lane != "a.test" || l.First != 40 || l.Held != 40 || !slices.Equal(l.Destinations, []string{"a.test"}) || l.Since < start+30*60e6 {
			t.Errorf("%+v", l)
		}
		if l := lanes[2]; l.Destination != "old.test" || l.Deferred != 30 || l.Due != 0 || l.NextDue != old[0].Due || l.Since < start || l.Since > start+1e6 {
			t.Errorf("%+v", l)
		}

		count := func(s Selector, want int) {
			t.Helper()
			got, after := 0, int64(0)
			for {
				list, err := r.List(t.Context(), s, after, 7)
				if err != nil {
					t.Fatal(err)
				}
				got += len(list)
				if len(list) < 7 {
					break
				}
				after = list[6].ID
			}
			if got != want {
				t.Errorf("%+v lists %d, want %d", s, got, want)
			}
		}
		count(Selector{}, 75)
		count(Selector{AccountID: "acme"}, 70)
		count(Selector{AccountID: "acme", Lane: "a.test"}, 40)
		count(Selector{Lane: "old.test"}, 30)
		count(Selector{Tag: "news"}, 30)
		count(Selector{DomainID: 9}, 5)
		count(Selector{DeliveryID: old[3].ID}, 1)
		count(Selector{MessageID: old[3].MessageID, Recipient: old[3].Recipient}, 1)
		count(Selector{Recipient: "nobody@a.test"}, 0)

		if _, err := r.Retry(t.Context(), Selector{}); !errs.Is(err, errs.Invalid) {
			t.Errorf("error %v", err)
		}
		if _, err := r.Order(t.Context(), Selector{}, Order{Kind: Drop}); !errs.Is(err, errs.Invalid) {
			t.Errorf("error %v", err)
		}
		if n, err := r.Order(t.Context(), Selector{Lane: "a.test", Recipient: fresh[7].Recipient}, Order{Kind: Bounce, Reason: "no"}); n != 1 || err != nil {
			t.Errorf("%d ordered, %v", n, err)
		}
		if o := b.seen[fresh[7].ID]; o.Kind != Bounce || o.Reason != "no" {
			t.Errorf("%+v", o)
		}
		if n, err := r.Retry(t.Context(), Selector{Destination: "old.test", Recipient: old[0].Recipient}); n != 1 || err != nil {
			t.Errorf("%d retried, %v", n, err)
		}
		if _, err := r.load(t.Context()); err != nil || !r.holds(old[0].ID) || r.holds(old[1].ID) {
			t.Errorf("what was retried is not in the window: %v", err)
		}
		b.fail = errors.New("no")
		if _, err := r.Order(t.Context(), Selector{AccountID: "acme"}, Order{Kind: Drop}); err == nil {
			t.Error("no error")
		}
		b.fail = nil
		if n, err := r.Order(t.Context(), Selector{AccountID: "acme"}, Order{Kind: Drop}); n != 69 || err != nil {
			t.Errorf("%d ordered, %v", n, err)
		}
		count(Selector{}, 5)
		if n := r.Depth().Held; n != 5 {
			t.Errorf("%d held", n)
		}
		done := make(chan *Delivery, 10)
		r.run(r.all(func(d *Delivery) { done <- d }))
		for range 5 {
			if d := receive(t, done, "what is left"); d.AccountID != "other" {
				t.Errorf("%+v", d)
			}
		}
	})
}

// TestOrderBegun: what a session has begun is not ordered.
func TestOrderBegun(t *testing.T) {
	o, b := newBook(Options{Policy: sessions(1)})
	r := newRig(t, coretest.SQLite(t, fake()), o)
	b.r = r
	begun, goOn := make(chan *Delivery), make(chan struct{})
	r.run(func(ctx context.Context, l *Lane) {
		for got := l.Take(ctx, 1); got != nil; got = l.Take(ctx, 1) {
			begun <- got[0]
			<-goOn
			r.finish(got)
		}
	})
	r.stage(r.make("a.test", 10))
	x := receive(t, begun, "a session")
	if n, err := r.Order(t.Context(), Selector{Lane: "a.test"}, Order{Kind: Bounce}); n != 9 || err != nil {
		t.Errorf("%d ordered, %v", n, err)
	}
	if _, settled := b.seen[x.ID]; settled {
		t.Error("what was begun was settled")
	}
	close(goOn)
	r.until("an empty table", func() bool { return len(r.rows()) == 0 })
}

// TestCounts: a large queue is counted rarely, a small one afresh.
func TestCounts(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{})
		list := r.make("a.test", 5)
		list[0].Due += 60e6
		r.store(list[:3])
		r.stage(list[3:])
		want := Counts{Waiting: 1, Due: 2, Held: 2, Oldest: list[1].Due}
		if got, err := r.Counts(t.Context()); got != want || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		r.finish(list[3:])
		want.Held = 0
		if got, err := r.Counts(t.Context()); got != want || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		r.sizes.until = c.Now().Add(time.Second) // as if it had taken 20 ms
		r.finish(list[2:3])
		if got, _ := r.Counts(t.Context()); got != want {
			t.Errorf("counted again: %+v", got)
		}
		c.Advance(time.Second)
		want.Due--
		if got, _ := r.Counts(t.Context()); got != want {
			t.Errorf("not counted again: %+v", got)
		}
	})
}
