package handlebars

import "strings"

type tokenKind uint8

const (
	content  tokenKind = iota
	variable           // {{x}}
	verbatim           // {{{x}}} and {{&x}}
	opening            // {{#x}}
	inverted           // {{^x}}
	inverse            // {{else}}, {{^}} and, with text, {{else x}}
	closing            // {{/x}}
	comment
)

// token is a piece of a template. Pieces between tags are content.
type token struct {
	kind  tokenKind
	text  string // content, or what is inside the tag
	at    int    // offset of the piece
	inner int    // offset of text
	left  bool   // {{~: no blanks before
	right bool   // ~}}: no blanks behind
}

type lexer struct {
	src  string
	list []token
}

// lex splits a template into tokens, blanks removed where tags ask for it or
// stand alone in their line.
func lex(src string) ([]token, *Error) {
	l := &lexer{src: src}
	start, from := 0, 0 // of the content; where to look for the next tag
	for {
		i := strings.Index(src[from:], "{{")
		if i < 0 {
			l.content(start, len(src))
			return trim(l.list), nil
		}
		i += from
		switch {
		case i > start+1 && src[i-1] == '\\' && src[i-2] == '\\': // \\{{x}}: a backslash and a tag
			l.content(start, i-1)
		case i > start && src[i-1] == '\\': // \{{x}}: no tag
			l.content(start, i-1)
			start, from = i, i+2
			continue
		default:
			l.content(start, i)
		}
		end, err := l.tag(i)
		if err != nil {
			return nil, err
		}
		start, from = end, end
	}
}

func (l *lexer) content(from, to int) {
	if from < to {
		l.list = append(l.list, token{kind: content, text: l.src[from:to], at: from, inner: from})
	}
}

// tag reads the tag that begins at an offset and returns where it ends.
func (l *lexer) tag(at int) (end int, err *Error) {
	t := token{kind: variable, at: at}
	p := at + 2
	if strings.HasPrefix(l.src[p:], "{{") {
		return 0, errorAt(l.src, at, "raw blocks {{{{ are not supported")
	}
	if p < len(l.src) && l.src[p] == '~' {
		t.left, p = true, p+1
	}
	if p < len(l.src) && l.src[p] == '!' {
		return l.comment(t, p)
	}
	braces := ""
	if p < len(l.src) {
		switch c := l.src[p]; c {
		case '{':
			t.kind, braces = verbatim, "}"
		case '&':
			t.kind = verbatim
		case '#':
			t.kind = opening
		case '^':
			t.kind = inverted
		case '/':
			t.kind = closing
		case '>':
			return 0, errorAt(l.src, at, "partials {{> are not supported")
		case '*':
			return 0, errorAt(l.src, at, "decorators {{* are not supported")
		default:
			p--
		}
		p++
	}
	t.inner = p
	stop, end := closeOf(l.src, p, braces)
	if stop < 0 {
		return 0, errorAt(l.src, at, "tag is not closed: expected %s}}", braces)
	}
	t.text = l.src[p:stop]
	t.right = l.src[end-3] == '~' && end-3 >= stop
	return end, l.add(t)
}

// closeOf finds the end of a tag outside of texts and brackets: where its inside
// ends, and the offset behind it; -1 without one.
func closeOf(src string, p int, braces string) (stop, end int) {
	for ; p < len(src); p++ {
		switch src[p] {
		case '"', '\'':
			q := textEnd(src, p)
			if q < 0 {
				return -1, 0
			}
			p = q
		case '[':
			q := strings.IndexByte(src[p:], ']')
			if q < 0 {
				return -1, 0
			}
			p += q
		case '}', '~':
			for _, tail := range []string{braces + "}}", braces + "~}}"} {
				if strings.HasPrefix(src[p:], tail) {
					return p, p + len(tail)
				}
			}
		}
	}
	return -1, 0
}

// textEnd is where the quote that ends the text beginning at p is, -1 without
// one. Handlebars: a backslash before the quote makes it part of the text.
func textEnd(src string, p int) int {
	for q := p + 1; q < len(src); q++ {
		switch src[q] {
		case '\\':
			if q+1 < len(src) && src[q+1] == src[p] {
				q++
			}
		case src[p]:
			return q
		}
	}
	return -1
}

func (l *lexer) comment(t token, p int) (end int, err *Error) {
	t.kind = comment
	if strings.HasPrefix(l.src[p:], "!--") {
		for q := p + 1; ; {
			i := strings.Index(l.src[q:], "--")
			if i < 0 {
				return 0, errorAt(l.src, t.at, "comment is not closed: expected --}}")
			}
			q += i
			switch {
			case strings.HasPrefix(l.src[q:], "--}}"):
				return q + 4, l.add(t)
			case strings.HasPrefix(l.src[q:], "--~}}"):
				t.right = true
				return q + 5, l.add(t)
			}
			q++
		}
	}
	i := strings.Index(l.src[p:], "}}")
	if i < 0 {
		return 0, errorAt(l.src, t.at, "comment is not closed: expected }}")
	}
	t.right = l.src[p+i-1] == '~'
	return p + i + 2, l.add(t)
}

// add keeps a tag; {{else}} looks like a variable.
func (l *lexer) add(t token) *Error {
	switch inner := strings.TrimLeft(t.text, blanks); t.kind {
	case variable:
		if rest, ok := strings.CutPrefix(inner, "else"); ok && (rest == "" || strings.IndexByte(blanks, rest[0]) >= 0) {
			t.kind = inverse
			t.inner += len(t.text) - len(rest)
			t.text = rest
		}
	case inverted:
		if inner == "" {
			t.kind = inverse
		}
	case opening:
		if inner != "" && (inner[0] == '>' || inner[0] == '*') {
			return errorAt(l.src, t.at, "partials and decorators {{#%c are not supported", inner[0])
		}
	}
	l.list = append(l.list, t)
	return nil
}

const blanks = " \t\r\n\f\v"

// trim applies whitespace control. Handlebars: tags of blocks and comments that
// stand alone in a line leave nothing of it; what counts is the template before
// anything was removed.
func trim(list []token) []token {
	alone := make([]bool, len(list))
	for i, t := range list {
		alone[i] = t.kind >= opening && lineBegins(list, i) && lineEnds(list, i)
	}
	for i, t := range list {
		if t.kind == content {
			continue
		}
		if i > 0 && list[i-1].kind == content {
			before := &list[i-1]
			if t.left {
				before.text = strings.TrimRight(before.text, blanks)
			} else if alone[i] {
				before.text = strings.TrimRight(before.text, " \t")
			}
		}
		if i+1 < len(list) && list[i+1].kind == content {
			behind := &list[i+1]
			if t.right {
				behind.text = strings.TrimLeft(behind.text, blanks)
			} else if alone[i] {
				s := strings.TrimPrefix(strings.TrimLeft(behind.text, " \t"), "\r")
				behind.text = strings.TrimPrefix(s, "\n")
			}
		}
	}
	return list
}

// lineBegins reports whether only blanks stand before a tag in its line.
func lineBegins(list []token, i int) bool {
	if i == 0 {
		return true
	}
	before := list[i-1]
	if before.kind != content {
		return false
	}
	s := strings.TrimRight(before.text, " \t")
	return strings.HasSuffix(s, "\n") || s == "" && i == 1
}

// lineEnds reports whether only blanks stand behind a tag in its line.
func lineEnds(list []token, i int) bool {
	if i == len(list)-1 {
		return true
	}
	behind := list[i+1]
	if behind.kind != content {
		return false
	}
	s := strings.TrimLeft(behind.text, " \t")
	return strings.HasPrefix(s, "\n") || strings.HasPrefix(s, "\r\n") || s == "" && i == len(list)-2
}
