package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestStartTLSFoes: whatever a server does in plaintext when TLS is to begin ends
// the connection; nothing of it is read as a reply under TLS.
func TestStartTLSFoes(t *testing.T) {
	_, clientTLS := certificate(t)
	record := func(length int) string { return "\x16\x03\x03" + string([]byte{byte(length >> 8), byte(length)}) }
	for name, tt := range map[string]struct {
		answer   string
		then     string // endless, after the answer
		drip     bool
		protocol bool  // *ProtocolError, else *StageError
		cause    error // if it is a *StageError
	}{
		"reply behind the 220":     {answer: "220 go\r\n250-foe\r\n250 AUTH PLAIN\r\n", protocol: true},
		"one byte behind it":       {answer: "220 go\r\n\x16", protocol: true},
		"a record behind it":       {answer: "220 go\r\n" + record(4) + "abcd", protocol: true},
		"line end behind it":       {answer: "220 go\r\n\r\n", protocol: true},
		"in the reply":             {answer: "220-go\r\n220 go\r\n250 x\r\n", protocol: true},
		"wrong code 250":           {answer: "250 go\r\n", protocol: true},
		"wrong code 354":           {answer: "354 go\r\n", protocol: true},
		"wrong code 150":           {answer: "150 go\r\n", protocol: true},
		"endless line":             {answer: "220 ", then: "x", protocol: true},
		"endless reply":            {answer: "", then: "220-x\r\n", protocol: true},
		"nothing":                  {answer: "", cause: os.ErrDeadlineExceeded},
		"slow reply":               {answer: "", then: "220-x\r\n", drip: true, cause: os.ErrDeadlineExceeded},
		"silence in the handshake": {answer: "220 go\r\n", cause: os.ErrDeadlineExceeded},
		"slow handshake":           {answer: "220 go\r\n", then: record(16000) + strings.Repeat("x", 16000), drip: true, cause: os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			// What the client says then is no command, whatever bytes are in it.
			f := &foe{answer: map[string]string{"STARTTLS": tt.answer}, after: map[string][]byte{}, drip: map[string]bool{"STARTTLS": tt.drip}, last: "STARTTLS"}
			if tt.then != "" {
				f.after["STARTTLS"] = []byte(tt.then)
			}
			f.start()
			c, err := NewClient(testContext(t), f, ClientOptions{HELO: "c.example.com"})
			if err != nil {
				t.Fatal(err)
			}
			before := len(f.said)
			err = c.StartTLS(testContext(t), clientTLS)
			var pe *ProtocolError
			var se *StageError
			if tt.protocol && (!errors.As(err, &pe) || pe.Stage != StageStartTLS) ||
				!tt.protocol && (!errors.As(err, &se) || se.Stage != StageStartTLS || !errors.Is(err, tt.cause)) {
				t.Errorf("%v", err)
			}
			if c.Usable() || c.TLS() != nil {
				t.Errorf("usable %v, TLS %v", c.Usable(), c.TLS())
			}
			if tt.protocol && (f.wrote > 200 || len(f.said) != before+1) {
				t.Errorf("the client went on: %q", f.said)
			}
			if f.read > maxReplyBytes+2*maxReplyLine || f.elapsed > 2*5*time.Minute+2*time.Second {
				t.Errorf("%d bytes, %v", f.read, f.elapsed)
			}
			if _, err := c.Send(testContext(t), testEnvelope, testBody); !errors.Is(err, ErrUnusable) {
				t.Errorf("the next message: %v", err)
			}
		})
	}
}

// TestLateInjection: plaintext that arrives behind the 220 in a segment of its own
// is no TLS, and ends the handshake.
func TestLateInjection(t *testing.T) {
	_, clientTLS := certificate(t)
	sent := make(chan string, 1)
	l := listen(t)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for _, say := range []string{"220 foe\r\n", "250-foe\r\n250 STARTTLS\r\n", "220 go\r\n", "250-evil\r\n250 AUTH PLAIN\r\n"} {
			if _, err := conn.Write([]byte(say)); err != nil {
				return
			}
			n, err := conn.Read(buf) // the next step of the client: the last is its hello of TLS
			if err != nil {
				break
			}
			if buf[0] == 0x16 {
				select {
				case sent <- "handshake":
				default:
				}
				continue
			}
			_ = n
		}
	}()
	c := connect(t, l.Addr().String(), ClientOptions{})
	err := c.StartTLS(testContext(t), clientTLS)
	var se *StageError
	if !errors.As(err, &se) || se.Stage != StageStartTLS || c.Usable() || c.TLS() != nil {
		t.Fatalf("%v", err)
	}
	if got := <-sent; got != "handshake" {
		t.Error(got)
	}
}

// turncoat offers one set of extensions in plaintext and another under TLS.
func turncoat(t *testing.T, before, after string) (*Client, *script, error) {
	t.Helper()
	serverTLS, clientTLS := certificate(t)
	s := &script{ehlo: "250-script\r\n" + before + "250 STARTTLS\r\n", tls: serverTLS, on: map[string]string{}, seen: make(chan string, 100)}
	s.under = after
	c := connect(t, s.start(t), ClientOptions{})
	return c, s, c.StartTLS(testContext(t), clientTLS)
}

// TestEHLOChangesUnderTLS: nothing offered before counts (RFC 3207, section 4.2).
func TestEHLOChangesUnderTLS(t *testing.T) {
	c, _, err := turncoat(t, "250-SIZE 10\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-REQUIRETLS\r\n250-AUTH PLAIN\r\n250-LIMITS RCPTMAX=1\r\n",
		"250-script\r\n250 STARTTLS\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if x := c.Extensions(); x.Size != 0 || x.SizeOffered || x.Pipelining || x.EightBitMIME || x.SMTPUTF8 || x.RequireTLS || len(x.Auth) != 0 || x.Limits.RcptMax != 0 {
		t.Errorf("kept from before: %+v", x)
	}
	if err := c.StartTLS(testContext(t), &tls.Config{}); !errors.Is(err, ErrNoStartTLS) {
		t.Errorf("TLS within TLS: %v", err)
	}
	if err := c.Auth(testContext(t), "u", "p"); !errors.Is(err, ErrNoAuth) {
		t.Error(err)
	}
	if _, err := c.Send(testContext(t), testEnvelope, testBody); err != nil {
		t.Error(err)
	}
	c, _, err = turncoat(t, "", "250-script\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n")
	if err != nil || !c.Extensions().Pipelining || len(c.Extensions().Auth) != 1 || c.Extensions().StartTLS {
		t.Errorf("offered under TLS: %+v, %v", c.Extensions(), err)
	}
	for reply, stage := range map[string]string{"DROP": StageEHLO, "hello\r\n": StageEHLO, "354 go\r\n": StageEHLO, "421 no\r\n": StageEHLO} {
		if _, _, err = turncoat(t, "", reply); err == nil || !strings.Contains(err.Error(), stage) {
			t.Errorf("%q under TLS: %v", reply, err)
		}
	}
}

// TestRequireTLS has RFC 8689: the option travels only where it was asked for and
// the server offers it under TLS; asked for elsewhere the message stays here.
func TestRequireTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after string
		ask           bool
		sent          bool
	}{
		"offered":            {"", "250-script\r\n250 REQUIRETLS\r\n", true, true},
		"offered, not asked": {"", "250-script\r\n250 REQUIRETLS\r\n", false, true},
		"offered before TLS": {"250-REQUIRETLS\r\n", "250 script\r\n", true, false},
		"not offered":        {"", "250 script\r\n", true, false},
	} {
		c, s, err := turncoat(t, tt.before, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		env := testEnvelope
		env.RequireTLS = tt.ask
		res, err := c.Send(testContext(t), env, testBody)
		var re *ReplyError
		if tt.sent && err != nil || !tt.sent && (!errors.As(err, &re) || !re.Local || re.Reply.Enhanced != "5.7.30" || res.Outcome(1).Code != 550) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
		if err := c.Quit(testContext(t)); err != nil {
			t.Error(err)
		}
		close(s.seen)
		mail := ""
		for line := range s.seen {
			if strings.HasPrefix(line, "MAIL") {
				mail = line
			}
		}
		if strings.HasSuffix(mail, " REQUIRETLS") != (tt.ask && tt.sent) || (mail != "") != tt.sent {
			t.Errorf("%s: %q", name, mail)
		}
	}
	f := &foe{answer: map[string]string{"EHLO": "250-foe\r\n250 REQUIRETLS\r\n"}}
	f.start()
	c, err := NewClient(context.Background(), f, ClientOptions{HELO: "c.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	env := testEnvelope
	env.RequireTLS = true
	var re *ReplyError
	if _, err := c.Send(testContext(t), env, testBody); !errors.As(err, &re) || !re.Local || re.Reply.Enhanced != "5.7.30" || len(f.said) != 1 {
		t.Errorf("in plaintext: %v, %q", err, f.said)
	}
}
