package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// clean makes a text that came from anywhere safe for a terminal: control
// characters, which may move the cursor or change the title, and characters that
// turn the direction of writing become question marks, line ends become blanks.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.IsControl(r), r == unicode.ReplacementChar, isBidiControl(r), r == '\u2028' || r == '\u2029':
			return '?'
		}
		return r
	}, s)
}

func isBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

// textWidth is the number of terminal columns s takes.
func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens s to n columns, marking that it did.
func cut(s string, n int) string {
	if textWidth(s) <= n {
		return s
	}
	mark := "..."
	if n < len(mark)+2 {
		mark = ""
	}
	var b strings.Builder
	left := n - len(mark)
	for _, r := range s {
		if left -= runeWidth(r); left < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + mark
}

// cutFront shortens s to its last n columns, marking that it did.
func cutFront(s string, n int) string {
	total := textWidth(s)
	if total <= n {
		return s
	}
	mark := "..."
	if n < len(mark)+2 {
		mark = ""
	}
	for i, r := range s {
		if total <= n-len(mark) {
			return mark + s[i:]
		}
		total -= runeWidth(r)
	}
	return mark
}

// when writes a time for people: only the time of day on the day itself.
func (e *Env) when(t time.Time) string {
	t, now := t.In(e.zone()), e.clock().Now().In(e.zone())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// ago writes how long before now t is, or "in" how long.
func (e *Env) ago(t time.Time) string {
	d := e.clock().Now().Sub(t)
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

// span writes a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// bytesText writes a number of bytes in units of 1024.
func bytesText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, unit := float64(n)/1024, "KB"
	for _, u := range []string{"MB", "GB", "TB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
