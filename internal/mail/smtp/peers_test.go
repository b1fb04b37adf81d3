package smtp

import (
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// peer returns the path of a program. Without POSTROAD_TEST_PEERS a missing one
// skips the test.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("POSTROAD_TEST_PEERS") != "":
		t.Fatal(err)
	}
	t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
	return ""
}

// run runs a peer to its end, which must be a good one.
func run(t *testing.T, path string, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), path, args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, out)
	}
	return string(out)
}

// serveTLS starts a server whose sessions offer all mechanisms, and returns its
// port and the file of its certificate.
func serveTLS(t *testing.T, p *proving, cfg Config) (port, ca string) {
	t.Helper()
	cfg.TLS, _ = certificate(t)
	cfg.Backend, cfg.OfferDSN, cfg.RequireTLSForAuth = p, true, true
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cfg.TLS.Certificates[0].Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr := serve(t, cfg)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port, ca
}

func TestServerWithPython(t *testing.T) {
	python := peer(t, "python3")
	script, err := filepath.Abs("testdata/send.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"starttls", "implicit"} {
		p := newProving(t, allMechanisms...)
		port, ca := serveTLS(t, p, Config{ImplicitTLS: mode == "implicit"})
		run(t, python, "", script, mode, port, ca)
		got := p.messages()
		if len(got) != 1 {
			t.Fatalf("%s: %+v", mode, got)
		}
		m := got[0]
		if m.body != "Subject: caf\u00e9\r\n\r\n.dot\r\n..\r\nend \u20ac\r\n" || !m.tls || m.user != "user" || !m.opt.Body8Bit || !m.opt.UTF8 ||
			m.opt.Return != ReturnHeaders || m.opt.EnvelopeID != "py+1" || len(m.to) != 1 || m.ropt[0] != (RcptOptions{NotifySuccess | NotifyFailure, "rfc822", "orig@example.com"}) {
			t.Errorf("%s: %+v", mode, m)
		}
	}
}

func TestServerWithSwaks(t *testing.T) {
	swaks := peer(t, "swaks")
	common := []string{"--server", "127.0.0.1", "--ehlo", "swaks.example.com", "--from", "a@example.com", "--to", "b@example.com,c@example.com",
		"--header", "Subject: by swaks", "--body", ".dot\\n..\\nend", "--auth-user", "user", "--auth-password", "pass word"}
	for name, tt := range map[string]struct {
		args []string
		cfg  Config
		ip   string
	}{
		"PLAIN":   {args: []string{"--tls", "--auth", "PLAIN"}},
		"LOGIN":   {args: []string{"--tls", "--auth", "LOGIN", "--pipeline"}},
		"TLS":     {args: []string{"--tls-on-connect", "--auth", "PLAIN"}, cfg: Config{ImplicitTLS: true}},
		"XCLIENT": {args: []string{"--tls", "--auth", "PLAIN", "--xclient-addr", "192.0.2.1", "--xclient-name", "mail.example", "--xclient-port", "99"}, cfg: Config{XClientNetworks: loopback}, ip: "192.0.2.1:99"},
		"PROXY 1": {args: []string{"--tls", "--auth", "PLAIN", "--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", "192.0.2.1", "--proxy-source-port", "99", "--proxy-dest", "192.0.2.2", "--proxy-dest-port", "25"}, cfg: Config{ProxyNetworks: loopback}, ip: "192.0.2.1:99"},
		"PROXY 2": {args: []string{"--tls", "--auth", "PLAIN", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-protocol", "STREAM", "--proxy-command", "PROXY", "--proxy-source", "192.0.2.1", "--proxy-source-port", "99", "--proxy-dest", "192.0.2.2", "--proxy-dest-port", "25"}, cfg: Config{ProxyNetworks: loopback}, ip: "192.0.2.1:99"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProving(t, allMechanisms...)
			port, _ := serveTLS(t, p, tt.cfg)
			out := run(t, swaks, "", append(append([]string{"--port", port}, common...), tt.args...)...)
			got := p.messages()
			if len(got) != 1 {
				t.Fatalf("%+v\n%s", got, out)
			}
			if m := got[0]; !strings.Contains(m.body, "\r\n\r\n.dot\r\n..\r\nend\r\n") || !m.tls || m.user != "user" || len(m.to) != 2 || tt.ip != "" && m.ip != tt.ip {
				t.Errorf("%+v\n%s", m, out)
			}
		})
	}
}

func TestServerWithMsmtp(t *testing.T) {
	msmtp := peer(t, "msmtp")
	for _, auth := range []string{"scram-sha-256", "plain", "login", "on"} {
		p := newProving(t, allMechanisms...)
		port, ca := serveTLS(t, p, Config{})
		run(t, msmtp, "Subject: by msmtp\n\n.dot\n..\nend\n", "--host=127.0.0.1", "--port="+port, "--domain=msmtp.example.com", "--tls=on", "--tls-starttls=on", "--tls-trust-file="+ca,
			"--tls-host-override=mx.example.com", "--auth="+auth, "--user=user", "--passwordeval=echo pass word", "--from=a@example.com",
			"--dsn-notify=failure,delay", "--dsn-return=full", "b@example.com")
		got := p.messages()
		if len(got) != 1 {
			t.Fatalf("%s: %+v", auth, got)
		}
		if m := got[0]; !strings.HasSuffix(m.body, "\r\n\r\n.dot\r\n..\r\nend\r\n") || !m.tls || m.user != "user" || m.opt.Return != ReturnFull || m.ropt[0].Notify != NotifyFailure|NotifyDelay {
			t.Errorf("%s: %+v", auth, m)
		}
	}
}

func TestServerWithNodemailer(t *testing.T) {
	node, npm := peer(t, "node"), peer(t, "npm")
	install := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir = "testdata/node"
	if out, err := install.CombinedOutput(); err != nil && os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatalf("npm ci: %v\n%s", err, out)
	} else if err != nil {
		t.Skipf("npm ci: %v (set POSTROAD_TEST_PEERS to make this a failure)\n%s", err, out)
	}
	script, err := filepath.Abs("testdata/node/send.js")
	if err != nil {
		t.Fatal(err)
	}
	p := newProving(t, allMechanisms...)
	port, ca := serveTLS(t, p, Config{})
	run(t, node, "", script, port, ca)
	got := p.messages()
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	for _, m := range got {
		if !strings.HasSuffix(m.body, "\r\n\r\n.dot\r\n..\r\nend\r\n") || !m.tls || m.user != "user" || m.opt.Return != ReturnHeaders || !strings.HasPrefix(m.opt.EnvelopeID, "id ") ||
			len(m.to) != 1 || m.ropt[0] != (RcptOptions{NotifyFailure | NotifyDelay, "rfc822", "orig+x@example.com"}) {
			t.Errorf("%+v", m)
		}
	}
}
