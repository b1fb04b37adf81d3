package route

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// fault is what is wrong with an expression or an action, and where.
type fault struct {
	at   int // offset in bytes
	text string
}

func (f *fault) Error() string { return f.text }

// in gives the fault as people read it, with the position in characters.
func (f *fault) in(src string) string {
	return fmt.Sprintf("at character %d: %s", utf8.RuneCountInString(src[:min(f.at, len(src))])+1, f.text)
}

func expected(want string, got token) *fault {
	return &fault{got.at, "expected " + want + ", found " + got.String()}
}

type tokenKind uint8

const (
	atEnd  tokenKind = iota
	word             // letters, digits, underscores
	quoted           // a string literal
	mark             // any other character
)

// token is a word, a string or a character. Its text is that of the string
// without quotes and escapes.
type token struct {
	kind tokenKind
	text string
	at   int
}

func (t token) is(c string) bool { return t.kind == mark && t.text == c }

// keyword reports whether the token is an operator. The manual writes them in
// lower case in expressions and in capitals in its headings.
func (t token) keyword(k string) bool { return t.kind == word && strings.EqualFold(t.text, k) }

func (t token) String() string {
	switch t.kind {
	case atEnd:
		return "the end"
	case quoted:
		return "a string"
	}
	return fmt.Sprintf("%q", clip(t.text, 40))
}

// scanner takes a text apart. tok is the token not yet used.
type scanner struct {
	src string
	pos int // behind tok
	tok token
}

func newScanner(src string) (*scanner, error) {
	s := &scanner{src: src}
	return s, s.next()
}

// next moves to the next token.
func (s *scanner) next() error {
	for s.pos < len(s.src) && strings.IndexByte(" \t\r\n", s.src[s.pos]) >= 0 {
		s.pos++
	}
	start := s.pos
	switch rest := s.src[start:]; {
	case rest == "":
		s.tok = token{kind: atEnd, at: start}
		return nil
	case rest[0] == '"' || rest[0] == '\'':
		return s.literal(false)
	case len(rest) > 1 && (rest[0] == 'r' || rest[0] == 'R') && (rest[1] == '"' || rest[1] == '\''):
		s.pos++
		return s.literal(true)
	}
	for s.pos < len(s.src) && wordByte(s.src[s.pos]) {
		s.pos++
	}
	if s.pos > start {
		s.tok = token{word, s.src[start:s.pos], start}
		return nil
	}
	_, n := utf8.DecodeRuneInString(s.src[start:])
	s.pos += n
	s.tok = token{mark, s.src[start:s.pos], start}
	return nil
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// literal reads a string in either quotes. A backslash stands for itself, so
// that \d and \1 mean what they mean to a pattern, except before a backslash or
// a quote: there it is Python's escape. In a raw string it always stays.
func (s *scanner) literal(raw bool) error {
	start, quote := s.pos, s.src[s.pos]
	var b strings.Builder
	for i := start + 1; i < len(s.src); i++ {
		c := s.src[i]
		switch {
		case c == quote:
			s.pos = i + 1
			s.tok = token{quoted, b.String(), start}
			return nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return &fault{i, "control character in a string"}
		case c == '\\' && i+1 < len(s.src) && strings.IndexByte(`\'"`, s.src[i+1]) >= 0:
			if raw {
				b.WriteByte(c)
			}
			i++
			b.WriteByte(s.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return &fault{start, "expected the closing " + string(quote) + " of the string that begins here, found the end"}
}

// take moves past a character, or says what was wanted.
func (s *scanner) take(c string) error {
	if !s.tok.is(c) {
		return expected(fmt.Sprintf("%q", c), s.tok)
	}
	return s.next()
}

// takeText moves past a string and returns it.
func (s *scanner) takeText(what string) (token, error) {
	t := s.tok
	if t.kind != quoted {
		return t, expected(what+" in quotes", t)
	}
	return t, s.next()
}

// clip shortens s to n bytes for an error text.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
