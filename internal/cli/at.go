package cli

import (
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// parseAt reads a point in time as people write it. Without a zone it is in
// loc. A time that is over is an error: the server would send at once, which is
// not what was asked for.
func parseAt(text string, now time.Time, loc *time.Location) (time.Time, error) {
	t, ok := readAt(strings.TrimSpace(text), now.In(loc), loc)
	if !ok {
		return t, usage("--at: %q is not a time", clean(text)).try("--at +90m, --at 18:30 or --at '2006-01-02 18:30'")
	}
	if t.Before(now) {
		return t, usage("--at: %s is over", t.In(loc).Format("2006-01-02 15:04:05 MST"))
	}
	return t, nil
}

func readAt(s string, now time.Time, loc *time.Location) (time.Time, bool) {
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "+")); err == nil {
		return now.Add(d), true
	}
	if sec, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(sec, 0), sec > 0 && sec < 1e11
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return nextTime(t, now, loc), true
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, true
		}
	}
	t, err := mail.ParseDate(s)
	return t, err == nil
}

// nextTime is the next moment at which clocks show the time of day of t.
func nextTime(t, now time.Time, loc *time.Location) time.Time {
	at := func(day int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+day, t.Hour(), t.Minute(), t.Second(), 0, loc)
	}
	if today := at(0); !today.Before(now) {
		return today
	}
	return at(1)
}
