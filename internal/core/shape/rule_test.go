package shape

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
)

func create(t testing.TB, s *Service, r Rule) Rule {
	t.Helper()
	if r.Reason == "" {
		r.Reason = "because"
	}
	out, err := s.Create(context.Background(), r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return out
}

func TestLaneNames(t *testing.T) {
	for _, l := range []Lane{{"example.com", ""}, {"mx:a.example,b.example", "ip1"}, {"relay:[2001:db8::1]:25", "x"}, {"relay:h:25", ""}} {
		if got, err := ParseLane(l.String()); err != nil || got != l {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	for _, name := range []string{"", "@a", "a@", "a@b@c", "@"} {
		if l, err := ParseLane(name); err == nil {
			t.Errorf("%q: %+v", name, l)
		}
	}
}

func FuzzParseLane(f *testing.F) {
	for _, x := range []string{"a", "a@b", "@", "a@b@c", "mx:a,b@c", "relay:[::1]:25", "relay:x"} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, name string) {
		l, err := ParseLane(name)
		if err == nil && (l.String() != name || l.Site == "") {
			t.Fatalf("%q: %+v", name, l)
		}
		for _, h := range hosts(name) {
			if !under(h, h) || h != "" && !under("a."+h, h) || under(h, "a."+h) {
				t.Fatalf("%q: the host %q", name, h)
			}
		}
	})
}

func TestRuleChecks(t *testing.T) {
	s, _ := one(t)
	limit := Rule{Scope: ScopeSite, Match: "x.example", Kind: Limit, Reason: "r", Sessions: 1}
	edit := func(fn func(r *Rule)) Rule {
		r := limit
		fn(&r)
		return r
	}
	tests := []struct {
		r    Rule
		want string
	}{
		{edit(func(r *Rule) { r.Reason = " " }), "needs a reason"},
		{edit(func(r *Rule) { r.Reason = "a\nb" }), "control characters"},
		{edit(func(r *Rule) { r.CreatedBy = strings.Repeat("x", 501) }), "the author has more than 500"},
		{edit(func(r *Rule) { r.Match = "" }), "needs what it matches"},
		{edit(func(r *Rule) { r.Scope = "world" }), `unknown scope "world"`},
		{edit(func(r *Rule) { r.Kind = "stop" }), `a stop has no limits`},
		{edit(func(r *Rule) { r.Kind, r.Sessions = "stop", 0 }), `unknown kind "stop"`},
		{edit(func(r *Rule) { r.Kind = Pause }), "a pause has no limits"},
		{edit(func(r *Rule) { r.Target = "pool:x" }), "a limit has no target"},
		{edit(func(r *Rule) { r.Sessions = 0 }), "a limit needs sessions"},
		{edit(func(r *Rule) { r.Sessions = -1 }), "to stop mail, make a pause"},
		{edit(func(r *Rule) { r.Count = 5 }), "a rate is a count"},
		{edit(func(r *Rule) { r.Period = time.Second }), "a rate is a count"},
		{edit(func(r *Rule) { r.Count, r.Period = 5, 1500*time.Millisecond }), "whole seconds"},
		{edit(func(r *Rule) { r.Count, r.Period = 5, 32*24*time.Hour }), "31 days"},
		{edit(func(r *Rule) { r.ExpiresAt = start }), "expired already"},
		{edit(func(r *Rule) { r.Match = "a@b" }), "not the name of a site"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeLane, "a@" }), "not the name of a lane"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeAccount, "acc" }), "a count and a period"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeDomain, "example.com" }), "named by its number"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeDomain, "007" }), "named by its number"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeRecipientDomain, "a@b" }), "not a domain"},
		{edit(func(r *Rule) { r.Scope, r.Match = ScopeRecipientDomain, "*.*.b" }), "not a domain"},
		{Rule{Scope: ScopeSource, Match: "a", Kind: Reroute, Reason: "r", Target: "pool:b"}, "only a site or a recipient domain"},
		{Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Reason: "r"}, "is not a way for mail"},
		{Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Reason: "r", Target: "relay:host"}, "is not a way for mail"},
		{Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Reason: "r", Target: "relay:host:99999"}, "is not a way for mail"},
		{Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Reason: "r", Target: "pool:"}, "is not a way for mail"},
	}
	for _, tt := range tests {
		if _, err := s.Create(context.Background(), tt.r); !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.r, err, tt.want)
		}
	}
	if len(s.Rules()) != 0 {
		t.Errorf("%+v", s.Rules())
	}
}

func TestRulesOfLanes(t *testing.T) {
	s, _ := one(t)
	create(t, s, Rule{Scope: ScopeSite, Match: "*", Kind: Limit, Sessions: 40, PerConnection: 7})
	create(t, s, Rule{Scope: ScopeSource, Match: "src1", Kind: Limit, Sessions: 30})
	create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Limit, Sessions: 3})
	create(t, s, Rule{Scope: ScopeSite, Match: "L.GOOGLE.com", Kind: Limit, PerConnection: 9})
	create(t, s, Rule{Scope: ScopeSite, Match: "mx:exact.example", Kind: Limit, Sessions: 2})
	create(t, s, Rule{Scope: ScopeSite, Match: "exact.example", Kind: Limit, Sessions: 33})
	create(t, s, Rule{Scope: ScopeLane, Match: "mx:exact.example@src1", Kind: Limit, Sessions: 1})
	create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "*.slow.example", Kind: Limit, Sessions: 4})
	create(t, s, Rule{Scope: ScopeSite, Match: hop, Kind: Limit, Sessions: 100})
	for lane, want := range map[string][2]int{
		plain:                   {40, 7},
		plain + "@src1":         {30, 7},
		gmail:                   {3, 9},
		"mx:exact.example":      {2, 7},
		"mx:exact.example@src1": {1, 7},
		"a.slow.example":        {4, 7},
		"slow.example":          {40, 7},
		"mx:a.slow.example":     {40, 7},
		"mx:notgoogle.com":      {40, 7},
		hop:                     {100, 7},
	} {
		report(s, lane, 3000, ok)
		if got := [2]int{s.Sessions(lane), s.PerConnection(lane)}; got != want {
			t.Errorf("%s: %v, want %v", lane, got, want)
		}
	}
	if !s.Separate("a.slow.example") || s.Separate("slow.example") || s.Separate("example.com") {
		t.Error("a limited recipient domain must be a site of its own, others not")
	}
}

// Rules act at once, end by the clock, and can be changed and deleted.
func TestRuleLife(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		ctx := context.Background()
		s.pass(ctx)
		var changed []string
		s.OnChange(func(l string) { changed = append(changed, l) })
		p := create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Pause, Reason: "campaign stopped", CreatedBy: "ann", ExpiresAt: c.Now().Add(90 * time.Second)})
		wantSessions(t, s, gmail, 0)
		if until, why := s.Suspended(gmail); !until.Equal(p.ExpiresAt) || why != "campaign stopped" {
			t.Errorf("%v %s", until, why)
		}
		if _, why := s.Suspended("mx:unused.google.com"); why != "campaign stopped" {
			t.Errorf("a lane not in use: %q", why)
		}
		if d := s.Take(gmail, 1); d != 90*time.Second {
			t.Errorf("told to wait %v", d)
		}
		if _, why := s.Usable("mx:a.google.com", "zz"); why == "" {
			t.Error("a paused source is usable")
		}
		wait := s.pass(ctx)
		if wait != 90*time.Second || !slices.Equal(changed, []string{""}) {
			t.Errorf("next pass in %v, told of %q", wait, changed)
		}
		if _, err := s.Create(ctx, Rule{Scope: ScopeSite, Match: "Google.com", Kind: Pause, Reason: "x"}); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "campaign stopped") {
			t.Errorf("a second pause: %v", err)
		}
		p.ExpiresAt = c.Now().Add(3 * time.Minute)
		if _, err := s.Update(ctx, p); err != nil {
			t.Fatal(err)
		}
		c.Advance(90 * time.Second)
		wantSessions(t, s, gmail, 0)
		changed = nil
		c.Advance(90 * time.Second)
		wantSessions(t, s, gmail, 5) // before the loop knows
		s.pass(ctx)
		if len(s.Rules()) != 0 || !slices.Equal(changed, []string{""}) {
			t.Errorf("%+v, told of %q", s.Rules(), changed)
		}
		if _, err := s.Rule(p.ID); !errs.Is(err, errs.NotFound) {
			t.Errorf("an expired rule: %v", err)
		}
		if _, err := s.Update(ctx, p); !errs.Is(err, errs.NotFound) {
			t.Errorf("change of an expired rule: %v", err)
		}
		q := create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Pause})
		if until, why := s.Suspended(gmail); !until.IsZero() || why == "" || s.Take(gmail, 1) != time.Hour {
			t.Errorf("without an end: %v %q", until, why)
		}
		if err := s.Delete(ctx, q.ID); err != nil {
			t.Fatal(err)
		}
		wantSessions(t, s, gmail, 5)
		if err := s.Delete(ctx, q.ID); !errs.Is(err, errs.NotFound) {
			t.Errorf("twice: %v", err)
		}
	})
}

// An expired rule the loop has not removed is in nobody's way.
func TestRuleInPlaceOfExpired(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		r := Rule{Scope: ScopeSite, Match: "x.example", Kind: Pause, ExpiresAt: c.Now().Add(time.Second)}
		create(t, s, r)
		c.Advance(time.Minute)
		r.ExpiresAt = c.Now().Add(time.Hour)
		create(t, s, r)
	})
}

func TestRulesSurviveRestart(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		ctx := context.Background()
		want := []Rule{
			create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Limit, Sessions: 2, PerConnection: 3, Count: 100, Period: time.Minute, CreatedBy: "ann", Reason: "warm"}),
			create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "x.example", Kind: Reroute, Target: "relay:h.example:25", ExpiresAt: c.Now().Add(time.Hour)}),
		}
		gone := create(t, s, Rule{Scope: ScopeTag, Match: "t", Kind: Pause, ExpiresAt: c.Now().Add(time.Second)})
		s.Report(plain, "", refusedAt)
		report(s, "mx:dead.example.com", 5, nobody) // too short to be written
		s.pass(ctx)
		until, why := s.Suspended(plain)
		c.Advance(10 * time.Second)
		s2 := open(t, s.DB, c)
		got := s2.Rules()
		if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2].Origin != Auto || got[2].Match != plain || got[2].ID == gone.ID {
			t.Fatalf("%+v\nwant %+v and a suspension", got, want)
		}
		if u, w := s2.Suspended(plain); !u.Equal(until) || w != why {
			t.Errorf("suspended until %v: %s, was %v: %s", u, w, until, why)
		}
		wantSessions(t, s2, "mx:dead.example.com", 5)
		wantSessions(t, s2, gmail, 2)
		if target, ok := s2.Reroute("x.example", ""); !ok || target != "relay:h.example:25" {
			t.Error(target, ok)
		}
		// The step goes on where it was.
		c.Advance(time.Hour)
		s2.Report(plain, "", refusedAt)
		s2.pass(ctx)
		if u, _ := s2.Suspended(plain); u.Sub(c.Now()) != 2*time.Hour {
			t.Errorf("then for %v", u.Sub(c.Now()))
		}
		// Deleting it ends it, in the table as well.
		auto := s2.Rules()[len(s2.Rules())-1]
		if _, err := s2.Update(ctx, auto); !errs.Is(err, errs.Invalid) {
			t.Errorf("an automatic rule was changed: %v", err)
		}
		if err := s2.Delete(ctx, auto.ID); err != nil {
			t.Fatal(err)
		}
		wantSessions(t, s2, plain, 5)
		if s3 := open(t, s.DB, c); s3.Sessions(plain) != 5 {
			t.Error("it came back")
		}
	})
}

// A suspension that ends leaves the table; one that is prolonged stays one row.
func TestSuspensionRows(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		ctx := context.Background()
		rows := func() (n int) {
			t.Helper()
			var list []Rule
			if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
				list, err = selectRules(tx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		s.pass(ctx)
		for i, want := range []int{0, 0, 0, 1, 1, 1} {
			if i == 0 {
				report(s, plain, 5, nobody)
			} else {
				until, _ := s.Suspended(plain)
				c.Advance(until.Sub(c.Now()))
				s.Report(plain, "", nobody)
			}
			s.pass(ctx)
			if got := rows(); got != want || len(s.Rules()) != want {
				t.Errorf("suspension %d: %d rows, %d rules, want %d", i+1, got, len(s.Rules()), want)
			}
		}
		s.Report(plain, "", ok)
		s.pass(ctx)
		if rows() != 0 || len(s.Rules()) != 0 {
			t.Errorf("%d rows, %+v", rows(), s.Rules())
		}
		for i := range 250 {
			s.Report(fmt.Sprintf("mx:mx%d.example.com", i), "", refusedAt)
		}
		s.pass(ctx)
		if rows() != 250 {
			t.Errorf("%d rows", rows())
		}
		if err := s.Reset(ctx, "mx:mx7.example.com"); err != nil || rows() != 249 {
			t.Errorf("%v, %d rows", err, rows())
		}
		wantSessions(t, s, "mx:mx7.example.com", 5)
		// A lane that was forgotten meanwhile keeps its one row.
		s.mu.Lock()
		delete(s.lanes, "mx:mx8.example.com")
		s.mu.Unlock()
		s.Report("mx:mx8.example.com", "", refusedAt)
		s.pass(ctx)
		if rows() != 249 {
			t.Errorf("%d rows", rows())
		}
		c.Advance(7 * time.Hour)
		s.pass(ctx)
		if rows() != 0 || len(s.Rules()) != 0 || len(s.auto) != 0 {
			t.Errorf("%d rows, %d rules, %d automatic", rows(), len(s.Rules()), len(s.auto))
		}
	})
}

// What cannot be written is written later.
func TestSaveAgain(t *testing.T) {
	s, c := one(t)
	s.pass(context.Background())
	s.Report(plain, "", refusedAt)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s.save(ended)
	if len(s.Rules()) != 0 {
		t.Fatal("written with an ended context")
	}
	if wait := s.pass(context.Background()); wait > forgetEvery || len(s.Rules()) != 1 {
		t.Errorf("%v, %+v", wait, s.Rules())
	}
	if err := s.DB.Close(); err != nil {
		t.Fatal(err)
	}
	s.Report(gmail, "", refusedAt)
	if wait := s.pass(context.Background()); wait > recoverEvery {
		t.Errorf("the next attempt is in %v", wait)
	}
	wantSessions(t, s, gmail, 0)
	if _, err := s.Create(context.Background(), Rule{Scope: ScopeSite, Match: "x", Kind: Pause, Reason: "r"}); err == nil || errors.As(err, new(*errs.Error)) {
		t.Errorf("created without a database: %v", err)
	}
	c.Advance(time.Hour)
	wantSessions(t, s, gmail, 1)
}

func TestReroute(t *testing.T) {
	s, c := one(t)
	if _, ok := s.Reroute("a.example", "mx:mx.a.example"); ok {
		t.Error("without rules")
	}
	create(t, s, Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Target: "pool:all"})
	create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Reroute, Target: "source:g"})
	create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "*.b.example", Kind: Reroute, Target: "relay:[2001:db8::1]:25"})
	create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "A.b.example.", Kind: Reroute, Target: "relay:a:25", ExpiresAt: c.Now().Add(time.Minute)})
	tests := []struct{ domain, site, want string }{
		{"x.example", "mx:mx.x.example", "pool:all"},
		{"x.example", "", ""},
		{"gmail.com", gmail, "source:g"},
		{"a.b.example", gmail, "relay:a:25"},
		{"c.b.example", gmail, "relay:[2001:db8::1]:25"},
		{"b.example", "", ""},
	}
	for _, tt := range tests {
		if got, ok := s.Reroute(tt.domain, strings.TrimSuffix(tt.site, "@src1")); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s at %s: %s, want %s", tt.domain, tt.site, got, tt.want)
		}
	}
	c.Advance(time.Minute)
	if got, _ := s.Reroute("a.b.example", ""); got != "relay:[2001:db8::1]:25" {
		t.Errorf("after the end of the rule: %s", got)
	}
}

func TestFlows(t *testing.T) {
	s, c := one(t)
	if d := s.TakeFlow("acc", 1, "t"); d != 0 {
		t.Errorf("without rules: %v", d)
	}
	create(t, s, Rule{Scope: ScopeAccount, Match: "*", Kind: Limit, Count: 100, Period: 100 * time.Second})
	create(t, s, Rule{Scope: ScopeDomain, Match: "7", Kind: Pause, ExpiresAt: c.Now().Add(time.Minute)})
	create(t, s, Rule{Scope: ScopeTag, Match: "news", Kind: Pause})
	if d := s.TakeFlow("a", 7, ""); d != time.Minute {
		t.Errorf("paused domain: %v", d)
	}
	if d := s.TakeFlow("a", 1, "news"); d != time.Hour {
		t.Errorf("paused tag: %v", d)
	}
	if d := s.TakeFlow("a", 7, "news"); d != time.Hour {
		t.Errorf("paused domain and tag: %v", d)
	}
	sent := 0
	for range 200 * 10 { // 200 s
		for _, account := range []string{"a", "b"} {
			if s.TakeFlow(account, 1, "") == 0 && account == "a" {
				sent++
			}
		}
		c.Advance(100 * time.Millisecond)
	}
	if sent < 195 || sent > 215 {
		t.Errorf("%d deliveries in 200 s at one per second", sent)
	}
	if d := s.TakeFlow("never", 1, ""); d != 0 {
		t.Errorf("another account: %v", d)
	}
	// What one limit refuses is not charged to the others.
	create(t, s, Rule{Scope: ScopeAccount, Match: "z", Kind: Limit, Count: 1, Period: time.Hour})
	for s.TakeFlow("z", 1, "") == 0 {
	}
	before := s.flow.buckets[flowKey{s.Rules()[0].ID, "z"}].due
	if d := s.TakeFlow("z", 1, ""); d < 50*time.Minute || d > time.Hour {
		t.Errorf("%v", d)
	}
	if !s.flow.buckets[flowKey{s.Rules()[0].ID, "z"}].due.Equal(before) {
		t.Error("a refused delivery was counted")
	}
}

func TestFlowsAreBounded(t *testing.T) {
	s, c := one(t)
	create(t, s, Rule{Scope: ScopeAccount, Match: "*", Kind: Limit, Count: 1, Period: time.Hour})
	for i := range maxBuckets + 10 {
		s.TakeFlow(fmt.Sprint(i), 1, "")
	}
	if n := len(s.flow.buckets); n > maxBuckets {
		t.Errorf("%d buckets", n)
	}
	c.Advance(2 * time.Hour)
	for i := range maxBuckets + 10 {
		s.TakeFlow(fmt.Sprint(-i), 1, "")
	}
	if n := len(s.flow.buckets); n > maxBuckets {
		t.Errorf("%d buckets", n)
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	now := start
	if d := b.take(now, 100, 10, laneBurst(10)); d != 0 {
		t.Errorf("a large transaction: %v", d)
	}
	if d := b.take(now, 1, 10, laneBurst(10)); d != 9100*time.Millisecond {
		t.Errorf("it is paid for with %v", d)
	}
	if d := pace(1e-300, 1); d != 365*24*time.Hour {
		t.Errorf("%v", d)
	}
	if d := laneBurst(0.5); d != 0 {
		t.Errorf("%v", d)
	}
}

func TestProviders(t *testing.T) {
	p, err := parseProviders(providersText)
	if err != nil || len(p) < 30 {
		t.Fatalf("%d suffixes, %v", len(p), err)
	}
	for text, want := range map[string]string{
		"\nx | a.example":                                     "line 2: 2 fields",
		"x | a.example | a | 0 | 0 |":                         `line 1: "a" is no limit`,
		"x | a.example | -1 | 0 | 0 |":                        "is no limit",
		"x | | 1 | 0 | 0 |":                                   "has a name and MX suffixes",
		"x | a.example | 1 | 0 | 0 |\ny | a.example | 1|1|1|": `line 2: the suffix "a.example" belongs to x`,
	} {
		if _, err := parseProviders(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if p.find(strings.Repeat("a.", 200)+"google.com") != nil || p.find("") != nil {
		t.Error("found")
	}
}

// Rules are loaded as the table has them, whoever wrote it.
func TestUnknownAutomaticRule(t *testing.T) {
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now()))
		r := Rule{ID: 5, Scope: ScopeLane, Match: plain, Kind: Pause, Origin: Auto, Reason: "x", CreatedBy: "a later version", ExpiresAt: c.Now().Add(time.Hour)}
		if err := d.Write(context.Background(), func(tx *db.Tx) error { return insertRule(tx, &r) }); err != nil {
			t.Fatal(err)
		}
		if s := open(t, d, c); s.Sessions(plain) != 5 {
			t.Error("in force")
		}
	})
}

// TestURLs: lanes of URLs have limits of their own. Rules and knowledge about mail
// hosts are not about them, rules that name them or everything are.
func TestURLs(t *testing.T) {
	s, _ := one(t)
	const lane = "https://hooks.google.com:8443"
	const plain = "http://hooks.google.com"
	create(t, s, Rule{Scope: ScopeSite, Match: "google.com", Kind: Pause})
	create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "*.google.com", Kind: Pause})
	create(t, s, Rule{Scope: ScopeRecipientDomain, Match: "*", Kind: Pause})
	wantSessions(t, s, plain, s.Start)
	wantSessions(t, s, lane, s.Start)
	wantSessions(t, s, "mx:mx.google.com", 0)
	report(s, lane, 1000, reply(200, "", ""))
	wantSessions(t, s, lane, urlSessions)
	for _, r := range s.Explain(lane) {
		if strings.Contains(r.Text, "Google") || r.What == "reroute" {
			t.Errorf("%+v", r)
		}
	}
	create(t, s, Rule{Scope: ScopeSite, Match: "*", Kind: Reroute, Target: "relay:x:25"})
	for _, r := range s.Explain(lane) {
		if r.What == "reroute" {
			t.Errorf("%+v", r)
		}
	}
	create(t, s, Rule{Scope: ScopeSite, Match: "*", Kind: Limit, Sessions: 3})
	wantSessions(t, s, lane, 3)
	create(t, s, Rule{Scope: ScopeSite, Match: lane, Kind: Limit, Sessions: 7})
	report(s, lane, 1000, reply(200, "", ""))
	wantSessions(t, s, lane, 7)
	create(t, s, Rule{Scope: ScopeLane, Match: lane, Kind: Pause})
	wantSessions(t, s, lane, 0)
	if _, err := s.Create(context.Background(), Rule{Scope: ScopeSite, Match: lane, Kind: Reroute, Target: "relay:x:25", Reason: "r", Origin: Admin}); err == nil || !strings.Contains(err.Error(), "cannot be rerouted") {
		t.Error(err)
	}
}
