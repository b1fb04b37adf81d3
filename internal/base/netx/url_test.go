package netx_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"postroad/internal/base/netx"
)

func TestValidateURL(t *testing.T) {
	good := []string{
		"http://example.com", "https://example.com/", "HTTPS://Example.com:8443/a?b=c#d", "http://b\u00fccher.example/",
		"http://1.1.1.1/", "http://[2606:4700::1111]:80/", "http://localhost/", "http://a_b.example/", "http://127.0.0.1/", "http://example.com./",
		"http://0xdead.example/", "http://1.2.3.example/",
	}
	for _, s := range good {
		if err := netx.ValidateURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	bad := map[string]string{
		"":                                      "invalid URL scheme",
		"example.com":                           "invalid URL scheme",
		"//example.com":                         "invalid URL scheme",
		"ftp://example.com":                     "invalid URL scheme",
		"file:///etc/passwd":                    "invalid URL scheme",
		"gopher://127.0.0.1:6379/_x":            "invalid URL scheme",
		"javascript:alert(1)":                   "invalid URL scheme",
		"http:example.com":                      "missing host",
		"http://":                               "missing host",
		"http://:80/":                           "missing host",
		"https:///path":                         "missing host",
		"http://user@example.com/":              "user information is not allowed",
		"http://a:b@example.com/":               "user information is not allowed",
		"http://@example.com/":                  "user information is not allowed",
		"http://1.1.1.1@127.0.0.1/":             "user information is not allowed",
		"http://example.com:0/":                 "invalid port",
		"http://example.com:65536/":             "invalid port",
		"http://example.com:/":                  "invalid port",
		"http://example.com:x/":                 "malformed URL",
		"http://2130706433/":                    "invalid host",
		"http://0x7f000001/":                    "invalid host",
		"http://0x7f.0.0.1/":                    "invalid host",
		"http://127.0.0.0x1/":                   "invalid host",
		"http://0177.0.0.1/":                    "invalid host",
		"http://127.1/":                         "invalid host",
		"http://127.0.1/":                       "invalid host",
		"http://017700000001/":                  "invalid host",
		"http://127.0.0.1./":                    "invalid host",
		"http://\uff11\uff12\uff17.0.0.1/":      "invalid host",
		"http://\u2460\u2461\u2466.0.0.1/":      "invalid host",
		"http://[fe80::1%25eth0]/":              "invalid host",
		"http://a..b/":                          "invalid host",
		"http://ex ample.com/":                  "invalid character in URL",
		"http://example.com/\r\nX: y":           "invalid character in URL",
		"http://example.com\\@evil/":            "invalid character in URL",
		"http://exa%6dple%00.com/":              "malformed URL",
		"http://example.com/%zz":                "malformed URL",
		"http://a/" + strings.Repeat("x", 9000): "URL is too long",
	}
	for s, reason := range bad {
		err := netx.ValidateURL(s)
		var e *netx.URLError
		if !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%.60q: %v, want %q", s, err, reason)
			continue
		}
		if len(s) < 200 && err.Error() != s+" is not a valid url: "+reason {
			t.Errorf("text is %q", err)
		}
	}
}

func FuzzValidateURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b", "http://[::1]:80", "http://0x7f.1", "http://\u0131.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if netx.ValidateURL(s) != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.User != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			t.Fatalf("%q was taken", s)
		}
	})
}
