package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const lockstepEHLO = "250-script\r\n250-SIZE 100000\r\n250 8BITMIME\r\n"

var (
	testEnvelope = Envelope{From: "a@example.com", To: []string{"b@example.com", "c@example.com"}}
	testBody     = Message{[]byte("Subject: x\r\n\r\nx\r\n")}
)

// session runs a client against the script: everything up to QUIT.
func runClient(t testing.TB, ctx context.Context, addr string, o ClientOptions) (*Client, Result, error) {
	t.Helper()
	o.HELO = "client.example.com"
	c, err := NewClient(ctx, dial(t, addr), o)
	if err != nil {
		return nil, Result{}, err
	}
	res, err := c.Send(ctx, testEnvelope, testBody)
	return c, res, err
}

// set makes the script behave in one way at one stage.
func (s *script) set(stage, behaviour string) {
	switch stage {
	case StageBanner:
		s.banner = behaviour
	case StageEHLO:
		s.on["EHLO"], s.on["HELO"] = behaviour, behaviour
	case StageMail:
		s.on["MAIL"] = behaviour
	case StageRcpt:
		s.on["RCPT"] = behaviour
	case StageData:
		s.on["DATA"] = behaviour
	case StageBody:
		s.final = behaviour
	}
}

var allStages = []string{StageBanner, StageEHLO, StageMail, StageRcpt, StageData, StageBody}

func eachStage(t *testing.T, behaviour string, check func(t *testing.T, stage string, c *Client, res Result, err error)) {
	t.Helper()
	for _, ehlo := range []string{"", lockstepEHLO} {
		for _, stage := range allStages {
			t.Run(fmt.Sprintf("%s,pipelining=%v", stage, ehlo == ""), func(t *testing.T) {
				s := &script{ehlo: ehlo, on: map[string]string{}}
				s.set(stage, behaviour)
				// One timeout for all, so that the stalls end soon.
				to := 10 * time.Second
				if behaviour == "STALL" {
					to = 30 * time.Millisecond
				}
				c, res, err := runClient(t, testContext(t), s.start(t), ClientOptions{Transcript: true,
					Timeouts: ClientTimeouts{Banner: to, Command: to, DataInit: to, Block: to, Final: to}})
				if err == nil {
					t.Fatal("no error")
				}
				check(t, stage, c, res, err)
				if c != nil && c.Usable() {
					t.Error("usable")
				}
			})
		}
	}
}

func TestServerDrops(t *testing.T) {
	eachStage(t, "DROP", func(t *testing.T, stage string, _ *Client, res Result, err error) {
		var se *StageError
		if !errors.As(err, &se) || se.Stage != stage {
			t.Fatalf("%v", err)
		}
		for i := range res.Recipients {
			if o := res.Outcome(i); o.Code != 0 {
				t.Errorf("outcome %v", o)
			}
		}
	})
}

func TestServerStalls(t *testing.T) {
	eachStage(t, "STALL", func(t *testing.T, stage string, _ *Client, _ Result, err error) {
		var se *StageError
		if !errors.As(err, &se) || se.Stage != stage || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%v", err)
		}
	})
}

func TestServerBabbles(t *testing.T) {
	eachStage(t, "hello there\r\n", func(t *testing.T, stage string, _ *Client, _ Result, err error) {
		var pe *ProtocolError
		if !errors.As(err, &pe) || pe.Stage != stage {
			t.Fatalf("%v", err)
		}
	})
}

// A 421 closes the session at any stage, and every recipient has an outcome.
func TestServerLeaves(t *testing.T) {
	eachStage(t, "421 4.3.2 bye\r\n", func(t *testing.T, stage string, c *Client, res Result, err error) {
		var re *ReplyError
		if !errors.As(err, &re) || re.Stage != stage || re.Reply != (Reply{421, "4.3.2", "bye"}) || re.Local {
			t.Fatalf("%v", err)
		}
		if c != nil && (res.Outcome(0).Code != 421 || res.Outcome(1).Code != 421) {
			t.Fatalf("%+v", res)
		}
	})
}

// Refusals leave the session usable, and the next message passes.
func TestRefusals(t *testing.T) {
	for _, ehlo := range []string{"", lockstepEHLO} {
		for _, stage := range []string{StageMail, StageRcpt, StageData, StageBody} {
			s := &script{ehlo: ehlo, on: map[string]string{}, seen: make(chan string, 100)}
			s.set(stage, "550 5.7.1 no\r\n")
			addr := s.start(t)
			c, res, err := runClient(t, testContext(t), addr, ClientOptions{})
			var re *ReplyError
			if !errors.As(err, &re) || re.Stage != stage || re.Reply.Enhanced != "5.7.1" {
				t.Fatalf("%s: %v", stage, err)
			}
			if res.Outcome(0) != re.Reply || res.Outcome(1) != re.Reply || !c.Usable() {
				t.Fatalf("%s: %+v", stage, res)
			}
			if err := c.Reset(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.Quit(testContext(t)); err != nil {
				t.Fatal(err)
			}
			close(s.seen)
			var dots, resets int
			for line := range s.seen {
				if line == "." {
					dots++
				}
				if line == "RSET" {
					resets++
				}
			}
			// Pipelined, the server of the script asks for a message that nobody
			// is to get: it must be empty and followed by RSET.
			empty := ehlo == "" && (stage == StageMail || stage == StageRcpt)
			if dots > 0 != (empty || stage == StageBody) || empty && resets != 2 || !empty && resets != 1 {
				t.Errorf("%s: %d dots, %d resets", stage, dots, resets)
			}
		}
	}
}

// A transaction that the server may still hold is reset before the next.
func TestSecondTransaction(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st})
	for _, pipelining := range []bool{true, false} {
		c := connect(t, addr, ClientOptions{})
		c.ext.Pipelining = pipelining
		ctx := testContext(t)
		for range 2 {
			_, err := c.Send(ctx, Envelope{From: "x@example.com", To: []string{"reject@example.com"}}, testBody)
			var re *ReplyError
			if !errors.As(err, &re) || re.Stage != StageRcpt || re.Reply.Code != 550 {
				t.Fatal(err)
			}
			if _, err := c.Send(ctx, testEnvelope, testBody); err != nil {
				t.Fatal(err)
			}
			_, err = c.Send(ctx, Envelope{From: "bad@example.com", To: []string{"b@example.com"}}, testBody)
			if !errors.As(err, &re) || re.Stage != StageMail || re.Reply.Text != "not\nyou" {
				t.Fatal(err)
			}
			res, err := c.Send(ctx, testEnvelope, Message{[]byte("Subject: spam\r\n")})
			if !errors.As(err, &re) || re.Stage != StageBody || res.Outcome(1).Code != 554 {
				t.Fatal(err)
			}
		}
	}
	if n := len(st.messages()); n != 4 {
		t.Error(n)
	}
}

// More recipients than fit in one batch.
func TestManyRecipients(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st, MaxRecipients: 250})
	for _, pipelining := range []bool{true, false} {
		c := connect(t, addr, ClientOptions{})
		c.ext.Pipelining = pipelining
		env := Envelope{From: ""}
		for i := range 300 {
			env.To = append(env.To, fmt.Sprintf("r%d@example.com", i))
		}
		env.To[7] = "reject@example.com"
		env.To[9] = "in jection@example.com"
		env.To[11] = "x>\r\nDATA@example.com"
		res, err := c.Send(testContext(t), env, testBody)
		if err != nil {
			t.Fatal(err)
		}
		count := map[int]int{}
		for i := range env.To {
			o := res.Outcome(i)
			count[o.Code]++
		}
		if !reflect.DeepEqual(count, map[int]int{250: 250, 550: 1, 553: 2, 452: 47}) {
			t.Error(count)
		}
	}
}

// Commands are not sent without end before a reply is read.
func TestBatchBound(t *testing.T) {
	s := &script{on: map[string]string{"RCPT": ""}, seen: make(chan string, 1000), ended: make(chan struct{}, 1)}
	c := connect(t, s.start(t), ClientOptions{Timeouts: ClientTimeouts{Command: 50 * time.Millisecond}})
	env := Envelope{To: make([]string, 500)}
	for i := range env.To {
		env.To[i] = "b@example.com"
	}
	if _, err := c.Send(testContext(t), env, testBody); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if n := len(s.seen); n != 1+maxBatch { // EHLO, MAIL and RCPTs
		t.Errorf("%d commands", n)
	}
}

// After a 421 nothing more is waited for.
func TestNoWaitAfter421(t *testing.T) {
	s := &script{on: map[string]string{"MAIL": "421 4.3.2 bye\r\n", "RCPT": "STALL"}}
	ctx := testContext(t)
	_, res, err := runClient(t, ctx, s.start(t), ClientOptions{})
	var re *ReplyError
	if !errors.As(err, &re) || re.Stage != StageMail || res.Outcome(1).Code != 421 || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
}

func TestLocalRefusals(t *testing.T) {
	s := &script{seen: make(chan string, 100), ehlo: "250-script\r\n250 SIZE 20\r\n"}
	addr := s.start(t)
	c := connect(t, addr, ClientOptions{})
	tests := []struct {
		env   Envelope
		msg   string
		reply string
	}{
		{Envelope{To: []string{"b@c"}}, strings.Repeat("x", 30), "552 5.3.4"},
		{Envelope{To: []string{"b@c"}, UTF8: true}, "x", "553 5.6.7"},
		{Envelope{To: []string{"\u00fc@c"}}, "x", "553 5.6.7"},
		{Envelope{From: "\u00fc@c", To: []string{"b@c"}}, "x", "553 5.6.7"},
		{Envelope{From: "a@b>\r\nRCPT TO:<c@d", To: []string{"b@c"}}, "x", "553 5.1.7"},
		{Envelope{To: []string{"b@c"}, RequireTLS: true}, "x", "550 5.7.30"},
		{Envelope{To: []string{"b@c"}}, "a\x00b", "554 5.6.0"},
	}
	for _, tt := range tests {
		res, err := c.Send(testContext(t), tt.env, Message{[]byte(tt.msg)})
		var re *ReplyError
		if !errors.As(err, &re) || !re.Local || !strings.HasPrefix(re.Reply.String(), tt.reply) || res.Outcome(0) != re.Reply {
			t.Errorf("%+v: %v", tt.env, err)
		}
	}
	if _, err := c.Send(testContext(t), Envelope{To: []string{"b@c"}, EightBit: true}, testBody); !errors.Is(err, ErrNoEightBit) {
		t.Error(err)
	}
	if _, err := c.Send(testContext(t), Envelope{}, testBody); !errors.Is(err, ErrNoRecipients) {
		t.Error(err)
	}
	if err := c.StartTLS(testContext(t), &tls.Config{}); !errors.Is(err, ErrNoStartTLS) {
		t.Error(err)
	}
	if !c.Usable() || len(s.seen) != 1 {
		t.Errorf("%d commands reached the server", len(s.seen))
	}
	if _, err := NewClient(testContext(t), dial(t, addr), ClientOptions{HELO: "a\r\nMAIL"}); !errors.Is(err, ErrName) {
		t.Error(err)
	}
}

// The context interrupts a wait at every stage.
func TestCancel(t *testing.T) {
	for _, verb := range []string{"EHLO", "MAIL", "RCPT", "DATA", "."} {
		s := &script{ehlo: lockstepEHLO, on: map[string]string{verb: "STALL"}, seen: make(chan string, 100)}
		if verb == "." {
			s.final = "STALL"
		}
		addr := s.start(t)
		cause := errors.New("stopped by test")
		ctx, cancel := context.WithCancelCause(testContext(t))
		go func() {
			for line := range s.seen {
				if v, _, _ := strings.Cut(line, " "); v == verb {
					cancel(cause)
				}
			}
		}()
		_, _, err := runClient(t, ctx, addr, ClientOptions{})
		if !errors.Is(err, cause) {
			t.Errorf("%s: %v", verb, err)
		}
		cancel(nil)
	}
}

func TestHELOFallback(t *testing.T) {
	s := &script{on: map[string]string{"EHLO": "502 what?\r\n"}}
	c, _, err := runClient(t, testContext(t), s.start(t), ClientOptions{})
	if err != nil || !reflect.DeepEqual(c.Extensions(), Extensions{}) {
		t.Fatal(err)
	}
}

// Replies that a server sends before the command they would answer.
func TestRepliesAhead(t *testing.T) {
	s := &script{on: map[string]string{"NOOP": ""}, ehlo: lockstepEHLO + "250 ahead\r\n"}
	_, _, err := runClient(t, testContext(t), s.start(t), ClientOptions{})
	var pe *ProtocolError
	if !errors.As(err, &pe) || pe.Stage != StageMail {
		t.Fatal(err)
	}
}

// A server that refuses in the middle of a large message and closes.
func TestRefusedMidway(t *testing.T) {
	s := &script{early: "552 5.3.4 too much\r\n", ehlo: "250 script\r\n"}
	c, err := NewClient(testContext(t), dial(t, s.start(t)), ClientOptions{HELO: "c.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(testContext(t), testEnvelope, testMessage(32<<20))
	var re *ReplyError
	var se *StageError // the reply may be lost with the connection
	if !(errors.As(err, &re) && re.Stage == StageBody && re.Reply.Code == 552) && !(errors.As(err, &se) && se.Stage == StageBody) {
		t.Fatal(err)
	}
	if c.Usable() {
		t.Error("usable")
	}
}

// Plaintext behind the reply to STARTTLS must never be taken for a reply given
// under TLS.
func TestResponseInjection(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	s := &script{ehlo: "250-script\r\n250 STARTTLS\r\n", tls: serverTLS, on: map[string]string{"STARTTLS": "220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"}}
	c := connect(t, s.start(t), ClientOptions{})
	err := c.StartTLS(testContext(t), clientTLS)
	var pe *ProtocolError
	if !errors.As(err, &pe) || pe.Stage != StageStartTLS || c.Usable() || c.TLS() != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(testContext(t), testEnvelope, testBody); !errors.Is(err, ErrUnusable) {
		t.Fatal(err)
	}
}

func TestStartTLSFailures(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	ehlo := "250-script\r\n250 STARTTLS\r\n"
	c := connect(t, (&script{ehlo: ehlo, on: map[string]string{"STARTTLS": "454 4.7.0 no\r\n"}}).start(t), ClientOptions{})
	var re *ReplyError
	if err := c.StartTLS(testContext(t), clientTLS); !errors.As(err, &re) || re.Stage != StageStartTLS || !c.Usable() {
		t.Error(err)
	}
	c = connect(t, (&script{ehlo: ehlo, tls: serverTLS}).start(t), ClientOptions{})
	var se *StageError
	if err := c.StartTLS(testContext(t), &tls.Config{ServerName: "mx.example.com"}); !errors.As(err, &se) || se.Stage != StageStartTLS || c.Usable() {
		t.Error(err)
	}
}

func TestClientAuth(t *testing.T) {
	tests := []struct {
		ehlo, answer string
		allow        bool
		user         string
		want         string
	}{
		{"250 AUTH PLAIN LOGIN", "235 ok\r\n", true, "u", ""},
		{"250 AUTH PLAIN", "535 5.7.8 no\r\n", true, "u", "smtp: auth: 535 5.7.8 no"},
		{"250 AUTH PLAIN", "334 \r\n", true, "u", "smtp: auth: protocol error: reply code out of place"}, // "*" was answered with 250
		{"250 AUTH LOGIN", "454 4.7.0 later\r\n", true, "u", "smtp: auth: 454 4.7.0 later"},
		{"250 AUTH CRAM-MD5", "", true, "u", ErrNoAuth.Error()},
		{"250 AUTH PLAIN", "", false, "u", ErrPlainAuth.Error()},
		{"250 AUTH PLAIN", "", true, "u\x00x", ErrCredentials.Error()},
	}
	for _, tt := range tests {
		s := &script{ehlo: "250-script\r\n" + tt.ehlo + "\r\n", on: map[string]string{"AUTH": tt.answer}}
		c := connect(t, s.start(t), ClientOptions{AllowPlainAuth: tt.allow, Transcript: true})
		got := ""
		if err := c.Auth(testContext(t), tt.user, "secret"); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q %q: %q", tt.ehlo, tt.answer, got)
		}
	}
}

func TestTranscript(t *testing.T) {
	st := &store{}
	serverTLS, clientTLS := certificate(t)
	_, addr := serve(t, Config{Backend: st, TLS: serverTLS})
	now := time.Unix(1000, 0)
	c := connect(t, addr, ClientOptions{Transcript: true, ServerName: "mx.example.com", AllowPlainAuth: true,
		Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	ctx := testContext(t)
	if err := c.StartTLS(ctx, clientTLS); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(ctx, "user", "pass word"); err != nil {
		t.Fatal(err)
	}
	text := EncodeTranscript(c.Transcript())
	for _, want := range []string{"- server mx.example.com\n", " S 220 mx.example.com ESMTP\n", " C STARTTLS\n", " - TLS 1.3 TLS_", " C AUTH PLAIN ***\n", " S 235 2.7.0 authenticated\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q missing in\n%s", want, text)
		}
	}
	if _, err := c.Send(ctx, testEnvelope, testBody); err != nil {
		t.Fatal(err)
	}
	c.StartTranscript()
	if _, err := c.Send(ctx, testEnvelope, testBody); err != nil { // needs no RSET
		t.Fatal(err)
	}
	var got []string
	for i, l := range c.Transcript() {
		if l.At != time.Duration(i+1)*time.Millisecond {
			t.Errorf("line %d at %v", i, l.At)
		}
		got = append(got, string(l.Dir)+" "+l.Text)
	}
	want := []string{"C MAIL FROM:<a@example.com> SIZE=17", "C RCPT TO:<b@example.com>", "C RCPT TO:<c@example.com>", "C DATA",
		"S 250 2.1.0 OK", "S 250 2.1.5 OK", "S 250 2.1.5 OK", "S 354 end with <CRLF>.<CRLF>", "C (message, 17 bytes)", "S 250 2.0.0 OK queued as q1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	c = connect(t, addr, ClientOptions{Transcript: true, MaxTranscript: 100})
	lines := c.Transcript()
	if last := lines[len(lines)-1]; last.Dir != Note || last.Text != "transcript cut here" {
		t.Errorf("%q", lines)
	}
}

func TestLoginTranscript(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}})
	c := connect(t, addr, ClientOptions{Transcript: true, AllowPlainAuth: true})
	c.ext.Auth = []string{"LOGIN"}
	c.StartTranscript()
	if err := c.Auth(testContext(t), "user", "pass word"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range c.Transcript() {
		got = append(got, string(l.Dir)+" "+l.Text)
	}
	want := []string{"C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C ***", "S 334 UGFzc3dvcmQ6", "C ***", "S 235 2.7.0 authenticated"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

// Quit does not wait for long, and Close ends a session at once.
func TestQuit(t *testing.T) {
	s := &script{on: map[string]string{"QUIT": "STALL"}}
	c := connect(t, s.start(t), ClientOptions{Timeouts: ClientTimeouts{Quit: 20 * time.Millisecond}})
	if err := c.Quit(testContext(t)); !errors.Is(err, os.ErrDeadlineExceeded) || c.Usable() {
		t.Error(err)
	}
	c = connect(t, s.start(t), ClientOptions{})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
