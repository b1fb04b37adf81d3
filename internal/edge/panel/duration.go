package panel

import (
	"fmt"
	"strconv"
	"time"
)

// span writes a duration the way a person would say it: "0.6 s", "5 min".
func span(d time.Duration) string {
	switch {
	case d < 0:
		return span(-d)
	case d < time.Millisecond:
		return "0 ms"
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// ago writes a moment relative to now. Within a second of now both directions
// read "now"; beyond a week the date says more than the distance.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d > 7*24*time.Hour || d < -7*24*time.Hour:
		return t.UTC().Format("2 Jan 2006")
	case d < 2*time.Second && d > -2*time.Second:
		return "now"
	case d < 0:
		return "in " + span(-d.Truncate(time.Second))
	case d < 10*time.Second:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	default:
		return span(d) + " ago"
	}
}

// size writes a number of octets in decimal units, as mail limits are given.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
}

// times counts in words as far as words are shorter.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

// ordinal names an attempt.
func ordinal(n int) string {
	switch n {
	case 1:
		return "the first attempt"
	case 2:
		return "the second attempt"
	default:
		return fmt.Sprintf("attempt %d", n)
	}
}

// thousands writes a count with separators.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
