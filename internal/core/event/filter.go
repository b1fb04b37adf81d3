package event

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// Bounds of a filter expression.
const (
	maxExprBytes = 4096
	maxExprNodes = 400
	maxExprDepth = 32
)

type exprOp uint8

const (
	opAnd exprOp = iota
	opOr
	opNot
	opTerm   // a word
	opPhrase // a text in quotes
	opGreater
	opLess
	opGreaterEqual
	opLessEqual
)

// expr is a parsed filter expression. Mailgun: "Filter Expression"; terms that
// stand side by side must both match, AND binds tighter than OR.
type expr struct {
	op   exprOp
	kids []*expr
	text string  // opTerm, opPhrase: in lower case
	num  float64 // comparisons
}

// eval gives the value of e when leaf decides on terms and comparisons.
func (e *expr) eval(leaf func(*expr) bool) bool {
	switch e.op {
	case opAnd:
		for _, k := range e.kids {
			if !k.eval(leaf) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range e.kids {
			if k.eval(leaf) {
				return true
			}
		}
		return false
	case opNot:
		return !e.kids[0].eval(leaf)
	}
	return leaf(e)
}

// only returns the texts one of which a value must equal for e to hold; ok is
// false if e holds for others too. exact tells which terms are equalities.
func (e *expr) only(exact func(string) bool) (texts []string, ok bool) {
	switch e.op {
	case opTerm, opPhrase:
		return []string{e.text}, exact(e.text)
	case opAnd:
		for _, k := range e.kids {
			if t, o := k.only(exact); o && (!ok || len(t) < len(texts)) {
				texts, ok = t, true
			}
		}
		return texts, ok
	case opOr:
		for _, k := range e.kids {
			t, o := k.only(exact)
			if !o {
				return nil, false
			}
			texts = append(texts, t...)
		}
		return texts, true
	}
	return nil, false
}

// parser is a recursive descent over the text of an expression.
type parser struct {
	s       string
	at      int
	numeric bool // the field is a number: comparisons allowed, words must be numbers
	nodes   int
	err     string
}

// parseExpr reads a filter expression; the error is a text with a position.
func parseExpr(s string, numeric bool) (*expr, error) {
	if len(s) > maxExprBytes {
		return nil, errs.New(errs.Invalid, "filter expression is longer than %d characters", maxExprBytes)
	}
	control := func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, control) {
		return nil, errs.New(errs.Invalid, "filter expression is not a text in UTF-8")
	}
	p := &parser{s: s, numeric: numeric}
	e := p.or(0)
	if p.err == "" && p.peek() != 0 {
		p.fail("unexpected ')'")
	}
	if p.err != "" {
		return nil, errs.New(errs.Invalid, "%s", p.err)
	}
	return e, nil
}

func (p *parser) fail(text string) *expr {
	if p.err == "" {
		p.err = text + " at character " + strconv.Itoa(utf8.RuneCountInString(p.s[:p.at])+1)
	}
	return nil
}

// peek gives the next octet behind blanks, 0 at the end.
func (p *parser) peek() byte {
	for p.at < len(p.s) {
		r, n := utf8.DecodeRuneInString(p.s[p.at:])
		if !unicode.IsSpace(r) {
			return p.s[p.at]
		}
		p.at += n
	}
	return 0
}

// keyword takes the word if it is next. Only capitals are operators.
func (p *parser) keyword(word string) bool {
	p.peek()
	rest, ok := strings.CutPrefix(p.s[p.at:], word)
	if !ok || rest != "" && !strings.ContainsAny(rest[:1], " \t\r\n()\"") {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) isKeyword(word string) bool {
	at := p.at
	ok := p.keyword(word)
	p.at = at
	return ok
}

func (p *parser) node(e *expr) *expr {
	if p.nodes++; p.nodes > maxExprNodes {
		return p.fail("too many terms")
	}
	return e
}

func (p *parser) or(depth int) *expr {
	kids := []*expr{p.and(depth)}
	for p.err == "" && p.keyword("OR") {
		kids = append(kids, p.and(depth))
	}
	return p.join(opOr, kids)
}

func (p *parser) and(depth int) *expr {
	kids := []*expr{p.not(depth)}
	for p.err == "" {
		if c := p.peek(); c == 0 || c == ')' || p.isKeyword("OR") {
			break
		}
		p.keyword("AND")
		kids = append(kids, p.not(depth))
	}
	return p.join(opAnd, kids)
}

func (p *parser) join(op exprOp, kids []*expr) *expr {
	if p.err != "" {
		return nil
	}
	if len(kids) == 1 {
		return kids[0]
	}
	return p.node(&expr{op: op, kids: kids})
}

func (p *parser) not(depth int) *expr {
	if depth > maxExprDepth {
		return p.fail("too many levels")
	}
	if !p.keyword("NOT") {
		return p.primary(depth)
	}
	kid := p.not(depth + 1)
	if p.err != "" {
		return nil
	}
	return p.node(&expr{op: opNot, kids: []*expr{kid}})
}

func (p *parser) primary(depth int) *expr {
	switch c := p.peek(); {
	case c == 0:
		return p.fail("a term is missing")
	case c == ')':
		return p.fail("unexpected ')'")
	case c == '(':
		return p.group(depth)
	case c == '"':
		return p.phrase()
	case p.numeric && (c == '<' || c == '>'):
		return p.comparison()
	case p.isKeyword("AND"), p.isKeyword("OR"):
		return p.fail("a term is missing")
	}
	return p.word()
}

func (p *parser) group(depth int) *expr {
	p.at++
	e := p.or(depth + 1)
	if p.err != "" {
		return nil
	}
	if p.peek() != ')' {
		return p.fail("')' is missing")
	}
	p.at++
	return e
}

// phrase reads a text in quotes; a backslash keeps the next sign as it is.
func (p *parser) phrase() *expr {
	var b strings.Builder
	for p.at++; p.at < len(p.s); p.at++ {
		switch c := p.s[p.at]; {
		case c == '"':
			p.at++
			return p.term(opPhrase, b.String())
		case c == '\\' && p.at+1 < len(p.s):
			p.at++
			b.WriteByte(p.s[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return p.fail("closing quote is missing")
}

func (p *parser) raw() string {
	start := p.at
	for p.at < len(p.s) {
		r, n := utf8.DecodeRuneInString(p.s[p.at:])
		if unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' || p.numeric && (r == '<' || r == '>') {
			break
		}
		p.at += n
	}
	return p.s[start:p.at]
}

func (p *parser) word() *expr {
	return p.term(opTerm, p.raw())
}

func (p *parser) term(op exprOp, text string) *expr {
	e := &expr{op: op, text: strings.ToLower(text)}
	if p.numeric {
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return p.fail("'" + clip(text, 40) + "' is not a number,")
		}
		e.num = n
	}
	return p.node(e)
}

func (p *parser) comparison() *expr {
	e := &expr{op: opGreater}
	if p.s[p.at] == '<' {
		e.op = opLess
	}
	if p.at++; p.at < len(p.s) && p.s[p.at] == '=' {
		e.op += opGreaterEqual - opGreater
		p.at++
	}
	p.peek()
	text := p.raw()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return p.fail("a number is missing")
	}
	e.num = n
	return p.node(e)
}

// compare decides a comparison or a plain number.
func (e *expr) compare(v float64) bool {
	switch e.op {
	case opGreater:
		return v > e.num
	case opLess:
		return v < e.num
	case opGreaterEqual:
		return v >= e.num
	case opLessEqual:
		return v <= e.num
	}
	return v == e.num
}

// clip shortens what is quoted in an error.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
