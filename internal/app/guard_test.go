package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
)

// TestLocalBrowsers: where any key works, a page of another site gets nothing,
// whatever name it found for this machine.
func TestLocalBrowsers(t *testing.T) {
	h := localBrowsers(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}), "http://mail.example:8025")
	for _, c := range []struct {
		host, origin, site string
		want               int
		agent              string
	}{
		{"localhost:8025", "", "", 200, ""},                                // curl, SDKs
		{"api.mailgun.net", "", "", 200, ""},                               // SDKs pointed here by /etc/hosts
		{"localhost:8025", "", "same-origin", 200, ""},                     // the panel
		{"127.0.0.1:8025", "http://localhost:3000", "cross-site", 200, ""}, // the developer's own page
		{"mail.example:8025", "http://mail.example:8025", "same-site", 200, ""},
		{"localhost:8025", "https://evil.example", "cross-site", 403, ""},
		{"localhost:8025", "null", "cross-site", 403, ""},
		{"localhost:8025", "http://203.0.113.5", "cross-site", 403, ""},
		{"192.168.1.7:8025", "http://192.168.1.7:3000", "same-site", 200, ""},
		{"evil.example:8025", "", "same-origin", 403, ""}, // DNS rebinding
		{"evil.example:8025", "http://evil.example:8025", "", 403, ""},
		{"evil.example:8025", "", "", 403, "Mozilla/5.0 (X11; Linux x86_64)"}, // the same over plain http
		{"postroad:8025", "", "", 200, "Mozilla/5.0 (X11; Linux x86_64)"},     // a container's name
	} {
		r := httptest.NewRequest("GET", "/v3/x/events", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.agent != "" {
			r.Header.Set("User-Agent", c.agent)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

func TestClientBehindProxy(t *testing.T) {
	proxies, err := prefixes("--trusted-proxies", "10.0.0.0/8, 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prefixes("--trusted-proxies", "ten"); err == nil || !strings.Contains(err.Error(), "--trusted-proxies") {
		t.Fatal(err)
	}
	var got string
	h := clientOf(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
	for remote, want := range map[string]string{"10.1.1.1:5": "203.0.113.9", "192.0.2.1:5": "203.0.113.9", "198.51.100.1:5": "198.51.100.1"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "1.2.3.4, 203.0.113.9")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if ap, err := netip.ParseAddrPort(got); err != nil || ap.Addr().String() != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// serveConfig is a configuration of production mode on free ports.
func serveConfig(t *testing.T, args ...string) *config.Config {
	t.Helper()
	args = append([]string{"--http", "127.0.0.1:0", "--https", "off", "--smtp", "off", "--hostname", "mx.test"}, args...)
	cfg, _, _, err := config.Parse(config.Serve, args, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestForeignDataDirectory: a database is not served with a directory that has
// neither its bodies nor its secret.
func TestForeignDataDirectory(t *testing.T) {
	dir, database := t.TempDir(), dbtest.PostgresURL(t)
	start := func(data string) error {
		cfg := serveConfig(t, "--data", filepath.Join(dir, data), "--database", database)
		a, err := New(context.Background(), cfg, Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			a.close()
		}
		return err
	}
	for _, own := range []string{"one", "one"} {
		if err := start(own); err != nil {
			t.Fatal(err)
		}
	}
	if err := start("two"); err == nil || !strings.Contains(err.Error(), "belongs to another data directory") {
		t.Fatal(err)
	}
}
