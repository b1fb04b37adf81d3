package suppress

import (
	"encoding/json"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 21 Oct 2011 11:02:55 GMT":   "2011-10-21T11:02:55Z",
		"Fri, 21 Oct 2011 11:02:55 UTC":   "2011-10-21T11:02:55Z",
		"Fri, 21 Oct 2011 11:02:55 +0200": "2011-10-21T09:02:55Z",
		"Fri, 21 Oct 2011 11:02:55 -0000": "2011-10-21T11:02:55Z",
		"Fri, 21 Oct 2011 11:02:55 EST":   "2011-10-21T16:02:55Z",
		"21 Oct 2011 11:02:55 PDT":        "2011-10-21T18:02:55Z",
		" 1319194975 ":                    "2011-10-21T11:02:55Z",
		"1319194975.25":                   "2011-10-21T11:02:55.25Z",
		"2011-10-21T11:02:55+01:00":       "2011-10-21T10:02:55Z",
		"Mon, 01 Jan 0001 00:00:00 +0000": "",
		"Mon, 01 Jan 0001 00:00:00 UTC":   "",
		"":                                "",
	} {
		got, err := parseDate(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		text := ""
		if got != 0 {
			text = time.UnixMicro(got).UTC().Format(time.RFC3339Nano)
		}
		if text != want {
			t.Errorf("%q: %s, want %s", in, text, want)
		}
	}
	for _, in := range []string{"yesterday", "NaN", "Inf", "1e300", "-253402300800", "2011-13-45", "Fri, 32 Oct 2011 11:02:55 GMT"} {
		if got, err := parseDate(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Fri, 21 Oct 2011 11:02:55 GMT", "1319194975.25", "2011-10-21T11:02:55+01:00", "Mon, 01 Jan 0001 00:00:00 UTC", "-1", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		us, err := parseDate(s)
		if err != nil {
			return
		}
		// What is shown must read as the same second again.
		shown := stampText(&Entry{CreatedAt: us})
		again, err := parseDate(shown)
		if us != 0 && (err != nil || again != us-mod(us, 1e6)) {
			t.Errorf("%q is %d, shown as %q, read as %d %v", s, us, shown, again, err)
		}
	})
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }

func FuzzBatch(f *testing.F) {
	for _, s := range []string{`[{"address":"a@example.com","tags":["x"],"created_at":5}]`, `[]`, `{}`, `null`, `[null,{}]`, `[{"address":1}]`, `[{"createdat":"x"}]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b batch[unsubscribeRecord]
		if json.Unmarshal([]byte(s), &b) != nil {
			return
		}
		g, err := gather(unsubscribeForm{}, b)
		if err != nil {
			return
		}
		if g.records > maxBatch || len(g.entries) < g.records || len(g.entries) > g.records*maxTags {
			t.Errorf("%d records, %d entries", g.records, len(g.entries))
		}
		for i := range g.entries {
			e := &g.entries[i]
			e.Kind = Unsubscribes
			if e.clean() == nil && (e.Tag == "" || key(e.Address) != key(key(e.Address))) {
				t.Errorf("%+v", e)
			}
		}
	})
}
