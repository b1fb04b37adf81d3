package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/mail/linktoken"
)

// newGate is a gate of mail.postroad.test with two domains behind a proxy at
// 192.0.2.7.
func newGate(t testing.TB, anyHost bool) *hostGate {
	t.Helper()
	c := clock.NewFake(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	s, err := domain.New(coretest.SQLite(t, c), ids.NewSource(c), c, slog.New(slog.DiscardHandler), domain.Options{Hostname: "mail.postroad.test",
		AssumeVerified: true, Secret: bytes.Repeat([]byte{1}, 32), KeyBits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []domain.CreateRequest{{Name: "example.com", WebScheme: "https"}, {Name: "plain.net"}, {Name: "brand.net", TrackingHost: "links.brand.example"},
		{Name: "postroad.test", WebPrefix: "mail"}} {
		if _, err := s.Create(context.Background(), "a", r); err != nil {
			t.Fatal(err)
		}
	}
	links, err := linktoken.NewKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return &hostGate{domains: s, links: links, own: []string{"mail.postroad.test", "api.example.org"}, any: anyHost, proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")},
		next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
}

func TestHostGate(t *testing.T) {
	const passed, refused = http.StatusTeapot, http.StatusNotFound
	strict, lax := newGate(t, false), newGate(t, true)
	for _, c := range []struct {
		host, path  string
		want, byAny int
	}{
		{"mail.postroad.test", "/v3/domains", passed, passed}, // own, though it is a tracking host too
		{"mail.postroad.test:8080", "/c/x", passed, passed},
		{"MAIL.Postroad.Test.", "/", passed, passed},
		{"api.example.org", "/o/x.png", passed, passed},
		{"localhost:8080", "/c/x", passed, passed},
		{"192.0.2.1", "/c/x", passed, passed},
		{"192.0.2.1:8080", "/v3/domains", passed, passed},
		{"[2001:db8::1]", "/u/x", passed, passed},
		{"[2001:db8::1]:8080", "/", passed, passed},
		{"", "/c/x", passed, passed},

		{"email.example.com", "/c/x", passed, passed},
		{"Email.Example.Com:443", "/o/x.png", passed, passed},
		{"email.example.com", "/u/x", passed, passed},
		{"email.example.com", "/unsubscribe/list/x", passed, passed},
		{"email.example.com", "/robots.txt", 200, 200},
		{"email.example.com", "/", refused, refused},
		{"email.example.com", "/c", refused, refused},
		{"email.example.com", "/c/x/y", refused, refused},
		{"email.example.com", "/c/../v3/domains", refused, refused},
		{"email.example.com", "/unsubscribe/list/x/y", refused, refused},
		{"email.example.com", "/v3/domains", refused, refused},
		{"email.example.com", "/livez", refused, refused},
		{"email.example.com:8080", "/metrics", refused, refused},
		{"links.brand.example", "/c/x", passed, passed},
		{"links.brand.example", "/messages", refused, refused},

		{"old.example.com", "/c/x", passed, passed}, // may have been the host
		{"old.example.com", "/v3/domains", passed, passed},
		{"elsewhere.net", "/v3/domains", passed, passed}, // as ever
		{"elsewhere.net", "/robots.txt", passed, passed},
		{"elsewhere.net", "/c/x", refused, passed},
		{"example.com", "/u/x", refused, passed},
		{"a b", "/c/x", refused, passed},
	} {
		for g, want := range map[*hostGate]int{strict: c.want, lax: c.byAny} {
			r := httptest.NewRequest("GET", c.path, nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%q %s, any %v: %d, want %d", c.host, c.path, g.any, w.Code, want)
			}
		}
	}
}

// TestForeignLinks: what another account's mail leads to is not reached by a name of
// a domain, nor by way of a domain that was deleted since.
func TestForeignLinks(t *testing.T) {
	g, ctx := newGate(t, true), context.Background()
	theirs, err := g.domains.Create(ctx, "b", domain.CreateRequest{Name: "theirs.net"})
	if err != nil {
		t.Fatal(err)
	}
	sibling, err := g.domains.ByName(ctx, "plain.net")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host   string
		domain int64
		want   bool
	}{
		{"email.example.com", sibling.ID, true},
		{"email.example.com", theirs.ID, false},
		{"old.example.com", theirs.ID, false},
		{"links.brand.example", theirs.ID, false},
		{"links.brand.example", 1, false},
		{"email.theirs.net", theirs.ID, true},
		{"mail.postroad.test", theirs.ID, true},
		{"192.0.2.1", 1, true},
		{"elsewhere.org", theirs.ID, true},
	} {
		for path, kind := range map[string]linktoken.Kind{"/c/": linktoken.Click, "/u/": linktoken.Unsubscribe} {
			r := httptest.NewRequest("GET", path+g.links.Seal(linktoken.Token{Kind: kind, Message: 2, Domain: c.domain, Recipient: "x@y.test", URL: "https://elsewhere.test/"}), nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if got := w.Code == http.StatusTeapot; got != c.want {
				t.Errorf("%+v %s: %d", c, path, w.Code)
			}
		}
	}
}

// TestHSTS: only over HTTPS, only where the domain wants HTTPS, and never on names
// that are not tracking hosts.
func TestHSTS(t *testing.T) {
	g := newGate(t, false)
	for _, c := range []struct {
		host, peer, proto, forwarded string
		tls, want                    bool
	}{
		{host: "email.example.com", tls: true, want: true},
		{host: "email.example.com"},
		{host: "email.plain.net", tls: true},
		{host: "mail.postroad.test", tls: true},
		{host: "old.example.com", tls: true},
		{host: "email.example.com", peer: "192.0.2.7:1", proto: "https", want: true},
		{host: "inside:8080", peer: "192.0.2.7:1", proto: "https", forwarded: "email.example.com", want: true},
		{host: "email.example.com", peer: "192.0.2.8:1", proto: "https"}, // not our proxy
	} {
		r := httptest.NewRequest("GET", "/c/x", nil)
		r.Host = c.host
		if c.peer != "" {
			r.RemoteAddr = c.peer
		}
		if c.proto != "" {
			r.Header.Set("X-Forwarded-Proto", c.proto)
		}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-Host", c.forwarded)
		}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != "" != c.want || c.want && got != hsts {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestLinkAddress(t *testing.T) {
	for _, c := range []struct{ scheme, public, listen, want string }{
		{"http", "", ":80", ""},
		{"http", "", ":8080", ":8080"},
		{"http", "https://panel.example.com", ":8080", ""},
		{"http", "http://panel.example.com:81", ":8080", ":81"},
		{"https", "", ":443", ""},
		{"https", "", "127.0.0.1:8443", ":8443"},
		{"https", "https://panel.example.com", ":8443", ""},
		{"https", "https://panel.example.com:444", ":8443", ":444"},
		{"https", "", "off", ""},
	} {
		if got := linkPort(c.scheme, c.public, c.listen); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	for _, c := range []struct {
		api  string
		dev  bool
		want string
	}{
		{"http://mail.example.com:8080", false, "http://mail.example.com:8080"},
		{"https://panel.example.com", false, "https://panel.example.com"},
		{"http://localhost:8025", true, "http://localhost:8025"},
		{"http://localhost:8080", false, "http://mail.example.com"},
		{"http://127.0.0.2:8080", false, "http://mail.example.com"},
	} {
		if got := linkServer(c.api, "mail.example.com", c.dev); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func BenchmarkHostGate(b *testing.B) {
	g := newGate(b, false)
	g.next = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, host := range []string{"mail.postroad.test:8080", "email.example.com", "elsewhere.net"} {
		b.Run(host, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/c/x", nil)
			if r.Host = host; host == "elsewhere.net" {
				r.URL.Path = "/v3/domains"
			}
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				g.ServeHTTP(w, r)
			}
		})
	}
}
