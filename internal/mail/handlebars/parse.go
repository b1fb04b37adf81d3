package handlebars

import "strings"

type op uint8

const (
	opText op = iota
	opPrint
	opPrintRaw
	opIf
	opUnless
	opEqual
	opEach
	opWith
	opSection
)

// helpers are the block helpers, with the number of their arguments.
func helper(name string) (o op, args int) {
	switch name {
	case "if":
		return opIf, 1
	case "unless":
		return opUnless, 1
	case "each":
		return opEach, 1
	case "with":
		return opWith, 1
	case "equal":
		return opEqual, 2
	}
	return opSection, 0
}

// node is a piece of a template: text, a value, or a block.
type node struct {
	op      op
	zero    bool // of opIf and opUnless: 0 is true
	chained bool // the block of an {{else x}}
	params  int
	at      int
	text    string
	args    [2]operand
	body    []node
	alt     []node // {{else}}
}

// Template is a parsed template. It never changes.
type Template struct {
	src  string
	root []node
}

// parser holds the blocks that are open, so that nesting takes no stack.
type parser struct {
	src    string
	open   []block
	deep   int        // blocks that are open, without those of {{else x}}
	scopes [][]string // block parameters where frames are pushed
}

// block is a block whose end was not seen yet.
type block struct {
	node   node
	name   string // what the closing tag has to say
	tag    string
	params []string
	list   []node // of the part being read
	inAlt  bool   // which is node.alt
	both   bool   // and the other was read
}

// Parse reads a template. The error is an *Error.
func Parse(src string) (*Template, error) {
	list, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, open: make([]block, 1, 8)}
	for _, t := range list {
		if err := p.token(t); err != nil {
			return nil, err
		}
	}
	if n := len(p.open); n > 1 {
		b := &p.open[n-1]
		for b.node.chained {
			n--
			b = &p.open[n-1]
		}
		line, column := place(src, b.node.at)
		return nil, errorAt(src, len(src), "{{%s}} of line %d column %d is not closed: expected {{/%s}}", clip(b.tag), line, column, clip(b.name))
	}
	return &Template{src: src, root: p.open[0].list}, nil
}

func (p *parser) top() *block { return &p.open[len(p.open)-1] }

func (p *parser) token(t token) *Error {
	switch t.kind {
	case content:
		if t.text != "" {
			p.emit(node{op: opText, text: t.text, at: t.at})
		}
		return nil
	case variable, verbatim:
		return p.print(t)
	case opening, inverted:
		return p.begin(t, false)
	case inverse:
		return p.orElse(t)
	case closing:
		return p.end(t)
	}
	return nil
}

func (p *parser) emit(n node) {
	b := p.top()
	b.list = append(b.list, n)
}

func (p *parser) expression(t token) (*expression, *Error) {
	e := exprParser{p: p, src: t.text, off: t.inner}
	x, err := e.parse()
	if err == nil && len(x.args) == 0 {
		return nil, errorAt(p.src, t.at, "expected a name in the tag")
	}
	return x, err
}

// helperName is the name of the helper an expression would call.
func (x *expression) helperName() string {
	if p := x.args[0].path; p != nil && p.bare && p.base == fromContext {
		return p.text
	}
	return ""
}

// print is a tag that writes a value.
func (p *parser) print(t token) *Error {
	x, err := p.expression(t)
	if err != nil {
		return err
	}
	n := node{op: opPrint, at: t.at}
	if t.kind == verbatim {
		n.op = opPrintRaw
	}
	name := x.helperName()
	_, args := helper(name)
	switch {
	case x.params != nil:
		return errorAt(p.src, t.at, "block parameters belong to blocks: {{#each}}, {{#with}}")
	case name == "lookup" && len(x.args) == 3 && x.hash < 0:
		n.args[0].call = &call{args: [2]operand{x.args[1], x.args[2]}}
	case name == "lookup":
		return errorAt(p.src, t.at, "lookup takes two arguments")
	case args > 0:
		return errorAt(p.src, t.at, "%s is a block helper: expected {{#%s ...}}", name, name)
	case len(x.args) > 1 || x.hash >= 0:
		return errorAt(p.src, x.at, "unknown helper %s", clip(x.first))
	default:
		n.args[0] = x.args[0]
	}
	p.emit(n)
	return nil
}

// begin opens a block: {{#x}}, {{^x}} or, chained, {{else x}}.
func (p *parser) begin(t token, chained bool) *Error {
	x, err := p.expression(t)
	if err != nil {
		return err
	}
	b := block{tag: "#" + strings.Trim(t.text, blanks), name: x.first, inAlt: t.kind == inverted}
	if t.kind == inverted {
		b.tag = "^" + b.tag[1:]
	}
	b.node.at, b.node.chained = t.at, chained
	if err := p.call(&b.node, x, t); err != nil {
		return err
	}
	if !chained {
		if p.deep++; p.deep > maxDepth {
			return errorAt(p.src, t.at, "blocks are nested more than %d levels deep", maxDepth)
		}
	}
	b.node.params = len(x.params)
	if b.params = x.params; !b.inAlt {
		p.enter(&b)
	}
	p.open = append(p.open, b)
	return nil
}

// call checks the arguments of a block.
func (p *parser) call(n *node, x *expression, t token) *Error {
	name := x.helperName()
	o, want := helper(name)
	args := x.args[1:]
	switch {
	case o == opSection && name == "lookup":
		return errorAt(p.src, t.at, "lookup is no block helper: expected {{lookup a b}}")
	case o == opSection && (len(x.args) > 1 || x.hash >= 0):
		return errorAt(p.src, x.at, "unknown helper %s", clip(x.first))
	case o == opSection:
		args = x.args
	case len(args) != want && want == 1:
		return errorAt(p.src, t.at, "%s takes one argument", name)
	case len(args) != want:
		return errorAt(p.src, t.at, "%s takes two arguments", name)
	case x.hash >= 0 && o != opIf && o != opUnless:
		return errorAt(p.src, x.hash, "%s takes no named arguments", name)
	}
	n.op, n.zero = o, x.zero
	copy(n.args[:], args)
	if len(x.params) > 0 && !n.pushes() || len(x.params) > 1 && o == opWith {
		return errorAt(p.src, t.at, "too many block parameters")
	}
	return nil
}

// pushes reports whether the first part of a block has a frame of its own.
func (n *node) pushes() bool { return n.op == opEach || n.op == opWith || n.op == opSection }

// orElse begins the second part of the innermost block.
func (p *parser) orElse(t token) *Error {
	b := p.top()
	if len(p.open) == 1 {
		return errorAt(p.src, t.at, "{{else}} is in no block")
	}
	if b.both {
		return errorAt(p.src, t.at, "{{else}} after {{else}}")
	}
	p.leave(b)
	b.both, b.inAlt = true, !b.inAlt
	if !b.inAlt {
		p.enter(b)
	}
	if strings.Trim(t.text, blanks) == "" {
		return nil
	}
	return p.begin(t, true)
}

// enter begins the body of a block, where its parameters are known.
func (p *parser) enter(b *block) {
	if b.node.pushes() {
		p.scopes = append(p.scopes, b.params)
	}
}

// leave ends a part of a block.
func (p *parser) leave(b *block) {
	if b.inAlt {
		b.node.alt, b.list = b.list, nil
		return
	}
	b.node.body, b.list = b.list, nil
	if b.node.pushes() {
		p.scopes = p.scopes[:len(p.scopes)-1]
	}
}

// end closes a block with the blocks chained to it.
func (p *parser) end(t token) *Error {
	said := strings.Trim(t.text, blanks)
	outer := len(p.open) - 1
	for outer > 0 && p.open[outer].node.chained {
		outer--
	}
	if outer == 0 {
		return errorAt(p.src, t.at, "{{/%s}} closes nothing", clip(said))
	}
	if b := &p.open[outer]; b.name != said {
		line, column := place(p.src, b.node.at)
		return errorAt(p.src, t.at, "{{/%s}} does not close {{%s}} of line %d column %d", clip(said), clip(b.tag), line, column)
	}
	p.deep--
	for len(p.open) > outer {
		b := p.top()
		p.leave(b)
		n := b.node
		p.open = p.open[:len(p.open)-1]
		p.emit(n)
	}
	return nil
}

// scoped makes a path that begins with the name of a block parameter one from
// there.
func (p *parser) scoped(q *path) {
	for up := range len(p.scopes) {
		for slot, name := range p.scopes[len(p.scopes)-1-up] {
			if name == q.segs[0] {
				q.base, q.up, q.slot, q.segs = fromParam, up, slot, q.segs[1:]
				return
			}
		}
	}
}
