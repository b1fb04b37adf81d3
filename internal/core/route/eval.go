package route

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/mail/mime"
)

// truth is what is known of an expression. At RCPT there is no header yet:
// what depends on it is maybe.
type truth int8

const (
	no truth = iota
	maybe
	yes
)

// maxHeaderText bounds the values of one header field that patterns see, in
// bytes, so that a message cannot make matching long.
const maxHeaderText = 16 << 10

// subject is what expressions are asked about.
type subject struct {
	ctx       context.Context
	recipient string
	folded    string // in lower case
	ascii     bool
	header    mime.Fields
	known     bool // there is a header
	values    map[string][]string
	matched   bool  // a route before this one matched
	err       error // of ctx: the result is void
}

func newSubject(ctx context.Context, recipient string) *subject {
	s := &subject{ctx: ctx, recipient: recipient, folded: strings.ToLower(recipient), ascii: true}
	s.ascii = !strings.ContainsFunc(recipient, func(r rune) bool { return r >= utf8.RuneSelf })
	return s
}

func (s *subject) withHeader(h mime.Fields) *subject {
	s.header, s.known, s.values = h, true, map[string][]string{}
	return s
}

// field gives the decoded values of a header field.
func (s *subject) field(name string) []string {
	if list, ok := s.values[name]; ok {
		return list
	}
	list, left := s.header.Values(name), maxHeaderText
	for i, v := range list {
		if len(v) > left {
			v = v[:left]
		}
		left -= len(v)
		list[i] = strings.Map(printable, v)
	}
	s.values[name] = list
	return list
}

// printable turns what would end a line into a blank: a value is one line.
func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return ' '
	}
	return r
}

// eval tells whether the expression holds. It stops as soon as that is known.
func (e *expr) eval(s *subject) truth {
	switch e.kind {
	case onRecipient:
		return e.ofRecipient(s)
	case onHeader:
		return e.ofHeader(s)
	case catchAll:
		if s.matched {
			return no
		}
		return yes
	case notOp:
		return yes - e.args[0].eval(s)
	}
	// and is the least, or the greatest of its operands.
	v := e.args[0].eval(s)
	for _, a := range e.args[1:] {
		switch {
		case e.kind == andOp && v != no:
			v = min(v, a.eval(s))
		case e.kind == orOp && v != yes:
			v = max(v, a.eval(s))
		}
	}
	return v
}

// holds is eval, which it asks only if the literals of the patterns leave it
// open: a pattern costs what a hundred of them cost.
func (x *expression) holds(s *subject) truth {
	if x.ruledOut(s) {
		return no
	}
	return x.eval(s)
}

// ruledOut reports whether the literals alone show that an expression does not
// hold.
func (e *expr) ruledOut(s *subject) bool {
	out := func(a *expr) bool { return a.ruledOut(s) }
	switch e.kind {
	case onRecipient:
		return s.ascii && !e.possible(s.folded)
	case onHeader:
		return s.known && !slices.ContainsFunc(s.field(e.header), e.possible)
	case andOp:
		return slices.ContainsFunc(e.args, out)
	case orOp:
		return !slices.ContainsFunc(e.args, func(a *expr) bool { return !out(a) })
	}
	return false
}

func (e *expr) ofRecipient(s *subject) truth {
	if e.ruledOut(s) || !s.goOn() || !e.match(s.recipient) {
		return no
	}
	return yes
}

func (e *expr) ofHeader(s *subject) truth {
	if !s.known {
		return maybe
	}
	for _, v := range s.field(e.header) {
		if e.possible(v) && s.goOn() && e.match(v) {
			return yes
		}
	}
	return no
}

// goOn reports whether there is time left for one more pattern.
func (s *subject) goOn() bool {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	return s.err == nil
}

// captures are the texts of groups by number, 0 for the first whole match;
// set tells whether the group took part.
type captures struct {
	text []string
	set  []bool
}

func newCaptures(groups int) *captures {
	return &captures{make([]string, groups+1), make([]bool, groups+1)}
}

func (c *captures) put(i int, text string) {
	if !c.set[i] {
		c.text[i], c.set[i] = text, true
	}
}

// first is the text of the first of some groups that took part.
func (c *captures) first(groups []int) string {
	for _, g := range groups {
		if c.set[g] {
			return c.text[g]
		}
	}
	return ""
}

// capture collects the groups of the conditions that made an expression true:
// all operands of an and, the first true one of an or, nothing below a not.
func (e *expr) capture(s *subject, c *captures) {
	switch e.kind {
	case onRecipient:
		e.groupsOf(s.recipient, c)
	case onHeader:
		for _, v := range s.field(e.header) {
			if e.groupsOf(v, c) {
				return
			}
		}
	case andOp:
		for _, a := range e.args {
			a.capture(s, c)
		}
	case orOp:
		for _, a := range e.args {
			if a.eval(s) == yes {
				a.capture(s, c)
				return
			}
		}
	}
}

func (e *expr) groupsOf(text string, c *captures) bool {
	m := e.re.FindStringSubmatchIndex(e.seen(text))
	for i := 0; i < len(m); i += 2 {
		switch {
		case m[i] < 0:
		case i == 0:
			c.put(0, text[m[0]:m[1]])
		default:
			c.put(e.base+i/2, text[m[i]:m[i+1]])
		}
	}
	return m != nil
}

// why says why an expression does not hold.
func (e *expr) why(s *subject) string {
	switch e.kind {
	case onRecipient:
		return fmt.Sprintf("%s does not match %s", e.src, clip(s.recipient, 100))
	case onHeader:
		return e.whyHeader(s)
	case catchAll:
		return "catch_all() is for what no route before it matched"
	case notOp:
		return fmt.Sprintf("%s holds, not %s does not", e.args[0].src, e.args[0].src)
	}
	var parts []string
	for _, a := range e.args {
		if a.eval(s) == no {
			parts = append(parts, a.why(s))
			if e.kind == andOp {
				break
			}
		}
	}
	return strings.Join(parts, "; ")
}

func (e *expr) whyHeader(s *subject) string {
	list := s.field(e.header)
	if len(list) == 0 {
		return fmt.Sprintf("%s: there is no such field", e.src)
	}
	return fmt.Sprintf("%s does not match %q", e.src, clip(list[0], 100))
}
