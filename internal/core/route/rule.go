package route

import (
	"slices"
	"time"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// maxText bounds the expression, the actions together, and the description of a
// route, in characters. Mailgun: 4k for filter and actions.
const maxText = 4000

// Route is a rule as it is stored. It is shared: do not modify it.
type Route struct {
	ID          string // 24 hexadecimal digits
	AccountID   string
	Priority    int64 // smaller comes first; equal ones in the order of creation
	Description string
	Expression  string
	Actions     []string // as written
	CreatedAt   time.Time

	row int64 // grows with the order of creation
}

// rule is a route ready to be used.
type rule struct {
	*Route
	when *expression
	then []*action
	refs bool // an action needs captures
	stop bool
}

// makeRule compiles a route. The error is Invalid and names the part, the
// position and what is wrong.
func makeRule(r *Route) (*rule, error) {
	if err := checkLengths(r); err != nil {
		return nil, err
	}
	when, err := parseExpression(r.Expression)
	if err != nil {
		return nil, invalid("expression", r.Expression, err)
	}
	out := &rule{Route: r, when: when}
	for _, src := range r.Actions {
		a, err := parseAction(src, when)
		if err != nil {
			return nil, invalid("action "+clip(src, 100), src, err)
		}
		out.then = append(out.then, a)
		out.stop = out.stop || a.kind == Stop
		out.refs = out.refs || slices.ContainsFunc(a.dests, func(t *template) bool { return t.refs })
	}
	return out, nil
}

func checkLengths(r *Route) error {
	actions := 0
	for _, a := range r.Actions {
		actions += utf8.RuneCountInString(a)
	}
	for _, part := range []struct {
		name string
		n    int
	}{{"expression", utf8.RuneCountInString(r.Expression)}, {"actions", actions}, {"description", utf8.RuneCountInString(r.Description)}} {
		if part.n > maxText {
			return errs.New(errs.Invalid, "Invalid %s: longer than %d characters", part.name, maxText)
		}
	}
	return nil
}

func invalid(part, src string, err error) error {
	text := err.Error()
	if f, ok := err.(*fault); ok {
		text = f.in(src)
	}
	return errs.New(errs.Invalid, "Invalid %s: %s", part, text)
}

// resolve is what the rule does with a message that it matches.
func (r *rule) resolve(s *subject) []Action {
	var c *captures
	if r.refs {
		c = newCaptures(r.when.groups)
		r.when.capture(s, c)
	}
	out := make([]Action, 0, len(r.then))
	for _, a := range r.then {
		out = a.resolve(out, c)
	}
	return out
}

// urls are the URLs of a rule, with a letter in place of each reference.
func (r *rule) urls() []string {
	var out []string
	for _, a := range r.then {
		for _, t := range a.dests {
			if t.isURL() {
				out = append(out, t.sample())
			}
		}
	}
	return out
}

// same reports whether a route has not been changed.
func (r *Route) same(o *Route) bool {
	return r.Priority == o.Priority && r.Description == o.Description && r.Expression == o.Expression && slices.Equal(r.Actions, o.Actions)
}
