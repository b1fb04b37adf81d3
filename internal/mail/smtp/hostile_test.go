package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// points are where a server can misbehave, and the stage at which a client notices.
var points = []struct{ verb, stage string }{
	{"banner", StageBanner}, {"EHLO", StageEHLO}, {"AUTH", StageAuth}, {"MAIL", StageMail}, {"RCPT", StageRcpt},
	{"DATA", StageData}, {".", StageBody}, {"RSET", StageReset}, {"QUIT", StageQuit},
}

// meet runs a session with a foe from greeting to QUIT and returns the first error.
func meet(ctx context.Context, f *foe, pipelining bool) (*Client, error) {
	f.start()
	c, err := NewClient(ctx, f, ClientOptions{HELO: "client.example.com", AllowPlainAuth: true, Transcript: true})
	if err != nil {
		return nil, err
	}
	c.ext.Pipelining = pipelining
	if err := c.Auth(ctx, "user", "secret"); err != nil {
		return c, err
	}
	if _, err := c.Send(ctx, testEnvelope, testBody); err != nil {
		return c, err
	}
	if err := c.Reset(ctx); err != nil {
		return c, err
	}
	return c, c.Quit(ctx)
}

// patience is the longest a foe may hold one step.
func patience(stage string) time.Duration {
	var t ClientTimeouts
	t.setDefaults()
	switch stage {
	case StageBanner:
		return t.Banner
	case StageData:
		return t.DataInit
	case StageBody:
		return t.Final
	case StageQuit:
		return t.Quit
	}
	return t.Command
}

// eachPoint has the misbehaviour at each point, with and without pipelining, and
// checks the bounds: what the client read, how long it stayed, and that it will
// not go on with the connection.
func eachPoint(t *testing.T, arm func(f *foe, verb string), maxBytes int, check func(t *testing.T, stage string, f *foe, err error)) {
	t.Helper()
	for _, p := range points {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,pipelining=%v", p.verb, pipelining), func(t *testing.T) {
				f := &foe{answer: map[string]string{}, after: map[string][]byte{}, drip: map[string]bool{}, silent: map[string]bool{}, closed: map[string]bool{}}
				f.last = p.verb
				arm(f, p.verb)
				c, err := meet(testContext(t), f, pipelining)
				if err == nil {
					t.Fatal("no error")
				}
				check(t, p.stage, f, err)
				if c != nil && c.Usable() {
					t.Error("usable")
				}
				if f.read > maxBytes {
					t.Errorf("%d bytes were read", f.read)
				}
				if most := patience(p.stage) + time.Minute; f.elapsed > most {
					t.Errorf("it took %v, more than %v", f.elapsed, most)
				}
			})
		}
	}
}

func wantProtocol(t *testing.T, stage string, _ *foe, err error) {
	t.Helper()
	var pe *ProtocolError
	if !errors.As(err, &pe) || pe.Stage != stage {
		t.Errorf("%v, want a protocol error in %s", err, stage)
	}
}

func wantTransport(cause error) func(*testing.T, string, *foe, error) {
	return func(t *testing.T, stage string, _ *foe, err error) {
		t.Helper()
		var se *StageError
		if !errors.As(err, &se) || se.Stage != stage || !errors.Is(err, cause) {
			t.Errorf("%v, want %v in %s", err, cause, stage)
		}
	}
}

// small is what a session reads that is well but for one reply.
const small = 2 * maxReplyLine

func TestEndlessLine(t *testing.T) {
	eachPoint(t, func(f *foe, verb string) { f.answer[verb], f.after[verb] = "250 ", []byte("x") }, small+maxReplyLine, wantProtocol)
}

func TestEndlessReply(t *testing.T) {
	for name, line := range map[string]string{"short": "250-\r\n", "bare LF": "250-\n", "usual": "250-ENHANCEDSTATUSCODES\r\n", "long": "250-" + strings.Repeat("x", 4000) + "\r\n"} {
		t.Run(name, func(t *testing.T) {
			eachPoint(t, func(f *foe, verb string) { f.answer[verb], f.after[verb] = "", []byte(line) }, maxReplyBytes+2*maxReplyLine, wantProtocol)
		})
	}
}

// TestSlowReply: a byte each second is progress for ever; the deadline is of the
// whole reply.
func TestSlowReply(t *testing.T) {
	eachPoint(t, func(f *foe, verb string) { f.answer[verb], f.after[verb], f.drip[verb] = "", []byte("250-x\r\n"), true },
		small, wantTransport(os.ErrDeadlineExceeded))
}

func TestSilence(t *testing.T) {
	eachPoint(t, func(f *foe, verb string) { f.silent[verb] = true }, small, wantTransport(os.ErrDeadlineExceeded))
}

func TestHalfAReplyThenSilence(t *testing.T) {
	eachPoint(t, func(f *foe, verb string) { f.answer[verb] = "250-x\r\n250" }, small, wantTransport(os.ErrDeadlineExceeded))
}

// TestHalfClosed: the server's side is closed while ours still takes what we write.
func TestHalfClosed(t *testing.T) {
	for name, answer := range map[string]string{"at once": "", "in a line": "250", "in a reply": "250-x\r\n", "before the line end": "250 ok"} {
		t.Run(name, func(t *testing.T) {
			eachPoint(t, func(f *foe, verb string) { f.answer[verb], f.closed[verb] = answer, true }, small, wantTransport(io.EOF))
		})
	}
}

// TestNoReply has lines that are no reply at all.
func TestNoReply(t *testing.T) {
	for _, line := range []string{
		"", " ", "x", "2", "25", "25x ok", "2x0 ok", "x50 ok", "250ok", "250_ok", "250\tok", "\x00", "\x00250 ok", "250\x00ok", "\xff\xfe", "-250 ok", "+250 ok",
		" 250 ok", "000 ok", "050 ok", "099 ok", "100 ok", "150 ok", "199 ok", "600 ok", "999 ok", "1000 ok", "2500 ok", "\u0662\u0665\u0660 ok", "HTTP/1.1 400 Bad Request",
	} {
		t.Run(fmt.Sprintf("%q", line), func(t *testing.T) {
			eachPoint(t, func(f *foe, verb string) { f.answer[verb] = line + "\r\n" }, small, wantProtocol)
		})
	}
}

func TestMixedReply(t *testing.T) {
	for _, reply := range []string{"250-a\r\n550 b\r\n", "354-a\r\n250 b\r\n", "250-a\r\nb\r\n", "250-a\r\n\r\n250 b\r\n"} {
		t.Run(fmt.Sprintf("%q", reply), func(t *testing.T) {
			eachPoint(t, func(f *foe, verb string) { f.answer[verb] = reply }, small, wantProtocol)
		})
	}
}

// TestWrongCode: a positive reply that is no answer to the command.
func TestWrongCode(t *testing.T) {
	for verb, codes := range map[string][]int{
		"banner": {200, 221, 250, 251, 299, 300, 334, 354, 399},
		"EHLO":   {200, 220, 251, 299, 300, 334, 354},
		"AUTH":   {200, 220, 250, 300, 354, 399},
		"MAIL":   {300, 334, 354, 399},
		"RCPT":   {300, 334, 354, 399},
		"DATA":   {200, 220, 250, 251, 299, 300, 334, 353, 355},
		".":      {300, 334, 354, 399},
		"RSET":   {200, 220, 251, 300, 354},
	} {
		for _, code := range codes {
			for _, pipelining := range []bool{true, false} {
				f := &foe{answer: map[string]string{verb: fmt.Sprintf("%d 2.0.0 well\r\n", code)}}
				c, err := meet(testContext(t), f, pipelining)
				var pe *ProtocolError
				if !errors.As(err, &pe) || !errors.Is(err, errReplyCode) || c != nil && c.Usable() {
					t.Errorf("%d to %s: %v", code, verb, err)
				}
				if verb != "." && verb != "RSET" && contains(f.said, "Subject: x") {
					t.Errorf("%d to %s: the message was sent", code, verb)
				}
			}
		}
	}
}

func contains(lines []string, want string) bool {
	for _, l := range lines {
		if l == want {
			return true
		}
	}
	return false
}

// TestSwappedReplies: under pipelining replies that come in another order are not
// taken for agreement.
func TestSwappedReplies(t *testing.T) {
	for name, tt := range map[string]struct {
		replies string // to RSET or MAIL, RCPT, RCPT and DATA, all at once
		want    string
	}{
		"DATA first":         {"354 go\r\n250 a\r\n250 b\r\n250 c\r\n", StageMail},
		"DATA second":        {"250 a\r\n354 go\r\n250 b\r\n250 c\r\n", StageRcpt},
		"DATA third":         {"250 a\r\n250 b\r\n354 go\r\n250 c\r\n", StageRcpt},
		"one too many":       {"250 a\r\n250 b\r\n250 c\r\n354 go\r\n250 taken\r\n", StageBody},
		"verdict early, bad": {"250 a\r\n250 b\r\n250 c\r\n354 go\r\n550 no\r\n", StageBody},
		"two for one":        {"250 a\r\n250 a\r\n250 b\r\n250 c\r\n354 go\r\n", StageData},
		"megabytes":          {"250 a\r\n250 b\r\n250 c\r\n354 go\r\n" + strings.Repeat("250 x\r\n", 1<<20), StageBody},
	} {
		f := &foe{answer: map[string]string{"MAIL": "", "RCPT": "", "DATA": tt.replies}}
		c, err := meet(testContext(t), f, true)
		var pe *ProtocolError
		if !errors.As(err, &pe) || pe.Stage != tt.want || c.Usable() || contains(f.said, "Subject: x") || f.read > small {
			t.Errorf("%s: %v; %d bytes read, said %q", name, err, f.read, f.said)
		}
	}
}

// TestMoreThanWasAsked: what follows a reply ends the connection at the next step,
// whether it is a reply or megabytes of anything, and is not read.
func TestMoreThanWasAsked(t *testing.T) {
	for name, more := range map[string]string{"reply": "250 ok\r\n", "half a reply": "25", "line end": "\r\n", "megabytes": strings.Repeat("x", 8<<20)} {
		for _, p := range points[:len(points)-2] {
			if p.verb == "RCPT" || p.verb == "MAIL" {
				continue // the replies are read together: TestSwappedReplies
			}
			f := &foe{answer: map[string]string{}}
			standard := map[string]string{"banner": "220 foe\r\n", "EHLO": "250-foe\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n", "AUTH": "235 ok\r\n", "DATA": "354 go\r\n"}[p.verb]
			if standard == "" {
				standard = "250 ok\r\n"
			}
			f.answer[p.verb] = standard + more
			if p.verb == "banner" {
				f.banner = standard + more
			}
			c, err := meet(testContext(t), f, true)
			var pe *ProtocolError
			if !errors.As(err, &pe) || !errors.Is(err, errReplyPending) || c != nil && c.Usable() || f.read > small {
				t.Errorf("%s after %s: %v, %d bytes read", name, p.verb, err, f.read)
			}
			if p.verb == "DATA" && contains(f.said, ".") {
				t.Errorf("%s after 354: the message was completed", name)
			}
		}
	}
}

// TestUsableAfterMore: a connection whose server said more than its last reply is
// not offered for another message.
func TestUsableAfterMore(t *testing.T) {
	f := &foe{answer: map[string]string{".": "250 taken\r\n250 again\r\n"}}
	f.start()
	c, err := NewClient(testContext(t), f, ClientOptions{HELO: "c.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Usable() {
		t.Error("not usable before")
	}
	if res, err := c.Send(testContext(t), testEnvelope, testBody); err != nil || res.Outcome(0).Code != 250 {
		t.Errorf("%+v, %v", res, err)
	}
	if c.Usable() {
		t.Error("usable")
	}
}

// TestGreedyForTime: a server that takes a message slowly, but always some, gets it
// at a KiB a second or not at all.
func TestGreedyForTime(t *testing.T) {
	f := &foe{greedy: true}
	f.start()
	c, err := NewClient(testContext(t), f, ClientOptions{HELO: "c.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	f.share(c)
	const size = 4 << 20
	_, err = c.Send(testContext(t), testEnvelope, testMessage(size))
	var se *StageError
	if !errors.As(err, &se) || se.Stage != StageBody || !errors.Is(err, os.ErrDeadlineExceeded) || c.Usable() {
		t.Errorf("%v", err)
	}
	if least, most := time.Hour, 6*time.Minute+size>>10*time.Second+time.Minute; f.elapsed < least || f.elapsed > most {
		t.Errorf("it took %v", f.elapsed)
	}
	f = &foe{greedy: true}
	f.start()
	if c, err = NewClient(testContext(t), f, ClientOptions{HELO: "c.example.com"}); err != nil {
		t.Fatal(err)
	}
	f.share(c)
	if _, err = c.Send(testContext(t), testEnvelope, testMessage(100<<10)); err != nil {
		t.Errorf("a small message on a slow line: %v", err)
	}
}

// TestReplyText: what a reply holds is storable text, whatever bytes it was of.
func TestReplyText(t *testing.T) {
	f := &foe{answer: map[string]string{"MAIL": "550-5.7.1 a\x00b\x1b[31m\xff\xfe\u00fc\u202e\t\x7f\r\n550 5.7.1 c\rd\n"}}
	c, err := meet(testContext(t), f, true)
	var re *ReplyError
	if !errors.As(err, &re) || re.Reply.Enhanced != "5.7.1" || re.Reply.Text != "a?b?[31m??\u00fc\u202e ?\nc?d" {
		t.Fatalf("%q, %v", re.Reply.Text, err)
	}
	for _, l := range c.Transcript() {
		if strings.ContainsAny(l.Text, "\x00\x1b\r\n\x7f") {
			t.Errorf("transcript line %q", l.Text)
		}
	}
}

// TestEHLOFlood: keywords without number cost bounded time and memory.
func TestEHLOFlood(t *testing.T) {
	var lines, auth strings.Builder
	for i := range maxReplyLines - 1 {
		fmt.Fprintf(&lines, "250-X-%d %s\r\n", i, strings.Repeat("y ", 100))
	}
	for i := range 400 {
		fmt.Fprintf(&auth, " M%d", i)
	}
	flood := lines.String() + "250 AUTH PLAIN\r\n"
	for name, tt := range map[string]struct {
		reply string
		ok    bool
	}{
		"unknown keywords":  {flood, true},
		"one line too many": {"250-x\r\n" + flood, false},
		"mechanisms":        {"250-foe\r\n" + strings.Repeat("250-AUTH"+auth.String()+"\r\n", 20) + "250 PIPELINING\r\n", true},
		"limits":            {"250-foe\r\n" + strings.Repeat("250-LIMITS"+strings.Repeat(" MAILMAX=99999999999999999999", 100)+"\r\n", 20) + "250 SIZE 99999999999999999999\r\n", true},
		"repeated":          {"250-foe\r\n" + strings.Repeat("250-SIZE 1\r\n250-STARTTLS\r\n", 100) + "250 SIZE -1\r\n", true},
	} {
		f := &foe{answer: map[string]string{"EHLO": tt.reply}}
		f.start()
		c, err := NewClient(testContext(t), f, ClientOptions{HELO: "c.example.com", Transcript: true})
		if (err == nil) != tt.ok || f.read > maxReplyBytes+2*maxReplyLine {
			t.Errorf("%s: %v, %d bytes read", name, err, f.read)
			continue
		}
		if err != nil {
			continue
		}
		if x := c.Extensions(); len(x.Auth) > maxAuth || x.Limits.MailMax != 0 || x.Size < 0 {
			t.Errorf("%s: %+v", name, x)
		}
		n := 0
		for _, l := range c.Transcript() {
			n += len(l.Text)
		}
		if n > 2*defaultMaxTranscript {
			t.Errorf("%s: transcript of %d bytes", name, n)
		}
	}
}
