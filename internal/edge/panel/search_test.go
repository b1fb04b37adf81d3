package panel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSearch(t *testing.T) {
	cases := []struct {
		in   string
		want Filter
	}{
		{"", Filter{}},
		{"  ", Filter{}},
		{"jane@example.com", Filter{Words: []string{"jane@example.com"}}},
		{"to:jane from:shop", Filter{To: []string{"jane"}, From: []string{"shop"}}},
		{`subject:"your receipt" tag:eu`, Filter{Subject: []string{"your receipt"}, Tags: []string{"eu"}}},
		{`"two words" third`, Filter{Words: []string{"two words", "third"}}},
		{"STATUS:Failed status:failed status:deferred", Filter{Statuses: []Status{Failed, Deferred}}},
		{"domain:Example.COM", Filter{Domains: []string{"example.com"}}},
		{"http://x y:z", Filter{Words: []string{"http://x", "y:z"}}},
		{"to: jane", Filter{Words: []string{"jane"}}},
		{`"" a`, Filter{Words: []string{"a"}}},
		{`to:"" a`, Filter{Words: []string{"a"}}},
		{`"open end`, Filter{Words: []string{"open end"}}},
		{"<20260304.1@example.com>", Filter{Words: []string{"<20260304.1@example.com>"}}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, ParseSearch(c.in)); diff != "" {
			t.Errorf("ParseSearch(%q): %s", c.in, diff)
		}
	}
}

func TestParseSearchBounds(t *testing.T) {
	f := ParseSearch(strings.Repeat("a ", 1000))
	if len(f.Words) != maxTerms {
		t.Errorf("%d words", len(f.Words))
	}
	f = ParseSearch(strings.Repeat("\u00e9", 1000))
	if len(f.Words) != 1 || len(f.Words[0]) > maxSearch || strings.Contains(f.Words[0], "\uFFFD") {
		t.Errorf("cut badly: %q", f.Words)
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{"", `to:"a b" c`, "status:failed", `"""`, "subject:", "\xff\xfe:", strings.Repeat(`"" `, 30)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := ParseSearch(s)
		n := 0
		for _, list := range [][]string{got.Words, got.From, got.To, got.Subject, got.Tags, got.Domains} {
			n += len(list)
			for _, v := range list {
				if v == "" || len(v) > 2*maxSearch {
					t.Fatalf("value %q", v)
				}
			}
		}
		if n+len(got.Statuses) > maxTerms {
			t.Fatalf("%d terms", n)
		}
	})
}
