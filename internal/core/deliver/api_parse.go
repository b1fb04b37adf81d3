package deliver

import (
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
)

// units of periods, by what people write.
var units = map[string]time.Duration{"s": time.Second, "sec": time.Second, "second": time.Second, "m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour}

// maxPeriod bounds periods and expiries, so that no sum overflows.
const maxPeriod = 10 * 365 * 24 * time.Hour

// parseSpan reads a duration: 90s, 5m, 2h30m, 3d, 2w.
func parseSpan(text string) (time.Duration, bool) {
	for unit, each := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseUint(digits, 10, 31)
			return time.Duration(min(n, uint64(maxPeriod/each)+1)) * each, err == nil
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// parseRate reads a number of deliveries per time: 5/s, 100/m, 50/10m.
func parseRate(text string) (count int64, period time.Duration, err error) {
	bad := func() (int64, time.Duration, error) {
		return 0, 0, errs.New(errs.Invalid, "%q is not a rate: 5/s, 100/m, 1000/h, 20000/d or 50/10m", text)
	}
	number, per, ok := strings.Cut(text, "/")
	if count, err = strconv.ParseInt(strings.TrimSpace(number), 10, 64); !ok || err != nil || count <= 0 {
		return bad()
	}
	per = strings.ToLower(strings.TrimSpace(per))
	if period, ok = units[per]; !ok {
		period, ok = parseSpan(per)
	}
	if !ok || period <= 0 || period > maxPeriod {
		return bad()
	}
	return count, period, nil
}

// periodText writes a rate as parseRate reads it, "" for none.
func periodText(count int64, period time.Duration) string {
	if count == 0 {
		return ""
	}
	n := strconv.FormatInt(count, 10) + "/"
	for _, u := range [...]struct {
		name string
		d    time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		switch {
		case period == u.d:
			return n + u.name
		case period%u.d == 0:
			return n + strconv.FormatInt(int64(period/u.d), 10) + u.name
		}
	}
	return n + period.String()
}

// parseExpiry reads when something ends: after a duration, or at a time. The
// zero time is never.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if d, ok := parseSpan(text); ok {
		if d <= 0 || d > maxPeriod {
			return time.Time{}, errs.New(errs.Invalid, "expires: %q is not between now and ten years", text)
		}
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return time.Time{}, errs.New(errs.Invalid, "expires: %q is neither a duration (90m, 2h, 3d) nor a time (2026-11-20T18:00:00Z)", text)
	case !t.After(now):
		return time.Time{}, errs.New(errs.Invalid, "expires: %s is over", text)
	case t.After(now.Add(maxPeriod)):
		return time.Time{}, errs.New(errs.Invalid, "expires: %q is not between now and ten years", text)
	}
	return t, nil
}
