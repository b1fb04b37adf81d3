package report

import "testing"

func TestFindReply(t *testing.T) {
	for _, c := range []struct {
		text   string
		code   int
		status string
		rest   string
	}{
		{"550 5.1.1 no such user", 550, "5.1.1", "no such user"},
		{"550-5.1.1 no such\n550 5.1.1 user", 550, "5.1.1", "no such\n550 5.1.1 user"},
		{"550", 550, "", ""},
		{"550 <a@example.com>: (#5.1.1)", 550, "5.1.1", "<a@example.com>: (#5.1.1)"},
		{"host mx said: 452 4.2.2 full", 452, "4.2.2", "full"},
		{"Remote Server returned '550 5.1.10 RESOLVER'", 550, "5.1.10", "RESOLVER'"},
		{"error code 554 no", 554, "", "no"},
		{"550 see 4.4.1", 550, "", "see 4.4.1"},
		{"after 450 hours", 0, "", "after 450 hours"},
		{"waited 500 5.1.1 x", 500, "5.1.1", "x"},
		{"<550@example.com> is 5.1.1", 0, "5.1.1", "<550@example.com> is 5.1.1"},
		{"192.0.2.550 x", 0, "", "192.0.2.550 x"},
		{"address 4.1.2.3 and version 5.9.1", 0, "", "address 4.1.2.3 and version 5.9.1"},
		{"5507 x", 0, "", "5507 x"},
		{"(#4.4.1)", 0, "4.4.1", "(#4.4.1)"},
		{"", 0, "", ""},
	} {
		code, status, rest := findReply(c.text)
		if code != c.code || status != c.status || rest != c.rest {
			t.Errorf("%q: %d %q %q", c.text, code, status, rest)
		}
	}
}

func TestMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.example": "a@b.example", " <a@b.example> ": "a@b.example", "a@b.example (Ann)": "a@b.example", "smtp:a@b.example": "a@b.example", "'a@b.example'": "a@b.example",
		"Ann <a@b.example>": "a@b.example", "ann": "", "@b.example": "", "a@": "", "a b@c": "", "a\x00@b.example": "", "": "", "/CN=Ann/O=X": "",
	} {
		if got := mailbox(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestHardness(t *testing.T) {
	for _, c := range []struct {
		r    Recipient
		hard bool
	}{
		{Recipient{Status: "5.1.1"}, true},
		{Recipient{Status: "5.1.1", Action: Delayed}, false},
		{Recipient{Status: "4.1.1", Diagnostic: "smtp; 550 no such user"}, false},
		{Recipient{Status: "5.0.0", Diagnostic: "smtp; 450 no such user"}, false},
		{Recipient{Diagnostic: "smtp; 550 no"}, false},
		{Recipient{Diagnostic: "smtp; 550 no", toRcpt: true}, true},
		{Recipient{Diagnostic: "smtp; 554 5.7.1 spam message rejected", toRcpt: true}, false},
		{Recipient{Status: "5.2.2"}, false},
		{Recipient{}, false},
		{Recipient{Diagnostic: "no such user here"}, true},
	} {
		r := c.r
		if r.judge(""); r.Hard != c.hard {
			t.Errorf("%+v: hard %t", c.r, r.Hard)
		}
	}
}
