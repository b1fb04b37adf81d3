package route

import (
	"fmt"
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

// message is a header for tests, one field per line.
func message(t testing.TB, lines ...string) mime.Fields {
	t.Helper()
	h, err := headerOf(lines)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func parsed(t testing.TB, src string) *expression {
	t.Helper()
	e, err := parseExpression(src)
	if err != nil {
		t.Fatalf("%s: %s", src, err.(*fault).in(src))
	}
	return e
}

func TestExpressions(t *testing.T) {
	const rcpt = "Chris+list@Example.com"
	header := message(t, "Subject: Re: I need support, asap", "X-Mailgun-Sflag: No", "Received: one", "Received: two",
		"X-Encoded: =?utf-8?q?gr=C3=BC=C3=9Fe?=", "Content-Language: de, en-US", "X-Folded: a\tb")
	tests := []struct {
		src        string
		rcpt, full truth // without and with the header
	}{
		// from the manual
		{`match_recipient("chris.list@example.com")`, yes, yes},
		{`match_recipient(".*@example.com")`, yes, yes},
		{`match_recipient("^chris\+(.*)@example.com$")`, yes, yes},
		{`match_recipient("(?P<user>.*?)@(?P<domain>.*)")`, yes, yes},
		{`match_header("subject", ".*support")`, maybe, yes},
		{`match_header('subject', '(.*)(urgent|help|asap)(.*)')`, maybe, yes},
		{`match_header('X-Mailgun-Sflag', 'Yes')`, maybe, no},
		{`match_recipient('^(.*)@example.com$') and match_header("Content-Language", "^(.*)en-US(.*)$")`, maybe, yes},
		{`catch_all()`, yes, yes},

		// from the beginning, not to the end; case matters in headers only
		{`match_recipient("example.com")`, no, no},
		{`match_recipient("chris")`, yes, yes},
		{`match_recipient("chris$")`, no, no},
		{`match_recipient("CHRIS")`, yes, yes},
		{`match_recipient("(?-i:CHRIS)")`, no, no},
		{`match_header("SUBJECT", "re:")`, maybe, no},
		{`match_header("SUBJECT", "(?i)re:")`, maybe, yes},
		{`match_header("subject", "need")`, maybe, no},

		// any field of the name; decoded; one that is missing matches nothing
		{`match_header("received", "two")`, maybe, yes},
		{`match_header("x-encoded", "grüße$")`, maybe, yes},
		{`match_header("x-none", ".*")`, maybe, no},
		{`not match_header("x-none", ".*")`, maybe, yes},

		// precedence: not, and, or; capitals; parentheses
		{`not catch_all() or catch_all()`, yes, yes},
		{`not (catch_all() or catch_all())`, no, no},
		{`catch_all() or catch_all() and match_recipient("x")`, yes, yes},
		{`(catch_all() or catch_all()) AND match_recipient("x")`, no, no},
		{`NOT not catch_all()`, yes, yes},
		{`match_recipient("x") and match_header("subject", ".")`, no, no},
		{`match_recipient("chris") or match_header("subject", "x")`, yes, yes},
		{`match_recipient("x") or not match_header("subject", "x")`, maybe, yes},
		{"\t match_recipient ( 'chris' )\n", yes, yes},
		{`match_recipient("chris")and(catch_all())`, yes, yes},

		// strings
		{`match_recipient("chris\\+list")`, yes, yes},
		{`match_recipient(r"chris\+list")`, yes, yes},
		{`match_recipient(r"chris\\+list")`, no, no},
		{`match_header("subject", "Re: \"")`, maybe, no},
		{`match_header("subject", 'Re: I\'?')`, maybe, yes},
	}
	for _, tt := range tests {
		e := parsed(t, tt.src)
		if got := e.holds(newSubject(t.Context(), rcpt)); got != tt.rcpt {
			t.Errorf("%s at RCPT: %d, want %d", tt.src, got, tt.rcpt)
		}
		s := newSubject(t.Context(), rcpt).withHeader(header)
		if got := e.holds(s); got != tt.full {
			t.Errorf("%s: %d, want %d", tt.src, got, tt.full)
		} else if why := e.why(s); got == no && why == "" {
			t.Errorf("%s: no reason", tt.src)
		}
	}
}

func TestWrongExpressions(t *testing.T) {
	tests := []struct{ src, want string }{
		{``, "at character 1: expected match_recipient, match_header, catch_all, not or (, found the end"},
		{`catch_all`, `at character 10: expected "(", found the end`},
		{`catch_all(`, `at character 11: expected ")", found the end`},
		{`catch_all("x")`, `at character 11: expected ")", found a string`},
		{`catch_all() catch_all()`, `at character 13: expected and, or or the end, found "catch_all"`},
		{`catch_all() and`, "at character 16: expected match_recipient, match_header, catch_all, not or (, found the end"},
		{`catch_all() && catch_all()`, `at character 13: expected and, or or the end, found "&"`},
		{`Catch_All()`, `at character 1: expected match_recipient, match_header, catch_all, not or (, found "Catch_All"`},
		{`match_recipient(foo)`, `at character 17: expected a pattern in quotes, found "foo"`},
		{`match_recipient()`, `at character 17: expected a pattern in quotes, found ")"`},
		{`match_recipient("a", "b")`, `at character 20: expected ")", found ","`},
		{`match_header("subject")`, `at character 23: expected ",", found ")"`},
		{`match_header("sub ject", "x")`, `at character 14: "sub ject" is not the name of a header field`},
		{`match_header("", "x")`, `at character 14: "" is not the name of a header field`},
		{`match_header('grün', "x")`, `at character 14: "grün" is not the name of a header field`},
		{`match_header("x","ü") or match_recipient("a`, `at character 42: expected the closing " of the string that begins here, found the end`},
		{"match_recipient('a\nb')", "at character 19: control character in a string"},
		{`(catch_all()`, `at character 13: expected ")", found the end`},
		{`catch_all())`, `at character 12: expected and, or or the end, found ")"`},
		{strings.Repeat("(", 200) + `catch_all()`, "at character 101: nested deeper than 100"},
		{strings.Repeat("not ", 200) + `catch_all()`, "at character 401: nested deeper than 100"},
		{`match_recipient("(")`, "at character 17: invalid regular expression: unbalanced parentheses"},
		{`match_recipient("a)")`, "at character 17: invalid regular expression: unbalanced parentheses"},
		{`match_recipient("[")`, `at character 17: invalid regular expression: missing closing ]: "[)"`},
		{`match_recipient("(?!x)")`, "at character 17: invalid regular expression: negative lookahead (?!... is not supported; use not with a second condition"},
		{`match_recipient("((a{100}){100}){100}")`, "at character 17: invalid regular expression: repetition over 1000: "},
		{`match_recipient("([ab]{900}){1,9}")`, "at character 17: invalid regular expression: repetition over 1000: "},
		{`match_recipient("` + strings.Repeat("a{900}", 6) + `")`, "at character 17: invalid regular expression: too large when its repetitions are written out: over 5000 steps"},
		{`match_recipient("` + strings.Repeat("a{900}", 4) + `") or match_recipient("` + strings.Repeat("a{900}", 4) + `")`, "at character 64: invalid regular expression: the patterns of the expression are too large together"},
	}
	for _, tt := range tests {
		_, err := parseExpression(tt.src)
		f, ok := err.(*fault)
		if !ok {
			t.Errorf("%.60s: %v, want a fault", tt.src, err)
		} else if got := f.in(tt.src); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%.60s:\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

// Groups are numbered through; those of conditions that did not take part are
// empty, and a name may stand in several conditions.
func TestCaptures(t *testing.T) {
	header := message(t, "Subject: ticket 17", "Subject: none", "X-Id: 99")
	tests := []struct {
		src  string
		want []string // from group 0
	}{
		{`match_recipient("(.*)@(.*)")`, []string{"jane@example.com", "jane", "example.com"}},
		{`match_recipient("(.*)@") and match_header("subject", "ticket (\d+)")`, []string{"jane@", "jane", "17"}},
		{`match_header("subject", "ticket (\d+)") and match_recipient("(.*)@")`, []string{"ticket 17", "17", "jane"}},
		{`match_recipient("(x)") or match_recipient("(j)(q)?")`, []string{"j", "", "j", ""}},
		{`match_recipient("(j)") or match_recipient("(ja)")`, []string{"j", "j", ""}},
		{`not match_recipient("(x)") and match_recipient("(j)")`, []string{"j", "", "j"}},
		{`(match_recipient("(j)") and match_header("x-id", "(1)")) or match_recipient("(ja)")`, []string{"ja", "", "", "ja"}},
	}
	for _, tt := range tests {
		e := parsed(t, tt.src)
		s := newSubject(t.Context(), "jane@example.com").withHeader(header)
		if e.holds(s) != yes {
			t.Fatalf("%s does not hold", tt.src)
		}
		c := newCaptures(e.groups)
		e.capture(s, c)
		if got := fmt.Sprintf("%q", c.text); got != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s: %s, want %q", tt.src, got, tt.want)
		}
	}
}

// A large pattern sees less of a long field, so that its cost is bounded too.
func TestLargePatternLongHeader(t *testing.T) {
	p, err := compile("[ab]*"+strings.Repeat("(?:x{900})?", 5)+"$", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.seen(strings.Repeat("a", maxHeaderText))); got != seenAlways {
		t.Errorf("%d bytes seen by %d instructions", got, p.size)
	}
	small, err := compile("[ab]*", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(small.seen(strings.Repeat("a", maxHeaderText))); got != maxHeaderText {
		t.Errorf("%d bytes seen by %d instructions", got, small.size)
	}
}

// A message cannot make matching long by its header.
func TestLongHeader(t *testing.T) {
	long := strings.Repeat("a", maxHeaderText-10)
	s := newSubject(t.Context(), "a@example.com").withHeader(message(t, "X: "+long, "X: bbbbbbbbbbX", "X: c"))
	for pattern, want := range map[string]truth{"a*$": yes, "b{10}$": yes, "b*X": no, "c": no} {
		if got := parsed(t, `match_header("x", "`+pattern+`")`).eval(s); got != want {
			t.Errorf("%s: %d, want %d", pattern, got, want)
		}
	}
}
