package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/certs"
)

// TestOnDemand: a name that is allowed gets a certificate while the client waits,
// others do not; names come and go at run time.
func TestOnDemand(t *testing.T) {
	w := apptest.NewWorld(t)
	for _, name := range []string{"track.example.com", "denied.example.com", "later.example.com"} {
		w.DNS.Set(t, name, "A", "127.0.0.1")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := apptest.StartPebble(t, w, apptest.FreePort(t), ln.Addr().(*net.TCPAddr).Port)
	text, err := os.ReadFile(p.RootsFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	var asked atomic.Int64
	s, err := certs.NewSource(certs.Options{Host: "mail.example.com", Logger: slog.New(slog.DiscardHandler), Now: time.Now, ACME: &certs.ACME{
		Directory: p.Directory, Roots: roots, Dir: filepath.Join(t.TempDir(), "acme"), HTTPS: ln.Addr(),
		Allow: func(_ context.Context, name string) error {
			asked.Add(1)
			if name != "track.example.com" {
				return errors.New("not one of ours")
			}
			return nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server := &httptest.Server{Listener: tls.NewListener(ln, s.HTTPS()), Config: &http.Server{Handler: s.Challenges(http.NotFoundHandler()), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}}
	server.Start()
	defer server.Close()
	dial := func(name string) error {
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: name, RootCAs: p.Roots()})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial("track.example.com"); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if err := dial("denied.example.com"); err == nil || asked.Load() == 0 {
		t.Errorf("denied: %v, asked %d times", err, asked.Load())
	}
	mail, err := s.SMTP().GetCertificate(&tls.ClientHelloInfo{ServerName: "denied.example.com"})
	if err != nil || mail.Leaf.DNSNames[0] != "mail.example.com" {
		t.Errorf("a mail server gets %v, %v", mail, err)
	}
	if err := s.Manage("later.example.com"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = dial("later.example.com"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("managed at run time: %v", err)
		}
	}
	s.Forget("later.example.com")
	if err := dial("later.example.com"); err == nil {
		t.Error("a forgotten name is still served")
	}
	if obtained, failed := s.Counts(); obtained != 2 || failed != 0 {
		t.Errorf("%d obtained, %d failed", obtained, failed)
	}
}
