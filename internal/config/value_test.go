package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "1KB": 1 << 10, "25MB": 25 << 20, "25m": 25 << 20, "25 MiB": 25 << 20, "3G": 3 << 30, "1TB": 1 << 40, "7B": 7,
	} {
		got, err := parseSize(text)
		if err != nil || int64(got) != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
		if back, err := parseSize(got.String()); err != nil || back != got {
			t.Errorf("%q written as %q read as %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "1XB", "25I", "8388608TB", "99999999999999999999"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "3d": 72 * time.Hour, " 4h ": 4 * time.Hour, "0": 0,
	} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v", text, got, err)
		}
		if back, err := parseDuration(formatDuration(got)); err != nil || back != got {
			t.Errorf("%v written as %q read as %v, %v", got, formatDuration(got), back, err)
		}
	}
	for _, text := range []string{"", "5", "d", "-1d", "40000d", "h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
	}
}

func TestParseListen(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port int
	}{
		":25": {"", 25}, "127.0.0.1:0": {"127.0.0.1", 0}, "[::1]:25": {"::1", 25}, "mail.example.com:65535": {"mail.example.com", 65535}, "[fe80::1%eth0]:1": {"fe80::1%eth0", 1},
	} {
		got, err := parseListen(text)
		if err != nil || got.Host() != want.host || got.Port() != want.port {
			t.Errorf("parseListen(%q) = %q %d, %v", text, got.Host(), got.Port(), err)
		}
	}
	for _, text := range []string{"25", "foo", "::1:25", "a:b", "a:-1", "a:65536", "a b:1", "http://a:1", "a:+1", "a:"} {
		if got, err := parseListen(text); err == nil {
			t.Errorf("parseListen(%q) = %q", text, got)
		}
	}
	for _, text := range []string{"", "off"} {
		if got, err := parseListen(text); err != nil || got != "" || got.Host() != "" || got.Port() != 0 {
			t.Errorf("parseListen(%q) = %q, %v", text, got, err)
		}
	}
}

func TestParseRelay(t *testing.T) {
	for text, want := range map[string]Relay{
		"*=smtp://h:2525":                      {Pattern: "*", Scheme: "smtp", Host: "h", Port: 2525},
		"Example.COM.=smtps://h/":              {Pattern: "example.com", Scheme: "smtps", Host: "h", Port: 465},
		".example.com=smtp://[::1]":            {Pattern: ".example.com", Scheme: "smtp", Host: "::1", Port: 25},
		"*.b\u00fccher.example=smtp://1.2.3.4": {Pattern: "*.xn--bcher-kva.example", Scheme: "smtp", Host: "1.2.3.4", Port: 25},
		"*=smtp://a%40b:p%3Ax=y@h":             {Pattern: "*", Scheme: "smtp", User: "a@b", Pass: "p:x=y", Host: "h", Port: 25},
	} {
		got, err := ParseRelay(text)
		if err != nil || got != want {
			t.Errorf("ParseRelay(%q) = %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "smtp://h", "=smtp://h", "*=", "*=h:25", "*=http://h", "*=smtp://", "*=smtp://h:0", "*=smtp://h:x", "*=smtp://h/x", "*=smtp://h?x",
		"*=smtp://u@h", "*=smtp://:p@h", "*=smtp://u:@h", "a b=smtp://h", "**=smtp://h", "*.=smtp://h", "a.*.b=smtp://h", ".=smtp://h", "*=smtp:h",
	} {
		if got, err := ParseRelay(text); err == nil {
			t.Errorf("ParseRelay(%q) = %v", text, got)
		}
	}
}

func TestRelayMatch(t *testing.T) {
	var rs Relays
	for _, text := range []string{"*=smtp://any", ".example.com=smtp://both", "*.eu.example.com=smtp://eu", "mail.eu.example.com=smtp://exact", "*.example.org=smtp://sub"} {
		r, err := ParseRelay(text)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	for domain, want := range map[string]string{
		"other.test": "any", "example.com": "both", "EXAMPLE.com.": "both", "us.example.com": "both", "eu.example.com": "both",
		"x.eu.example.com": "eu", "mail.eu.example.com": "exact", "a.mail.eu.example.com": "eu", "badexample.com": "any",
		"example.org": "any", "a.example.org": "sub",
	} {
		if got, ok := rs.Find(domain); !ok || got.Host != want {
			t.Errorf("Find(%q) = %v, want %s", domain, got, want)
		}
	}
	if got, ok := rs.Find(""); ok {
		t.Errorf("Find of nothing: %v", got)
	}
	if got, ok := rs[1:].Find("other.test"); ok {
		t.Errorf("Find without a match: %v", got)
	}
	if !rs[1].Match("example.com") || rs[4].Match("example.org") {
		t.Error("Match: a dot includes the domain itself, a star does not")
	}
}

func FuzzParseRelay(f *testing.F) {
	f.Add("*=smtp://u:p@h:25", "example.com")
	f.Add(".a=smtps://[::1]:1", "b.a")
	f.Add("\xb3=smtp://0", "a") // became an A-label that is none
	f.Fuzz(func(t *testing.T, text, domain string) {
		r, err := ParseRelay(text)
		if err != nil {
			return
		}
		_ = r.Match(domain) // must not panic, whatever the domain
		if r.Pass == "" {
			if back, err := ParseRelay(r.String()); err != nil || back != r {
				t.Errorf("%q gives %v, which reads as %v, %v", text, r, back, err)
			}
		}
	})
}

func TestNearest(t *testing.T) {
	names := []string{"smtp", "http", "https", "log_level"}
	for name, want := range map[string]string{"smpt": "smtp", "htps": "https", "loglevel": "log_level", "completely": "", "http": "http"} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]string{
		"a=203.0.113.5": "a=203.0.113.5",
		"mx-1=2001:db8::5,203.0.113.5,weight=2,pool=bulk,helo=mx1.example.com": "mx-1=203.0.113.5,2001:db8::5,helo=mx1.example.com,pool=bulk,weight=2",
		"a=::ffff:203.0.113.5, weight=1":                                       "a=203.0.113.5",
	} {
		if got, err := ParseSource(text); err != nil || got.String() != want {
			t.Errorf("ParseSource(%q) = %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"203.0.113.5": "has the form", "=203.0.113.5": "has the form", "a b=203.0.113.5": "has the form", "a@b=203.0.113.5": "has the form",
		"a=": "not an address", "a=host": "not an address", "a=0.0.0.0": "not an address", "a=fe80::1%eth0": "not an address",
		"a=helo=x": "address is missing", "a=203.0.113.5,203.0.113.6": "two addresses", "a=203.0.113.5,helo=-": "not a host name",
		"a=203.0.113.5,pool=": "not a name", "a=203.0.113.5,weight=0": "from 1 to 1000", "a=203.0.113.5,ip=x": "not known",
	} {
		if got, err := ParseSource(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSource(%q) = %v, %v; want %q", text, got, err, want)
		}
	}
	if err := (Sources{{Name: "a"}, {Name: "a"}}).check(); err == nil {
		t.Error("two sources of one name")
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"a=203.0.113.5", "a=2001:db8::5,helo=x.example,pool=p,weight=3", "a=,,", "=", "a=1.1.1.1,weight=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSource(text)
		if err != nil {
			return
		}
		if back, err := ParseSource(s.String()); err != nil || back != s {
			t.Errorf("%q: %s read back as %s, %v", text, s, back, err)
		}
	})
}
