package route

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxProgram bounds the instructions of the compiled patterns of one route.
	// A pattern of plain text has one for each character.
	maxProgram = 5000
	// maxSteps bounds what one text costs, in instructions times bytes: a tenth of
	// a second or two where every instruction is at work. A large pattern sees
	// less of a long text for it, but seenAlways bytes in any case.
	maxSteps   = 2_000_000
	seenAlways = 1000
	// maxAlternatives bounds the literals looked for before a pattern runs.
	maxAlternatives = 16
)

// pattern is a regular expression that matches from the beginning of a text.
type pattern struct {
	re   *regexp.Regexp
	need []literal // of which a text has one if it matches; nil: not known
	size int       // instructions
}

// literal is a text every match has, at its beginning or anywhere in it.
type literal struct {
	text  string
	begin bool
}

// compile makes a pattern from Python's notation. With fold, case does not
// matter and texts are compared with need in lower case and ASCII only.
func compile(src string, fold bool) (*pattern, error) {
	goSrc, err := translate(src)
	if err != nil {
		return nil, err
	}
	goSrc = `\A(?:` + goSrc + `)`
	if fold {
		goSrc = "(?i)" + goSrc
	}
	tree, err := syntax.Parse(goSrc, syntax.Perl)
	if err != nil {
		return nil, plain(err)
	}
	p := &pattern{size: instructions(tree), need: required(tree, fold, true)}
	if p.size > maxProgram {
		return nil, fmt.Errorf("too large when its repetitions are written out: over %d steps", maxProgram)
	}
	if p.re, err = regexp.Compile(goSrc); err != nil {
		return nil, plain(err)
	}
	names := p.re.SubexpNames()
	for i, n := range names {
		if n != "" && slices.Contains(names[:i], n) {
			return nil, fmt.Errorf("group name %q is given twice", n)
		}
	}
	return p, nil
}

// plain words the compiler's error without what we put around the pattern.
func plain(err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
		return errors.New("unbalanced parentheses")
	case syntax.ErrInvalidRepeatSize:
		return fmt.Errorf("repetition over 1000: %q", clip(e.Expr, 40))
	}
	return fmt.Errorf("%s: %q", e.Code, clip(e.Expr, 40))
}

// instructions estimates the size of the compiled program, but for what the
// compiler adds around it. It is what keeps {1000} from costing megabytes.
func instructions(re *syntax.Regexp) int {
	const most = 1 << 20 // keeps products small
	n := 0
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), most)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpConcat:
		return n
	case syntax.OpAlternate:
		return n + len(re.Sub) - 1
	case syntax.OpCapture:
		return n + 2
	case syntax.OpRepeat:
		if re.Max == re.Min {
			return min(n*re.Max, most)
		}
		return min((n+1)*max(re.Max, re.Min+1), most)
	}
	return n + 1
}

// required finds what every match has. begin: the tree stands at the beginning
// of the pattern.
func required(re *syntax.Regexp, fold, begin bool) []literal {
	switch re.Op {
	case syntax.OpLiteral:
		if text, ok := plainText(re, fold); ok {
			return []literal{{text, begin}}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0], fold, begin)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0], fold, begin)
		}
	case syntax.OpAlternate:
		return requiredAny(re.Sub, fold, begin)
	case syntax.OpConcat:
		return requiredAll(re.Sub, fold, begin)
	}
	return nil
}

// requiredAny is the literals of alternatives together, if each has some.
func requiredAny(subs []*syntax.Regexp, fold, begin bool) (all []literal) {
	for _, sub := range subs {
		need := required(sub, fold, begin)
		if need == nil || len(all)+len(need) > maxAlternatives {
			return nil
		}
		all = append(all, need...)
	}
	return all
}

// requiredAll is the best of what the items of a sequence need; neighbouring
// texts are one.
func requiredAll(subs []*syntax.Regexp, fold, begin bool) (best []literal) {
	var run strings.Builder
	runBegin := begin
	flush := func() {
		if run.Len() > 0 {
			best = better(best, []literal{{run.String(), runBegin}})
		}
		run.Reset()
		runBegin = false
	}
	for _, sub := range subs {
		switch {
		case sub.Op >= syntax.OpBeginLine && sub.Op <= syntax.OpNoWordBoundary: // takes no text
			continue
		case sub.Op == syntax.OpLiteral:
			if text, ok := plainText(sub, fold); ok {
				run.WriteString(text)
				continue
			}
		}
		at := runBegin && run.Len() == 0
		flush()
		best = better(best, required(sub, fold, at))
	}
	flush()
	return best
}

// better chooses what sorts out more texts: the longer shortest literal.
func better(a, b []literal) []literal {
	shortest := func(list []literal) int {
		if len(list) == 0 {
			return 0
		}
		n := len(list[0].text)
		for _, l := range list {
			n = min(n, len(l.text))
		}
		return n
	}
	if shortest(b) > shortest(a) {
		return b
	}
	return a
}

// plainText gives a literal in the form texts are compared in. With fold they
// are ASCII and lower case, so that any case of the literal will do; without,
// one whose case does not matter is none.
func plainText(re *syntax.Regexp, fold bool) (string, bool) {
	var b strings.Builder
	for _, r := range re.Rune {
		switch {
		case r == utf8.RuneError || !fold && re.Flags&syntax.FoldCase != 0:
			return "", false
		case fold:
			if r = unicode.ToLower(r); r >= utf8.RuneSelf {
				return "", false
			}
		}
		b.WriteRune(r)
	}
	return b.String(), b.Len() > 0
}

// possible reports whether a text may match, by its literals.
func (p *pattern) possible(text string) bool {
	if p.need == nil {
		return true
	}
	for _, l := range p.need {
		if l.begin && strings.HasPrefix(text, l.text) || !l.begin && strings.Contains(text, l.text) {
			return true
		}
	}
	return false
}

// seen is as much of a text as the pattern may look at.
func (p *pattern) seen(text string) string {
	return text[:min(len(text), max(seenAlways, maxSteps/p.size))]
}

func (p *pattern) match(text string) bool { return p.re.MatchString(p.seen(text)) }
