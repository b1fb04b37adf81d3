package shape

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/netx"
)

// Reason is one thing that holds for a lane and why.
type Reason struct {
	// What it is about: "pause", "suspension", "sessions", "rate",
	// "per connection" or "reroute".
	What   string
	Effect string // "sessions 5 of 20", "no deliveries", "10.0 deliveries per minute"
	Text   string // why: the server's words, the operator's, or a note
	Origin Origin
	RuleID int64     // of the rule, 0 for none
	Since  time.Time // zero: always
	Until  time.Time // zero: no end is set
	Limits bool      // this limits the lane most now
}

// String is the reason on one line: "sessions 5 of 20: 421 4.7.28 ... at 10:32".
func (r Reason) String() string {
	s := r.Effect
	if r.Text != "" {
		s += ": " + r.Text
	}
	if !r.Since.IsZero() {
		s += " at " + r.Since.Format("15:04")
	}
	if !r.Until.IsZero() {
		s += ", until " + r.Until.Format("15:04")
	}
	return s
}

// Explain returns everything in force for a lane, what limits it most first. It
// makes no lane: one that is not in use is explained as it would begin.
func (s *Service) Explain(name string) []Reason {
	now := s.clock.Now()
	l := s.known(name)
	if l == nil {
		key, err := ParseLane(name)
		if err != nil {
			key = Lane{Site: name}
		}
		l = &lane{key: key, name: name, provider: s.providers.of(key.Site)}
	}
	l.mu.Lock()
	s.refresh(l, now)
	out := l.explain(now)
	l.mu.Unlock()
	for _, r := range s.rules.Load().ways {
		if r.Scope == ScopeSite && !r.expired(now) && !netx.IsURL(l.key.Site) && r.covers(l.key) {
			out = append(out, reasonOf(r, "reroute", "mail goes by "+r.Target))
			break
		}
	}
	return out
}

func (l *lane) explain(now time.Time) []Reason {
	var out []Reason
	if p := l.eff.pause; p != nil {
		out = append(out, reasonOf(p, "pause", "no deliveries"))
	}
	switch {
	case l.resting(now):
		out = append(out, Reason{What: "suspension", Effect: "no deliveries", Text: l.rest.describe(), Origin: Auto, Since: l.rest.since, Until: l.rest.until})
	case l.probing(now):
		out = append(out, Reason{What: "suspension", Effect: "one session tries", Text: l.rest.describe(), Origin: Auto, Since: l.rest.since})
	}
	rate, sessions := l.explainRate(), l.explainSessions(now)
	if l.rate() > 0 && l.bucket.wait(now, laneBurst(l.rate())) > 0 {
		out = append(out, rate, sessions) // deliveries wait for it
	} else if l.rate() > 0 {
		out = append(out, sessions, rate)
	} else {
		out = append(out, sessions)
	}
	if l.eff.perConn > 0 {
		out = append(out, l.limitReason(1, "per connection", fmt.Sprintf("%d messages per connection", l.eff.perConn)))
	}
	out[0].Limits = true
	return out
}

// explainSessions says how many sessions there may be and why not more.
func (l *lane) explainSessions(now time.Time) Reason {
	n := l.sessions(now)
	if n == 0 || l.probing(now) {
		n = max(1, min(l.window, l.most()))
	}
	effect := fmt.Sprintf("sessions %d of %d", n, l.eff.sessions)
	if l.slowed() && n >= l.slow.ceiling && l.slow.ceiling < l.eff.sessions {
		return Reason{What: "sessions", Effect: effect, Text: l.slow.text, Origin: Auto, Since: l.slow.last}
	}
	r := l.limitReason(0, "sessions", effect)
	if n < l.eff.sessions {
		r.Text = strings.TrimSuffix("more as deliveries succeed; "+r.Text, "; ")
	}
	return r
}

func (l *lane) explainRate() Reason {
	r := l.rate()
	effect := rateText(r)
	if l.slow.rate > 0 && r == l.slow.rate {
		return Reason{What: "rate", Effect: effect, Text: l.slow.text, Origin: Auto, Since: l.slow.last}
	}
	return l.limitReason(2, "rate", effect)
}

// rateText is a rate in the unit that makes a readable number.
func rateText(perSecond float64) string {
	switch {
	case perSecond >= 1:
		return fmt.Sprintf("%.1f deliveries per second", perSecond)
	case perSecond*60 >= 1:
		return fmt.Sprintf("%.1f deliveries per minute", perSecond*60)
	}
	return fmt.Sprintf("%.1f deliveries per hour", perSecond*3600)
}

// limitReason explains a limit by the rule that set it, or by what is known of
// the destination.
func (l *lane) limitReason(which int, what, effect string) Reason {
	if r := l.eff.by[which]; r != nil {
		return reasonOf(r, what, effect)
	}
	out := Reason{What: what, Effect: effect, Origin: Default, Text: "default"}
	switch {
	case isRelay(l.key.Site):
		out.Text = "default of relays"
	case netx.IsURL(l.key.Site):
		out.Text = "default of URLs"
	case l.provider != nil:
		out.Text = "default for " + l.provider.name
		if l.provider.note != "" {
			out.Text += " (" + l.provider.note + ")"
		}
	}
	return out
}

func reasonOf(r *Rule, what, effect string) Reason {
	return Reason{What: what, Effect: effect, Text: r.Reason, Origin: r.Origin, RuleID: r.ID, Since: r.CreatedAt, Until: r.ExpiresAt}
}

// Status is the state of a lane in use.
type Status struct {
	Lane     string
	Sessions int     // it may have now
	Most     int     // when all is well
	Rate     float64 // limit in deliveries per second, 0 for none
	Observed float64 // deliveries per second over the last minute
	Latency  time.Duration
	Why      string    // what limits it most, as Reason.String
	Stopped  bool      // suspended or paused
	Slowed   bool      // by complaints
	Until    time.Time // of a stop; zero: no end is set
	Replied  time.Time // when the server last said something; zero: not yet
	Code     int       // that reply; its text is empty after a delivery
	Text     string
	MX       string
}

// Lanes returns the lanes in use, stopped ones first, then slowed ones, then by
// name.
func (s *Service) Lanes() []Status {
	now := s.clock.Now()
	s.mu.RLock()
	list := make([]*lane, 0, len(s.lanes))
	for _, l := range s.lanes {
		list = append(list, l)
	}
	s.mu.RUnlock()
	out := make([]Status, 0, len(list))
	for _, l := range list {
		l.mu.Lock()
		s.refresh(l, now)
		out = append(out, Status{l.name, l.sessions(now), l.eff.sessions, l.rate(), l.seen.rate(now), l.latency, l.explain(now)[0].String(),
			l.eff.pause != nil || l.resting(now), l.slowed(), l.until(now), l.said.at, l.said.code, strings.ToValidUTF8(l.said.text, ""), l.said.mx})
		l.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(later(a.Stopped, b.Stopped), later(a.Slowed, b.Slowed), cmp.Compare(a.Lane, b.Lane))
	})
	return out
}

// until is when a lane that is stopped goes on, zero when no end is set.
func (l *lane) until(now time.Time) time.Time {
	switch {
	case l.eff.pause != nil:
		return l.eff.pause.ExpiresAt
	case l.resting(now):
		return l.rest.until
	}
	return time.Time{}
}

// later orders true before false.
func later(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
