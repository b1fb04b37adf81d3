package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postroad/internal/config"
)

func TestTable(t *testing.T) {
	tab := newTable("ID", "NAME", "TEXT").keep(0)
	tab.row("1234567890", "short", "a rather long text that does not fit")
	tab.row("2", "\u65e5\u672c\u8a9e\u306e\u540d\u524d", "bell \a and\nline")
	for _, tt := range []struct {
		width int
		want  string
	}{
		{0, "ID          NAME          TEXT\n" +
			"1234567890  short         a rather long text that does not fit\n" +
			"2           \u65e5\u672c\u8a9e\u306e\u540d\u524d  bell ? and line\n"},
		{40, "ID          NAME          TEXT\n" +
			"1234567890  short         a rather lo...\n" +
			"2           \u65e5\u672c\u8a9e\u306e\u540d\u524d  bell ? and ...\n"},
		{5, "ID          NAME    TEXT\n" +
			"1234567890  short   a r...\n" +
			"2           \u65e5...   bel...\n"},
	} {
		var b strings.Builder
		if err := tab.print(&b, tt.width); err != nil || b.String() != tt.want {
			t.Errorf("width %d: %v\n%s", tt.width, err, b.String())
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain \u00fc":                   "plain \u00fc",
		"a\x1b]0;title\x07b":             "a?]0;title?b",
		"c1 \u009b31m":                   "c1 ?31m",
		"two\r\nlines\tand tab":          "two  lines and tab",
		"turn\u202e gnp.exe\u2066\u200f": "turn? gnp.exe??",
		"bad \xff byte":                  "bad ? byte",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q", in, got)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("plain text that is long", 10)
	f.Add("\u65e5\u672c\u8a9e", 5)
	f.Add("e\u0301e\u0301\u200d", 2)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(n, 0) % 200
		got := cut(clean(s), n)
		if w := textWidth(got); w > n {
			t.Errorf("cut(%q, %d) = %q is %d wide", s, n, got, w)
		}
		for _, r := range got {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Errorf("control character in %q", got)
			}
		}
	})
}

func TestTimes(t *testing.T) {
	e := &Env{Clock: newQuick(), Zone: time.UTC}
	for d, want := range map[time.Duration]string{
		-40 * time.Millisecond: "in 40 ms", 0: "0 ms ago", 90 * time.Second: "90 s ago", 50 * time.Minute: "50 min ago", 30 * time.Hour: "30 h ago", 72 * time.Hour: "3 days ago",
	} {
		if got := e.ago(noon.Add(-d)); got != want {
			t.Errorf("ago %s: %q", d, got)
		}
	}
	if got := e.when(noon.Add(-time.Hour)); got != "11:00:00" {
		t.Error(got)
	}
	if got := e.when(noon.Add(-13 * time.Hour)); got != "2026-11-19 23:00" {
		t.Error(got)
	}
	for n, want := range map[int64]string{5: "5 bytes", 1536: "1.5 KB", 3 << 20: "3.0 MB", 5 << 40: "5.0 TB", 9 << 50: "9216.0 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestParseAt(t *testing.T) {
	zone := time.FixedZone("X", 2*3600)
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, zone) }
	for _, tt := range []struct {
		in   string
		want time.Time // zero: an error
	}{
		{"+90m", noon.Add(90 * time.Minute)}, {"2h", noon.Add(2 * time.Hour)},
		{"14:00", day(20, 14, 0, 0)}, {"18:30", day(20, 18, 30, 0)}, {"13:59", day(21, 13, 59, 0)}, {"00:00:05", day(21, 0, 0, 5)},
		{"2026-11-21 08:15", day(21, 8, 15, 0)}, {"2026-11-21T08:15:01", day(21, 8, 15, 1)}, {"2026-11-21T08:15:00Z", day(21, 10, 15, 0)},
		{"Sat, 21 Nov 2026 08:15:00 +0200", day(21, 8, 15, 0)}, {"1795262400", time.Unix(1795262400, 0)},
		{"", time.Time{}}, {"tomorrow", time.Time{}}, {"25:00", time.Time{}}, {"-5m", time.Time{}}, {"2026-11-20 13:59", time.Time{}},
		{"99999999999999999999", time.Time{}}, {"-1", time.Time{}},
	} {
		got, err := parseAt(tt.in, noon, zone)
		if tt.want.IsZero() != (err != nil) || err == nil && !got.Equal(tt.want) {
			t.Errorf("%q: %v, %v", tt.in, got, err)
		}
	}
}

func FuzzParseAt(f *testing.F) {
	for _, s := range []string{"+90m", "18:30", "2026-11-21 08:15", "1795262400", "Sat, 21 Nov 2026 08:15:00 +0200"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseAt(s, noon, time.UTC)
		if err == nil && at.Before(noon) {
			t.Errorf("%q: %v is over", s, at)
		}
	})
}

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:8025": "http://localhost:8025", " http://x/ ": "http://x", "https://x:1/v3/": "https://x:1", "http://x/mail/v3": "http://x/mail",
		"http://[::1]:80": "http://[::1]:80", "": "", "http://": "", "http://x?y": "", "x y": "", "file:///x": "", "http://u@x": "",
	} {
		got, err := baseURL(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestStartFailed(t *testing.T) {
	busy := fmt.Errorf("--http: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)})
	for _, tt := range []struct {
		err  error
		hint string
	}{{busy, "stop the program"}, {&os.PathError{Op: "mkdir", Path: "/x", Err: syscall.EACCES}, "a data directory of your own"},
		{fmt.Errorf("--smtp :25: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}), "ports below 1024"}, {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, ""}, {errors.New("other"), ""}} {
		f := asFailure(startFailed(tt.err, config.Dev))
		if f.status != exitFailed || f.code != "start_failed" || f.cause != tt.err.Error() || !strings.HasPrefix(f.hint, tt.hint) || tt.hint == "" && f.hint != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, w := range []any{null, &strings.Builder{}, nil, (*os.File)(nil)} {
		if isTerminal(w) {
			t.Errorf("%v is no terminal", w)
		}
	}
}
