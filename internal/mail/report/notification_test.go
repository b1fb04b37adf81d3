package report

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"postroad/internal/mail/mime"
)

// counter is a random source that gives the same octets in each test.
type counter byte

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		*c++
		p[i] = byte(*c)
	}
	return len(p), nil
}

const order = "From: Shop <news@sender.example>\r\nTo: jane@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Fri, 01 Mar 2024 10:15:00 +0000\r\n" +
	"Message-ID: <1@sender.example>\r\nX-Mailgun-Sid: WyJz\r\n\r\nThank you.\r\n--=_1_0102030405060708090a0b0c\r\n"

func notification() *Notification {
	at := time.Date(2024, 3, 1, 10, 16, 0, 0, time.UTC)
	src := counter(0)
	return &Notification{
		MTA: "mail.sender.example", To: "news@sender.example", MessageID: "d1@mail.sender.example", Date: at, Arrival: at.Add(-time.Minute), ENVID: "QQ+2B314", Original: []byte(order), Rand: &src,
		Recipients: []Outcome{
			{Address: "jane@example.net", ORCPT: "rfc822;jane+2Bx@example.net", Action: Failed, Status: "5.1.1", Code: 550, Reply: "<jane@example.net>: user unknown", RemoteMTA: "mx.example.net", LastAttempt: at},
			{Address: "joe@example.net", Action: Delayed, Status: "4.4.1", Reply: "connection timed out", RetryUntil: at.Add(48 * time.Hour)},
			{Address: "ann@example.net", Action: Delivered, Code: 250, Status: "2.0.0", Reply: "Ok: queued", RemoteMTA: "mx.example.net"},
			{Address: "bob@example.net", Action: Relayed},
		},
	}
}

func built(t *testing.T, m *Notification) []byte {
	t.Helper()
	raw, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 1000 {
			t.Fatalf("line of %d octets: %q", len(line), line[:min(len(line), 80)])
		}
	}
	return raw
}

func TestNotification(t *testing.T) {
	raw := built(t, notification())
	golden(t, "testdata/notification.golden", strings.ReplaceAll(string(raw), "\r\n", "\n"))
	b, ok := ReadBounce(raw)
	if !ok || !b.Standard || b.ReportingMTA != "mail.sender.example" || b.EnvelopeID != "QQ+314" || len(b.Recipients) != 4 {
		t.Fatalf("read back: %t %+v", ok, b)
	}
	for i, want := range []Recipient{
		{Final: "jane@example.net", Original: "jane+x@example.net", Action: Failed, Status: "5.1.1", Code: 550, Hard: true, RemoteMTA: "mx.example.net"},
		{Final: "joe@example.net", Action: Delayed, Status: "4.4.1"},
		{Final: "ann@example.net", Action: Delivered, Status: "2.0.0", Code: 250, RemoteMTA: "mx.example.net"},
		{Final: "bob@example.net", Action: Relayed, Status: "2.0.0"},
	} {
		got := b.Recipients[i]
		if got.Final != want.Final || got.Original != want.Original || got.Action != want.Action || got.Status != want.Status || got.Code != want.Code || got.Hard != want.Hard || got.RemoteMTA != want.RemoteMTA {
			t.Errorf("recipient %d: %+v", i, got)
		}
	}
	if b.Original.MessageID != "1@sender.example" || b.Original.SID != "WyJz" || b.Original.Get("Subject") != "Gr\u00fc\u00dfe" {
		t.Errorf("original %+v", b.Original)
	}
	header, _, err := mime.ScanHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := OriginOf("", header); o != Notice {
		t.Errorf("the origin of our own report is %v", o)
	}
}

func TestNotificationReturns(t *testing.T) {
	long := strings.Replace(order, "X-Mailgun-Sid", "X-Long: "+strings.Repeat("x", 1200)+"\r\nX-Mailgun-Sid", 1)
	for _, c := range []struct {
		name     string
		original string
		full     bool
		ctype    string
		holds    string
	}{
		{"header", order, false, "text/rfc822-headers", "X-Mailgun-Sid: WyJz"},
		{"full", order, true, "message/rfc822", "Thank you."},
		{"8bit full", strings.Replace(order, "Thank", "D\u00e4nk", 1), true, "message/rfc822", "D\u00e4nk"},
		{"utf-8 header full", strings.Replace(order, "Shop", "Sh\u00f6p", 1), true, "message/global", "Thank you."},
		{"utf-8 header", strings.Replace(order, "Shop", "Sh\u00f6p", 1), false, "message/global-headers", "Sh\u00f6p"},
		{"large", order + strings.Repeat("x\r\n", MaxReturned/3), true, "text/rfc822-headers", "X-Mailgun-Sid: WyJz"},
		{"long line in the body", order + strings.Repeat("x", 1500), true, "text/rfc822-headers", "X-Mailgun-Sid: WyJz"},
		{"long field", long, true, "text/rfc822-headers", "X-Mailgun-Sid: WyJz"},
		{"NUL", order + "\x00", true, "text/rfc822-headers", "X-Mailgun-Sid: WyJz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := notification()
			m.Original, m.Full = []byte(c.original), c.full
			raw := built(t, m)
			root, _, err := mime.Structure(raw, mime.Limits{})
			if err != nil || len(root.Children) != 3 {
				t.Fatalf("%v %+v", err, root)
			}
			part := root.Children[2]
			if part.ContentType != c.ctype || !bytes.Contains(raw[part.Body:part.End], []byte(c.holds)) || len(raw) > MaxReturned {
				t.Errorf("%s in %d octets:\n%.500s", part.ContentType, len(raw), raw[part.Body:part.End])
			}
			if b, ok := ReadBounce(raw); !ok || b.Original.SID != "WyJz" {
				t.Errorf("read back: %t", ok)
			}
		})
	}
	m := notification()
	m.Full, m.Recipients = true, m.Recipients[1:]
	if root, _, err := mime.Structure(built(t, m), mime.Limits{}); err != nil || root.Children[2].ContentType != "text/rfc822-headers" {
		t.Errorf("all of it without a failure: %v", err)
	}
	m = notification()
	m.Original = nil
	if root, _, err := mime.Structure(built(t, m), mime.Limits{}); err != nil || len(root.Children) != 2 {
		t.Errorf("without original: %v %+v", err, root)
	}
}

func TestNotificationUTF8(t *testing.T) {
	const who = "j\u00fcrgen@example.net"
	for _, utf8 := range []bool{true, false} {
		m := notification()
		m.UTF8 = utf8
		m.Recipients = []Outcome{{Address: who, ORCPT: `utf-8;j\x{FC}rgen+x@example.net`, Action: Failed, Status: "5.1.1", Code: 550, Reply: "Benutzer j\u00fcrgen: user unknown"}}
		raw := built(t, m)
		global := bytes.Contains(raw, []byte("message/global-delivery-status"))
		if global != utf8 {
			t.Errorf("UTF8 %t, message/global-delivery-status %t", utf8, global)
		}
		if root, _, err := mime.Structure(raw, mime.Limits{}); err != nil || !utf8 && mime.EightBit(raw[root.Children[1].Start:root.Children[1].End]) {
			t.Errorf("UTF8 %t: %v, a status beyond ASCII", utf8, err)
		}
		b, ok := ReadBounce(raw)
		if !ok || b.Recipients[0].Final != who || b.Recipients[0].Original != "j\u00fcrgen+x@example.net" || !b.Hard() {
			t.Errorf("UTF8 %t: %t %+v", utf8, ok, b)
		}
	}
	m := notification()
	m.Recipients = []Outcome{{Address: "jane@b\u00fccher.example", Action: Failed}}
	if b, ok := ReadBounce(built(t, m)); !ok || b.Recipients[0].Final != "jane@xn--bcher-kva.example" {
		t.Errorf("a domain beyond ASCII: %t %+v", ok, b)
	}
}

// TestNotificationHostile: nothing that other servers and clients say gets out
// of its field.
func TestNotificationHostile(t *testing.T) {
	m := notification()
	m.ENVID = "x+0D+0AEvil:+201"
	m.Recipients = []Outcome{
		{Address: "jane@example.net", ORCPT: "rfc822;a+0D+0AEvil:+20x", Action: Failed, Status: "5.1.1\r\nEvil: 1", Code: 550, Reply: "a\r\nEvil: 2\r\n\r\nFinal-Recipient: rfc822; evil@example.net\x00" + strings.Repeat("x", 5000), RemoteMTA: "mx\r\nEvil: 3"},
	}
	raw := built(t, m)
	if bytes.Contains(raw, []byte("\nEvil")) {
		t.Errorf("a field was added:\n%s", raw)
	}
	b, ok := ReadBounce(raw)
	if !ok || len(b.Recipients) != 1 || b.Recipients[0].Status != "5.0.0" || b.EnvelopeID != "" {
		t.Errorf("read back: %t %+v", ok, b)
	}
}

func TestNotificationRefused(t *testing.T) {
	m := notification()
	m.To = "<>"
	if _, err := m.Build(); !errors.Is(err, ErrNullSender) {
		t.Errorf("to the null sender: %v", err)
	}
	m = notification()
	m.Recipients = nil
	if _, err := m.Build(); !errors.Is(err, ErrNoRecipients) {
		t.Errorf("without recipients: %v", err)
	}
	m = notification()
	m.To = "a@example.com\r\nBcc: b@example.com"
	if _, err := m.Build(); !errors.Is(err, mime.ErrHeaderInjection) {
		t.Errorf("a line break in To: %v", err)
	}
}

func TestNotificationMany(t *testing.T) {
	m := notification()
	m.Recipients = nil
	for i := range maxRecipients + 5 {
		m.Recipients = append(m.Recipients, Outcome{Address: "jane" + strconv.Itoa(i) + "@example.net", Action: Failed, Status: "5.1.1", Code: 550, Reply: "user unknown"})
	}
	raw := built(t, m)
	b, ok := ReadBounce(raw)
	if !ok || len(b.Recipients) != maxRecipients || !b.Truncated {
		t.Errorf("%d recipients, truncated %t", len(b.Recipients), b.Truncated)
	}
	if len(b.Text) > 20000 {
		t.Errorf("a text of %d octets", len(b.Text))
	}
}

func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		code          int
		status, reply string
		want          string
	}{
		{550, "5.1.1", "user unknown", "There is no such mailbox."},
		{552, "5.2.2", "over quota", "mailbox is full"},
		{550, "", "blocked using zen.spamhaus.org", "does not take mail from us"},
		{450, "4.2.0", "greylisted", "took too long"},
		{0, "4.4.1", "connection timed out", "If you do not know why"},
		{550, "", "no", "If you do not know why"},
	} {
		r := Outcome{Action: Failed, Code: c.code, Status: c.status, Reply: c.reply}
		if got := r.advice(); !strings.Contains(got, c.want) {
			t.Errorf("%d %s %s: %s", c.code, c.status, c.reply, got)
		}
	}
}

// readPython prints what Python's email package, an independent reader, finds
// in a report.
const readPython = `
import sys, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
print(m.get_content_type(), m.get_param("report-type"), m["Auto-Submitted"], len(m.defects))
parts = list(m.iter_parts())
print([p.get_content_type() for p in parts], sum(len(p.defects) for p in m.walk()))
print("mail system at" in parts[0].get_content())
for block in parts[1].get_payload():
    print([(k, str(v)) for k, v in block.items() if k in ("Final-Recipient", "Original-Recipient", "Action", "Status", "Original-Envelope-Id")])
inner = parts[2].get_payload()
print(inner[0]["X-Mailgun-Sid"] if isinstance(inner, list) else "WyJz" in inner)
`

func TestNotificationPython(t *testing.T) {
	program, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("POSTROAD_TEST_PEERS") != "" {
			t.Fatal("python3 is not installed, and POSTROAD_TEST_PEERS demands it")
		}
		t.Skip("python3 is not installed")
	}
	want := `multipart/report delivery-status auto-replied 0
['text/plain', 'message/delivery-status', '%s'] 0
True
[('Original-Envelope-Id', 'QQ+314')]
[('Original-Recipient', 'rfc822; jane+x@example.net'), ('Final-Recipient', 'rfc822; jane@example.net'), ('Action', 'failed'), ('Status', '5.1.1')]
[('Final-Recipient', 'rfc822; joe@example.net'), ('Action', 'delayed'), ('Status', '4.4.1')]
[('Final-Recipient', 'rfc822; ann@example.net'), ('Action', 'delivered'), ('Status', '2.0.0')]
[('Final-Recipient', 'rfc822; bob@example.net'), ('Action', 'relayed'), ('Status', '2.0.0')]
`
	for _, full := range []bool{false, true} {
		m := notification()
		m.Full = full
		cmd := exec.Command(program, "-c", readPython)
		cmd.Stdin = bytes.NewReader(built(t, m))
		out, err := cmd.CombinedOutput()
		ctype, last := "text/rfc822-headers", "True\n"
		if full {
			ctype, last = "message/rfc822", "WyJz\n"
		}
		if w := strings.Replace(want, "%s", ctype, 1) + last; err != nil || string(out) != w {
			t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, out, w)
		}
	}
}
