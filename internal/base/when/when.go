// Package when reads dates the way the API takes them.
package when

import (
	"math"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// maxEpoch is where the range of dates ends, the year 2200.
const maxEpoch = 7_258_118_400

// Parse reads a date: RFC 2822 with the zone names of its obsolete syntax
// (which net/mail takes for UTC), RFC 3339, or seconds since 1970 with or
// without a fraction. A "+" of the zone that arrived as a blank, as it does when
// a client does not escape it, is understood. Dates before 1970 and after 2200
// are refused.
func Parse(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return time.Time{}, false
	}
	if t, ok := common(s); ok {
		return inRange(t)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if !(f >= 0 && f <= maxEpoch) { // NaN fails both
			return time.Time{}, false
		}
		return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), true
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = mail.ParseDate(zone(s))
	}
	if err != nil {
		return time.Time{}, false
	}
	return inRange(t)
}

func inRange(t time.Time) (time.Time, bool) {
	if t.Unix() < 0 || t.Unix() > maxEpoch {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// common reads the one form nearly all mail software writes. net/mail reads it
// as well, but tries its layouts one after the other, and each that fails makes
// an error.
func common(s string) (time.Time, bool) {
	if len(s) != len(time.RFC1123Z) || s[3] != ',' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC1123Z, s)
	return t, err == nil
}

// zone makes the last word an offset (RFC 5322 section 4.3).
func zone(s string) string {
	words := strings.Fields(s)
	n := len(words) - 1
	if n < 1 {
		return s
	}
	w := words[n]
	switch strings.ToUpper(w) {
	case "GMT", "UTC", "UT", "Z":
		w = "+0000"
	case "EDT":
		w = "-0400"
	case "EST", "CDT":
		w = "-0500"
	case "CST", "MDT":
		w = "-0600"
	case "MST", "PDT":
		w = "-0700"
	case "PST":
		w = "-0800"
	default:
		if _, err := strconv.ParseUint(w, 10, 16); err == nil && len(w) == 4 && strings.Contains(words[n-1], ":") {
			w = "+" + w
		}
	}
	return strings.Join(append(words[:n:n], w), " ")
}

// Before returns the time a duration before end, and the unit it is in: a number
// and h (hours), d (days) or m (calendar months), such as 7d; ten years of months
// and 10,000 of the others at most. Mailgun: durations of statistics and logs.
func Before(end time.Time, duration string) (start time.Time, unit byte, ok bool) {
	n := len(duration) - 1
	if n < 1 {
		return end, 0, false
	}
	count, err := strconv.ParseUint(duration[:n], 10, 16)
	if err != nil || count == 0 || count > 10_000 {
		return end, 0, false
	}
	switch unit = duration[n]; {
	case unit == 'h':
		return end.Add(-time.Duration(count) * time.Hour), unit, true
	case unit == 'd':
		return end.AddDate(0, 0, -int(count)), unit, true
	case unit == 'm' && count <= 120:
		return end.AddDate(0, -int(count), 0), unit, true
	}
	return end, 0, false
}
