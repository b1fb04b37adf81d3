package shape

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxWait bounds every wait that is told to the queue, so that a rule that
	// is lifted, or an early recovery, is noticed.
	maxWait = time.Hour
	// longRest is what a suspension must exceed to be written down.
	longRest = 5 * time.Minute
	// staleRest is how long after its end a suspension nobody probed still
	// counts as the last step.
	staleRest = 6 * time.Hour
	// quickStart is what one success adds to the sessions of a lane nobody ever
	// complained about; afterwards it is one divided by their number.
	quickStart = 0.25
	// recoverEvery is how often a lane without complaints gets something back.
	recoverEvery = time.Minute
	// settle is how long complaints are taken to be about what was in flight at
	// the first of them.
	settle = 10 * time.Second
	// leastRate is how far complaints lower a rate, firstRate how far the first
	// of them, in deliveries per second.
	leastRate = 1.0 / 60
	firstRate = 10.0 / 60
	// contradiction is how long a delivery speaks against a reply that says we
	// are blocked; accusations is how many such replies in a row speak louder.
	contradiction = time.Minute
	accusations   = 3
)

// cause is why a lane rests.
type cause uint8

const (
	awake   cause = iota
	dead          // nobody answers
	loaded        // they complain although we hardly send
	blocked       // our address is refused
)

// Steps of suspensions in a row; the last one repeats.
var (
	deadSteps    = [...]time.Duration{1 * time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour}
	blockedSteps = [...]time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour}
)

func (c cause) length(step int) time.Duration {
	if c == blocked {
		return blockedSteps[min(max(step, 1), len(blockedSteps))-1]
	}
	return deadSteps[min(max(step, 1), len(deadSteps))-1]
}

// rest is a suspension. When its time is over the lane is probed by one
// session until something speaks for ending or prolonging it.
type rest struct {
	cause cause
	step  int // how often in a row
	since time.Time
	until time.Time
	text  string
	told  bool // that its time is over
}

// slowdown is what complaints did to a lane and why.
type slowdown struct {
	since, last time.Time // first and last complaint; zero: no slowdown
	step        time.Time // last complaint or recovery
	text        string
	ceiling     int     // sessions
	rate        float64 // deliveries per second, 0 for no limit
	goal        float64 // rate at which its limit has recovered
	hold        int     // reports until another complaint counts
}

// said is the last reply a lane got, for people to read.
type said struct {
	at   time.Time
	code int
	text string
	mx   string
}

// lane is the state of one lane.
type lane struct {
	key  Lane
	name string
	used atomic.Int64 // seconds since 1970 of the last question or report

	mu       sync.Mutex
	provider *provider
	mx       string // host last looked up among the providers
	eff      effective
	gen      uint64 // of the rules in eff, 0 before the first
	start    int

	window  int     // sessions that successes have opened
	credit  float64 // towards the next one
	calm    bool    // no complaint since the last recovery
	fails   float64 // share of a cohort of sessions that found nobody
	slow    slowdown
	rest    rest
	bucket  bucket
	seen    observed
	good    time.Time // last delivery
	said    said
	accused int
	latency time.Duration // moving average of deliveries
}

func (l *lane) probing(now time.Time) bool { return l.rest.cause != awake && !now.Before(l.rest.until) }
func (l *lane) resting(now time.Time) bool { return l.rest.cause != awake && now.Before(l.rest.until) }
func (l *lane) slowed() bool               { return !l.slow.since.IsZero() }

// most is the number of sessions the lane may have when all is well now.
func (l *lane) most() int {
	if l.slowed() {
		return min(l.eff.sessions, l.slow.ceiling)
	}
	return l.eff.sessions
}

// sessions is the number it may have.
func (l *lane) sessions(now time.Time) int {
	switch {
	case l.eff.pause != nil || l.resting(now):
		return 0
	case l.probing(now):
		return 1
	}
	return max(1, min(l.window, l.most()))
}

// rate is the limit in deliveries per second, 0 for none.
func (l *lane) rate() float64 {
	if l.slow.rate > 0 && (l.eff.rate == 0 || l.slow.rate < l.eff.rate) {
		return l.slow.rate
	}
	return l.eff.rate
}

// take asks leave for n deliveries.
func (l *lane) take(now time.Time, n int) time.Duration {
	switch {
	case l.eff.pause != nil && l.eff.pause.ExpiresAt.IsZero():
		return maxWait
	case l.eff.pause != nil:
		return bounded(l.eff.pause.ExpiresAt.Sub(now))
	case l.resting(now):
		return bounded(l.rest.until.Sub(now))
	}
	r := l.rate()
	if r == 0 || n <= 0 {
		return 0
	}
	if d := l.bucket.take(now, n, r, laneBurst(r)); d > 0 {
		return bounded(d)
	}
	return 0
}

func bounded(d time.Duration) time.Duration { return min(max(d, time.Millisecond), maxWait) }

// adopt takes over new limits.
func (l *lane) adopt(e effective, start int) {
	if e.sessions <= 0 {
		e.sessions = 1
	}
	l.eff, l.start = e, min(start, e.sessions)
	if l.gen == 0 {
		l.window, l.calm = l.start, true
	}
	l.window = max(1, min(l.window, e.sessions))
	if isRelay(l.key.Site) && l.calm && l.rest.cause == awake {
		l.window = max(l.window, l.start)
	}
}

// recover gives back what complaints took, one part per minute without another.
// It reports whether a limit rose.
func (l *lane) recover(now time.Time) bool {
	if l.rest.cause != awake && now.Sub(l.rest.until) > staleRest {
		l.wake()
	}
	if !l.slowed() {
		return false
	}
	if now.Before(l.slow.step) { // the clock went back
		l.slow.step = now
	}
	n := min(int(now.Sub(l.slow.step)/recoverEvery), 1<<16)
	if n == 0 {
		return false
	}
	l.slow.step = l.slow.step.Add(time.Duration(n) * recoverEvery)
	l.slow.ceiling = min(l.slow.ceiling+n*max(1, l.eff.sessions/20), l.eff.sessions)
	if l.slow.rate > 0 {
		goal := l.slow.goal
		if l.eff.rate > 0 {
			goal = l.eff.rate
		}
		if l.slow.rate += float64(n) * goal / 10; l.slow.rate >= goal {
			l.slow.rate = 0
		}
	}
	if l.slow.ceiling == l.eff.sessions && l.slow.rate == 0 {
		l.slow, l.calm = slowdown{}, true
		l.window = max(l.window, l.start)
	}
	return true
}

// wake ends a suspension.
func (l *lane) wake() {
	was := l.rest.cause
	l.rest, l.fails, l.accused = rest{}, 0, 0
	if was == dead {
		l.window = l.start
	} else {
		l.window = 1
	}
	l.credit = 0
}

// sleep begins a suspension or, when the probe after one failed too, the next.
func (l *lane) sleep(now time.Time, c cause, text string) {
	step := 1
	if l.rest.cause == c {
		step = min(l.rest.step+1, 100)
	}
	since := now
	if l.rest.cause != awake {
		since = l.rest.since
	}
	l.rest = rest{cause: c, step: step, since: since, until: now.Add(c.length(step)), text: text}
	l.fails, l.accused, l.credit, l.window = 0, 0, 0, 1
}
