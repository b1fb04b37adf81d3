package smtpd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	stdsmtp "net/smtp"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postroad/internal/base/blob"
	"postroad/internal/base/certs"
	"postroad/internal/base/clock"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/edge/smtpd"
	"postroad/internal/mail/smtp"
)

// door is a running SMTP door on real services.
type door struct {
	addr     string
	messages *message.Service
	domains  *domain.Service
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start opens a door. The domain ex.com exists with the login user@ex.com and
// the password secret-pw.
func start(t *testing.T, open bool, trusted ...netip.Prefix) *door {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	d := coretest.SQLite(t, clock.System{})
	source := ids.NewSource(clock.System{})
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, blobs.Close()) })
	accounts, err := account.New(d, source, clock.System{}, log, account.Options{Secret: make([]byte, 32)})
	must(t, err)
	_, err = accounts.Bootstrap(ctx, "key-x")
	must(t, err)
	first, err := accounts.First(ctx)
	must(t, err)
	domains, err := domain.New(d, source, clock.System{}, log, domain.Options{Hostname: "mx.test", AssumeVerified: true, Dev: open,
		Secret: make([]byte, 32), KeyBits: 1024, DefaultAccount: accounts.First})
	must(t, err)
	dom, err := domains.Create(ctx, first, domain.CreateRequest{Name: "ex.com"})
	must(t, err)
	_, err = domains.SetCredentials(ctx, dom, []string{"user"}, []string{"secret-pw"}, false, false)
	must(t, err)
	events, err := event.New(d, source, log)
	must(t, err)
	q, err := queue.New(ctx, d, source, log, queue.Options{})
	must(t, err)
	messages := message.New(message.Config{DB: d, IDs: source, Blobs: blobs, Events: events, Queue: q, Domains: domains, Logger: log,
		MaxBytes: 1 << 20, Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test", Dev: open})
	cert, err := certs.SelfSigned("mx.test")
	must(t, err)
	srv := &smtp.Server{Config: smtp.Config{Hostname: "mx.test", TLS: &tls.Config{Certificates: []tls.Certificate{*cert}},
		RequireTLSForAuth: !open, AllowBareLF: open, MaxMessageBytes: 1 << 20, OfferDSN: true,
		Backend: &smtpd.Submission{Messages: messages, Domains: domains, Accounts: accounts, Logger: log, Open: open, Trusted: trusted, Logins: smtpd.NewLogins(clock.System{})}}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		must(t, srv.Shutdown(context.Background()))
		if err := <-done; !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &door{addr: ln.Addr().String(), messages: messages, domains: domains}
}

func (d *door) dial(t *testing.T, starttls bool) *stdsmtp.Client {
	t.Helper()
	c, err := stdsmtp.Dial(d.addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Hello("client.test"))
	if starttls {
		must(t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
	}
	return c
}

func code(err error) int {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

const letter = "From: User <user@ex.com>\r\nTo: a@b.com\r\nSubject: by smtp\r\nX-Mailgun-Tag: t1\r\nBcc: c@d.com\r\n\r\nhello\r\n"

func send(c *stdsmtp.Client, from, body string, to ...string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	return w.Close()
}

func TestSubmission(t *testing.T) {
	d := start(t, false)
	for name, login := range map[string]func(user, pass string) stdsmtp.Auth{
		"plain": func(u, p string) stdsmtp.Auth { return stdsmtp.PlainAuth("", u, p, "127.0.0.1") },
		"login": func(u, p string) stdsmtp.Auth { return &loginAuth{u, p} },
	} {
		t.Run(name, func(t *testing.T) {
			c := d.dial(t, true)
			must(t, c.Auth(login("user@ex.com", "secret-pw")))
			must(t, send(c, "user@ex.com", letter, "a@b.com", "c@d.com"))
			must(t, c.Quit())
		})
	}
	list, err := d.messages.Recent(context.Background(), "", 0, 0, 10)
	must(t, err)
	if len(list) != 2 {
		t.Fatalf("%d messages", len(list))
	}
	m := list[0]
	if m.Domain != "ex.com" || m.Meta.Method != "smtp" || m.Meta.Options.Tags[0] != "t1" || strings.Join(m.Meta.Recipients, " ") != "a@b.com c@d.com" || m.Meta.KeyID != "user@ex.com" {
		t.Fatalf("%+v", m)
	}
	raw, err := d.messages.Body(m)
	must(t, err)
	if s := string(raw); strings.Contains(s, "Bcc") || strings.Contains(s, "c@d.com") || !strings.Contains(s, "Message-Id: <") {
		t.Fatalf("%s", s)
	}
}

// TestNotifications: what a session asks of notifications is kept with the
// message, and with no other message of the session.
func TestNotifications(t *testing.T) {
	d := start(t, false, netip.MustParsePrefix("127.0.0.0/8"))
	for name, login := range map[string]bool{"login": true, "trusted": false} {
		t.Run(name, func(t *testing.T) {
			c := d.dial(t, login)
			if login {
				must(t, c.Auth(stdsmtp.PlainAuth("", "user@ex.com", "secret-pw", "127.0.0.1")))
			}
			if ok, _ := c.Extension("DSN"); !ok {
				t.Fatal("DSN is not offered")
			}
			for _, tt := range []struct {
				mail string
				rcpt []string
				want *message.DSN
			}{
				{"<boss@ex.com> RET=HDRS ENVID=Q+2B1", []string{"<a@b.com>", "<C@d.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@d.com", "<e@d.com> NOTIFY=NEVER"},
					&message.DSN{Return: smtp.ReturnHeaders, EnvelopeID: "Q+1", Recipients: map[string]message.Wish{
						"c@d.com": {Notify: smtp.NotifySuccess | smtp.NotifyDelay, OriginalType: "rfc822", Original: "x+y@d.com"}, "e@d.com": {Notify: smtp.NotifyNever}}}},
				{"<boss@ex.com>", []string{"<a@b.com>", "<c@d.com> ORCPT=rfc822;C@d.com"}, nil},
				{"<>", []string{"<a@b.com> NOTIFY=NEVER"}, nil},
			} {
				if tt.mail == "<>" && !login {
					continue // names no domain
				}
				say(t, c, 250, "MAIL FROM:"+tt.mail)
				for _, r := range tt.rcpt {
					say(t, c, 250, "RCPT TO:"+r)
				}
				w, err := c.Data()
				must(t, err)
				_, err = w.Write([]byte(letter))
				must(t, err)
				must(t, w.Close())
				list, err := d.messages.Recent(context.Background(), "", 0, 0, 1)
				must(t, err)
				sender := ""
				if tt.want != nil {
					sender = "boss@ex.com"
				}
				if m := list[0].Meta; !reflect.DeepEqual(m.DSN, tt.want) || m.ReturnTo != sender {
					t.Errorf("%s: %+v to %q", tt.mail, m.DSN, m.ReturnTo)
				}
			}
		})
	}
}

// say sends a command and wants its reply to have a code.
func say(t *testing.T, c *stdsmtp.Client, code int, command string) {
	t.Helper()
	id, err := c.Text.Cmd("%s", command)
	must(t, err)
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	if _, _, err := c.Text.ReadResponse(code); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// TestRefusals: no credentials before TLS, no mail without credentials, and
// nothing kept of what is refused.
func TestRefusals(t *testing.T) {
	d := start(t, false)
	c := d.dial(t, false)
	if ok, _ := c.Extension("AUTH"); ok {
		t.Error("AUTH is offered in the clear")
	}
	if err := send(c, "user@ex.com", letter, "a@b.com"); code(err) != 530 {
		t.Errorf("mail without login: %v", err)
	}
	c = d.dial(t, true)
	if err := c.Auth(stdsmtp.PlainAuth("", "user@ex.com", "wrong", "127.0.0.1")); code(err) != 535 {
		t.Errorf("wrong password: %v", err)
	}
	c = d.dial(t, true)
	if err := c.Auth(stdsmtp.PlainAuth("", "nobody@ex.com", "secret-pw", "127.0.0.1")); code(err) != 535 {
		t.Errorf("unknown login: %v", err)
	}
	c = d.dial(t, true)
	must(t, c.Auth(stdsmtp.PlainAuth("", "user@ex.com", "secret-pw", "127.0.0.1")))
	for name, body := range map[string]string{
		"no From":       "Subject: x\r\n\r\nhi\r\n",
		"bad variables": "From: a@ex.com\r\nX-Mailgun-Variables: {\r\n\r\nhi\r\n",
		"bad option":    "From: a@ex.com\r\nX-Mailgun-Drop-Message: maybe\r\n\r\nhi\r\n",
	} {
		if err := send(c, "user@ex.com", body, "a@b.com"); code(err) != 550 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := send(c, "user@ex.com", letter+strings.Repeat("x\r\n", 400_000), "a@b.com"); code(err) != 552 {
		t.Errorf("too large: %v", err)
	}
	list, err := d.messages.Recent(context.Background(), "", 0, 0, 10)
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("%d messages were kept", len(list))
	}
}

func TestCaptureTakesEverything(t *testing.T) {
	d := start(t, true)
	c := d.dial(t, false)
	must(t, send(c, "app@new.example", letter, "a@b.com"))
	c = d.dial(t, false)
	must(t, c.Auth(stdsmtp.PlainAuth("", "any", "thing", "127.0.0.1")))
	must(t, send(c, "", letter, "a@b.com"))
	list, err := d.messages.Recent(context.Background(), "", 0, 0, 10)
	must(t, err)
	if len(list) != 2 || list[1].Domain != "new.example" || list[0].Domain != "localhost" {
		t.Fatalf("%d %+v", len(list), list)
	}
}

// loginAuth is AUTH LOGIN, which net/smtp does not bring.
type loginAuth struct{ user, pass string }

func (a *loginAuth) Start(*stdsmtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }
func (a *loginAuth) Next(from []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(from)), "user"):
		return []byte(a.user), nil
	}
	return []byte(a.pass), nil
}

// scramAuth is AUTH SCRAM-SHA-256, by another implementation.
type scramAuth struct{ conv *scram.ClientConversation }

func newSCRAM(t *testing.T, user, pass string) *scramAuth {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, pass, "")
	must(t, err)
	return &scramAuth{c.NewConversation()}
}

func (a *scramAuth) Start(*stdsmtp.ServerInfo) (string, []byte, error) {
	first, err := a.conv.Step("")
	return "SCRAM-SHA-256", []byte(first), err
}

func (a *scramAuth) Next(from []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	s, err := a.conv.Step(string(from))
	return []byte(s), err
}

// TestSCRAM: the password is proved without being sent, and the login ends with
// its password. One that does not exist looks like one whose password is wrong.
func TestSCRAM(t *testing.T) {
	d, ctx := start(t, false), context.Background()
	for user, pass := range map[string]string{"user@ex.com": "wrong", "nobody@ex.com": "secret-pw"} {
		if err := d.dial(t, true).Auth(newSCRAM(t, user, pass)); code(err) != 535 {
			t.Errorf("%s: %v", user, err)
		}
	}
	c := d.dial(t, true)
	must(t, c.Auth(newSCRAM(t, "User@ex.com", "secret-pw")))
	must(t, send(c, "user@ex.com", letter, "a@b.com"))
	list, err := d.messages.Recent(ctx, "", 0, 0, 10)
	must(t, err)
	if len(list) != 1 || list[0].Meta.KeyID != "user@ex.com" {
		t.Fatalf("%+v", list)
	}
	dom, err := d.domains.ByName(ctx, "ex.com")
	must(t, err)
	_, err = d.domains.SetCredentials(ctx, dom, []string{"user"}, []string{"another-pw"}, false, true)
	must(t, err)
	if err := send(c, "user@ex.com", letter, "a@b.com"); code(err) != 530 {
		t.Fatalf("the login outlived its password: %v", err)
	}
	must(t, d.dial(t, true).Auth(newSCRAM(t, "user@ex.com", "another-pw")))
}

// TestGuessing: after some failures a password is not looked at any more, right
// or wrong, by whatever mechanism.
func TestGuessing(t *testing.T) {
	d := start(t, false)
	for n := range 21 {
		err := d.dial(t, true).Auth(newSCRAM(t, "user@ex.com", "wrong"))
		if want := map[bool]int{true: 535, false: 454}[n < 20]; code(err) != want {
			t.Fatalf("guess %d: %v", n, err)
		}
	}
	if err := d.dial(t, true).Auth(stdsmtp.PlainAuth("", "user@ex.com", "secret-pw", "127.0.0.1")); code(err) != 454 {
		t.Error(err)
	}
}

// TestRevokedLogin: a connection that is open does not outlive its login.
func TestRevokedLogin(t *testing.T) {
	d := start(t, false)
	c := d.dial(t, true)
	must(t, c.Auth(stdsmtp.PlainAuth("", "user@ex.com", "secret-pw", "127.0.0.1")))
	must(t, send(c, "user@ex.com", letter, "a@b.com"))
	dom, err := d.domains.ByName(context.Background(), "ex.com")
	must(t, err)
	_, err = d.domains.DeleteCredential(context.Background(), dom, "user@ex.com")
	must(t, err)
	if err := send(c, "user@ex.com", letter, "a@b.com"); code(err) != 530 {
		t.Fatalf("a deleted login sent mail: %v", err)
	}
}

// A client of a trusted network sends without login as a domain of the server,
// and as no other.
func TestTrustedNetwork(t *testing.T) {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		from    string
		code    int
	}{
		{"own domain", []netip.Prefix{loopback}, "a@EX.com", 0},
		{"a domain of others", []netip.Prefix{loopback}, "a@gmail.com", 550},
		{"another network", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "a@ex.com", 530},
		{"none", nil, "a@ex.com", 530},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := start(t, false, c.trusted...)
			conn, err := stdsmtp.Dial(d.addr)
			must(t, err)
			defer conn.Close()
			err = conn.Mail(c.from)
			if err == nil {
				err = conn.Rcpt("to@example.org")
			}
			if err == nil {
				var w io.WriteCloser
				w, err = conn.Data()
				must(t, err)
				_, err = w.Write([]byte("From: " + c.from + "\r\nSubject: x\r\n\r\nhello\r\n"))
				must(t, err)
				err = w.Close()
			}
			var refused *textproto.Error
			if c.code == 0 && err != nil || c.code != 0 && (!errors.As(err, &refused) || refused.Code != c.code) {
				t.Errorf("got %v, want %d", err, c.code)
			}
		})
	}
}
