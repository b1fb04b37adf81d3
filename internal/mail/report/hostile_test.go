package report

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postroad/internal/mail/mime"
)

const daemon = "Return-Path: <>\r\nFrom: MAILER-DAEMON@example.net\r\nSubject: failure notice\r\n"

const reportHead = daemon + "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n"

// fill repeats s to about n octets.
func fill(s string, n int) string { return strings.Repeat(s, n/len(s)+1) }

// hostile messages, of about n octets, try to make the readers slow.
func hostile(n int) map[string]string {
	words := daemon + "\r\nThis is the qmail-send program.\r\n"
	return map[string]string{
		"lines":           words + fill("\r\n", n),
		"recipients":      words + fill("<a@example.net>:\r\n550 no\r\n\r\n", n),
		"one recipient":   words + fill("a@example.net\r\n", n),
		"codes":           words + fill("550 ", n),
		"at signs":        words + fill("@", n),
		"open brackets":   words + fill("<", n),
		"blanks":          words + "x" + fill(" ", n) + "550",
		"keys":            words + fill("recipient: ", n),
		"sentences":       words + fill("your message to ", n),
		"statuses":        words + fill("5.1.", n),
		"quotes":          words + fill(">\r\n", n),
		"markers":         words + fill("-- original message\r\n", n),
		"transcript":      words + fill(">>> RCPT TO:<a@example.net>\r\n<<< 550 a@example.net\r\n", n),
		"html":            daemon + "Content-Type: text/html\r\n\r\n" + fill("<style><", n),
		"entities":        daemon + "Content-Type: text/html\r\n\r\n" + fill("&amp", n),
		"header":          daemon + fill("X-Failed-Recipients: a@example.net\r\n", n),
		"failed":          daemon + "X-Failed-Recipients: " + fill("a@example.net,\r\n ", n) + "\r\n\r\nuser unknown",
		"groups":          reportHead + fill("Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\n\r\n", n),
		"empty groups":    reportHead + fill("a\r\n\r\n", n),
		"fields":          reportHead + fill("Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\nOriginal-Recipient: rfc822; a@example.net\r\n", n),
		"folded":          reportHead + "Diagnostic-Code: smtp; 550 " + fill("x\r\n ", n),
		"address escapes": reportHead + "Final-Recipient: utf-8; " + fill(`\x{`, n) + "\r\nAction: failed\r\n",
		"parts":           reportHead + fill("\r\n--x\r\nContent-Type: text/plain\r\n\r\nfinal-recipient:\r\n", n),
		"nested":          daemon + "Content-Type: multipart/report; boundary=b0\r\n\r\n" + nested(n/60),
		"feedback":        daemon + "Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n" + fill("Original-Rcpt-To: a@example.net\r\n", n),
		"domains":         daemon + "Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n" + fill("Reported-Domain: a\r\n", n),
		"returned":        daemon + "Content-Type: message/rfc822\r\n\r\nTo: " + fill("a@example.net,", n),
	}
}

func nested(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString("--b" + strings.Repeat("0", i%50+1) + "\r\nContent-Type: multipart/mixed; boundary=b" + strings.Repeat("0", i%50+2) + "\r\n\r\n")
	}
	return b.String()
}

// TestHostile: no message of 25 MB costs more than a moment, and no result is
// larger than the limits.
func TestHostile(t *testing.T) {
	size := 25 << 20
	if testing.Short() {
		size = 1 << 20
	}
	for name, text := range hostile(size) {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			check(t, []byte(text))
			if took := time.Since(begin); took > 20*time.Second { // a minute when quadratic; less than 1 s as it should be
				t.Errorf("it took %v", took)
			} else {
				t.Logf("%v", took)
			}
		})
	}
}

// check reads a message in all ways and tests what must hold for any.
func check(t *testing.T, raw []byte) {
	t.Helper()
	if b, ok := ReadBounce(raw); ok {
		checkBounce(t, b)
	}
	if c, ok := ReadComplaint(raw); ok {
		checkStrings(t, append(append(append([]string{c.Type, c.UserAgent, c.MailFrom}, c.Recipients...), c.Domains...), c.Original.MessageID)...)
		checkOriginal(t, &c.Original)
		if len(c.Recipients) > maxRecipients || len(c.Domains) > maxRecipients {
			t.Errorf("%d recipients, %d domains", len(c.Recipients), len(c.Domains))
		}
	}
	if header, _, err := mime.ScanHeader(raw); err == nil {
		OriginOf("a@example.net", header)
	}
}

func checkBounce(t *testing.T, b *Bounce) {
	t.Helper()
	if n := len(b.Recipients); n == 0 || n > maxRecipients {
		t.Errorf("%d recipients", n)
	}
	for _, r := range b.Recipients {
		checkStrings(t, r.Final, r.Original, r.Status, r.Diagnostic, r.RemoteMTA)
		if len(r.Final) > maxAddress || len(r.Original) > maxAddress || len(r.Diagnostic) > maxDiagnostic+6 || r.Code != 0 && (r.Code < 200 || r.Code > 599) {
			t.Errorf("recipient out of bounds: %+v", r)
		}
		if r.Status != "" && leadStatus(r.Status) != r.Status || r.Hard && (r.Action != Failed || strings.HasPrefix(r.Status, "4")) {
			t.Errorf("status %q, action %v, hard %t", r.Status, r.Action, r.Hard)
		}
		if r.Final != "" && !strings.Contains(r.Final, "@") {
			t.Errorf("address %q", r.Final)
		}
	}
	checkStrings(t, b.ReportingMTA, b.EnvelopeID, b.Original.MessageID)
	checkOriginal(t, &b.Original)
	if len(b.Text) > 4*maxText {
		t.Errorf("a text of %d octets", len(b.Text))
	}
}

func checkOriginal(t *testing.T, o *Original) {
	t.Helper()
	if len(o.Header) > maxFields || len(o.To) > maxRecipients {
		t.Errorf("%d fields, %d addresses", len(o.Header), len(o.To))
	}
	for _, f := range o.Header {
		checkStrings(t, f[0], f[1])
	}
}

func checkStrings(t *testing.T, list ...string) {
	t.Helper()
	for _, s := range list {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("%q", s)
		}
	}
}

func FuzzBounce(f *testing.F) {
	seed(f, "bounce", "other")
	f.Fuzz(func(t *testing.T, raw []byte) { check(t, raw) })
}

func FuzzComplaint(f *testing.F) {
	seed(f, "complaint")
	f.Fuzz(func(t *testing.T, raw []byte) { check(t, raw) })
}

// FuzzNotification: whatever is reported is read back.
func FuzzNotification(f *testing.F) {
	f.Add("jane@example.net", "rfc822;jane@example.net", "QQ+2B1", "5.1.1", "user unknown", "mx.example.net", "Subject: x\r\n\r\nbody", 550, true, true)
	f.Add("j\u00fcrgen@b\u00fccher.example", `utf-8;j\x{FC}rgen@example.net`, "+zz", "", "a\nb", "\x00", "", 0, false, false)
	f.Fuzz(func(t *testing.T, address, orcpt, envid, status, reply, remote, original string, code int, full, wide bool) {
		src := counter(0)
		m := Notification{MTA: "mx.example.com", To: "a@example.com", MessageID: "1@mx.example.com", ENVID: envid, Original: []byte(original), Full: full, UTF8: wide, Rand: &src,
			Recipients: []Outcome{{Address: address, ORCPT: orcpt, Status: status, Code: code, Reply: reply, RemoteMTA: remote}}}
		raw, err := m.Build()
		if err != nil {
			t.Fatalf("%v", err)
		}
		b, ok := ReadBounce(raw)
		if !ok || len(b.Recipients) != 1 || b.Recipients[0].Action != Failed || b.ReportingMTA != "mx.example.com" {
			t.Fatalf("read back %t %+v from\n%s", ok, b, raw)
		}
		checkBounce(t, b)
		if want := mailbox(wire(address)); want == address && ascii(want) && !strings.ContainsAny(want, ";+\\") && b.Recipients[0].Final != want {
			t.Errorf("%q is read back as %q", address, b.Recipients[0].Final)
		}
	})
}

func seed(f *testing.F, kinds ...string) {
	for _, kind := range kinds {
		for _, raw := range corpus(f, kind) {
			f.Add(raw)
		}
	}
	for _, text := range hostile(300) {
		f.Add([]byte(text))
	}
}

func BenchmarkReadBounce(b *testing.B) {
	for _, name := range []string{"postfix-user-unknown", "exim-text", "html-only"} {
		raw := corpus(b, "bounce")[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := ReadBounce(raw); !ok {
					b.Fatal("not read")
				}
			}
		})
	}
}

func BenchmarkNotification(b *testing.B) {
	b.ReportAllocs()
	m := notification()
	for b.Loop() {
		if _, err := m.Build(); err != nil {
			b.Fatal(err)
		}
	}
}
