package handlebars

import (
	"strings"
	"unicode/utf8"
)

// operand is a value in a tag: a literal, a path, or a call in parentheses.
type operand struct {
	lit  Value
	path *path
	call *call
}

// call is lookup or equal with its two operands.
type call struct {
	equal bool
	args  [2]operand
}

type base uint8

const (
	fromContext base = iota
	fromRoot
	fromData  // @index and the like
	fromParam // a block parameter
)

// path says where a value is found.
type path struct {
	base base
	up   int    // ../ of fromContext and fromData; frames of fromParam
	data string // of fromData: index, key, first, last
	slot int    // of fromParam
	segs []string
	text string // as written
	bare bool   // a name alone, which could be a helper's
}

// expression is the inside of a tag.
type expression struct {
	args   []operand
	first  string // args[0] as written
	at     int    // its offset
	zero   bool   // includeZero=true
	hash   int    // offset of the first named argument, -1 without
	params []string
}

const (
	maxArgs     = 10 // in one tag
	maxSegments = 50
	maxCalls    = 10 // in one another
)

// exprParser reads the inside of one tag.
type exprParser struct {
	p   *parser
	src string
	off int // offset of src in the template
	at  int
}

func (e *exprParser) fail(at int, format string, args ...any) *Error {
	return errorAt(e.p.src, e.off+at, format, args...)
}

func (e *exprParser) blank() {
	for e.at < len(e.src) && strings.IndexByte(blanks, e.src[e.at]) >= 0 {
		e.at++
	}
}

func (e *exprParser) peek() byte {
	if e.at < len(e.src) {
		return e.src[e.at]
	}
	return 0
}

// parse reads operands, named arguments and block parameters up to the end.
func (e *exprParser) parse() (*expression, *Error) {
	x := &expression{hash: -1}
	for {
		e.blank()
		if e.at == len(e.src) {
			return x, nil
		}
		if params, ok, err := e.blockParams(); err != nil || ok {
			x.params = params
			return x, err
		}
		if name := e.hashName(); name != "" {
			if err := e.hash(x, name); err != nil {
				return nil, err
			}
			continue
		}
		if x.hash >= 0 {
			return nil, e.fail(e.at, "named arguments come last")
		}
		if len(x.args) == maxArgs {
			return nil, e.fail(e.at, "too many arguments")
		}
		at := e.at
		o, err := e.operand(0)
		if err != nil {
			return nil, err
		}
		if len(x.args) == 0 {
			x.at, x.first = e.off+at, e.src[at:e.at]
		}
		x.args = append(x.args, o)
	}
}

// hashName returns the name before a '=' at this place, "" if there is none.
func (e *exprParser) hashName() string {
	n := nameLen(e.src[e.at:])
	rest := strings.TrimLeft(e.src[e.at+n:], blanks)
	if n > 0 && strings.HasPrefix(rest, "=") {
		return e.src[e.at : e.at+n]
	}
	return ""
}

func (e *exprParser) hash(x *expression, name string) *Error {
	at := e.at
	e.at += len(name)
	e.blank()
	e.at++ // the '='
	e.blank()
	o, err := e.operand(0)
	if err != nil {
		return err
	}
	if name != "includeZero" {
		return e.fail(at, "unknown named argument %s", clip(name))
	}
	x.hash = e.off + at
	x.zero = o.lit.truthy()
	return nil
}

// blockParams reads "as |a b|".
func (e *exprParser) blockParams() (names []string, ok bool, err *Error) {
	rest, ok := strings.CutPrefix(e.src[e.at:], "as")
	trimmed := strings.TrimLeft(rest, blanks)
	if !ok || len(trimmed) == len(rest) || !strings.HasPrefix(trimmed, "|") {
		return nil, false, nil
	}
	at := e.at
	inside, tail, closed := strings.Cut(trimmed[1:], "|")
	if !closed || strings.Trim(tail, blanks) != "" {
		return nil, false, e.fail(at, "block parameters are not closed: expected as |a b|")
	}
	for _, name := range strings.FieldsFunc(inside, func(r rune) bool { return r < 0x80 && strings.IndexByte(blanks, byte(r)) >= 0 }) {
		if nameLen(name) != len(name) {
			return nil, false, e.fail(at, "%s is no name of a block parameter", clip(name))
		}
		names = append(names, name)
	}
	if len(names) == 0 || len(names) > 2 {
		return nil, false, e.fail(at, "expected one or two block parameters")
	}
	e.at = len(e.src)
	return names, true, nil
}

func (e *exprParser) operand(depth int) (operand, *Error) {
	switch c := e.peek(); {
	case c == '"' || c == '\'':
		return e.text(c)
	case c == '(':
		return e.call(depth)
	}
	if o, ok := e.literal(); ok {
		return o, nil
	}
	p, err := e.path()
	return operand{path: p}, err
}

func (e *exprParser) text(quote byte) (operand, *Error) {
	end := textEnd(e.src, e.at)
	if end < 0 {
		return operand{}, e.fail(e.at, "text is not closed: expected %c", quote)
	}
	s := strings.ReplaceAll(e.src[e.at+1:end], `\`+string(quote), string(quote))
	e.at = end + 1
	return operand{lit: textValue(s)}, nil
}

// literal reads a number, true, false, null or undefined.
func (e *exprParser) literal() (operand, bool) {
	word := e.src[e.at:]
	if i := strings.IndexAny(word, blanks+"=~}/)|]"); i >= 0 {
		word = word[:i]
	}
	var v Value
	switch {
	case word == "true", word == "false":
		v = boolValue(word == "true")
	case word == "null", word == "undefined":
	case isNumber(word):
		v = Value{kind: number, text: printed(word)}
	default:
		return operand{}, false
	}
	e.at += len(word)
	return operand{lit: v}, true
}

// isNumber matches -?[0-9]+(.[0-9]+)?
func isNumber(s string) bool {
	whole, part, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (!point || digits(part))
}

// call reads (lookup a b) or (equal a b).
func (e *exprParser) call(depth int) (operand, *Error) {
	at := e.at
	if depth == maxCalls {
		return operand{}, e.fail(at, "calls are nested more than %d levels deep", maxCalls)
	}
	e.at++
	e.blank()
	n := nameLen(e.src[e.at:])
	name := e.src[e.at : e.at+n]
	e.at += n
	if name != "lookup" && name != "equal" {
		return operand{}, e.fail(at+1, "unknown helper (%s: only lookup and equal can be called in parentheses", clip(name))
	}
	c := &call{equal: name == "equal"}
	for i := range c.args {
		e.blank()
		if c := e.peek(); c == 0 || c == ')' {
			return operand{}, e.fail(at, "%s takes two arguments", name)
		}
		var err *Error
		if c.args[i], err = e.operand(depth + 1); err != nil {
			return operand{}, err
		}
	}
	e.blank()
	if e.peek() != ')' {
		return operand{}, e.fail(e.at, "expected ) after two arguments of %s", name)
	}
	e.at++
	return operand{call: c}, nil
}

// nameLen is how many bytes at the beginning of s are a name. Handlebars: any
// characters but blanks and these.
func nameLen(s string) int {
	for i, r := range s {
		if r == utf8.RuneError || r <= ' ' || r == 0xa0 || strings.ContainsRune("!\"#%&'()*+,./;<=>@[\\]^`{|}~", r) {
			return i
		}
	}
	return len(s)
}

func (e *exprParser) path() (*path, *Error) {
	at := e.at
	p := &path{}
	if e.peek() == '@' {
		e.at++
		p.base = fromData
	}
	named, err := e.segments(p)
	if err != nil {
		return nil, err
	}
	p.text = e.src[at:e.at]
	if e.at < len(e.src) && strings.IndexByte(blanks+")", e.src[e.at]) < 0 {
		r, _ := utf8.DecodeRuneInString(e.src[e.at:])
		return nil, e.fail(e.at, "unexpected %q", r)
	}
	if p.base == fromData {
		return p, e.data(p, at)
	}
	p.bare = named && len(p.segs) == 1
	if named {
		e.p.scoped(p)
	}
	return p, nil
}

// data resolves what begins with '@'. Handlebars: unknown ones are nothing.
func (e *exprParser) data(p *path, at int) *Error {
	if len(p.segs) == 0 {
		return e.fail(at, "expected a name after @")
	}
	p.data, p.segs = p.segs[0], p.segs[1:]
	if p.data == "root" {
		p.base, p.up = fromRoot, 0
	}
	return nil
}

// segments reads ../, this, ., names and [names]. named says that a name without
// brackets comes first.
func (e *exprParser) segments(p *path) (named bool, err *Error) {
	for lead := true; ; { // lead: only ../ before
		at := e.at
		switch rest := e.src[e.at:]; {
		case strings.HasPrefix(rest, ".."):
			if !lead {
				return false, e.fail(at, "../ stands at the beginning of a path only")
			}
			e.at += 2
			p.up++
		case lead && strings.HasPrefix(rest, "."):
			lead = false
			e.at++
		case strings.HasPrefix(rest, "["):
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return false, e.fail(at, "expected ]")
			}
			lead = false
			p.segs = append(p.segs, rest[1:end])
			e.at += end + 1
		default:
			n := nameLen(rest)
			if n == 0 {
				return false, e.noName(at)
			}
			e.at += n
			if name := rest[:n]; name != "this" {
				named = named || lead && p.up == 0
				p.segs = append(p.segs, name)
			} else if !lead {
				return false, e.fail(at, "this stands at the beginning of a path only")
			}
			lead = false
		}
		if len(p.segs) > maxSegments || p.up > maxDepth {
			return false, e.fail(at, "path is too long")
		}
		if c := e.peek(); c != '.' && c != '/' {
			return named, nil
		}
		e.at++
	}
}

func (e *exprParser) noName(at int) *Error {
	if at == len(e.src) {
		return e.fail(at, "expected a name")
	}
	r, _ := utf8.DecodeRuneInString(e.src[at:])
	return e.fail(at, "expected a name instead of %q", r)
}
