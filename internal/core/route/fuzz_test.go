package route

import (
	"net/url"
	"strings"
	"testing"

	"postroad/internal/mail/addr"
)

func FuzzExpression(f *testing.F) {
	for _, s := range []string{`match_recipient("^chris\+(.*)@example.com$") and not match_header('subject', '(?P<x>.*)(a|b)')`,
		`(catch_all() or match_header("x", r"\d")) AND NOT catch_all()`, `match_recipient("\"`, `((((`, `not not`, "match_header(\"\x00\",'\xff')"} {
		f.Add(s, "a@example.com", "words of a subject")
	}
	f.Fuzz(func(t *testing.T, src, rcpt, subject string) {
		r, err := makeRule(&Route{Expression: src})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Invalid expression: ") {
				t.Fatal(err)
			}
			return
		}
		if r.when.size > maxProgram {
			t.Fatalf("%d instructions", r.when.size)
		}
		if strings.ContainsAny(subject, "\r\n") {
			return
		}
		full := newSubject(t.Context(), rcpt).withHeader(message(t, "Subject: "+subject))
		if full.matched = false; r.when.holds(full) == yes && r.when.holds(newSubject(t.Context(), rcpt)) == no {
			t.Fatalf("%q matches but is refused at RCPT", src)
		}
		if r.when.holds(full) == no && r.when.why(full) == "" {
			t.Fatalf("%q: no reason", src)
		}
	})
}

func FuzzPattern(f *testing.F) {
	patterns, texts := peerCases()
	for i, p := range patterns {
		f.Add(p, texts[i%len(texts)], i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, src, text string, fold bool) {
		if len(src) > maxText || len(text) > 1000 {
			return
		}
		p, err := compile(src, fold)
		if err != nil {
			return
		}
		seen, ascii := text, true
		if fold {
			seen, ascii = newSubject(t.Context(), text).folded, newSubject(t.Context(), text).ascii
		}
		if ascii && p.re.MatchString(text) && !p.possible(seen) {
			t.Fatalf("%q matches %q, its literals %v rule it out", src, text, p.need)
		}
	})
}

func FuzzAction(f *testing.F) {
	for _, s := range []string{`forward("a@b.example, https://x.example/y?z=\1")`, `store(notify='http://x.example/\g<user>/\g<1>')`, `store()`, `stop()`,
		`forward("\1@\2")`, `forward("http://x.example/\1/../\2")`, `forward("http:\\/\1")`, `forward("http://x.example?\g<0>")`} {
		f.Add(s, "jane@example.com")
	}
	f.Add(`forward("http://x.example/\1")`, `"../..\@evil.example/"@example.com`)
	const expression = `match_recipient("(?s)(?P<user>.*)@(.*)")`
	f.Fuzz(func(t *testing.T, src, rcpt string) {
		r, err := makeRule(&Route{Expression: expression, Actions: []string{src}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Invalid action") {
				t.Fatal(err)
			}
			return
		}
		s := newSubject(t.Context(), rcpt).withHeader(nil)
		if r.when.holds(s) != yes {
			return
		}
		for _, a := range r.resolve(s) {
			checkResolved(t, r.then[0], a)
		}
	})
}

// checkResolved: an action has one usable destination or a problem.
func checkResolved(t *testing.T, from *action, a Action) {
	t.Helper()
	switch {
	case a.Problem != "":
		if a.Address+a.URL != "" {
			t.Fatalf("%+v", a)
		}
	case a.Address != "":
		if _, err := addr.ParseMailbox(a.Address); err != nil {
			t.Fatalf("%q: %v", a.Address, err)
		}
	case a.URL != "":
		u, err := url.Parse(a.URL)
		if err != nil || u.User != nil || strings.ContainsAny(a.URL, " \r\n\\") {
			t.Fatalf("%q: %v", a.URL, err)
		}
		for _, d := range from.dests {
			if d.isURL() && d.host == u.Host {
				return
			}
		}
		t.Fatalf("%q calls another host than was written", a.URL)
	case a.Kind == Forward:
		t.Fatalf("%+v", a)
	}
}
