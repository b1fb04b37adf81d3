package route

import (
	"errors"
	"fmt"
	"strings"
)

// maxNesting bounds parentheses and nots within one another.
const maxNesting = 100

type exprKind uint8

const (
	onRecipient exprKind = iota
	onHeader
	catchAll
	notOp
	andOp
	orOp
)

// expr is an expression as a tree.
type expr struct {
	kind   exprKind
	args   []*expr
	src    string // as written
	header string // of onHeader
	*pattern
	base int // groups of the expression before those of the pattern
}

// expression is a whole one.
type expression struct {
	*expr
	size   int              // instructions of all patterns
	groups int              // of all patterns; they are numbered through
	names  map[string][]int // numbers of the groups of a name
}

// parser builds the tree. Like Python, not binds closer than and, and closer
// than or.
type parser struct {
	*scanner
	depth int
	whole expression
}

// parseExpression reads an expression. The error is a *fault.
func parseExpression(src string) (*expression, error) {
	s, err := newScanner(src)
	if err != nil {
		return nil, err
	}
	p := &parser{scanner: s, whole: expression{names: map[string][]int{}}}
	if p.whole.expr, err = p.alternatives(); err != nil {
		return nil, err
	}
	if p.tok.kind != atEnd {
		return nil, expected("and, or or the end", p.tok)
	}
	return &p.whole, nil
}

func (p *parser) alternatives() (*expr, error) { return p.chain("or", orOp, p.sequence) }
func (p *parser) sequence() (*expr, error)     { return p.chain("and", andOp, p.negation) }

// chain reads operands joined by an operator.
func (p *parser) chain(operator string, kind exprKind, operand func() (*expr, error)) (*expr, error) {
	start := p.tok.at
	e, err := operand()
	if err != nil || !p.tok.keyword(operator) {
		return e, err
	}
	all := &expr{kind: kind, args: []*expr{e}}
	for p.tok.keyword(operator) {
		if err := p.next(); err != nil {
			return nil, err
		}
		if e, err = operand(); err != nil {
			return nil, err
		}
		all.args = append(all.args, e)
	}
	all.src = p.since(start)
	return all, nil
}

// since is the source from an offset to what was read last.
func (p *parser) since(start int) string { return strings.TrimRight(p.src[start:p.tok.at], " \t\r\n") }

func (p *parser) negation() (*expr, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, &fault{p.tok.at, fmt.Sprintf("nested deeper than %d", maxNesting)}
	}
	defer func() { p.depth-- }()
	start := p.tok.at
	if !p.tok.keyword("not") {
		return p.primary()
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.negation()
	if err != nil {
		return nil, err
	}
	return &expr{kind: notOp, args: []*expr{e}, src: p.since(start)}, nil
}

func (p *parser) primary() (*expr, error) {
	if !p.tok.is("(") {
		return p.condition()
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	return e, p.take(")")
}

// condition reads one of the three functions.
func (p *parser) condition() (*expr, error) {
	name := p.tok
	e := &expr{}
	var read func(*expr) error
	switch {
	case name.kind != word:
		return nil, expected("match_recipient, match_header, catch_all, not or (", name)
	case name.text == "match_recipient":
		e.kind, read = onRecipient, p.recipient
	case name.text == "match_header":
		e.kind, read = onHeader, p.headerField
	case name.text == "catch_all":
		e.kind = catchAll
	default:
		return nil, expected("match_recipient, match_header, catch_all, not or (", name)
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if err := p.take("("); err != nil {
		return nil, err
	}
	if read != nil {
		if err := read(e); err != nil {
			return nil, err
		}
	}
	if err := p.take(")"); err != nil {
		return nil, err
	}
	e.src = p.since(name.at)
	return e, nil
}

func (p *parser) recipient(e *expr) error { return p.pattern(e, true) }

func (p *parser) headerField(e *expr) error {
	name, err := p.takeText("the name of a header field")
	if err != nil {
		return err
	}
	if !fieldName(name.text) {
		return &fault{name.at, fmt.Sprintf("%q is not the name of a header field", clip(name.text, 40))}
	}
	e.header = strings.ToLower(name.text)
	if err := p.take(","); err != nil {
		return err
	}
	return p.pattern(e, false)
}

// fieldName reports whether s may name a field (RFC 5322 section 2.2).
func fieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' })
}

func (p *parser) pattern(e *expr, fold bool) error {
	text, err := p.takeText("a pattern")
	if err != nil {
		return err
	}
	if e.pattern, err = compile(text.text, fold); err == nil && p.whole.size+e.size > maxProgram {
		err = errors.New("the patterns of the expression are too large together")
	}
	if err != nil {
		return &fault{text.at, "invalid regular expression: " + err.Error()}
	}
	p.whole.size += e.size
	e.base = p.whole.groups
	for i, name := range e.re.SubexpNames() {
		if name != "" {
			p.whole.names[name] = append(p.whole.names[name], e.base+i)
		}
	}
	p.whole.groups += e.re.NumSubexp()
	return nil
}
