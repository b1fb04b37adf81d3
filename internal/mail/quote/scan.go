package quote

import (
	"strings"
	"unicode"
)

// mark says what a line is.
type mark uint8

const (
	own       mark = iota // what the writer wrote
	blank                 // nothing to see
	rule                  // dashes or underscores only
	quoted                // begins with '>', or is in an element that quotes
	maybe                 // in a blockquote that may be the writer's: quoted behind an introduction
	intro                 // introduces the quotation that follows
	cut                   // from here on everything is quoted
	forwarded             // from here on everything is content
	signed                // in an element that holds a signature
)

// line is one line of a message as people see it. Runs of blank lines and of
// quoted lines are one.
type line struct {
	text       string // trimmed; the beginning if it is very long
	start, end int32  // in the message, with the line end
	n          int32  // lines in the run
	mark       mark
	sure       bool // marked by the document, not by how the text looks
	fresh      bool // an element begins with it
	picture    bool
	drop       bool
}

// Bounds of what is looked at, so that no message is looked at again and again.
const (
	maxLines   = 100_000 // behind them everything is one line of the writer
	maxIntro   = 600     // octets of an introduction, in at most introLines
	maxLabel   = 48      // octets of a label
	maxTries   = 400     // lines that look like an introduction and are none
	maxBlock   = 30      // lines of a header block
	maxWrap    = 6       // lines of a header block without label, in a row
	introLines = 4
)

// scanner gives lines their marks.
type scanner struct {
	*phrases
	lines []line
	tries int
}

// scan marks all lines. Those the document has marked keep their mark, unless
// they turn out to be forwarded.
func (s *scanner) scan() {
	for i := range s.lines {
		if s.line(i) {
			return
		}
	}
}

// line marks one line and reports whether what follows needs no look.
func (s *scanner) line(i int) (done bool) {
	l := &s.lines[i]
	switch l.mark {
	case quoted, maybe, intro:
		if l.sure && s.regionStart(i) && s.isForwarded(l.text, true) {
			return s.forward(i)
		}
		return false
	case cut:
		return s.cut(i)
	case own:
	default:
		return false
	}
	switch {
	case isRule(l.text):
		l.mark = rule
	case isBanner(l.text):
		return s.banner(i)
	case s.isForwarded(l.text, false):
		return s.forward(i)
	case s.label(i) != 0 && s.block(i):
		return s.cut(i)
	case endsWithColon(l.text):
		return s.introduction(i)
	}
	return false
}

// regionStart reports whether a marked line is the first of its region.
func (s *scanner) regionStart(i int) bool {
	for i--; i >= 0 && (s.lines[i].mark == blank || s.lines[i].mark == rule); i-- {
	}
	return i < 0 || !s.lines[i].sure
}

// banner looks at a line of words between dashes.
func (s *scanner) banner(i int) (done bool) {
	text := s.lines[i].text
	if s.isForwarded(text, false) {
		return s.forward(i)
	}
	f := fold(text)
	if containsAny(f, s.original) || strings.HasPrefix(text, "-----") && strings.HasSuffix(text, "-----") && s.says(f) {
		return s.cut(i)
	}
	return false
}

// isForwarded reports whether a line stands above a message that is passed on.
// In a region the document marks, words of any language between dashes are
// taken for it, unless they are known as something else.
func (s *scanner) isForwarded(text string, region bool) bool {
	switch {
	case len(text) > 200:
		return false
	case isBanner(text):
		f := fold(text)
		return containsAny(f, s.forwarded) || region && !containsAny(f, s.original) && !s.says(f)
	case endsWithColon(text):
		f := strings.TrimRight(fold(text), ":： ")
		for _, p := range s.phrases.forwarded {
			if p == f {
				return true
			}
		}
	}
	return false
}

// forward marks all from line i on as content.
func (s *scanner) forward(i int) bool {
	for j := i; j < len(s.lines); j++ {
		s.lines[j].mark = forwarded
	}
	return true
}

// cut marks a line behind which everything is quoted, with the rule above it.
// If '>' stands before what follows, it is an introduction like others.
func (s *scanner) cut(i int) (done bool) {
	if s.quoteFollows(i) {
		s.lines[i].mark = intro
		return false
	}
	s.lines[s.ruleAbove(i)].mark = cut
	return true
}

// ruleAbove is the rule that stands above line i, with words in it or without,
// or i.
func (s *scanner) ruleAbove(i int) int {
	j := i - 1
	if j >= 0 && s.lines[j].mark == blank {
		j--
	}
	if j >= 0 && (s.lines[j].mark == rule || s.lines[j].mark == own && strings.HasPrefix(s.lines[j].text, "-----") && isBanner(s.lines[j].text)) {
		return j
	}
	return i
}

// quoteFollows reports whether the next line with anything on it is quoted.
func (s *scanner) quoteFollows(i int) bool {
	i++
	if i < len(s.lines) && s.lines[i].mark == blank {
		i++
	}
	return i < len(s.lines) && (s.lines[i].mark == quoted || s.lines[i].mark == maybe)
}

// label is what line i tells if it is of a header block, or 0.
func (s *scanner) label(i int) label {
	text := s.lines[i].text
	text = text[:min(len(text), maxLabel)]
	n := strings.IndexByte(text, ':')
	if n < 0 {
		n = strings.Index(text, "：")
	}
	if n <= 0 {
		return 0
	}
	return s.labels[strings.Trim(fold(text[:n]), "* ")]
}

// block reports whether a header block ("From:", "Sent:", "To:", "Subject:")
// begins at line i. A rule above it makes up for missing fields.
func (s *scanner) block(i int) bool {
	if s.tries++; s.tries > maxTries {
		return false
	}
	var seen label
	wrapped := 0
	for j := i; j < len(s.lines) && j < i+maxBlock && wrapped <= maxWrap; j++ {
		switch l := s.lines[j]; {
		case l.mark == own && s.label(j) != 0:
			seen |= s.label(j)
			wrapped = 0
		case l.mark == own || l.mark == blank && l.n == 1:
			wrapped++
		default:
			wrapped = maxWrap + 1
		}
	}
	const most = labelFrom | labelSubject
	if s.ruleAbove(i) != i {
		return seen&labelFrom != 0 && seen != labelFrom
	}
	return seen&most == most && seen != most
}

// introduction looks whether lines up to line i, which ends with a colon, say
// who wrote what follows, and marks them.
func (s *scanner) introduction(i int) (done bool) {
	if s.tries++; s.tries > maxTries || len(s.lines[i].text) > maxIntro {
		return false
	}
	quoteFollows, text := s.quoteFollows(i), ""
	alone := s.introduces(fold(s.lines[i].text), true, quoteFollows)
	for from := i; from >= 0 && from > i-introLines && s.lines[from].mark == own; from-- {
		above := s.lines[from].text
		if len(text)+len(above) > maxIntro || from < i && alone && endsSentence(above) {
			break
		}
		text = fold(above) + " " + text
		if s.introduces(text, s.begun(from) && (from == i || isDated(above)), quoteFollows) {
			return s.introduced(from, i, quoteFollows)
		}
	}
	// Right below the writer's text, in a language that begins with the date.
	if quoteFollows && alone {
		return s.introduced(i, i, true)
	}
	return false
}

// begun reports whether a paragraph begins with line i.
func (s *scanner) begun(i int) bool {
	return i == 0 || s.lines[i].fresh || s.lines[i-1].mark != own
}

// isDated reports whether a line has something of a date or an address.
func isDated(s string) bool {
	n, _ := countDigits(s)
	return n >= 2 || strings.Contains(s, "@")
}

func endsSentence(s string) bool {
	for _, end := range []string{".", "!", "?", "。", "！", "？"} {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	return false
}

// introduced marks the lines of an introduction. Without marked lines behind
// it, all that follows is quoted.
func (s *scanner) introduced(from, to int, quoteFollows bool) (done bool) {
	m := intro
	if !quoteFollows {
		m = cut
	}
	for j := from; j <= to; j++ {
		s.lines[j].mark = m
	}
	return m == cut
}

// plainMark is the mark of a line of which nothing is known but its text.
func plainMark(text string) mark {
	switch {
	case text == "":
		return blank
	case text[0] == '>':
		return quoted
	}
	return own
}

// introduces reports whether text, folded, says when who wrote what follows.
// It must begin as such lines do, or with the first line of a paragraph. Where
// no quoted line follows, more is asked for: "On Monday Bob wrote:" may be a
// story.
func (s *scanner) introduces(text string, begins, quoteFollows bool) bool {
	text = strings.TrimRight(strings.TrimSpace(text), ":： ")
	digits, clock := countDigits(text)
	says, on := s.says(text), s.begins(text)
	switch {
	case !begins && !on:
		return false
	case quoteFollows:
		return says || digits >= 4 && (clock || strings.Contains(text, "@"))
	case digits < 4 || !says && !(clock && endsWithAddress(text)):
		return false
	}
	at := strings.Contains(text, "@")
	return at || on && clock
}

// countDigits counts them, up to 99, and reports whether there is a time
// of day: "9:41", "9.41", "9h41".
func countDigits(s string) (n int, clock bool) {
	var last, before rune
	for _, r := range s {
		if unicode.IsDigit(r) {
			n = min(n+1, 99)
			clock = clock || unicode.IsDigit(before) && (last == ':' || last == 'h' || last == '.' || last == '：')
		}
		before, last = last, r
	}
	return n, clock
}

// endsWithAddress reports whether the last word is a mail address.
func endsWithAddress(s string) bool {
	s = strings.TrimRight(s, ">)]）\"' ")
	if i := strings.LastIndexAny(s, " <(["); i >= 0 {
		s = s[i:]
	}
	return strings.Contains(s, "@")
}

func endsWithColon(s string) bool {
	return strings.HasSuffix(s, ":") || strings.HasSuffix(s, "：")
}

// isDash reports whether r is of those that draw lines.
func isDash(r rune) bool {
	return r == '-' || r == '_' || r == '=' || r == '*' || r == '~' || r == '—' || r == '–' || r == '‐' || r == '─' || r == '―' || r == '━' || r == 'ー'
}

// isRule reports whether s draws a line across.
func isRule(s string) bool {
	n := 0
	for _, r := range s {
		if !isDash(r) && r != ' ' {
			return false
		}
		n++
	}
	return n >= 5
}

// isBanner reports whether s is words between dashes.
func isBanner(s string) bool {
	if len(s) > 300 {
		return false
	}
	in := strings.TrimFunc(s, isDash)
	if len(in) == 0 || len(in) == len(s) {
		return false
	}
	at := strings.Index(s, in)
	left, right := s[:at], s[at+len(in):]
	return len(left) >= 2 && (len(right) >= 2 || len(left) >= 10 && len(strings.Fields(in)) <= 6)
}
