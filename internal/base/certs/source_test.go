package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func newSource(t *testing.T, o Options) *Source {
	t.Helper()
	if o.Host == "" {
		o.Host = "mail.example.com"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// files writes a pair for a host and returns it.
func files(t *testing.T, dir, host string) (certFile, keyFile string) {
	t.Helper()
	c, err := SelfSigned(host)
	if err != nil {
		t.Fatal(err)
	}
	certText, keyText := encodePair(t, c)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, text := range map[string]string{certFile: certText, keyFile: keyText} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestSourceChooses(t *testing.T) {
	certFile, keyFile := files(t, t.TempDir(), "files.example.com")
	pair, err := Load(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := LocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		o      Options
		asked  string
		served string
		kind   Kind
	}{
		{"nothing", Options{}, "other.example.com", "mail.example.com", FromSelfSigned},
		{"no name", Options{}, "", "mail.example.com", FromSelfSigned},
		{"bad name", Options{}, "a b", "mail.example.com", FromSelfSigned},
		{"files", Options{Pair: pair}, "files.example.com", "files.example.com", FromFiles},
		{"files for another", Options{Pair: pair}, "other.example.com", "files.example.com", FromFiles},
		{"files before the authority", Options{Pair: pair, Authority: ca}, "other.example.com", "files.example.com", FromFiles},
		{"authority", Options{Authority: ca}, "other.example.com", "other.example.com", FromAuthority},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(t, c.o)
			cert, kind, err := s.choose(&tls.ClientHelloInfo{ServerName: c.asked}, true)
			if err != nil || kind != c.kind || cert.Leaf.DNSNames[0] != c.served {
				t.Errorf("%v %s, %v", cert, kind, err)
			}
			if err := s.Manage("x.example.com"); err == nil {
				t.Error("names are managed without an authority")
			}
			if u, err := s.InUse(); err != nil || u.Kind != c.kind || u.NotAfter.IsZero() {
				t.Errorf("in use %+v, %v", u, err)
			}
		})
	}
	if _, err := NewSource(Options{Host: "a b"}); !errors.Is(err, ErrBadHost) {
		t.Errorf("bad host: %v", err)
	}
}

// TestSourceTLS: versions, and tickets that do not live long.
func TestSourceTLS(t *testing.T) {
	s := newSource(t, Options{})
	client := func(c *tls.Config) *tls.Config { c.InsecureSkipVerify = true; return c }
	for name, server := range map[string]*tls.Config{"smtp": s.SMTP(), "https": s.HTTPS()} {
		if _, err := handshake(t, server, client(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})); err == nil {
			t.Errorf("%s: TLS 1.1 was accepted", name)
		}
		for _, curve := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256} {
			if _, err := handshake(t, server, client(&tls.Config{CurvePreferences: []tls.CurveID{curve}})); err != nil {
				t.Errorf("%s with %v: %v", name, curve, err)
			}
		}
		now := time.Now()
		server.Time = func() time.Time { return now }
		// A session of TLS 1.2 comes with the handshake, one of 1.3 only after it.
		c := client(&tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: tls.VersionTLS12, ServerName: "mail.example.com"})
		for i, want := range []bool{false, true} {
			if state, err := handshake(t, server, c); err != nil || state.DidResume != want {
				t.Errorf("%s, handshake %d: resumed %v, %v", name, i, state.DidResume, err)
			}
		}
		now = now.Add(8 * 24 * time.Hour)
		if state, err := handshake(t, server, c); err != nil || state.DidResume {
			t.Errorf("%s: a ticket of last week was taken (%v)", name, err)
		}
	}
}

func TestSourceLogsAndReloads(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := files(t, dir, "one.example.com")
	pair, err := Load(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	now := time.Now()
	s := newSource(t, Options{Pair: pair, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }})
	said := func(what string, parts ...string) {
		t.Helper()
		text := log.String()
		log.Reset()
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%s: %q is missing in %q", what, p, text)
			}
		}
		if len(parts) == 0 && text != "" {
			t.Errorf("%s: %q", what, text)
		}
	}
	s.Check()
	said("unchanged")
	files(t, dir, "two.example.com")
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
	said("replaced", "certificate read again", "two.example.com")
	if err := os.WriteFile(keyFile, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil {
		t.Error("a broken key was taken")
	}
	said("broken", "level=ERROR", "last good ones stay in use")
	s.Check()
	said("still broken")
	if cert := pair.Certificate(); cert.Leaf.DNSNames[0] != "two.example.com" {
		t.Errorf("serves %v", cert.Leaf.DNSNames)
	}
	now = now.Add(leafLife - 5*24*time.Hour)
	s.Check()
	said("soon", "level=WARN", "expires soon")
	s.Check()
	said("said already")
	now = now.Add(25 * time.Hour)
	s.Check()
	said("a day later", "expires soon")
}

func TestCheckKeyFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permissions here")
	}
	_, key := files(t, t.TempDir(), "a.example.com")
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o604: false} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if err := CheckKeyFile(key); (err == nil) != ok {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	if err := CheckKeyFile(key + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestProblems(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "acme")
	if list, err := Problems(dir); err != nil || len(list) != 0 {
		t.Errorf("no directory: %v, %v", list, err)
	}
	at := time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)
	p, err := openProblems(dir, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	long := errors.New(strings.Repeat("x", 1000))
	for i := range maxProblems { // as if each had been set: writing the file is slow
		p.list[fmt.Sprintf("h%d.example.com", i)] = Problem{}
	}
	for _, name := range []string{"h0.example.com", "one.too.many.example.com"} {
		if err := p.set(name, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.clear("h1.example.com"); err != nil {
		t.Fatal(err)
	}
	list, err := Problems(dir)
	if err != nil || len(list) != maxProblems-1 || !list["h0.example.com"].At.Equal(at) || len(list["h0.example.com"].Error) > 500 {
		t.Errorf("%d problems, %v", len(list), err)
	}
	if err := os.WriteFile(filepath.Join(dir, problemsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Problems(dir); err == nil {
		t.Error("rubbish was read")
	}
	if _, err := openProblems(dir, time.Now); err != nil {
		t.Error(err)
	}
	if list, err := Problems(dir); err != nil || len(list) != 0 {
		t.Errorf("after a start: %v, %v", list, err)
	}
}

func TestZapLogger(t *testing.T) {
	var out bytes.Buffer
	z := zapLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))).With(zap.String("name", "a"))
	z.Info("step")
	z.Warn("careful", zap.Int("n", 1))
	z.Error("bad", zap.Error(errors.New("why")))
	text := out.String()
	if strings.Contains(text, "step") || !strings.Contains(text, `level=WARN msg="acme: careful" name=a n=1`) || !strings.Contains(text, `level=ERROR msg="acme: bad" name=a error=why`) {
		t.Error(text)
	}
}

func tcpAddr(t *testing.T, text string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestACMERefusesStrangersChallenge(t *testing.T) {
	s := newSource(t, Options{ACME: &ACME{Directory: "https://localhost:1/dir", Dir: t.TempDir(), HTTPS: tcpAddr(t, "127.0.0.1:1")}})
	_, err := handshake(t, s.HTTPS(), &tls.Config{ServerName: "mail.example.com", NextProtos: []string{challengeProtocol}, InsecureSkipVerify: true})
	if err == nil {
		t.Error("a challenge nobody asked for was answered")
	}
	if _, err := handshake(t, s.HTTPS(), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "mail.example.com", NextProtos: []string{"http/1.1"}, InsecureSkipVerify: true}); err != nil {
		t.Error(err)
	}
	if _, err := NewSource(Options{Host: "a.example.com", ACME: &ACME{Dir: t.TempDir()}, Logger: slog.New(slog.DiscardHandler), Now: time.Now}); err == nil {
		t.Error("an authority without a listener to reach")
	}
	for _, c := range []struct{ http, https, want string }{{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1"}, {"[::]:1", "127.0.0.1:2", ""}, {"192.0.2.1:1", "127.0.0.1:2", ""}} {
		if got := commonHost(tcpAddr(t, c.http), tcpAddr(t, c.https), nil); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
