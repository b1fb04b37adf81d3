package shape

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postroad/internal/mail/classify"
)

// Report is how an attempt went, seen from its lane.
type Report struct {
	Verdict classify.Verdict
	Code    int    // the deciding reply's, or the one the attempt was given
	Text    string // its words, for Explain
	// Delivered: the message was taken over, for one recipient at least.
	Delivered bool
	// Connected: the server greeted us. An attempt that was refused in the
	// greeting, or found nobody, is not connected.
	Connected bool
	// Deliveries is for how many recipients the message was taken over; 0 with
	// Delivered means one.
	Deliveries int
	Latency    time.Duration // of the transaction
}

// words is the reason people get to read.
func (r *Report) words() string {
	text := r.Text
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	text = strings.Join(strings.Fields(text), " ")
	code := strconv.Itoa(r.Code)
	switch {
	case text == "" && r.Code == 0:
		return r.Verdict.Class.String()
	case r.Code == 0 || strings.HasPrefix(text, code):
		return text
	}
	return strings.TrimSpace(code + " " + text)
}

// meaning is what a report says about its lane.
type meaning uint8

const (
	neutral meaning = iota // they talk to us; the rest is about a message
	success
	complaint // too much
	overload  // they have trouble: fewer sessions, the rate is not the point
	refusal   // our address is blocked
	silence   // nobody there
)

// meaning reads a report. What is about one recipient, message or sender is
// not about the lane, nor is a connection that was used enough.
func (r *Report) meaning() meaning {
	v := &r.Verdict
	ours := v.Scope == classify.ScopeSource
	switch {
	case r.Delivered:
		return success
	case v.Class == classify.RateLimited && ours:
		return complaint
	case v.Class == classify.Blocklisted && ours:
		return refusal
	case v.Class == classify.ServerBusy && (r.Code == 421 || !r.Connected), v.Class == classify.Greylisted && !r.Connected:
		return overload
	case !r.Connected && v.Class != classify.RateLimited && v.Class != classify.Blocklisted:
		return silence
	}
	return neutral
}

// report lets the lane learn from an attempt. It returns whether a limit rose
// and whether the lane's suspension changed.
func (l *lane) report(now time.Time, r *Report) (rose, changed bool) {
	rose = l.recover(now)
	if l.slow.hold > 0 {
		l.slow.hold--
	}
	was := l.rest
	switch r.meaning() {
	case success:
		rose = l.succeed(now, r) || rose
	case neutral:
		l.fails = 0
		if l.rest.cause == dead || l.rest.cause == loaded && l.probing(now) {
			l.wake()
		}
	case complaint:
		l.complain(now, r, !r.Verdict.Connections)
	case overload:
		l.complain(now, r, false)
	case refusal:
		l.refuse(now, r)
	case silence:
		l.miss(now, r)
	}
	changed = was.cause != l.rest.cause || !was.until.Equal(l.rest.until)
	return rose || changed && l.rest.cause == awake, changed
}

// succeed opens sessions and ends suspensions. What was in flight when a
// suspension for a complaint began does not speak against it.
func (l *lane) succeed(now time.Time, r *Report) bool {
	l.seen.add(now, max(1, r.Deliveries))
	if r.Latency > 0 {
		l.latency += (r.Latency - l.latency) / 16
	}
	l.fails = 0
	if l.resting(now) && l.rest.cause != dead {
		return false
	}
	l.good, l.accused = now, 0
	if l.rest.cause != awake {
		l.wake()
		return true
	}
	if l.window >= l.most() {
		l.credit = 0
		return false
	}
	if l.calm {
		l.credit += quickStart
	} else {
		l.credit += 1 / float64(l.window)
	}
	if l.credit < 1 {
		return false
	}
	l.credit--
	l.window++
	return true
}

// complain halves the sessions and, if the complaint is about messages, the
// rate. What the sessions of that moment say next is the same complaint. One
// that comes although nothing is left to halve suspends the lane.
func (l *lane) complain(now time.Time, r *Report, messages bool) {
	if l.resting(now) {
		return
	}
	if l.probing(now) {
		l.sleep(now, loaded, r.words())
		return
	}
	first := !l.slowed()
	if !first {
		l.slow.last, l.slow.text = now, r.words()
		if l.slow.hold > 0 && now.Sub(l.slow.step) < settle {
			return
		}
	}
	had := l.sessions(now)
	if !first && had == 1 && (!messages || l.slow.rate > 0 && l.slow.rate <= leastRate || l.seen.rate(now) <= leastRate) {
		l.sleep(now, loaded, r.words())
		return
	}
	if first {
		l.slow = slowdown{since: now, last: now, text: r.words()}
	}
	l.slow.ceiling, l.slow.hold, l.slow.step = max(1, had/2), had, now
	l.window, l.credit, l.calm = l.slow.ceiling, 0, false
	if messages {
		l.lower(now)
	}
}

// lower halves the rate, or begins one with half of what was sent lately.
func (l *lane) lower(now time.Time) {
	r := l.rate()
	if r == 0 {
		r = l.seen.rate(now)
		l.slow.goal = max(r, firstRate)
		l.slow.rate = max(r/2, firstRate)
		return
	}
	l.slow.goal = max(l.slow.goal, r)
	l.slow.rate = max(r/2, min(r, leastRate))
}

// refuse rests a lane whose source is blocked. A reply that a delivery of the
// last minute contradicts may be one recipient's own list: it has to be said
// again.
func (l *lane) refuse(now time.Time, r *Report) {
	if l.resting(now) && l.rest.cause == blocked {
		return
	}
	if r.Connected && l.rest.cause == awake && !l.good.IsZero() && now.Sub(l.good) < contradiction {
		if l.accused++; l.accused < accusations {
			return
		}
	}
	l.sleep(now, blocked, r.words())
}

// miss counts attempts that found nobody. As many in a row as there may be
// sessions mean that nobody is there.
func (l *lane) miss(now time.Time, r *Report) {
	switch {
	case l.resting(now):
		return
	case l.probing(now):
		l.sleep(now, dead, r.words())
		return
	}
	l.fails += 1 / float64(max(1, l.sessions(now)))
	if l.fails > 1-1e-9 {
		l.sleep(now, dead, r.words())
	}
}

// text is how a suspension is explained.
func (c cause) text(reply string) string {
	switch c {
	case dead:
		return "nobody answers: " + reply
	case loaded:
		return "they take hardly anything: " + reply
	case blocked:
		return "our address is refused: " + reply
	}
	return reply
}

// describe names the suspension's reason and step.
func (r *rest) describe() string {
	if r.step <= 1 {
		return r.cause.text(r.text)
	}
	return fmt.Sprintf("%s (%d times in a row)", r.cause.text(r.text), r.step)
}
