package shape

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	plain = "mx:mx1.example.com,mx2.example.com"
	gmail = "mx:alt1.gmail-smtp-in.l.google.com,gmail-smtp-in.l.google.com@src1"
	hop   = "relay:smtp.example.net:587"
)

func TestDefaults(t *testing.T) {
	s, _ := one(t)
	for lane, want := range map[string]struct{ sessions, most, perConn int }{
		plain:                                 {5, 64, 0},
		gmail:                                 {5, 20, 100},
		hop:                                   {64, 64, 0},
		"example.org":                         {5, 64, 0},
		"mx:smtp-in.orange.fr":                {3, 3, 50},
		"mx:mta5.am0.yahoodns.net,x.other":    {5, 20, 20},
		"relay:gmail-smtp-in.l.google.com:25": {64, 64, 0},
		"a@b@c":                               {5, 64, 0},
	} {
		wantSessions(t, s, lane, want.sessions)
		if got := s.PerConnection(lane); got != want.perConn {
			t.Errorf("%s: %d per connection, want %d", lane, got, want.perConn)
		}
		if got := s.known(lane).eff.sessions; got != want.most {
			t.Errorf("%s: at most %d, want %d", lane, got, want.most)
		}
		if d := s.Take(lane, 1000); d != 0 {
			t.Errorf("%s: wait %v without a limit", lane, d)
		}
	}
}

// A lane whose name does not tell learns from the host it reached.
func TestProviderOfHost(t *testing.T) {
	s, _ := one(t)
	const lane = "mx:8d3f9a0c"
	wantSessions(t, s, lane, 5)
	s.Report(lane, "smtp-in.orange.fr", ok)
	wantSessions(t, s, lane, 3)
	s.Report(hop, "smtp-in.orange.fr", ok)
	wantSessions(t, s, hop, 64)
}

func TestGrowth(t *testing.T) {
	s, _ := one(t)
	n := 0
	for ; s.Sessions(plain) < 64 && n < 10_000; n++ {
		s.Report(plain, "", ok)
	}
	if n < 100 || n > 400 {
		t.Errorf("64 sessions after %d deliveries", n)
	}
	report(s, plain, 1000, ok)
	wantSessions(t, s, plain, 64)
	report(s, gmail, 1000, ok)
	wantSessions(t, s, gmail, 20)
}

func TestFeedback(t *testing.T) {
	tests := []struct {
		name string
		grow int // deliveries before
		send []Report
		want int // sessions after
	}{
		{"a delivery", 0, []Report{ok}, 5},
		{"four deliveries", 0, slices.Repeat([]Report{ok}, 4), 6},
		{"no such user", 60, slices.Repeat([]Report{noUser}, 50), 20},
		{"greylisting", 60, slices.Repeat([]Report{grey}, 50), 20},
		{"one mailbox's limit", 60, slices.Repeat([]Report{mailbox}, 50), 20},
		{"too fast", 60, []Report{tooFast}, 10},
		{"the same complaint by every session", 60, slices.Repeat([]Report{tooFast}, 20), 10},
		{"and after all of them were heard", 60, slices.Repeat([]Report{tooFast}, 21), 5},
		{"too many connections", 60, []Report{tooMany}, 10},
		{"refused in the greeting", 60, slices.Repeat([]Report{greeting}, 20), 10},
		{"one that finds nobody", 60, []Report{nobody}, 20},
		{"all but one find nobody", 60, slices.Repeat([]Report{nobody}, 19), 20},
		{"all of them find nobody", 60, slices.Repeat([]Report{nobody}, 20), 0},
		{"five find nobody", 0, slices.Repeat([]Report{nobody}, 5), 0},
		{"with an answer between", 0, append(slices.Repeat([]Report{nobody}, 4), noUser, nobody), 5},
		{"blocked", 0, []Report{listed}, 0},
		{"blocked in the greeting", 60, []Report{refusedAt}, 0},
		{"blocked, but a delivery says otherwise", 60, []Report{listed, listed}, 20},
		{"blocked, again and again", 60, []Report{listed, listed, listed}, 0},
		{"blocked, with deliveries between", 60, []Report{listed, listed, ok, listed, listed}, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := one(t)
			report(s, plain, tt.grow, ok)
			for _, r := range tt.send {
				s.Report(plain, "", r)
			}
			wantSessions(t, s, plain, tt.want)
		})
	}
}

// A slowed lane gets everything back by itself, and its reason goes.
func TestRecovery(t *testing.T) {
	s, c := one(t)
	report(s, gmail, 200, ok)
	wantSessions(t, s, gmail, 20)
	s.Report(gmail, "", tooFast)
	wantSessions(t, s, gmail, 10)
	if d := s.Take(gmail, 1); d != 0 {
		t.Errorf("the first waits %v", d)
	}
	report(s, gmail, 200, ok) // deliveries do not lift what a complaint took
	wantSessions(t, s, gmail, 10)
	text := fmt.Sprint(s.Explain(gmail))
	if !strings.Contains(text, "sessions 10 of 20: 421 Gmail has detected an unusual rate of mail at 10:32") {
		t.Error(text)
	}
	minutes(s, c, 1)
	report(s, gmail, 100, ok)
	wantSessions(t, s, gmail, 11)
	minutes(s, c, 8)
	report(s, gmail, 300, ok)
	wantSessions(t, s, gmail, 19)
	minutes(s, c, 1)
	report(s, gmail, 100, ok)
	wantSessions(t, s, gmail, 20)
	if text := fmt.Sprint(s.Explain(gmail)); strings.Contains(text, "421") || s.known(gmail).rate() != 0 {
		t.Errorf("a reason stays: %s", text)
	}
	if len(s.work.active) != 0 {
		t.Error("the lane is still looked at")
	}
}

// Recovery needs nobody to ask and no loop.
func TestRecoveryWithoutLoop(t *testing.T) {
	s, c := one(t)
	report(s, gmail, 200, ok)
	s.Report(gmail, "", tooFast)
	c.Advance(time.Hour)
	if got := s.Sessions(gmail); got != 10 {
		t.Errorf("%d sessions: what successes opened is 10", got)
	}
	report(s, gmail, 40, ok)
	wantSessions(t, s, gmail, 20)
	c.Advance(-2 * time.Hour) // the clock goes back
	s.Report(gmail, "", tooFast)
	wantSessions(t, s, gmail, 10)
	c.Advance(-time.Hour)
	wantSessions(t, s, gmail, 10)
	c.Advance(11 * time.Minute)
	report(s, gmail, 200, ok)
	wantSessions(t, s, gmail, 20)
}

// Complaints do not make the number of sessions swing: between two of them it
// only falls, and it takes minutes to come back.
func TestNoOscillation(t *testing.T) {
	s, c := one(t)
	const limit = 12 // of the other side
	report(s, plain, 20, ok)
	worst, most := 0, 0
	for second := range 3600 {
		n := s.Sessions(plain)
		if n == 0 {
			t.Fatal("suspended")
		}
		if second > 600 {
			most = max(most, n)
			if n > limit {
				worst++
			}
		}
		for i := range n {
			if i >= limit {
				s.Report(plain, "", tooMany)
			} else {
				s.Report(plain, "", ok)
			}
		}
		c.Advance(time.Second)
	}
	if worst > 60 || most > 2*limit {
		t.Errorf("above the limit of %d in %d of 3000 seconds, up to %d", limit, worst, most)
	}
}

func TestRates(t *testing.T) {
	s, c := one(t)
	for range 60 { // five per second
		report(s, plain, 5, ok)
		c.Advance(time.Second)
	}
	s.Report(plain, "", tooFast)
	l := s.known(plain)
	if r := l.rate(); r < 2 || r > 3 {
		t.Fatalf("rate %v after five per second", r)
	}
	sent := 0
	for range 300 {
		for s.Take(plain, 1) == 0 {
			sent++
		}
		if d := s.Take(plain, 1); d <= 0 || d > time.Second {
			t.Fatalf("wait %v", d)
		}
		c.Advance(100 * time.Millisecond)
	}
	if sent < 60 || sent > 90 {
		t.Errorf("%d deliveries in 30 s", sent)
	}
	rates := []float64{l.rate()}
	for range 4 {
		c.Advance(11 * time.Second)
		s.Report(plain, "", tooFast)
		rates = append(rates, l.rate())
	}
	for i := 1; i < len(rates); i++ {
		if rates[i] >= rates[i-1] {
			t.Errorf("rates %v do not fall", rates)
		}
	}
	if rates[0] < 1.9*rates[1] {
		t.Errorf("not halved: %v", rates)
	}
	minutes(s, c, 40)
	if l.rate() != 0 || s.Take(plain, 1000) != 0 {
		t.Errorf("the rate is still limited: %v", l.rate())
	}
}

// A complaint about connections leaves the rate alone.
func TestConnectionsAreNotMessages(t *testing.T) {
	s, _ := one(t)
	report(s, plain, 60, ok)
	s.Report(plain, "", tooMany)
	if r := s.known(plain).rate(); r != 0 {
		t.Errorf("rate %v", r)
	}
}

func TestDeadDestination(t *testing.T) {
	s, c := one(t)
	var changed []string
	s.OnChange(func(lane string) { changed = append(changed, lane) })
	s.pass(context.Background())
	changed = nil
	report(s, plain, 5, nobody)
	for i, want := range []time.Duration{1, 2, 5, 10, 20, 40, 60, 60} {
		wantSessions(t, s, plain, 0)
		until, reason := s.Suspended(plain)
		if want *= time.Minute; !until.Equal(c.Now().Add(want)) || !strings.HasPrefix(reason, "nobody answers: 421") {
			t.Errorf("step %d: until %v, want %v; %s", i+1, until.Sub(c.Now()), want, reason)
		}
		if d := s.Take(plain, 1); d != want {
			t.Errorf("step %d: told to wait %v", i+1, d)
		}
		s.Report(plain, "", nobody) // one that was under way
		if again, _ := s.Suspended(plain); !again.Equal(until) {
			t.Errorf("step %d: a late failure moved the end", i+1)
		}
		s.pass(context.Background())
		if len(changed) != 0 {
			t.Errorf("step %d: %q changed", i+1, changed)
		}
		c.Advance(want)
		wantSessions(t, s, plain, 1) // the probe
		if d := s.Take(plain, 1); d != 0 {
			t.Errorf("step %d: the probe waits %v", i+1, d)
		}
		s.pass(context.Background())
		s.pass(context.Background())
		if len(changed) != 1 || changed[0] != plain {
			t.Errorf("step %d: told of %q", i+1, changed)
		}
		changed = nil
		if u, r := s.Usable(plain, ""); r != "" {
			t.Errorf("another source would help no more: %v %s", u, r)
		}
		s.Report(plain, "", nobody)
	}
	c.Advance(time.Hour)
	s.Report(plain, "", noUser) // it talks
	wantSessions(t, s, plain, 5)
	report(s, plain, 5, nobody)
	if until, _ := s.Suspended(plain); until.Sub(c.Now()) != time.Minute {
		t.Errorf("not from the first step: %v", until.Sub(c.Now()))
	}
	s.Report(plain, "", ok) // one that was under way
	wantSessions(t, s, plain, 5)
}

func TestBlocked(t *testing.T) {
	s, c := one(t)
	a, b := Lane{"mx:mx.example.com", "a"}, Lane{"mx:mx.example.com", "b"}
	for i, hours := range []time.Duration{1, 2, 4, 6, 6} {
		s.Report(a.String(), "", refusedAt)
		until, reason := s.Usable(a.Site, a.Source)
		if until.Sub(c.Now()) != hours*time.Hour || !strings.Contains(reason, "spamhaus") {
			t.Errorf("step %d: %v, %s", i+1, until.Sub(c.Now()), reason)
		}
		if _, reason := s.Usable(b.Site, b.Source); reason != "" {
			t.Errorf("the other source: %s", reason)
		}
		if d := s.Take(a.String(), 1); d != time.Hour {
			t.Errorf("told to wait %v, an hour is the most", d)
		}
		s.Report(a.String(), "", ok) // under way, proves nothing
		wantSessions(t, s, a.String(), 0)
		c.Advance(hours * time.Hour)
		wantSessions(t, s, a.String(), 1)
		if _, reason := s.Usable(a.Site, a.Source); reason != "" {
			t.Errorf("the probe is not allowed: %s", reason)
		}
	}
	s.Report(a.String(), "", noUser) // not what was asked
	wantSessions(t, s, a.String(), 1)
	s.Report(a.String(), "", ok)
	report(s, a.String(), 40, ok)
	if n := s.Sessions(a.String()); n < 5 {
		t.Errorf("%d sessions after it was lifted", n)
	}
	if _, reason := s.Usable("never.seen", "x"); reason != "" {
		t.Error(reason)
	}
}

// Complaints although hardly anything is sent: rest, longer each time.
func TestOverloaded(t *testing.T) {
	s, c := one(t)
	n := 0
	for ; n < 50; n++ {
		if s.Report(plain, "", tooFast); s.Sessions(plain) == 0 {
			break
		}
		c.Advance(15 * time.Second)
	}
	if until, reason := s.Suspended(plain); n < 2 || n > 10 || until.Sub(c.Now()) != time.Minute || !strings.HasPrefix(reason, "they take hardly anything") {
		t.Fatalf("after %d complaints: %v, %s", n, until.Sub(c.Now()), reason)
	}
	c.Advance(time.Minute)
	s.Report(plain, "", tooFast)
	if until, _ := s.Suspended(plain); until.Sub(c.Now()) != 2*time.Minute {
		t.Errorf("then %v", until.Sub(c.Now()))
	}
	c.Advance(2 * time.Minute)
	s.Report(plain, "", ok)
	wantSessions(t, s, plain, 1)
	minutes(s, c, 120)
	report(s, plain, 500, ok)
	wantSessions(t, s, plain, 64)
}

// Nobody anywhere was the fault of our own network: when one answers, the
// others are tried at once.
func TestOurOutage(t *testing.T) {
	s, c := one(t)
	lane := func(i int) string { return fmt.Sprintf("mx:mx%d.example.com", i) }
	for i := range 4 {
		s.Report(lane(i), "", ok)
	}
	var changed []string
	s.OnChange(func(l string) { changed = append(changed, l) })
	for range 30 {
		for i := range 4 {
			for s.Sessions(lane(i)) > 0 {
				s.Report(lane(i), "", nobody)
			}
		}
		minutes(s, c, 1)
	}
	c.Advance(20 * time.Minute)
	s.pass(context.Background())
	for s.Sessions(lane(1)) > 0 {
		s.Report(lane(1), "", nobody)
	}
	wantSessions(t, s, lane(1), 0)
	changed = nil
	s.Report("mx:other.example.com", "", ok)
	s.pass(context.Background())
	for i := range 4 {
		wantSessions(t, s, lane(i), 1)
	}
	if !slices.Contains(changed, lane(1)) {
		t.Errorf("told of %q", changed)
	}
	s.Report(lane(1), "", nobody) // that one is really gone
	wantSessions(t, s, lane(1), 0)
	s.Report(lane(2), "", ok)
	s.pass(context.Background())
	wantSessions(t, s, lane(1), 0)
}

func TestWords(t *testing.T) {
	for want, r := range map[string]Report{
		"421 too much":  {Code: 421, Text: "too\nmuch"},
		"421-4.7.0 x":   {Code: 421, Text: "421-4.7.0 x"},
		"no connection": {Text: "no connection"},
		"other":         {},
		"550":           {Code: 550},
		"550 " + strings.Repeat("x", 200) + "...": {Code: 550, Text: strings.Repeat("x", 300)},
	} {
		if got := r.words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
