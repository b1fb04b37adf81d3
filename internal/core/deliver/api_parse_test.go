package deliver

import (
	"strings"
	"testing"
	"time"

	"postroad/internal/base/errs"
)

func TestParseRate(t *testing.T) {
	for _, c := range []struct {
		text   string
		count  int64
		period time.Duration
		again  string
	}{
		{"5/s", 5, time.Second, "5/s"},
		{"100/m", 100, time.Minute, "100/m"},
		{" 100 / min ", 100, time.Minute, "100/m"},
		{"1000/Hour", 1000, time.Hour, "1000/h"},
		{"20000/d", 20000, 24 * time.Hour, "20000/d"},
		{"50/10m", 50, 10 * time.Minute, "50/10m"},
		{"50/90s", 50, 90 * time.Second, "50/90s"},
		{"7/2d", 7, 48 * time.Hour, "7/2d"},
	} {
		count, period, err := parseRate(c.text)
		if err != nil || count != c.count || period != c.period {
			t.Errorf("%q: %d per %s, %v", c.text, count, period, err)
		}
		if got := periodText(count, period); got != c.again {
			t.Errorf("%q is written %q", c.text, got)
		}
	}
	for _, text := range []string{"", "5", "/s", "5/", "0/s", "-1/s", "5/x", "5/0s", "5/-1m", "1e3/s", "5/s/s", "99999999999999999999/s"} {
		if _, _, err := parseRate(text); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRateText(t *testing.T) {
	for rate, want := range map[float64]string{0: "", 5: "5/s", 100.0 / 60: "100/m", 1000.0 / 3600: "1000/h", 2.5: "150/m", 1.0 / 86400: "1/d", 1.2345: "1.2/s", 0.1 / 86400: "0.1/d"} {
		if got := rateText(rate); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"": {}, "90m": now.Add(90 * time.Minute), "2h30m": now.Add(150 * time.Minute), "3d": now.Add(72 * time.Hour),
		"2w": now.Add(14 * 24 * time.Hour), "2026-11-20T18:00:00+01:00": now.Add(5 * time.Hour)} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"soon", "-1h", "0s", "0d", "5", "9999999d", "99999999999d", "2026-11-20T12:00:00Z", "2200-01-01T00:00:00Z"} {
		if got, err := parseExpiry(text, now); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"smtp://relay.example.net:587": "relay:relay.example.net:587",
		"smtp://relay.example.net":     "relay:relay.example.net:25",
		"smtp://[2001:db8::1]:26/":     "relay:[2001:db8::1]:26",
		"relay:h:25":                   "relay:h:25",
		"pool:news":                    "pool:news",
	} {
		if got, err := parseTarget(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"smtp://", "smtps://h:465", "smtp://u:p@h:25", "smtp://h:25/x", "smtp://h:25?a=b", "http://h", "smtp://h:x"} {
		if got, err := parseTarget(text); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"5/s", "100/m", "50/10m", "1/9999999999d", "/", "5/1h1s", "1/999W"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		count, period, err := parseRate(text)
		if err != nil {
			return
		}
		if count <= 0 || period <= 0 {
			t.Fatalf("%q: %d per %s", text, count, period)
		}
		again, per, err := parseRate(periodText(count, period))
		if err != nil || again != count || per != period {
			t.Fatalf("%q is written %q, which is %d per %s, %v", text, periodText(count, period), again, per, err)
		}
	})
}

func FuzzParseExpiry(f *testing.F) {
	for _, s := range []string{"", "2h", "3d", "2026-11-20T18:00:00Z", "-5m", "99999w"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseExpiry(text, now)
		switch {
		case err != nil:
		case at.IsZero():
			if strings.TrimSpace(text) != "" {
				t.Fatalf("%q never ends", text)
			}
		case !at.After(now) || at.After(now.Add(maxPeriod)):
			t.Fatalf("%q ends %s", text, at)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"smtp://h:25", "smtp://[::1]:25", "pool:x", "smtp://h:25#x", "smtp://%41:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseTarget(text); err == nil && strings.Contains(text, "://") && !strings.HasPrefix(got, "relay:") {
			t.Fatalf("%q: %q", text, got)
		}
	})
}
