package event

import (
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/when"
)

func TestParseTime(t *testing.T) {
	want := time.Date(2011, 10, 13, 18, 2, 0, 0, time.UTC)
	for _, s := range []string{"Thu, 13 Oct 2011 18:02:00 +0000", "Thu, 13 Oct 2011 18:02:00 -0000", "Thu, 13 Oct 2011 18:02:00 GMT", "13 Oct 2011 18:02:00 UTC",
		"Thu, 13 Oct 2011 13:02:00 CDT", "Thu, 13 Oct 2011 14:02:00 EDT", "Thu, 13 Oct 2011 20:02:00 +0200", "Thu, 13 Oct 2011 20:02:00  0200",
		"1318528920", "1318528920.0", "1.31852892e9", "2011-10-13T18:02:00Z", "2011-10-13T20:02:00+02:00", " Thu, 13 Oct 2011 18:02:00 +0000 "} {
		if got, ok := when.Parse(s); !ok || !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, ok)
		}
	}
	if got, ok := when.Parse("1529704976.104692"); !ok || got.UnixMicro() != 1529704976104692 {
		t.Errorf("%v", got)
	}
	for _, s := range []string{"", "yesterday", "-1", "1e300", "NaN", "Inf", "99999999999999", "Thu, 99 Oct 2011 18:02:00 +0000", "1 Jan 1950 00:00:00 +0000"} {
		if got, ok := when.Parse(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestParseSpan(t *testing.T) {
	now := time.Unix(2000, 0)
	id := func(s int64) int64 { return ids.Floor(time.Unix(s, 0)) }
	end := func(s int64) int64 { return ids.FromMicro(s*1e6 + 1) }
	for _, c := range []struct {
		begin, end, asc string
		want            span
		bad             bool
	}{
		{want: span{to: id(2001)}},
		{asc: "yes", want: span{ascending: true}},
		{asc: "no", want: span{to: id(2001)}},
		{begin: "100", asc: "yes", want: span{from: id(100), ascending: true}},
		{begin: "100", asc: "no", want: span{to: end(100)}},
		{begin: "100", bad: true},
		{begin: "100", end: "200", want: span{id(100), end(200), true}},
		{begin: "200", end: "100", want: span{id(100), end(200), false}},
		{begin: "100", end: "200", asc: "yes", want: span{id(100), end(200), true}},
		{begin: "200", end: "100", asc: "no", want: span{id(100), end(200), false}},
		{begin: "100", end: "200", asc: "no", bad: true},
		{begin: "200", end: "100", asc: "yes", bad: true},
		{begin: "100", end: "100", asc: "no", want: span{id(100), end(100), false}},
		{end: "100", want: span{id(100), id(2001), false}},
		{end: "100", asc: "yes", want: span{to: end(100), ascending: true}},
		{begin: "x", asc: "yes", bad: true}, {end: "x", bad: true}, {asc: "up", bad: true},
	} {
		got, err := parseSpan(c.begin, c.end, c.asc, now)
		if c.bad != (err != nil) || err != nil && !errs.Is(err, errs.Invalid) || err == nil && got != c.want {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"Thu, 13 Oct 2011 18:02:00 +0000", "1318528920.5", "2011-10-13T18:02:00Z", "x:  0200"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := when.Parse(s); ok && (ids.Floor(at) < 0 || behind(at) <= ids.Floor(at)) {
			t.Errorf("%q is %v", s, at)
		}
	})
}

func FuzzToken(f *testing.F) {
	tok := token{Kind: nextPage, From: 1, To: 2, Asc: true, Limit: 100, Cursor: 5, Filter: [][2]string{{"size", ">10 <\"&"}}}
	tok.setSeen([]int64{7, 9})
	s, err := tok.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add("eyJrIjoiZiIsImwiOjF9")
	f.Add("!")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := decodeToken(s)
		if err != nil {
			return
		}
		again, err := tok.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeToken(again); err != nil || back.Kind != tok.Kind || back.Cursor != tok.Cursor || len(back.seen()) != len(tok.Seen) {
			t.Errorf("%+v became %+v, %v", tok, back, err)
		}
	})
}

func FuzzLogToken(f *testing.F) {
	s, err := logToken{From: 1, To: 2, Asc: true}.encode(nextPage, 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := decodeLogToken(s)
		if err == nil && (tok.From < 0 || tok.Cursor < 0 || tok.Kind == "") {
			t.Errorf("%+v", tok)
		}
	})
}

func TestTokenSeen(t *testing.T) {
	var tok token
	all := make([]int64, maxSeen+5)
	for i := range all {
		all[i] = int64(10 + 3*i)
	}
	tok.setSeen(all)
	if tok.Cursor != all[4] || len(tok.seen()) != maxSeen || tok.seen()[0] != all[5] || tok.seen()[maxSeen-1] != all[maxSeen+4] {
		t.Errorf("%d %v", tok.Cursor, tok.seen())
	}
}
