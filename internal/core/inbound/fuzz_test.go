package inbound

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"postroad/internal/core/domain"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/authres"
	"postroad/internal/mail/mime"
)

// FuzzMarked: whatever a client says and sends, what is marked has our fields once
// and first, none that others made to look like ours, and the rest as it was.
func FuzzMarked(f *testing.F) {
	f.Add([]byte(note), "mx.far.example", "mx.far.example.", "help@in.example")
	f.Add([]byte("X-Mailgun-Incoming : a\r\n b\r\nAuthentication-Results: mx.test; x\r\nAuthentication-Results:\r\n mx.test"), "a\r\nB: c", "(\\)", "é@in.example")
	f.Add([]byte("\r\nX-Mailgun-Spf: Pass\r\n"), "", "\x80", `"a b"@in.example`)
	f.Add([]byte("no header"), "[IPv6:::1]", "", "a@in.example")
	f.Fuzz(func(t *testing.T, raw []byte, helo, name, rcpt string) {
		a, err := addr.ParseMailbox(rcpt)
		if err != nil {
			t.Skip("it would not have been a recipient")
		}
		verdict := &authres.Verdict{IPRev: authres.IPRev{Result: authres.Pass, Name: name}}
		r := &received{Session: Session{IP: netip.MustParseAddr("192.0.2.1"), HELO: helo, QueueID: "q1"}, raw: raw, at: time.Unix(0, 0).UTC(), verdict: verdict}
		if r.check() != nil {
			return
		}
		s := &Service{Config: Config{Hostname: "mx.test"}}
		got, err := s.marked(r, []*Target{{Mailbox: a.Mailbox(), domain: &domain.Domain{}}}, true)
		if err != nil {
			t.Fatal(err)
		}
		fields, _, err := mime.ScanHeader(got)
		if err != nil || len(fields) < 4 || !fields[0].Is("Received") || !fields[1].Is("Authentication-Results") || !fields[2].Is("X-Mailgun-Incoming") || !fields[3].Is("X-Mailgun-Spf") {
			t.Fatalf("%v\n%q", err, got)
		}
		trace := got[:fields[0].End]
		if n := bytes.IndexFunc(trace, func(c rune) bool { return c > '~' || c < ' ' && c != '\t' && c != '\r' && c != '\n' }); n >= 0 {
			t.Errorf("not ASCII: %q", trace)
		}
		last := 4 // X-Mailgun-Sid is the last of ours
		if len(fields) > 5 && fields[4].Is("X-Mailgun-Dkim-Check-Result") {
			last = 5
		}
		if len(fields) <= last || !fields[last].Is("X-Mailgun-Sid") {
			t.Fatalf("no X-Mailgun-Sid:\n%q", got)
		}
		own := fields[last].End
		_, end, _ := mime.ScanHeader(raw)
		if !bytes.HasSuffix(got, raw[end:]) || len(got) > own+len(raw)+2 {
			t.Errorf("the message is another:\n%q\n%q", raw, got)
		}
		for _, one := range fields[last+1:] {
			if one.Is("X-Mailgun-Incoming") || one.Is("X-Mailgun-Spf") || one.Is("X-Mailgun-Sflag") || one.Is("X-Mailgun-Sid") || one.Is("Received") && bytes.Contains(one.Value, []byte("id q1")) && !bytes.Contains(raw, []byte("id q1")) {
				t.Errorf("%s is there again:\n%q", one.Name, got)
			}
		}
	})
}
