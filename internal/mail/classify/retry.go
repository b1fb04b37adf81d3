package classify

import (
	"strings"
	"time"
)

// leads are the words before a number that make it a wait and not, say, a
// count of messages.
var leads = [...]string{"in", "after", "for", "wait", "again", "another", "least", "about", "next", "within"}

// units are the words behind it, the longer before their beginnings.
var units = [...]struct {
	word string
	unit time.Duration
}{
	{"second", time.Second}, {"sec", time.Second}, {"minute", time.Minute}, {"min", time.Minute}, {"hour", time.Hour}, {"hr", time.Hour},
	{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour},
}

// retryAfter finds how long a reply asks us to wait: "in 300 seconds", "for 5
// minutes", "in 00:04:59"; 0 when it does not say.
func retryAfter(text string) time.Duration {
	text = text[:min(len(text), maxText)]
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) {
			continue
		}
		begin := i
		for i < len(text) && (digit(text[i]) || text[i] == ':') {
			i++
		}
		if !led(text[:begin]) {
			continue
		}
		if d := wait(text[begin:i], text[i:]); d > 0 {
			return min(max(d, minRetry), maxRetry)
		}
	}
	return 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// led reports whether what stands before a number ends with one of the leads.
func led(before string) bool {
	t := strings.TrimRight(before, " \n")
	if len(t) == len(before) {
		return false
	}
	word := t[max(0, len(t)-8):]
	if i := strings.LastIndexAny(word, " \n(,;:."); i >= 0 {
		word = word[i+1:]
	}
	for _, l := range leads {
		if strings.EqualFold(word, l) {
			return true
		}
	}
	return false
}

// wait reads a number and its unit, or hours, minutes and seconds.
func wait(num, rest string) time.Duration {
	if h, ms, ok := strings.Cut(num, ":"); ok {
		m, s, ok := strings.Cut(ms, ":")
		if !ok {
			return 0
		}
		a, ok1 := number(h)
		b, ok2 := number(m)
		c, ok3 := number(s)
		if !ok1 || !ok2 || !ok3 {
			return 0
		}
		return time.Duration(a)*time.Hour + time.Duration(b)*time.Minute + time.Duration(c)*time.Second
	}
	n := 0
	for i := range len(num) {
		if n = n*10 + int(num[i]-'0'); n > 1e6 {
			return 0
		}
	}
	rest = strings.TrimLeft(rest, " \n")
	for _, u := range units {
		if len(rest) >= len(u.word) && strings.EqualFold(rest[:len(u.word)], u.word) && !letter(strings.TrimPrefix(strings.ToLower(rest[len(u.word):min(len(rest), len(u.word)+2)]), "s")) {
			return time.Duration(n) * u.unit
		}
	}
	return 0
}

// letter reports whether s begins with a letter: the word went on.
func letter(s string) bool { return s != "" && (s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z') }
