package app_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/config"
)

// everyService starts a program with a listener for each service, a certificate of
// the World's authority, and a login.
func everyService(t *testing.T) (s *apptest.Server, user, pass string) {
	t.Helper()
	w := apptest.NewWorld(t)
	certFile, keyFile := apptest.WritePair(t, t.TempDir(), w.Cert(t, ownHost))
	s = apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Args: []string{"--smtp=submission://127.0.0.1:0", "--smtp=submissions://127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile}})
	s.AddDomain("example.com")
	user, pass = "me@example.com", "correct horse battery"
	s.Must("POST", "/v3/domains/example.com/credentials", apptest.Fields{"login", user, "password", pass})
	return s, user, pass
}

func dialMail(t *testing.T, l app.MailAddr, conf *tls.Config) *smtp.Client {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if l.Service == config.Submissions {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestListeners(t *testing.T) {
	s, user, pass := everyService(t)
	k := s.World.Sink(t, "mx.r.example.net", apptest.Script{})
	s.World.MX(t, "r.example.net", k.Host)
	conf := &tls.Config{InsecureSkipVerify: true}
	if len(s.Mail) != 3 {
		t.Fatalf("listeners: %v", s.Mail)
	}
	for i, l := range s.Mail {
		t.Run(string(l.Service), func(t *testing.T) {
			c := dialMail(t, l, conf)
			implicit := l.Service == config.Submissions
			if ok, _ := c.Extension("STARTTLS"); ok == implicit {
				t.Errorf("STARTTLS offered: %v", ok)
			}
			if ok, _ := c.Extension("AUTH"); ok != implicit {
				t.Errorf("AUTH offered before STARTTLS: %v", ok)
			}
			if !implicit {
				if err := c.StartTLS(conf); err != nil {
					t.Fatal(err)
				}
			}
			stranger := "530"
			err := c.Mail("me@example.com")
			if l.Service == config.SMTP { // anybody may write to domains of ours, and to those only
				stranger, err = "relaying denied", errors.Join(err, c.Rcpt("a@r.example.net"))
			}
			if err == nil || !strings.Contains(err.Error(), stranger) {
				t.Errorf("mail without login: %v", err)
			}
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
			steps := []error{c.Auth(smtp.PlainAuth("", user, pass, "127.0.0.1")), c.Mail("me@example.com"), c.Rcpt(fmt.Sprintf("a%d@r.example.net", i))}
			w, err := c.Data()
			if err != nil {
				t.Fatalf("%v, %v", steps, err)
			}
			_, err = fmt.Fprintf(w, "From: me@example.com\r\nSubject: %d\r\n\r\nx\r\n", i)
			for _, err := range append(steps, err, w.Close(), c.Quit()) {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	if got := k.Await(t, 3); len(got) != 3 {
		t.Errorf("%d messages arrived", len(got))
	}
}

// TestReloadCertificate: a certificate replaced in its files is served at once
// after SIGHUP, on every listener, and one that is broken changes nothing.
func TestReloadCertificate(t *testing.T) {
	w := apptest.NewWorld(t)
	dir := t.TempDir()
	first := w.Cert(t, ownHost, "one.postroad.test")
	certFile, keyFile := apptest.WritePair(t, dir, first)
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Args: []string{"--https=127.0.0.1:0", "--smtp=submissions://127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile}})
	serves := func(what, name string) {
		t.Helper()
		if _, err := startTLS(s.SMTP, name, w.Roots); err != nil {
			t.Errorf("%s, STARTTLS: %v", what, err)
		}
		for _, addr := range []net.Addr{s.Mail[1].Addr, s.HTTPS} {
			c, err := tls.Dial("tcp", addr.String(), &tls.Config{ServerName: name, RootCAs: w.Roots})
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			c.Close()
		}
	}
	serves("at start", "one.postroad.test")
	apptest.WritePair(t, dir, w.Cert(t, ownHost, "two.postroad.test"))
	s.App.Reload()
	serves("reloaded", "two.postroad.test")
	if err := os.WriteFile(keyFile, bytes.Repeat([]byte("x"), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	s.App.Reload()
	serves("broken", "two.postroad.test")
}

// TestImplicitTLSOnly: a client that does not speak TLS gets nothing in plain text.
func TestImplicitTLSOnly(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, Args: []string{"--smtp=submissions://127.0.0.1:0"}})
	c, err := net.Dial("tcp", s.Mail[1].Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("EHLO client\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if strings.HasPrefix(line, "2") || strings.HasPrefix(line, "5") || err == nil {
		t.Errorf("answered %q, %v", line, err)
	}
}
