package event

import (
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/when"
)

// span is a time range with a direction, as ids. Mailgun: "Time Range".
type span struct {
	from, to  int64 // [from, to); 0 as to: open, what happens later belongs to it
	ascending bool
}

// slack lets ids made in this moment, or on a node whose clock is ahead, into
// a range that ends now.
const slack = time.Second

// parseSpan reads begin, end and ascending of the events API:
//
//   - begin and end: the order follows; ascending, if given, must agree.
//   - begin alone needs ascending: yes is open to the future, no goes back.
//   - end alone: from now back to it, or with ascending=yes from the oldest to it.
//   - none: newest first; with ascending=yes all, open to the future.
func parseSpan(begin, end, ascending string, now time.Time) (span, error) {
	asc, given, err := parseAscending(ascending)
	if err != nil {
		return span{}, err
	}
	b, hasBegin, err := parseInstant("begin", begin)
	if err != nil {
		return span{}, err
	}
	e, hasEnd, err := parseInstant("end", end)
	if err != nil {
		return span{}, err
	}
	switch {
	case hasBegin && hasEnd:
		return spanBetween(b, e, asc, given)
	case hasBegin && !given:
		return span{}, errs.New(errs.Invalid, "Either 'end' or 'ascending' must be provided with 'begin'").
			WithHint("ascending=yes lists what happened after begin, ascending=no what happened before it")
	case hasBegin && asc:
		return span{from: ids.Floor(b), ascending: true}, nil
	case hasBegin:
		return span{to: behind(b)}, nil
	case hasEnd && asc:
		return span{to: behind(e), ascending: true}, nil
	case hasEnd:
		return span{from: ids.Floor(e), to: ids.Floor(now.Add(slack))}, nil
	case asc:
		return span{ascending: true}, nil
	}
	return span{to: ids.Floor(now.Add(slack))}, nil
}

func spanBetween(b, e time.Time, asc, given bool) (span, error) {
	forward := !e.Before(b)
	if given && asc != forward && !e.Equal(b) {
		return span{}, errs.New(errs.Invalid, "'ascending' contradicts 'begin' and 'end'").
			WithHint("a range whose end is older than its begin is descending")
	}
	if given {
		forward = asc
	}
	if e.Before(b) {
		b, e = e, b
	}
	return span{from: ids.Floor(b), to: behind(e), ascending: forward}, nil
}

// behind is the first id after the microsecond of t.
func behind(t time.Time) int64 { return ids.FromMicro(t.UnixMicro() + 1) }

func parseAscending(s string) (asc, given bool, err error) {
	switch strings.ToLower(s) {
	case "":
		return false, false, nil
	case "yes", "true", "1":
		return true, true, nil
	case "no", "false", "0":
		return false, true, nil
	}
	return false, false, errs.New(errs.Invalid, "Invalid value for parameter 'ascending': %s", clip(s, 40)).
		WithHint("ascending is yes or no")
}

// parseInstant reads a parameter; false if it is absent.
func parseInstant(name, s string) (time.Time, bool, error) {
	if strings.TrimSpace(s) == "" {
		return time.Time{}, false, nil
	}
	t, ok := when.Parse(s)
	if !ok {
		return time.Time{}, false, errs.New(errs.Invalid, "Invalid value for parameter '%s': %s", name, clip(s, 60)).
			WithHint("use a date like Thu, 13 Oct 2011 18:02:00 +0000, or seconds since 1970")
	}
	return t, true, nil
}
