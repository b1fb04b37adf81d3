package app_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// wire is a session whose every octet the test chooses.
type wire struct {
	t *testing.T
	net.Conn
	r *textproto.Reader
}

// dial opens a session and says EHLO.
func (b *inbox) dial(t *testing.T) *wire {
	t.Helper()
	c, err := net.Dial("tcp", b.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w := &wire{t, c, textproto.NewReader(bufio.NewReader(c))}
	w.reply()
	w.say("EHLO mx.elsewhere.example")
	return w
}

// reply reads one reply: code and text of the last line.
func (w *wire) reply() string {
	w.t.Helper()
	code, text, err := w.r.ReadResponse(0)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(text, "\n")
	return fmt.Sprintf("%d %s", code, lines[len(lines)-1])
}

func (w *wire) say(line string) string {
	w.t.Helper()
	if _, err := w.Write([]byte(line + "\r\n")); err != nil {
		return err.Error()
	}
	return w.reply()
}

// falseEndings look like the end of a message to some server, and are none (case
// S1 of the security matrix).
var falseEndings = []string{"\n.\n", "\r.\r", "\r.\n", "\n.\r", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r",
	"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n"}

const smuggled = "MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<help@in.example>\r\nDATA\r\nFrom: evil@elsewhere.example\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"

// TestInboundSmuggling: a message hidden in another is neither taken nor sent on by
// a route, whichever way it came.
func TestInboundSmuggling(t *testing.T) {
	b := newInbox(t)
	b.route(t, `match_recipient("help@in.example")`, `forward("box@far.example")`)
	taken := 0
	for _, end := range append(falseEndings, "\r\n.\r\n") {
		body := "From: ann@elsewhere.example\r\nSubject: cover\r\n\r\ntext" + end + smuggled
		if end != "\r\n.\r\n" { // in DATA that is the end, and what follows commands
			w := b.dial(t)
			w.say("MAIL FROM:<ann@elsewhere.example>")
			w.say("RCPT TO:<help@in.example>")
			w.say("DATA")
			if got := w.say(strings.TrimSuffix(body, "\r\n")); !strings.HasPrefix(got, "550 5.6.") {
				t.Errorf("%q in DATA: %s", end, got)
			}
			if got := w.say("NOOP"); !strings.HasPrefix(got, "250") {
				t.Errorf("%q in DATA: then %s", end, got)
			}
			_ = w.Close()
		}
		// In a chunk every octet is text.
		w := b.dial(t)
		w.say("MAIL FROM:<ann@elsewhere.example>")
		w.say("RCPT TO:<help@in.example>")
		got := w.say(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), strings.TrimSuffix(body, "\r\n")))
		if end == "\r\n.\r\n" {
			taken++
			if !strings.HasPrefix(got, "250") {
				t.Errorf("%q in BDAT: %s", end, got)
			}
		} else if !strings.HasPrefix(got, "550 5.6.") {
			t.Errorf("%q in BDAT: %s", end, got)
		}
		if got := w.say("NOOP"); !strings.HasPrefix(got, "250") {
			t.Errorf("%q in BDAT: then %s", end, got)
		}
		_ = w.Close()
	}
	if err := b.deliver(t, "ann@elsewhere.example", []string{"help@in.example"}, note); err != nil {
		t.Fatal(err)
	}
	taken++
	got := b.far.Await(t, taken)
	if len(got) != taken {
		t.Errorf("%d messages went on, want %d", len(got), taken)
	}
	for _, m := range got {
		if len(m.To) != 1 || m.To[0] != "box@far.example" || strings.Contains(m.From, "evil") {
			t.Errorf("%s -> %q", m.From, m.To)
		}
		for _, end := range append(falseEndings, "\r\n.\r\n") {
			if strings.Contains(strings.TrimSuffix(m.Raw, ".\r\n"), end) {
				t.Errorf("%q was sent on:\n%q", end, m.Raw)
			}
		}
	}
}

// TestInboundRelay is case S3 of the security matrix: in none of the classic forms
// does somebody without a login reach another server, though everything at a domain
// of ours is taken.
func TestInboundRelay(t *testing.T) {
	b := newInbox(t)
	b.route(t, `match_recipient("help@in.example")`, `stop()`)
	w := b.dial(t)
	senders := []string{"<>", "<spam@elsewhere.example>", "<a@in.example>", "<a@mail.postroad.test>", "<a@localhost>", "<a@[127.0.0.1]>", "<a>"}
	for i, to := range []string{
		"<user@far.example>", "<USER@FAR.EXAMPLE>", "user@far.example", "<user%far.example>", "<user%far.example@in.example>",
		"<user%far.example@mail.postroad.test>", "<user%far.example@[127.0.0.1]>", "<user%far.example@localhost>", `<"user@far.example">`,
		`<"user%far.example">`, `<"user@far.example"@in.example>`, `<"user%far.example"@in.example>`, "<@in.example:user@far.example>",
		"<@in.example,@mail.postroad.test:user@far.example>", "<far.example!user>", "<far.example!user@in.example>", "<far.example!user@mail.postroad.test>",
		"<user@far.example@in.example>", "<user@in.example@far.example>", "<user@far.example.>", "<user@far.example:25>", "<user@[127.0.0.2]>", "<user@[IPv6:::1]>",
		"<user@far.example >", "< user@far.example>", "<user@in.example.far.example>", "<user@far.example%in.example>", "<user@xin.example>",
		"<help@in.example.>", "<help@in.example\x00.far.example>", "<help@in.example,user@far.example>", "<help@in.example> <user@far.example>",
	} {
		for _, from := range senders {
			w.say("MAIL FROM:" + from) // a sender that is refused leaves no transaction
			got := w.say("RCPT TO:" + to)
			if !strings.HasPrefix(got, "5") {
				t.Errorf("form %d, from %s to %q: %s", i, from, to, got)
			}
			if got := w.say("RSET"); !strings.HasPrefix(got, "250") { // too many errors
				_ = w.Close()
				w = b.dial(t)
			}
		}
	}
	if n := len(b.far.Messages()); n != 0 {
		t.Errorf("%d messages relayed", n)
	}
}

// nested is a message with depth multiparts in each other.
func nested(depth int) string {
	s := "Content-Type: text/plain\n\nx\n"
	for i := range depth {
		s = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n", i, i, s, i)
	}
	return s
}

// TestInboundLimits is case S6 of the security matrix, with what is just within
// each limit.
func TestInboundLimits(t *testing.T) {
	b := newInbox(t, "--max-message=2MB")
	b.route(t, `match_recipient("help@in.example")`, `store()`)
	b.Must("POST", "/v3/lists", []string{"address", "team@in.example", "access_level", "everyone"})
	header := func(size int) string {
		var s strings.Builder
		s.WriteString("From: ann@elsewhere.example\n")
		for size -= s.Len() + 3; size > 0; { // CR and LF at each end, and the empty line
			n := min(size, 900)
			if rest := size - n; rest > 0 && rest < 10 {
				n -= 10
			}
			s.WriteString("X-A: " + strings.Repeat("a", n-7) + "\n")
			size -= n
		}
		return s.String() + "\nx\n"
	}
	parts := func(n int) string { // with the message itself
		return "From: ann@elsewhere.example\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", n-1) + "--b--\n"
	}
	hops := func(n int) string {
		return strings.Repeat("Received: from a by b; Mon, 02 Mar 2026 09:00:00 +0000\n", n) + note
	}
	for name, c := range map[string]struct {
		good, bad string
		want      string
	}{
		"header":  {header(100_000), header(104_000), "550 5.6.0 the message header"},
		"parts":   {parts(1000), parts(1001), "550 5.6.0 the message could not be parsed"},
		"nesting": {"From: ann@elsewhere.example\n" + nested(50), "From: ann@elsewhere.example\n" + nested(51), "550 5.6.0 the message could not be parsed"},
		"hops":    {hops(50), hops(51), "550 5.7.1 the message went through 51 servers"},
		"size":    {note + strings.Repeat(strings.Repeat("x", 77)+"\n", 20_000), note + strings.Repeat(strings.Repeat("x", 77)+"\n", 40_000), "552 5.3.4"},
	} {
		for _, to := range []string{"help@in.example", "team@in.example"} {
			if got := refusal(b.deliver(t, "ann@elsewhere.example", []string{to}, c.good)); got != "<nil>" {
				t.Errorf("%s within the limit, to %s: %s", name, to, got)
			}
			if got := refusal(b.deliver(t, "ann@elsewhere.example", []string{to}, c.bad)); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s beyond the limit, to %s: %s, want %s", name, to, got, c.want)
			}
		}
	}
	w := b.dial(t)
	w.say("MAIL FROM:<ann@elsewhere.example>")
	for i := range 1001 {
		want := "250"
		if i == 1000 {
			want = "452 4.5.3"
		}
		if got := w.say("RCPT TO:<help@in.example>"); !strings.HasPrefix(got, want) {
			t.Fatalf("recipient %d: %s", i+1, got)
		}
	}
	if got := w.say("NOOP " + strings.Repeat("x", 3000)); !strings.HasPrefix(got, "500") {
		t.Errorf("a long command: %s", got)
	}
}

// A recipient without a domain is the one that may have none, and a refusal says
// so (RFC 5321 section 4.5.1).
func TestInboundPostmaster(t *testing.T) {
	b := newInbox(t)
	for _, to := range []string{"Postmaster", "postmaster@mail.postroad.test", "postmaster@in.example"} {
		if got := refusal(b.deliver(t, "ann@elsewhere.example", []string{to}, note)); !strings.HasPrefix(got, "550 5.1.1") {
			t.Errorf("%s: %s", to, got)
		}
	}
	b.AddDomain("mail.postroad.test")
	b.route(t, `match_recipient("postmaster@mail.postroad.test")`, `stop()`)
	b.route(t, `match_recipient("postmaster@in.example")`, `stop()`)
	for _, to := range []string{"Postmaster", "postmaster@mail.postroad.test", "postmaster@in.example"} {
		if err := b.deliver(t, "ann@elsewhere.example", []string{to}, note); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestInboundManyLists: a message from outside has no body for each of any number
// of lists and domains; the others are for another transaction.
func TestInboundManyLists(t *testing.T) {
	b := newInbox(t)
	w := b.dial(t)
	w.say("MAIL FROM:<ann@elsewhere.example>")
	for i := range 51 {
		address := fmt.Sprintf("l%d@in.example", i)
		b.Must("POST", "/v3/lists", []string{"address", address, "access_level", "everyone"})
		want := "250"
		if i == 50 {
			want = "452 4.5.3"
		}
		if got := w.say("RCPT TO:<" + address + ">"); !strings.HasPrefix(got, want) {
			t.Errorf("list %d: %s", i+1, got)
		}
	}
}
