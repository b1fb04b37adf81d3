package resend

import (
	"strconv"
	"strings"
	"time"
)

// maxTime bounds a time in bytes.
const maxTime = 64

// layouts are the forms of ISO 8601 that are understood; without a zone it is UTC.
var layouts = [...]string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04"}

// parseTime reads when an email is to be sent: ISO 8601, "in 1 hour", "tomorrow at
// 9am", "Friday at 3pm ET". Resend: these are the documented forms of its natural
// language.
func parseTime(s string, now time.Time) (time.Time, error) {
	bad := invalid("The `scheduled_at` field is not understood: use ISO 8601 (2026-08-05T11:52:01.858Z), `in 1 hour`, `tomorrow at 9am` or `Friday at 3pm ET`.")
	if len(s) > maxTime {
		return time.Time{}, bad
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, strings.TrimSpace(s)); err == nil {
			return t.UTC(), nil
		}
	}
	words := strings.Fields(strings.ToLower(s))
	if len(words) == 3 && words[0] == "in" {
		if d, ok := span(words[1], words[2]); ok {
			return now.Add(d).UTC(), nil
		}
		return time.Time{}, bad
	}
	if t, ok := onDay(words, now); ok {
		return t.UTC(), nil
	}
	return time.Time{}, bad
}

// span reads a number and a unit.
func span(number, unit string) (time.Duration, bool) {
	n, err := strconv.Atoi(number)
	if number == "a" || number == "an" {
		n, err = 1, nil
	}
	if err != nil || n < 0 || n > 10_000_000 {
		return 0, false
	}
	var d time.Duration
	switch strings.TrimSuffix(unit, "s") {
	case "sec", "second":
		d = time.Second
	case "min", "minute":
		d = time.Minute
	case "h", "hr", "hour":
		d = time.Hour
	case "day":
		d = 24 * time.Hour
	case "week":
		d = 7 * 24 * time.Hour
	default:
		return 0, false
	}
	if n > int(366*24*time.Hour/d) {
		n = int(366 * 24 * time.Hour / d) // further than anybody may ask for
	}
	return time.Duration(n) * d, true
}

// onDay reads a day, "at", a time of day and perhaps a zone, UTC without.
func onDay(words []string, now time.Time) (time.Time, bool) {
	if len(words) < 3 || words[1] != "at" {
		return time.Time{}, false
	}
	clock := words[2]
	rest := words[3:]
	if len(rest) > 0 && (rest[0] == "am" || rest[0] == "pm") {
		clock, rest = clock+rest[0], rest[1:]
	}
	zone := time.UTC
	if len(rest) == 1 {
		if zone = zoneOf(rest[0]); zone == nil {
			return time.Time{}, false
		}
	} else if len(rest) > 1 {
		return time.Time{}, false
	}
	hour, minute, ok := timeOfDay(clock)
	if !ok {
		return time.Time{}, false
	}
	now = now.In(zone)
	at := func(days int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+days, hour, minute, 0, 0, zone)
	}
	return pickDay(words[0], now, at)
}

func pickDay(day string, now time.Time, at func(days int) time.Time) (time.Time, bool) {
	switch day {
	case "today":
		return at(0), true
	case "tomorrow":
		return at(1), true
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := strings.ToLower(d.String())
		if day != name && day != name[:3] {
			continue
		}
		days := (int(d) - int(now.Weekday()) + 7) % 7
		if t := at(days); t.After(now) {
			return t, true
		}
		return at(days + 7), true
	}
	return time.Time{}, false
}

// timeOfDay reads 9am, 9:30pm, 15:00, noon and midnight.
func timeOfDay(s string) (hour, minute int, ok bool) {
	switch s {
	case "noon":
		return 12, 0, true
	case "midnight":
		return 0, 0, true
	}
	for _, l := range []string{"3pm", "3:04pm", "15:04"} {
		if t, err := time.Parse(l, s); err == nil {
			return t.Hour(), t.Minute(), true
		}
	}
	return 0, 0, false
}

// zoneOf returns the zone of a usual name, nil when it is not known. Those that
// change in summer are of the system's table.
func zoneOf(name string) *time.Location {
	const h = 3600
	switch name {
	case "utc", "gmt", "z":
		return time.UTC
	case "est", "cdt":
		return time.FixedZone(name, -5*h)
	case "edt":
		return time.FixedZone(name, -4*h)
	case "cst", "mdt":
		return time.FixedZone(name, -6*h)
	case "mst", "pdt":
		return time.FixedZone(name, -7*h)
	case "pst":
		return time.FixedZone(name, -8*h)
	}
	place, ok := map[string]string{"et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles"}[name]
	if !ok {
		return nil
	}
	l, err := time.LoadLocation(place)
	if err != nil {
		return nil
	}
	return l
}
