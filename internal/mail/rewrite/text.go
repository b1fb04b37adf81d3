package rewrite

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/mail/linktoken"
)

// Syntax is how a plain text is written.
type Syntax struct {
	// Placeholder returns the length of the placeholder s begins with, 0 if there
	// is none. It is never cut.
	Placeholder func(s string) int
	// DelSp: lines that end with a blank go on in the next one without it (RFC 3676
	// section 4).
	DelSp bool
}

// Text looks through a plain text for at most max links: runs that begin with
// http://, https:// or a placeholder and end where programs that make links of
// URLs end them. Punctuation behind a URL is not of it, nor is a closing bracket
// that was opened before it. A URL the sender broke over lines, in angle brackets
// or by DelSp, is none.
func Text(s string, max int, syn Syntax) (links []Link) {
	for i := 0; len(links) < max; {
		j := strings.IndexAny(s[i:], ":%")
		if j < 0 {
			break
		}
		from := i // nothing before it is part of a link
		i += j
		start := i
		switch {
		case s[i] == '%':
			n := syn.Placeholder(s[i:])
			if n == 0 || !boundary(s[:i]) {
				i += max1(n)
				continue
			}
		default:
			if start = scheme(s[from:i]); start < 0 || !strings.HasPrefix(s[i:], "://") {
				i++
				continue
			}
			start += from
		}
		end, sure := syn.run(s, i)
		i = end
		if !sure || syn.broken(s, start, end) {
			continue
		}
		if l := (Link{Start: start, End: start + trimmed(s[start:end])}); l.End > start && l.End-start <= 2*linktoken.MaxURL {
			links = append(links, l)
		}
	}
	return links
}

func max1(n int) int { return max(n, 1) }

// scheme returns where the http or https at the end of s begins, -1 without one.
func scheme(s string) int {
	for _, name := range [...]string{"https", "http"} {
		if i := len(s) - len(name); i >= 0 && strings.EqualFold(s[i:], name) && (i == 0 || !alnum(s[i-1])) {
			return i
		}
	}
	return -1
}

// boundary reports whether a URL may begin behind s.
func boundary(s string) bool {
	return s == "" || strings.IndexByte(" \t\r\n<([{\"'*>|", s[len(s)-1]) >= 0
}

// run returns the end of the run of characters of a URL that contains s[i]. sure
// is false where programs differ about it.
func (syn *Syntax) run(s string, i int) (end int, sure bool) {
	for i < len(s) {
		c := s[i]
		switch {
		case c == '%':
			i += max1(syn.Placeholder(s[i:]))
		case c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f:
			return i, true
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
				return i, false // no blanks between words: the sentence may go on here
			case !inWord(r):
				next, _ := utf8.DecodeRuneInString(s[i+n:])
				return i, unicode.IsSpace(r) || !inWord(next)
			}
			i += n
		}
	}
	return i, true
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) }

// broken reports whether the URL in s[start:end] goes on elsewhere, or in
// templating that does not count as part of it.
func (syn *Syntax) broken(s string, start, end int) bool {
	rest := s[end:]
	switch {
	case templated(s[start:min(end+len("<%"), len(s))]):
		return true
	case syn.DelSp && (strings.HasPrefix(rest, " \r\n") || strings.HasPrefix(rest, " \n")):
		return true
	}
	return start > 0 && s[start-1] == '<' && rest != "" && (rest[0] == '\r' || rest[0] == '\n')
}

// trimmed returns the length of a URL without what punctuates the sentence it
// stands in.
func trimmed(s string) int {
	const pairs = "()[]{}"
	open := [3]int{}
	for i, o := range [...]byte{'(', '[', '{'} {
		open[i] = strings.Count(s, string(o)) - strings.Count(s, pairs[2*i+1:2*i+2])
	}
	n := len(s)
	for ; n > 0; n-- {
		c := s[n-1]
		if strings.IndexByte(".,:;!?'*`~", c) >= 0 {
			continue
		}
		k := strings.IndexByte(pairs, c)
		if k < 0 {
			break
		}
		if k%2 == 0 { // opens what was not closed
			open[k/2]--
		} else if open[k/2] < 0 {
			open[k/2]++
		} else {
			break
		}
	}
	return n
}
