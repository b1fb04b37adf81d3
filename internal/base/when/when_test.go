package when

import (
	"net/mail"
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

func TestBefore(t *testing.T) {
	end := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"24h": "h 2026-03-30T12:00:00Z", "7d": "d 2026-03-24T12:00:00Z", "2m": "m 2026-01-31T12:00:00Z", "120m": "m 2016-03-31T12:00:00Z",
		"121m": "", "0d": "", "-1d": "", "+1d": "", "d": "", "": "", "7": "", "7w": "", "1.5h": "", "10001h": "", "7dd": "", " 7d": "",
	} {
		start, unit, ok := Before(end, in)
		if got := string(unit) + " " + start.Format(time.RFC3339); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s %v, want %q", in, got, ok, want)
		}
	}
}

// FuzzCommon compares the short way with the one it replaces.
func FuzzCommon(f *testing.F) {
	for _, s := range []string{"Fri, 14 Oct 2011 12:00:00 +0000", "fri, 31 feb 2011 24:00:60 -2400", "Fri, 14 Oct 2011 12:00:0.5 +000",
		"Fri,   1 Oct 2011 2:00:00 +0100", "Fri, 14 Oct 2011 12:00:00 +9999", "Fri, 14 Oct 0011 12:00:00 +0060"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := common(s)
		if !ok {
			return // the long way decides
		}
		want, err := mail.ParseDate(zone(s))
		if err != nil || !got.Equal(want) {
			t.Fatalf("%q: %v, net/mail has %v %v", s, got, want, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Parse("Fri, 14 Oct 2011 12:00:00 +0000"); !ok {
			b.Fatal("refused")
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
