package smtp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	netsmtp "net/smtp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// other is a backend for the go-smtp server.
type other struct {
	mu  sync.Mutex
	got []received
}

type otherSession struct {
	o    *other
	conn *gosmtp.Conn
	cur  received
}

func (o *other) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return &otherSession{o: o, conn: c}, nil
}

func (s *otherSession) Reset()        { s.cur = received{user: s.cur.user} }
func (s *otherSession) Logout() error { return nil }
func (s *otherSession) Mail(from string, o *gosmtp.MailOptions) error {
	s.cur.from, s.cur.opt = from, MailOptions{Size: o.Size, UTF8: o.UTF8, Body8Bit: o.Body == gosmtp.Body8BitMIME, EnvelopeID: o.EnvelopeID}
	switch o.Return {
	case gosmtp.DSNReturnFull:
		s.cur.opt.Return = ReturnFull
	case gosmtp.DSNReturnHeaders:
		s.cur.opt.Return = ReturnHeaders
	}
	return nil
}

func (s *otherSession) Rcpt(to string, ro *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "reject@") {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.cur.to = append(s.cur.to, to)
	o := RcptOptions{OriginalType: strings.ToLower(string(ro.OriginalRecipientType)), Original: ro.OriginalRecipient}
	for _, n := range ro.Notify {
		bit, _ := parseNotify(string(n))
		o.Notify |= bit
	}
	s.cur.ropt = append(s.cur.ropt, o)
	return nil
}

func (s *otherSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.cur.body = string(b)
	_, s.cur.tls = s.conn.TLSConnectionState()
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	s.o.got = append(s.o.got, s.cur)
	return nil
}

func (s *otherSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *otherSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != "user" || pass != "pass word" {
			return gosmtp.ErrAuthFailed
		}
		s.cur.user = user
		return nil
	}), nil
}

// askedDSN is what the messages to and from go-smtp ask for.
var askedDSN = &DSN{ReturnHeaders, "id +1=", []RcptOptions{{NotifySuccess | NotifyDelay, "utf-8", "j\u00f6+x@example.com"}}}

func TestClientWithGoSMTPServer(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	o := &other{}
	s := gosmtp.NewServer(o)
	s.Domain, s.TLSConfig, s.EnableSMTPUTF8, s.EnableDSN, s.MaxMessageBytes = "mx.example.com", serverTLS, true, true, 1<<20
	l := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })

	c := connect(t, l.Addr().String(), ClientOptions{})
	ctx := testContext(t)
	if err := c.StartTLS(ctx, clientTLS); err != nil {
		t.Fatal(err)
	}
	x := c.Extensions()
	if !x.Pipelining || !x.EightBitMIME || !x.SMTPUTF8 || x.StartTLS || x.Size != 1<<20 || !x.Chunking {
		t.Errorf("%+v", x)
	}
	var re *ReplyError
	if err := c.Auth(ctx, "user", "wrong"); !errors.As(err, &re) || re.Stage != StageAuth || re.Reply.Code != 535 || re.Reply.Enhanced != "5.7.8" {
		t.Fatal(err)
	}
	if err := c.Auth(ctx, "user", "pass word"); err != nil {
		t.Fatal(err)
	}
	for _, pipelining := range []bool{true, false} {
		c.ext.Pipelining = pipelining
		env := Envelope{From: "a@example.com", To: []string{"j\u00f6@example.com", "reject@example.com"}, EightBit: true, DSN: askedDSN}
		res, err := c.Send(ctx, env, Message{[]byte("Subject: \u00fc\n\n.\n..x"), []byte("\r\ny")})
		if err != nil {
			t.Fatal(err)
		}
		if good, bad := res.Outcome(0), res.Outcome(1); good.Code != 250 || bad.Enhanced != "5.1.1" {
			t.Errorf("%+v", res)
		}
		if res, err = c.Send(ctx, Envelope{To: []string{"reject@example.com"}}, testBody); !errors.As(err, &re) || re.Reply.Code != 550 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if err := c.Quit(ctx); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got) != 2 {
		t.Fatalf("%+v", o.got)
	}
	for _, m := range o.got {
		if m.body != "Subject: \u00fc\r\n\r\n.\r\n..x\r\ny\r\n" || !m.opt.UTF8 || !m.opt.Body8Bit || !m.tls || m.user != "user" ||
			m.opt.Size != 23 || len(m.to) != 1 || m.opt.Return != ReturnHeaders || m.opt.EnvelopeID != "id +1=" || m.ropt[0] != askedDSN.Recipients[0] {
			t.Errorf("%+v", m)
		}
	}
}

const otherBody = "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"

func checkOther(t *testing.T, st *store) {
	t.Helper()
	got := st.messages()
	if len(got) != 1 || got[0].body != otherBody || !got[0].tls || got[0].user != "user" || got[0].from != "a@example.com" || len(got[0].to) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestServerWithGoSMTPClient(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	st := &store{}
	_, addr := serve(t, Config{Backend: st, TLS: serverTLS, RequireTLSForAuth: true, OfferDSN: true})
	c, err := gosmtp.DialStartTLS(addr, clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(sasl.NewPlainClient("", "user", "pass word")); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("a@example.com", &gosmtp.MailOptions{Size: 10, Body: gosmtp.Body8BitMIME, UTF8: true, Return: gosmtp.DSNReturnHeaders, EnvelopeID: "id +1="}); err != nil {
		t.Fatal(err)
	}
	var se *gosmtp.SMTPError
	if err := c.Rcpt("reject@example.com", nil); !errors.As(err, &se) || se.Code != 550 || se.EnhancedCode != (gosmtp.EnhancedCode{5, 1, 1}) {
		t.Error(err)
	}
	for _, to := range []string{"b@example.com", "c@example.com"} {
		if err := c.Rcpt(to, &gosmtp.RcptOptions{Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifySuccess, gosmtp.DSNNotifyDelayed},
			OriginalRecipientType: gosmtp.DSNAddressTypeUTF8, OriginalRecipient: "j\u00f6+x@example.com"}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, otherBody); err != nil {
		t.Fatal(err)
	}
	r, err := w.CloseWithResponse()
	if err != nil || !strings.Contains(r.StatusText, "queued as q1") {
		t.Fatal(r, err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	checkOther(t, st)
	if m := st.messages()[0]; m.opt.Return != ReturnHeaders || m.opt.EnvelopeID != askedDSN.EnvelopeID || m.ropt[1] != askedDSN.Recipients[0] {
		t.Errorf("%+v", m)
	}
}

func TestServerWithGoSMTPLogin(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	_, addr := serve(t, Config{Backend: &store{}, TLS: serverTLS, ImplicitTLS: true})
	c, err := gosmtp.DialTLS(addr, clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(sasl.NewLoginClient("user", "pass word")); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
}

func TestServerWithNetSMTP(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	st := &store{}
	_, addr := serve(t, Config{Backend: st, TLS: serverTLS, RequireTLSForAuth: true})
	conn := dial(t, addr)
	c, err := netsmtp.NewClient(conn, "mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(&tls.Config{RootCAs: clientTLS.RootCAs, ServerName: "mx.example.com"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(netsmtp.PlainAuth("", "user", "pass word", "mx.example.com")); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("a@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"b@example.com", "c@example.com"} {
		if err := c.Rcpt(to); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader([]byte(otherBody))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	checkOther(t, st)
}
