package shape

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/core/coretest"
	"postroad/internal/mail/classify"
)

// armed is a fake clock that tells when somebody waits on it.
type armed struct {
	*clock.Fake
	waits chan time.Duration
}

func (a *armed) After(d time.Duration) (<-chan time.Time, func()) {
	c, stop := a.Fake.After(d)
	a.waits <- d
	return c, stop
}

// The loop announces on its own goroutine, wakes when something is due, writes
// a last time and ends with its context.
func TestRun(t *testing.T) {
	c := &armed{clock.NewFake(start), make(chan time.Duration, 100)}
	s := open(t, coretest.SQLite(t, c), c)
	changed := make(chan string, 100)
	s.OnChange(func(lane string) {
		s.Sessions(lane) // must not be called with a mutex held
		changed <- lane
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	wait := func(want time.Duration) {
		t.Helper()
		for d := range c.waits {
			if d == want {
				return
			}
		}
	}
	if got := <-changed; got != "" {
		t.Errorf("told of %q at first", got)
	}
	wait(forgetEvery)
	report(s, plain, 4, ok)
	if got := <-changed; got != plain {
		t.Errorf("told of %q", got)
	}
	report(s, plain, 6, nobody)
	wait(time.Minute)
	c.Advance(time.Minute)
	if got := <-changed; got != plain {
		t.Errorf("told of %q", got)
	}
	s.Report(plain, "", refusedAt)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s2 := open(t, s.DB, c.Fake); s2.Sessions(plain) != 0 {
		t.Error("the suspension was not written at the end")
	}
}

func TestIdleLanesAreForgotten(t *testing.T) {
	s, c := one(t)
	s.pass(context.Background())
	s.Sessions("a.example")
	s.Report("b.example", "", refusedAt)
	s.Report("c.example", "", tooFast)
	minutes(s, c, 50)
	s.Sessions("d.example")
	minutes(s, c, 20)
	for name, want := range map[string]bool{"a.example": false, "b.example": true, "c.example": false, "d.example": true} {
		if (s.known(name) != nil) != want {
			t.Errorf("%s is known: %t", name, !want)
		}
	}
	minutes(s, c, 8*60)
	if len(s.lanes) != 0 || len(s.work.active) != 0 {
		t.Errorf("%d lanes, %d active", len(s.lanes), len(s.work.active))
	}
}

func TestLanesAreBounded(t *testing.T) {
	s, c := one(t)
	s.cap = 200
	for i := range 50 {
		s.Report(fmt.Sprintf("blocked%d.example", i), "", refusedAt)
	}
	for i := range 2000 {
		c.Advance(time.Second)
		s.Sessions(fmt.Sprintf("x%d.example", i))
		if len(s.lanes) > 200 {
			t.Fatalf("%d lanes", len(s.lanes))
		}
	}
	for i := range 50 {
		wantSessions(t, s, fmt.Sprintf("blocked%d.example", i), 0)
	}
	if s.known("x1999.example") == nil || s.known("x1990.example") == nil || s.known("x0.example") != nil {
		t.Error("not the oldest were dropped")
	}
	for i := range 500 { // more suspended ones than there is room for
		s.Report(fmt.Sprintf("more%d.example", i), "", refusedAt)
	}
	if len(s.lanes) > 200 || len(s.work.active) > 200 {
		t.Errorf("%d lanes, %d active", len(s.lanes), len(s.work.active))
	}
}

func TestManyChangesAreOne(t *testing.T) {
	s, c := one(t)
	s.pass(context.Background())
	told := 0
	s.OnChange(func(lane string) { told++ })
	for i := range maxPending + 500 {
		report(s, fmt.Sprintf("x%d.example", i), 4, ok)
	}
	s.pass(context.Background())
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	s.pass(context.Background())
	minutes(s, c, 1)
	if told != 1 {
		t.Errorf("told %d times without a change", told)
	}
}

func TestExplain(t *testing.T) {
	s, c := one(t)
	has := func(lane string, want ...string) {
		t.Helper()
		list := s.Explain(lane)
		if len(list) != len(want) {
			t.Errorf("%s: %d reasons, want %d: %v", lane, len(list), len(want), list)
			return
		}
		for i, r := range list {
			if r.String() != want[i] || r.Limits != (i == 0) || r.Origin == "" || r.What == "" {
				t.Errorf("%s: %q, want %q; %+v", lane, r, want[i], r)
			}
		}
	}
	has("mx:unused.example", "sessions 5 of 64: more as deliveries succeed; default")
	if s.known("mx:unused.example") != nil {
		t.Error("explaining made a lane")
	}
	has(hop, "sessions 64 of 64: default of relays")
	has("mx:smtp-in.orange.fr", "sessions 3 of 3: default for orange (few connections)",
		"50 messages per connection: default for orange (few connections)")
	s.Report("mx:a.example", "", refusedAt)
	has("mx:a.example", "no deliveries: our address is refused: 554 blocked using zen.spamhaus.org at 10:32, until 11:32",
		"sessions 1 of 64: more as deliveries succeed; default")
	report(s, "mx:b.example", 60, ok)
	s.Report("mx:b.example", "", tooFast)
	s.Take("mx:b.example", 100)
	has("mx:b.example", "3.0 deliveries per second: 421 Gmail has detected an unusual rate of mail at 10:32",
		"sessions 10 of 64: 421 Gmail has detected an unusual rate of mail at 10:32")
	create(t, s, Rule{Scope: ScopeSite, Match: "c.example", Kind: Limit, Sessions: 2, Count: 90, Period: time.Hour, Reason: "asked by them"})
	create(t, s, Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Target: "pool:x", Reason: "moving"})
	create(t, s, Rule{Scope: ScopeLane, Match: "mx:c.example@s", Kind: Pause, Reason: "stop", ExpiresAt: c.Now().Add(time.Hour)})
	has("mx:c.example", "sessions 2 of 2: asked by them at 10:32", "1.5 deliveries per minute: asked by them at 10:32", "mail goes by pool:x: moving at 10:32")
	has("mx:c.example@s", "no deliveries: stop at 10:32, until 11:32", "sessions 2 of 2: asked by them at 10:32",
		"1.5 deliveries per minute: asked by them at 10:32", "mail goes by pool:x: moving at 10:32")
	c.Advance(2 * time.Hour)
	if text := s.Explain("mx:a.example")[0].String(); !strings.HasPrefix(text, "one session tries: our address") {
		t.Error(text)
	}
	s.Sessions(plain)
	list := s.Lanes()
	if len(list) != 3 || list[0].Lane != "mx:a.example" || list[0].Sessions != 1 || list[2].Lane != plain || list[2].Why == "" {
		t.Errorf("%+v", list)
	}
	s.Report(plain, "mx.example.com", reply(450, "4.2.0", strings.Repeat("x", 500)))
	list = s.Lanes()
	if l := list[2]; l.Code != 450 || len(l.Text) != maxSaid || l.MX != "mx.example.com" || !l.Replied.Equal(s.clock.Now()) || !l.Until.IsZero() {
		t.Errorf("%+v", l)
	}
}

// Whatever is reported, a lane stays within its bounds and comes back.
func TestRandomReports(t *testing.T) {
	s, c := one(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	kinds := []Report{ok, tooFast, tooMany, noUser, grey, mailbox, listed, greeting, nobody, refusedAt}
	lanes := []string{plain, gmail, hop, "mx:smtp-in.orange.fr@a"}
	most := map[string]int{plain: 64, gmail: 20, hop: 64, lanes[3]: 3}
	for i := range 60_000 {
		l := lanes[rnd.IntN(len(lanes))]
		switch rnd.IntN(40) {
		case 0:
			c.Advance(time.Duration(rnd.Int64N(int64(5 * time.Minute))))
		case 1:
			s.pass(context.Background())
		case 2:
			if i%1000 == 2 {
				c.Advance(-time.Hour)
			}
		}
		s.Report(l, "", kinds[rnd.IntN(1+rnd.IntN(len(kinds)))])
		n, d := s.Sessions(l), s.Take(l, 1+rnd.IntN(10))
		_, why := s.Suspended(l)
		if n < 0 || n > most[l] || d < 0 || d > maxWait || (n == 0) != (why != "") || n == 0 && d == 0 {
			t.Fatalf("%s: %d sessions, wait %v, %q", l, n, d, why)
		}
	}
	c.Advance(24 * time.Hour)
	for _, l := range lanes {
		report(s, l, 1, ok)
		minutes(s, c, 60)
		report(s, l, 3000, ok)
		wantSessions(t, s, l, most[l])
		if s.known(l).rate() != 0 {
			t.Errorf("%s: rate %v", l, s.known(l).rate())
		}
	}
}

// Everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	s, c := one(t)
	s.OnChange(func(lane string) { s.Sessions(lane) })
	ctx, cancel := context.WithCancel(context.Background())
	var loop, wg sync.WaitGroup
	loop.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	kinds := []Report{ok, ok, ok, tooFast, nobody, refusedAt}
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				lane := fmt.Sprintf("mx:mx%d.example.com", i%50)
				s.Sessions(lane)
				s.Take(lane, 1)
				s.TakeFlow("a", int64(w), "t")
				s.Report(lane, "gmail-smtp-in.l.google.com", kinds[(i+w)%len(kinds)])
				s.Suspended(lane)
				s.Usable(lane, "x")
				s.Reroute("example.com", lane)
				s.Separate("example.com")
			}
		})
	}
	wg.Go(func() {
		for i := range 8 {
			r := create(t, s, Rule{Scope: ScopeSite, Match: fmt.Sprintf("mx%d.example.com", i), Kind: Limit, Sessions: 3, Count: 100, Period: time.Second})
			create(t, s, Rule{Scope: ScopeAccount, Match: fmt.Sprint("a", i), Kind: Limit, Count: 100, Period: time.Second, ExpiresAt: c.Now().Add(time.Minute)})
			c.Advance(20 * time.Second)
			s.Explain("mx:mx1.example.com")
			s.Lanes()
			if err := s.Delete(ctx, r.ID); err != nil {
				t.Error(err)
			}
			if err := s.Reset(ctx, "mx:mx2.example.com"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	cancel()
	loop.Wait()
}

// BenchmarkDelivery is what one delivery asks and reports.
func BenchmarkDelivery(b *testing.B) {
	for _, bb := range []struct {
		name  string
		lanes int
		rules int
	}{{"one lane", 1, 0}, {"1000 lanes", 1000, 0}, {"1000 lanes, 100 rules", 1000, 100}} {
		b.Run(bb.name, func(b *testing.B) {
			s := open(b, coretest.SQLite(b, clock.System{}), clock.System{})
			for i := range bb.rules {
				create(b, s, Rule{Scope: ScopeSite, Match: fmt.Sprintf("x%d.example", i), Kind: Limit, Sessions: 3})
				create(b, s, Rule{Scope: ScopeAccount, Match: fmt.Sprint(i), Kind: Limit, Count: 1e9, Period: time.Second})
			}
			names := make([]string, bb.lanes)
			for i := range names {
				names[i] = fmt.Sprintf("mx:mx1.d%d.example.com,mx2.d%d.example.com", i, i)
			}
			r := ok
			r.Latency = 50 * time.Millisecond
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				name := names[i%len(names)]
				s.Sessions(name)
				s.Take(name, 1)
				s.TakeFlow("7", 7, "tag")
				s.Report(name, "mx1.example.com", r)
			}
		})
	}
}

// BenchmarkClassified is the same with the reply read.
func BenchmarkClassified(b *testing.B) {
	s := open(b, coretest.SQLite(b, clock.System{}), clock.System{})
	for b.Loop() {
		v := classify.Classify(450, "4.2.1", "The user you are trying to contact is receiving mail too quickly", "gmail-smtp-in.l.google.com")
		s.Report(gmail, "gmail-smtp-in.l.google.com", Report{Verdict: v, Code: 450, Connected: true})
	}
}
