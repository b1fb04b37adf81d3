package shape

import "time"

// bucket is a limit over time by the generic cell rate algorithm: due is when
// the deliveries let through so far would have been sent at an even pace.
type bucket struct{ due time.Time }

// take lets n deliveries through at a rate per second and returns 0, or returns
// how long to wait. burst is how far ahead of the pace it may be. More than the
// burst at once goes through when the bucket is level and is paid for later, so
// that a large transaction is never stuck.
func (b *bucket) take(now time.Time, n int, rate float64, burst time.Duration) time.Duration {
	if wait := b.due.Add(-burst).Sub(now); wait > 0 {
		return max(wait, time.Millisecond)
	}
	if b.due.Before(now) {
		b.due = now
	}
	b.due = b.due.Add(pace(rate, n))
	return 0
}

// wait is take without taking.
func (b *bucket) wait(now time.Time, burst time.Duration) time.Duration {
	return max(0, b.due.Add(-burst).Sub(now))
}

// pace is the time n deliveries take at a rate, at most a year.
func pace(rate float64, n int) time.Duration {
	const year = 365 * 24 * time.Hour
	if s := float64(n) / rate; s < year.Seconds() {
		return time.Duration(s * float64(time.Second))
	}
	return year
}

// laneBurst is how far a lane may be ahead: a second, or what less than one
// delivery per second needs to send one. Servers count in short windows.
func laneBurst(rate float64) time.Duration {
	if one := pace(rate, 1); one < time.Second {
		return time.Second - one
	}
	return 0
}

// Observation is in spans of ten seconds over the last minute.
const (
	spans  = 6
	spanOf = 10 * time.Second
)

// observed counts deliveries of the last minute.
type observed struct {
	count [spans]uint32
	span  int64 // number of the current span
	first int64 // number of the first span with a delivery in the minute
}

func spanAt(now time.Time) int64 { return now.UnixNano() / int64(spanOf) }

// shift forgets what is older than a minute. A clock that went back begins
// anew.
func (o *observed) shift(now time.Time) {
	at := spanAt(now)
	if at == o.span {
		return
	}
	if at < o.span || at-o.span >= spans {
		*o = observed{span: at, first: at}
		return
	}
	for o.span < at {
		o.span++
		o.count[o.span%spans] = 0
	}
	o.first = max(o.first, at-spans+1)
}

func (o *observed) add(now time.Time, n int) {
	o.shift(now)
	o.count[o.span%spans] += uint32(n)
}

// rate is the deliveries per second over the last minute, or over the time
// since the first of them.
func (o *observed) rate(now time.Time) float64 {
	o.shift(now)
	sum := 0.0
	for _, n := range o.count {
		sum += float64(n)
	}
	return sum / (float64(o.span-o.first+1) * spanOf.Seconds())
}
