package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

// model is an expression with its meaning told a second time, on sets instead
// of patterns.
type model struct {
	src   string
	holds func(recipient string, header map[string]string, earlier bool) bool
}

func randomModel(r *rand.Rand, depth int) model {
	if depth > 0 {
		a, b := randomModel(r, depth-1), randomModel(r, depth-1)
		switch r.IntN(5) {
		case 0:
			return model{"not (" + a.src + ")", func(rc string, h map[string]string, e bool) bool { return !a.holds(rc, h, e) }}
		case 1, 2:
			return model{"(" + a.src + ") and (" + b.src + ")", func(rc string, h map[string]string, e bool) bool { return a.holds(rc, h, e) && b.holds(rc, h, e) }}
		case 3:
			return model{"(" + a.src + ") or (" + b.src + ")", func(rc string, h map[string]string, e bool) bool { return a.holds(rc, h, e) || b.holds(rc, h, e) }}
		}
	}
	letter := string(rune('a' + r.IntN(3)))
	switch r.IntN(5) {
	case 0, 1:
		return model{fmt.Sprintf("match_recipient('%s')", letter), func(rc string, _ map[string]string, _ bool) bool { return strings.HasPrefix(rc, letter) }}
	case 2, 3:
		name := string(rune('x' + r.IntN(2)))
		return model{fmt.Sprintf("match_header('%s', '.*%s')", name, letter), func(_ string, h map[string]string, _ bool) bool {
			v, ok := h[name]
			return ok && strings.Contains(v, letter)
		}}
	}
	return model{"catch_all()", func(_ string, _ map[string]string, earlier bool) bool { return !earlier }}
}

// headers are all there can be, as far as the expressions can tell.
func headers(t *testing.T) (list []map[string]string, fields []mime.Fields) {
	t.Helper()
	values := []string{"-", "", "a", "b", "c", "ab", "ac", "bc", "abc"} // - is none
	for _, x := range values {
		for _, y := range values {
			h := map[string]string{}
			var lines []string
			for name, v := range map[string]string{"x": x, "y": y} {
				if v != "-" {
					h[name] = v
					lines = append(lines, name+": "+v)
				}
			}
			list, fields = append(list, h), append(fields, message(t, lines...))
		}
	}
	return list, fields
}

// TestModel compares the routes with the model for every header there can be:
// which match, and that RCPT says yes exactly if some header is matched.
func TestModel(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 7))
	list, fields := headers(t)
	exact, rounds := 0, 400
	for range rounds {
		var models []model
		set := &ruleset{}
		for i := range 1 + r.IntN(4) {
			m := randomModel(r, r.IntN(4))
			route := &Route{ID: fmt.Sprint(i), Expression: m.src}
			if r.IntN(4) == 0 {
				route.Actions = []string{"stop()"}
			}
			one, err := makeRule(route)
			if err != nil {
				t.Fatal(err)
			}
			models, set.rules = append(models, m), append(set.rules, one)
		}
		for _, rcpt := range []string{"a@x.example", "b@x.example", "d@x.example"} {
			any := false
			for i, h := range list {
				want := wanted(models, set, rcpt, h)
				got := matchedIDs(set.match(newSubject(t.Context(), rcpt).withHeader(fields[i])))
				if got != want {
					t.Fatalf("%s with %v: %s, want %s of %s", rcpt, h, got, want, sources(models))
				}
				any = any || want != ""
			}
			could := set.candidate(newSubject(t.Context(), rcpt)) != nil
			if any && !could {
				t.Fatalf("%s is refused at RCPT, but some header is matched by %s", rcpt, sources(models))
			}
			if any == could {
				exact++
			}
		}
	}
	// Three values cannot see that "a and not a" is false; but they must not just
	// say yes.
	if exact < rounds*3*9/10 {
		t.Errorf("RCPT is right in %d of %d cases", exact, rounds*3)
	}
}

func wanted(models []model, set *ruleset, rcpt string, h map[string]string) string {
	var out []string
	for i, m := range models {
		if m.holds(rcpt, h, len(out) > 0) {
			out = append(out, fmt.Sprint(i))
			if set.rules[i].stop {
				break
			}
		}
	}
	return strings.Join(out, " ")
}

func matchedIDs(list []Matched) string {
	var out []string
	for _, m := range list {
		out = append(out, m.Route.ID)
	}
	return strings.Join(out, " ")
}

func sources(models []model) string {
	var out []string
	for _, m := range models {
		out = append(out, m.src)
	}
	return strings.Join(out, " | ")
}
