package when

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 14 Oct 2011 12:00:00 +0000": "2011-10-14T12:00:00Z",
		"Fri, 14 Oct 2011 12:00:00 -0000": "2011-10-14T12:00:00Z",
		"Fri, 14 Oct 2011 12:00:00 EST":   "2011-10-14T17:00:00Z",
		"Fri, 14 Oct 2011 12:00:00 PDT":   "2011-10-14T19:00:00Z",
		"Fri, 14 Oct 2011 12:00:00 GMT":   "2011-10-14T12:00:00Z",
		"14 Oct 2011 12:00 +0200":         "2011-10-14T10:00:00Z",
		"Fri, 14 Oct 2011 12:00:00  0100": "2011-10-14T11:00:00Z",
		"2011-10-14T12:00:00+02:00":       "2011-10-14T10:00:00Z",
		"1318593600":                      "2011-10-14T12:00:00Z",
		"1318593600.25":                   "2011-10-14T12:00:00.25Z",
		"":                                "",
		"tomorrow":                        "",
		"NaN":                             "",
		"-1":                              "",
		"1e300":                           "",
		"Fri, 14 Oct 1960 12:00:00 +0000": "",
		"Fri, 14 Oct 2300 12:00:00 +0000": "",
	} {
		got, ok := Parse(in)
		if s := got.Format(time.RFC3339Nano); ok != (want != "") || ok && s != want {
			t.Errorf("%q: %s %v, want %q", in, s, ok, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Fri, 14 Oct 2011 12:00:00 EST")
	f.Add("1318593600.5")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := Parse(s); ok && (got.Unix() < 0 || got.Unix() > maxEpoch || got.Location() != time.UTC) {
			t.Fatalf("%q: %v", s, got)
		}
	})
}
