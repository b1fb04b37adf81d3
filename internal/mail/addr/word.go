package addr

import (
	"strings"
	"unicode/utf8"
)

// localOrWord reads a quoted string, unquoted, or a run of characters that
// may be in an atom, a local part or a name as people write it.
func (p *parser) localOrWord() (string, error) {
	if p.s[p.i] == '"' {
		return p.quoted()
	}
	start := p.i
	for p.i < len(p.s) && wordByte(p.s[p.i]) {
		p.i++
	}
	if p.i == start {
		return "", p.fail(start, p.strayReason())
	}
	return p.s[start:p.i], nil
}

func (p *parser) strayReason() Reason {
	switch p.s[p.i] {
	case '>':
		return ReasonBracket
	case ')':
		return ReasonComment
	}
	return ReasonLocal
}

// wordByte goes beyond the atom by dots (RFC 5322 obs-phrase), UTF-8, and by
// brackets, which people put in names.
func wordByte(c byte) bool {
	return isAtext(c) || c == '.' || c >= utf8.RuneSelf || c == '[' || c == ']'
}

func (p *parser) quoted() (string, error) {
	start := p.i
	p.i++
	end := strings.IndexAny(p.s[p.i:], `"\`)
	if end >= 0 && p.s[p.i+end] == '"' {
		text := p.s[p.i : p.i+end]
		p.i += end + 1
		return text, nil
	}
	var b strings.Builder
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return b.String(), nil
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			b.WriteByte(p.s[p.i])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail(start, ReasonQuote)
}

// skip passes blanks and comments; the text of the last comment is kept, as
// old programs put the name there.
func (p *parser) skip() error {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t':
			p.i++
		case '(':
			if err := p.readComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (p *parser) readComment() error {
	start, depth := p.i, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.comment = p.s[start+1 : p.i]
				p.i++
				return nil
			}
		}
	}
	p.i = len(p.s)
	return p.fail(start, ReasonComment)
}

// phrase collects the words of a name. Its words stay slices of the input as
// long as there is only one.
type phrase struct {
	n      int // words
	start  int // offset of the first word
	end    int // offset behind the last word
	size   int
	first  string
	rest   strings.Builder
	commas bool
}

// add appends the word that stands at start to end of the input. Words that
// touch in the input touch in the name.
func (ph *phrase) add(text string, start, end int) {
	if ph.n == 0 {
		ph.first, ph.start = text, start
	} else {
		if ph.n == 1 {
			ph.rest.WriteString(ph.first)
		}
		if start != ph.end {
			ph.rest.WriteByte(' ')
		}
		ph.rest.WriteString(text)
	}
	ph.n++
	ph.end = end
	ph.size += len(text) + 1
}

func (ph *phrase) comma() {
	ph.add(",", ph.end, ph.end)
	ph.commas = true
}

func (ph *phrase) text() string {
	s := ph.first
	if ph.n > 1 {
		s = ph.rest.String()
	}
	if ph.commas {
		s = strings.TrimRight(s, ", ")
	}
	return s
}
