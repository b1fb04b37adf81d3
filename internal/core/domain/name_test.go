package domain

import (
	"net/netip"
	"strings"
	"testing"

	"postroad/internal/base/errs"
)

func TestNormalizeName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		in, want string // "" for an error
		single   bool
	}{
		{in: "example.com", want: "example.com"},
		{in: "Mail.EXAMPLE.com.", want: "mail.example.com"},
		{in: "b\u00fccher.example", want: "xn--bcher-kva.example"},
		{in: "B\u00dcCHER.example", want: "xn--bcher-kva.example"},
		{in: "XN--BCHER-KVA.example", want: "xn--bcher-kva.example"},
		{in: "example\u3002com", want: "example.com"},
		{in: "a-b.c--d.example", want: "a-b.c--d.example"},
		{in: long + ".example", want: long + ".example"},
		{in: "localhost", want: "localhost", single: true},
		{in: "localhost"},
		{in: ""},
		{in: "", single: true},
		{in: "."},
		{in: "a..example"},
		{in: ".example.com"},
		{in: "example.com.."},
		{in: "-a.example"},
		{in: "a-.example"},
		{in: "a_b.example"},
		{in: "a b.example"},
		{in: "a@b.example"},
		{in: "a/b.example"},
		{in: "a.example\r\n"},
		{in: "a.example\x00"},
		{in: long + "a.example"},
		{in: strings.Repeat("a.", 127) + "a"},
		{in: "192.0.2.1"},
		{in: "192.0.2.1", single: true},
		{in: "1", single: true},
		{in: "a.123"},
		{in: "0x7f.0x1"},
		{in: "[192.0.2.1]"},
		{in: "2001:db8::1"},
		{in: "xn--.example"},
		{in: "xn--bcher-kva-.example"},
		{in: "\xff.example"},
	}
	for _, tt := range tests {
		got, err := NormalizeName(tt.in, tt.single)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("NormalizeName(%q, %v) = %q, %v; want %q", tt.in, tt.single, got, err, tt.want)
		}
		if err != nil && !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: kind %v", tt.in, errs.KindOf(err))
		}
	}
}

func FuzzNormalizeName(f *testing.F) {
	for _, s := range []string{"example.com", "B\u00dcCHER.example", "xn--bcher-kva.example", "a..b", "1.2.3.4", "0x7f000001",
		"\u0131.com", "a\u0300.com", strings.Repeat("a.", 130), "xn--a", "\u05d0b.com", "00--A"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, single bool) {
		n, err := NormalizeName(s, single)
		if err != nil {
			if n != "" {
				t.Errorf("%q with error %v", n, err)
			}
			return
		}
		if again, err := NormalizeName(n, single); err != nil || again != n {
			t.Errorf("%q -> %q -> %q, %v: not stable", s, n, again, err)
		}
		if upper, err := NormalizeName(strings.ToUpper(n), single); err != nil || upper != n {
			t.Errorf("%q in capitals -> %q, %v", n, upper, err)
		}
		if len(n) > 253 || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			t.Errorf("%q -> %q", s, n)
		}
		if _, err := netip.ParseAddr(n); err == nil {
			t.Errorf("%q -> address %q", s, n)
		}
		if !single && !strings.Contains(n, ".") {
			t.Errorf("%q -> single label %q", s, n)
		}
	})
}

func TestRootOf(t *testing.T) {
	for in, want := range map[string]string{"mg.example.com": "example.com", "a.b.example.co.uk": "example.co.uk",
		"example.com": "", "com": "", "localhost": ""} {
		if got := rootOf(in); got != want {
			t.Errorf("rootOf(%q) = %q, want %q", in, got, want)
		}
	}
}
