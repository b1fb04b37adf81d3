package addr

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	one := func(name, local, domain string) []Address { return []Address{{name, local, domain}} }
	for _, c := range []struct {
		in   string
		want []Address
	}{
		{"a@b.com", one("", "a", "b.com")},
		{" <A.b+c@B.Com> ", one("", "A.b+c", "b.com")},
		{"< a@b.com >", one("", "a", "b.com")},
		{"Bob <bob@x.org>", one("Bob", "bob", "x.org")},
		{"Bob<bob@x.org>", one("Bob", "bob", "x.org")},
		{`"Smith, John" <j@x.org>`, one("Smith, John", "j", "x.org")},
		{`"a \"q\" \\ b" <j@x.org>`, one(`a "q" \ b`, "j", "x.org")},
		{"Smith, John <j@x.org>", one("Smith, John", "j", "x.org")},
		{"Smith,John <j@x.org>", one("Smith, John", "j", "x.org")},
		{"Acme, Inc., Sales <j@x.org>,", one("Acme, Inc., Sales", "j", "x.org")},
		{"John Q. Public <j@x.org>", one("John Q. Public", "j", "x.org")},
		{"J\u00f6rg M\u00fcller <j@x.org>", one("J\u00f6rg M\u00fcller", "j", "x.org")},
		{"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?= <j@x.org>", one("J\u00f6rg M", "j", "x.org")},
		{`"=?utf-8?q?J=C3=B6rg?=" <j@x.org>`, one("J\u00f6rg", "j", "x.org")},
		{"=?utf-8?q?a=0D=0Ab?= <j@x.org>", one("a  b", "j", "x.org")},
		{"j@x.org (John Smith)", one("John Smith", "j", "x.org")},
		{"(c) John (nested (c)) Smith <j@x.org> (c)", one("John Smith", "j", "x.org")},
		{"j@x.org <j@x.org>", one("j@x.org", "j", "x.org")},
		{"John [Sales] <j@x.org>", one("John [Sales]", "j", "x.org")},
		{`"john doe"@x.org`, one("", "john doe", "x.org")},
		{`"a@b"@x.org`, one("", "a@b", "x.org")},
		{"\u00fcser@x.org", one("", "\u00fcser", "x.org")},
		{"a@M\u00dcNCHEN.de", one("", "a", "m\u00fcnchen.de")},
		{"a@XN--mnchen-3ya.de", one("", "a", "xn--mnchen-3ya.de")},
		{"postmaster@localhost", one("", "postmaster", "localhost")},
		{",, a@b.com,;, c@d.com ;", []Address{{"", "a", "b.com"}, {"", "c", "d.com"}}},
		{"Team: a@x.org, Bob <b@x.org>;, c@x.org", []Address{{"", "a", "x.org"}, {"Bob", "b", "x.org"}, {"", "c", "x.org"}}},
		{"undisclosed-recipients:;", nil},
		{"a@x.org, Smith, John <j@x.org>, b@x.org", []Address{{"", "a", "x.org"}, {"Smith, John", "j", "x.org"}, {"", "b", "x.org"}}},
	} {
		got, err := ParseList(c.in)
		if err != nil {
			t.Errorf("ParseList(%q): %v", c.in, err)
		} else if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("ParseList(%q): %s", c.in, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in     string
		pos    int
		reason Reason
	}{
		{"", 0, ReasonEmpty}, {" ,; ", 0, ReasonEmpty}, {"bob", 0, ReasonMissing}, {"a@b.com, bob", 9, ReasonMissing},
		{"bob, a@b.com", 0, ReasonMissing}, {"Bob a@b.com", 0, ReasonMissing},
		{"a@b.com\r\nBcc: x@y", 7, ReasonControl}, {"a@b\x00.com", 3, ReasonControl}, {"\"a\nb\" <a@b.c>", 2, ReasonControl},
		{"a@", 2, ReasonDomainMissing}, {"<a>", 2, ReasonDomainMissing}, {"<>", 1, ReasonMissing}, {"@b.com", 0, ReasonLocal},
		{"a..b@x.org", 0, ReasonLocal}, {".a@x.org", 0, ReasonLocal}, {"a.@x.org", 0, ReasonLocal},
		{"a@x..org", 2, ReasonDomain}, {"a@x.org.", 2, ReasonDomain}, {"a@-x.org", 2, ReasonDomain}, {"a@x_y.org", 2, ReasonDomain},
		{"a@xn--\u00fc.org", 2, ReasonDomain}, {"a@[127.0.0.1]", 2, ReasonLiteral}, {"<@r:a@b.com>", 1, ReasonRoute},
		{"Bob <a@b.com", 4, ReasonBracket}, {"a@b.com>", 7, ReasonTrailing}, {"a@b.com c@d.com", 8, ReasonTrailing},
		{`"Bob <a@b.com>`, 0, ReasonQuote}, {"Bob (x <a@b.com>", 4, ReasonComment}, {"a@b@c.com", 3, ReasonTrailing},
		{"A: B: c@d.org;;", 4, ReasonGroup}, {strings.Repeat("a", 65) + "@x.org", 0, ReasonLocalLong},
		{"a@" + strings.Repeat("a", 64) + ".org", 2, ReasonDomainLong}, {"a@" + strings.Repeat("abcdefg.", 32) + "org", 2, ReasonDomainLong},
		{strings.Repeat("x", MaxInput+1), 0, ReasonTooLong}, {strings.Repeat("word ", 300) + "<a@b.c>", 0, ReasonNameLong},
		{"a\u200bb@x.org", 0, ReasonLocal}, {"a\xff@x.org", 0, ReasonLocal}, {"a @b.com", 2, ReasonLocal},
	} {
		_, err := ParseList(c.in)
		var e *Error
		if !errors.As(err, &e) || e.Pos != c.pos || e.Reason != c.reason {
			t.Errorf("ParseList(%.40q) = %v, want %s at %d", c.in, err, c.reason, c.pos)
		}
	}
	for _, s := range []string{"a@b.com, c@d.com", "Team: a@b.com;", "", "bob"} {
		if a, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v", s, a)
		}
	}
	for _, s := range []string{"", " a@b.com", "a@b.com ", "<a@b.com>", "a@b.com (x)", "a", "a@b.com,", "a@b.com\r\n"} {
		if a, err := ParseMailbox(s); err == nil {
			t.Errorf("ParseMailbox(%q) = %v", s, a)
		}
	}
}

func TestForms(t *testing.T) {
	for _, c := range []struct {
		a                      Address
		header, mailbox, ascii string
		utf8                   bool
	}{
		{Address{"", "a", "x.org"}, "a@x.org", "a@x.org", "a@x.org", false},
		{Address{"Bob B", "a", "x.org"}, "Bob B <a@x.org>", "a@x.org", "a@x.org", false},
		{Address{"Smith, J", "a", "x.org"}, `"Smith, J" <a@x.org>`, "a@x.org", "a@x.org", false},
		{Address{`a "b" \`, "a", "x.org"}, `"a \"b\" \\" <a@x.org>`, "a@x.org", "a@x.org", false},
		{Address{"J\u00f6rg", "a", "m\u00fcnchen.de"}, "=?utf-8?q?J=C3=B6rg?= <a@xn--mnchen-3ya.de>", "a@m\u00fcnchen.de", "a@xn--mnchen-3ya.de", false},
		{Address{"", "\u00fc", "m\u00fcnchen.de"}, "\u00fc@m\u00fcnchen.de", "\u00fc@m\u00fcnchen.de", "\u00fc@xn--mnchen-3ya.de", true},
		{Address{"", "john doe", "x.org"}, `"john doe"@x.org`, `"john doe"@x.org`, `"john doe"@x.org`, false},
		{Address{"=?x", "a", "x.org"}, "=?utf-8?b?PT94?= <a@x.org>", "a@x.org", "a@x.org", false},
	} {
		if got := []string{c.a.String(), c.a.Mailbox(), c.a.ASCII()}; !cmp.Equal(got, []string{c.header, c.mailbox, c.ascii}) || c.a.IsUTF8() != c.utf8 {
			t.Errorf("%+v: %q %v", c.a, got, c.a.IsUTF8())
		}
	}
	if got := Join([]Address{{"A", "a", "x.org"}, {"", "b", "x.org"}}); got != "A <a@x.org>, b@x.org" {
		t.Errorf("Join = %q", got)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"A@X.Org": "a@x.org", " a@x.org ": "a@x.org", "a@M\u00fcnchen.DE": "a@xn--mnchen-3ya.de", "a@XN--MNCHEN-3YA.de": "a@xn--mnchen-3ya.de",
		`"a"@x.org`: "a@x.org", `"A b"@x.org`: `"a b"@x.org`, "\u00dcser@x.org": "\u00fcser@x.org", "u\u0308@x.org": "\u00fc@x.org", "No Mailbox": "no mailbox",
	} {
		if got := Canonical(in); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
	list, err := ParseList("A <a@x.org>, b@x.org, A@X.ORG, a@m\u00fcnchen.de, a@xn--mnchen-3ya.de")
	if err != nil {
		t.Fatal(err)
	}
	if got := Join(Dedupe(list)); got != "A <a@x.org>, b@x.org, a@xn--mnchen-3ya.de" {
		t.Errorf("Dedupe = %q", got)
	}
}

// TestAgainstStandardLibrary: what net/mail reads, this package reads alike.
func TestAgainstStandardLibrary(t *testing.T) {
	for _, s := range []string{
		"a@b.com", "Bob <a@b.com>", `"X, Y" <a@b.com>, c@d.com`, "=?utf-8?q?J=C3=B6rg?= <j@x.org>", "G: a@b.com, c@d.com;",
		`"john doe"@x.org`, "a@b.com (C)", "J\u00f6rg <j@x.org>", "John Q. Public <j@x.org>",
	} {
		compare(t, s, true)
	}
}

func compare(t *testing.T, s string, must bool) {
	t.Helper()
	theirs, err := mail.ParseAddressList(s)
	if err != nil {
		return
	}
	ours, err := ParseList(s)
	if err != nil {
		if must {
			t.Errorf("%q: %v", s, err)
		}
		return // they accept obsolete forms and any domain
	}
	if len(ours) != len(theirs) {
		t.Errorf("%q: we read %v, the standard library %v", s, ours, theirs)
		return
	}
	for i := range ours {
		local, domain, _ := cutLast(theirs[i].Address)
		if ours[i].Local != local || isASCII(domain) && ours[i].Domain != strings.ToLower(domain) {
			t.Errorf("%q: we read %+v, the standard library %q", s, ours[i], theirs[i].Address)
		}
	}
}

func cutLast(s string) (string, string, bool) {
	i := strings.LastIndexByte(s, '@')
	return s[:i], s[i+1:], true
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{
		"a@b.com, Bob <b@c.org>", `"x, \"y" <"a b"@c.org>`, "G: a@b.com;", "Smith, J <a@b.com> (c)", "=?utf-8?q?=C3=B6?= <\u00fc@m\u00fcnchen.de>",
		"((((", "a@b <a@b>,;,", "\"\\", "<<a@b>>", "a@xn--mnchen-3ya.de",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseList(s)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(s) {
				t.Fatalf("%q: error %v", s, err)
			}
			return
		}
		for _, a := range list {
			checkAddress(t, a)
		}
		compare(t, s, false)
	})
}

func checkAddress(t *testing.T, a Address) {
	h := a.String()
	if strings.ContainsFunc(a.Name+a.Local+a.Domain+h, unicode.IsControl) {
		t.Errorf("control character in %q", h)
	}
	if !utf8.ValidString(h) || len(a.Domain) > 4*MaxDomain {
		t.Errorf("bad header form %q", h)
	}
	back, err := Parse(h)
	if err != nil {
		t.Fatalf("%+v: header form %q: %v", a, h, err)
	}
	if back.Name != a.Name || back.Local != a.Local || back.ASCII() != a.ASCII() {
		t.Errorf("%+v comes back from %q as %+v", a, h, back)
	}
	if m, err := ParseMailbox(a.ASCII()); err != nil || m.ASCII() != a.ASCII() {
		t.Errorf("mailbox %q: %v", a.ASCII(), err)
	}
	if c := Canonical(a.Mailbox()); Canonical(c) != c {
		t.Errorf("Canonical(%q) = %q is not stable", a.Mailbox(), c)
	}
}

func BenchmarkParseList(b *testing.B) {
	for b.Loop() {
		if _, err := ParseList("Bob Smith <bob@example.com>"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	for b.Loop() {
		Canonical("bob@example.com")
	}
}
