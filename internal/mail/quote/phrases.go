package quote

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

//go:embed phrases.txt
var phrasesText string

// label is what a line of a header block tells.
type label uint8

const (
	labelFrom label = 1 << iota
	labelDate
	labelTo
	labelSubject
)

// phrases is what phrases.txt holds, folded.
type phrases struct {
	on, wrote, original, forwarded, device []string
	labels                                 map[string]label
	closing                                map[string]bool
	sent                                   [][2]string // beginning and end of a line
}

var known = sync.OnceValue(func() *phrases { return load(phrasesText) })

// load reads phrases; a line outside a section it knows is passed over.
func load(text string) *phrases {
	p := &phrases{labels: map[string]label{}, closing: map[string]bool{}}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		_, list, ok := strings.Cut(line, ":")
		if !ok || line[0] == '#' {
			continue
		}
		for phrase := range strings.SplitSeq(list, "|") {
			p.add(section, phrase)
		}
	}
	return p
}

func (p *phrases) add(section, phrase string) {
	s := fold(phrase)
	switch section {
	case "on":
		p.on = append(p.on, s)
	case "wrote":
		p.wrote = append(p.wrote, s)
	case "original":
		p.original = append(p.original, s)
	case "forwarded":
		p.forwarded = append(p.forwarded, s)
	case "device":
		p.device = append(p.device, s)
	case "from":
		p.labels[s] |= labelFrom
	case "date":
		p.labels[s] |= labelDate
	case "to":
		p.labels[s] |= labelTo
	case "subject":
		p.labels[s] |= labelSubject
	case "closing":
		p.closing[s] = true
	case "sent":
		begin, end, _ := strings.Cut(phrase, "*")
		p.sent = append(p.sent, [2]string{fold(begin), fold(end)})
	}
}

// says reports whether s tells that somebody wrote.
func (p *phrases) says(s string) bool {
	for _, w := range p.wrote {
		if hasWord(s, w) {
			return true
		}
	}
	return false
}

// begins reports whether s begins as the line above a quotation does.
func (p *phrases) begins(s string) bool {
	for _, w := range p.on {
		if rest, ok := strings.CutPrefix(s, w); ok && !startsWithLetter(rest, w) {
			return true
		}
	}
	return false
}

// fromDevice reports whether the line s is what a phone or a mail program
// adds: "Sent from my iPhone".
func (p *phrases) fromDevice(s string) bool {
	if len(s) > maxDeviceLine || len(s) == 0 {
		return false
	}
	s = fold(s)
	for _, t := range p.sent {
		if len(s) > len(t[0])+len(t[1]) && strings.HasPrefix(s, t[0]) && strings.HasSuffix(strings.TrimRight(s, ".!)"), t[1]) && p.hasDevice(s) {
			return true
		}
	}
	return false
}

// maxDeviceLine is for a line with the address of a shop, in octets.
const maxDeviceLine = 160

func (p *phrases) hasDevice(s string) bool {
	for _, d := range p.device {
		if i := strings.Index(s, d); i >= 0 && !endsWithLetter(s[:i], d) {
			return true
		}
	}
	return false
}

func containsAny(s string, list []string) bool {
	for _, w := range list {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// hasWord reports whether w is in s as a word of its own. Scripts that write
// words together have no such bounds.
func hasWord(s, w string) bool {
	for from := 0; ; {
		i := strings.Index(s[from:], w)
		if i < 0 {
			return false
		}
		at := from + i
		if !endsWithLetter(s[:at], w) && !startsWithLetter(s[at+len(w):], w) {
			return true
		}
		from = at + len(w)
	}
}

// startsWithLetter reports whether the word w goes on in rest.
func startsWithLetter(rest, w string) bool {
	last, _ := utf8.DecodeLastRuneInString(w)
	r, _ := utf8.DecodeRuneInString(rest)
	return spaced(last) && spaced(r)
}

// endsWithLetter reports whether the word w began before.
func endsWithLetter(before, w string) bool {
	first, _ := utf8.DecodeRuneInString(w)
	r, _ := utf8.DecodeLastRuneInString(before)
	return spaced(first) && spaced(r)
}

// spaced reports whether r is a letter of a script with spaces between words.
func spaced(r rune) bool { return r < 0x900 && r != utf8.RuneError && unicode.IsLetter(r) }

// fold makes phrases comparable: lower case, one blank for any, nothing that
// is not seen, no asterisks (text made of bold HTML has them).
func fold(s string) string {
	b := make([]byte, 0, len(s))
	space := false
	for _, r := range s {
		switch {
		case r == ' ' || r >= 0x80 && unicode.IsSpace(r) || r == '\t' || r == '\r' || r == '\n':
			space = true
			continue
		case invisible(r):
			continue
		case r == '*' && len(b) == 0, r == '*' && space:
			continue
		}
		if space && len(b) > 0 {
			b = append(b, ' ')
		}
		space = false
		b = utf8.AppendRune(b, unicode.ToLower(r))
	}
	return string(b)
}

// invisible reports whether r has no width: marks of direction, joiners, soft
// hyphens.
func invisible(r rune) bool {
	return r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x2069 || r == 0xfeff || r == 0xad || r == 0x34f
}

func unseen(r rune) bool { return unicode.IsSpace(r) || invisible(r) }

// trim takes off what is not seen at both ends.
func trim(s string) string { return strings.TrimFunc(s, unseen) }
