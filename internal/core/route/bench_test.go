package route

import (
	"fmt"
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

// routes makes a ruleset of n expressions; a %d is the number of each.
func routes(b *testing.B, n int, format string) *ruleset {
	b.Helper()
	set := &ruleset{}
	for i := range n {
		src := format
		if strings.Contains(format, "%d") {
			src = fmt.Sprintf(format, i)
		}
		r, err := makeRule(&Route{ID: fmt.Sprint(i), Expression: src, Actions: []string{`forward("http://x.example/\g<0>")`}})
		if err != nil {
			b.Fatal(err)
		}
		set.rules = append(set.rules, r)
	}
	return set
}

// BenchmarkMatch1000 matches one message against 1,000 routes of which one or
// none matches, and of which every pattern has to run (regexp).
func BenchmarkMatch1000(b *testing.B) {
	header := message(b, "From: Ann <ann@example.net>", "To: user999@customer999.example", "Subject: Re: your ticket 999, a few words long",
		"Date: Thu, 26 Mar 2026 12:00:00 +0000", "Message-Id: <1234@example.net>")
	for _, bb := range []struct{ name, format string }{
		{"address", `match_recipient("^user%d@customer%[1]d\\.example$")`},
		{"domain", `match_recipient(".*@customer%d.example")`},
		{"capture", `match_recipient("(?P<user>.*?)\+(.*)@customer%d\.example")`},
		{"subject", `match_header("subject", ".*ticket %d,")`},
		{"both", `match_recipient(".*@customer999.example") and match_header("subject", ".*ticket %d,")`},
		{"regexp", `match_recipient("[a-z]+[0-9]+@[a-z]+[0-9]+[.][f-z]")`},
		{"everyone", `match_recipient(".*@.*")`},
	} {
		b.Run(bb.name, func(b *testing.B) { benchmark(b, routes(b, 1000, bb.format), header) })
	}
}

func benchmark(b *testing.B, set *ruleset, header mime.Fields) {
	b.ReportAllocs()
	for b.Loop() {
		set.match(newSubject(b.Context(), "user999@customer999.example").withHeader(header))
	}
}

// BenchmarkWorst is what one condition costs at most: the largest program and
// the longest text, with every state alive.
func BenchmarkWorst(b *testing.B) {
	set := routes(b, 1, `match_header("subject", "([ab]{1,1000})*[ab]{1,1000}y")`)
	benchmark(b, set, message(b, "Subject: "+strings.Repeat("ab", maxHeaderText/2-1)+"zy"))
}

// BenchmarkCompile is what a thousand routes cost after a change.
func BenchmarkCompile1000(b *testing.B) {
	for b.Loop() {
		routes(b, 1000, `match_recipient(".*@customer%d.example")`)
	}
}
