package cli

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/base/certs"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/config"
)

func TestCheckListener(t *testing.T) {
	p := newTestProbe(t, dnstest.New(), "--smtp", "127.0.0.1:0")
	p.client = newClient("http://"+closedPort(t), "k")
	at := func(addr string) config.MailListen {
		return config.MailListen{Service: config.SMTP, Addr: config.Listen(addr)}
	}
	p.checkMail(t.Context(), at("127.0.0.1:0")).expect(t, stateSkip, "chooses")
	p.checkMail(t.Context(), at(speaking(t, "220 mail.example.com\x1b ESMTP\r\n"))).expect(t, stateOK, "220 mail.example.com? ESMTP")
	p.checkMail(t.Context(), at(speaking(t, "421 too busy\r\n"))).expect(t, stateFail, "it answers 421 too busy")
	p.checkMail(t.Context(), at(speaking(t, ""))).expect(t, stateFail, "somebody has it, but ")
	free := closedPort(t)
	p.checkMail(t.Context(), at(free)).expect(t, stateOK, "nobody listens there, and the server can")
	p.client = newClient(answering(t, 200, [2]string{}, `{"status":"ready"}`), "k")
	p.checkMail(t.Context(), at(free)).expect(t, stateWarn, "the server runs, but nobody")
	elsewhere := at("192.0.2.1:25") // for documents: no machine has it
	f := p.checkMail(t.Context(), elsewhere)
	f.expect(t, stateFail, "it cannot be opened: ")
	if !strings.Contains(f.fix, "address of this machine") {
		t.Error(f.fix)
	}
	newTestProbe(t, dnstest.New()).checkMail(t.Context(), elsewhere).expect(t, stateWarn, "it cannot be opened: ")
}

// secure is a listener with TLS from the start that shows a certificate.
func secure(t *testing.T, cert *tls.Certificate) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				_, _ = c.Write([]byte("220 mail.example.com\r\n")) // the client only looks
			}(c)
		}
	}()
	return l.Addr().String()
}

func TestCheckCertificate(t *testing.T) {
	ca, err := certs.LocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(host string) *tls.Certificate {
		c, err := ca.Certificate(host)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	self, err := certs.SelfSigned("mail.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name            string
		cert            *tls.Certificate
		later           time.Duration
		state, evidence string
	}{
		{"good", leaf("mail.example.com"), 0, stateOK, "shows one for mail.example.com, until "},
		{"other name", leaf("other.example.com"), 0, stateWarn, "not for mail.example.com"},
		{"self-signed", self, 0, stateWarn, "self-signed"},
		{"soon", leaf("mail.example.com"), -5 * 24 * time.Hour, stateWarn, ": soon"},
		{"expired", leaf("mail.example.com"), time.Hour, stateFail, ": expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := secure(t, tt.cert)
			p := newTestProbe(t, dnstest.New(), "--smtp", "submissions://"+addr)
			if tt.later != 0 {
				q := newQuick()
				q.now = tt.cert.Leaf.NotAfter.Add(tt.later)
				p.e.Clock = q
			}
			p.checkCertificate(t.Context()).expect(t, tt.state, tt.evidence)
			web := newTestProbe(t, dnstest.New(), "--smtp", "off", "--https", addr)
			web.e.Clock = p.e.Clock
			web.checkHTTPS(t.Context()).expect(t, stateOK, "answers with TLS")
			web.checkCertificate(t.Context()).expect(t, tt.state, "HTTPS at 127.0.0.1:")
		})
	}
	newTestProbe(t, dnstest.New(), "--smtp", closedPort(t)).checkCertificate(t.Context()).expect(t, stateSkip, "no listener with TLS answers")
}

func TestCheckCertificateFiles(t *testing.T) {
	p := newTestProbe(t, dnstest.New(), "--smtp", closedPort(t), "--acme-agree-terms")
	dir := filepath.Join(p.cfg.Data, app.ACMEDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "problems.json"), []byte(`{"mail.example.com":{"at":"2026-11-20T11:00:00Z","error":"connection refused"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.checkCertificate(t.Context()).expect(t, stateFail, "the last attempt to get one for mail.example.com failed at 2026-11-20 11:00:00: connection refused")
	ca, err := certs.LocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Certificate("mail.example.com")
	if err != nil {
		t.Fatal(err)
	}
	p.cfg.SMTP = config.MailListens{{Service: config.Submissions, Addr: config.Listen(secure(t, leaf))}}
	p.checkCertificate(t.Context()).expect(t, stateWarn, "; the last attempt to get one for mail.example.com failed") // a renewal

	key := filepath.Join(t.TempDir(), "tls.key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	p = newTestProbe(t, dnstest.New(), "--smtp", "off", "--tls-cert", key, "--tls-key", key)
	p.checkCertificate(t.Context()).expect(t, stateFail, "has permissions 0644")
	p.cfg.Mode = config.Dev
	p.cfg.TLSCert = ""
	p.checkCertificate(t.Context()).expect(t, stateSkip, "capture mode")
}
