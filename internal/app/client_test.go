package app_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/core/event"
)

// program returns the path of a program that tests need. Without
// POSTROAD_TEST_PEERS a missing one skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatal(err)
	}
	t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
	return ""
}

// run has a program end well within half a minute and returns what it said.
func run(t *testing.T, dir, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, name), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

const pythonClient = `
import smtplib, ssl, sys
mode, port, ca, user, password, to = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
if mode == "implicit":
    s = smtplib.SMTP_SSL("127.0.0.1", int(port), context=context)
else:
    s = smtplib.SMTP("127.0.0.1", int(port))
    s.starttls(context=context)
s.login(user, password)
s.sendmail(user, [to], open("letter", "rb").read().replace(b"\n", b"\r\n"))
s.quit()
`

const nodeClient = `
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';
const [, , mode, port, ca, user, pass, to] = process.argv;
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(port), secure: mode === 'implicit', requireTLS: mode !== 'implicit',
  auth: { user, pass }, tls: { ca: readFileSync(ca), servername: 'mail.postroad.test' },
});
await transport.sendMail({ envelope: { from: user, to: [to] }, raw: readFileSync('letter') });
`

// installNodemailer puts it, in the version that the tests of mail/smtp pin, into
// a directory of this test's own.
func installNodemailer(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("../mail/smtp/testdata/node", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), string(text))
	}
	cmd := exec.CommandContext(t.Context(), program(t, "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil && os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatalf("npm ci: %v\n%s", err, out)
	} else if err != nil {
		t.Skipf("npm ci: %v (set POSTROAD_TEST_PEERS to make this a failure)\n%s", err, out)
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dotted has lines that have to be stuffed and bytes that are not ASCII.
const dotted = "From: Me <me@example.com>\nSubject: by a client\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n.dot\n..\ncaf\u00e9\n"

// submitted checks the n-th message of the sink: the dotted one, from the domain of the
// login to one recipient.
func submitted(t *testing.T, s *apptest.Server, k *apptest.Sink, to string, n int) {
	t.Helper()
	got := k.Await(t, n)[n-1]
	if len(got.To) != 1 || got.To[0] != to || !strings.HasPrefix(got.From, "bounce+") || !strings.HasSuffix(got.From, "@example.com") {
		t.Errorf("envelope %q -> %q", got.From, got.To)
	}
	has(t, head(got.Data), "Subject: by a client\r\n", "DKIM-Signature: ", " d=example.com;")
	has(t, got.Data, "\r\n\r\n.dot\r\n..\r\ncaf\u00e9\r\n")
	accepted := s.WaitFor(1, "accepted", func(e *event.Event) bool { return e.Doc.Event == event.Accepted && e.Doc.Recipient == to })[0].Doc
	if !accepted.Flags.IsAuthenticated || accepted.Flags.IsRouted {
		t.Errorf("accepted: %+v", accepted.Flags)
	}
}

// TestClients has programs that people use log in and send, over STARTTLS and over
// TLS from the start. Go's own client is in TestListeners.
func TestClients(t *testing.T) {
	s, user, pass := everyService(t)
	ca := s.World.CAFile(t)
	k := s.World.Sink(t, "mx.r.example.net", apptest.Script{})
	s.World.MX(t, "r.example.net", k.Host)
	arrived := 0
	for _, c := range []struct {
		name string
		send func(t *testing.T, dir, mode, port, to string)
	}{
		{"swaks", func(t *testing.T, dir, mode, port, to string) {
			on := map[string]string{"starttls": "--tls", "implicit": "--tls-on-connect"}[mode]
			run(t, dir, "", "swaks", "--server", "127.0.0.1", "--port", port, on, "--tls-verify", "--tls-ca-path", ca, "--auth-user", user, "--auth-password", pass,
				"--from", user, "--to", to, "--data", "@letter")
		}},
		{"msmtp", func(t *testing.T, dir, mode, port, to string) {
			on := map[string]string{"starttls": "on", "implicit": "off"}[mode]
			run(t, dir, dotted, "msmtp", "--host=127.0.0.1", "--port="+port, "--tls=on", "--tls-starttls="+on, "--tls-trust-file="+ca, "--tls-host-override="+ownHost,
				"--auth=on", "--user="+user, "--passwordeval=echo "+pass, "--from="+user, to)
		}},
		{"nodemailer", func(t *testing.T, dir, mode, port, to string) {
			installNodemailer(t, dir)
			put(t, filepath.Join(dir, "send.js"), nodeClient)
			run(t, dir, "", "node", "send.js", mode, port, ca, user, pass, to)
		}},
		{"smtplib", func(t *testing.T, dir, mode, port, to string) {
			run(t, dir, "", "python3", "-c", pythonClient, mode, port, ca, user, pass, to)
		}},
	} {
		for mode, l := range map[string]net.Addr{"starttls": s.Mail[1].Addr, "implicit": s.Mail[2].Addr} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				dir := t.TempDir()
				put(t, filepath.Join(dir, "letter"), dotted)
				to := c.name + "." + mode + "@r.example.net"
				_, port, err := net.SplitHostPort(l.String())
				if err != nil {
					t.Fatal(err)
				}
				c.send(t, dir, mode, port, to)
				arrived++
				submitted(t, s, k, to, arrived)
			})
		}
	}
}

// TestOpenSSL: what TLS the listeners speak, by another implementation.
func TestOpenSSL(t *testing.T) {
	s, _, _ := everyService(t)
	ca := s.World.CAFile(t)
	for want, args := range map[string][]string{
		"220 mail.postroad.test": {"-connect", s.Mail[2].Addr.String()},
		"250 ":                   {"-connect", s.Mail[1].Addr.String(), "-starttls", "smtp"},
	} {
		out := run(t, t.TempDir(), "NOOP\nQUIT\n", "openssl", append([]string{"s_client", "-CAfile", ca, "-verify_return_error", "-verify_hostname", ownHost,
			"-servername", ownHost, "-crlf", "-quiet"}, args...)...)
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
