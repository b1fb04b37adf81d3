package httpapi

import (
	"errors"
	"fmt"
	"strings"

	"postroad/internal/base/op"
)

// CheckOps reports everything an operation lacks: a group, a summary, an
// access level that exists, a description of each parameter, a route of its
// own, tags the binder understands. It is for a test over the whole program.
func CheckOps(ops []op.Op) error {
	var all []error
	seen := map[string]string{}
	for _, o := range ops {
		where := o.Method + " " + o.Path
		for _, err := range checkOp(o) {
			all = append(all, fmt.Errorf("%s: %w", where, err))
		}
		key := o.Method + " " + shapeKey(o.Path)
		if prev, dup := seen[key]; dup {
			all = append(all, fmt.Errorf("%s: route is already taken by %s", where, prev))
		}
		seen[key] = o.Path
	}
	return errors.Join(all...)
}

func checkOp(o op.Op) []error {
	var found []error
	miss := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if o.Group == "" {
		miss("no permission group")
	}
	if o.Access > op.Send {
		miss("unknown access level %d", o.Access)
	}
	if s := strings.TrimSpace(o.Summary); s == "" || strings.Contains(s, "\n") {
		miss("the summary must be one line")
	}
	if o.Out == nil {
		miss("no answer type")
	}
	p, err := compile(o)
	if err != nil {
		return append(found, err)
	}
	for i := range p.fields {
		if f := &p.fields[i]; f.doc == "" && f.place != inStream {
			miss("parameter %s has no doc tag", f.name)
		}
	}
	return found
}
