package report

import (
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

func TestOriginOf(t *testing.T) {
	const jane = "jane@example.com"
	for _, c := range []struct {
		sender, header string
		want           Origin
	}{
		{jane, "From: Jane <jane@example.com>\nSubject: Hello", FromPerson},
		{jane, "Auto-Submitted: no", FromPerson},
		{jane, "Auto-Submitted: no (really)", FromPerson},
		{jane, "X-Auto-Response-Suppress: None\nX-Autoreply: no", FromPerson},
		{jane, "Subject: Re: automatic reply: x", FromPerson},
		{"", "Subject: Hello", Notice},
		{"<>", "Subject: Hello", Notice},
		{"", "Auto-Submitted: auto-replied (vacation)", Reply},
		{jane, "Auto-Submitted: Auto-Replied", Reply},
		{jane, "Auto-Submitted: auto-generated; x=y", Generated},
		{jane, "auto-submitted: no\nAuto-Submitted: auto-notified", Generated},
		{jane, "X-Autorespond: x", Reply},
		{jane, "Precedence: auto_reply", Reply},
		{jane, "Subject: Automatische Antwort: x", Reply},
		{jane, "Subject: =?utf-8?q?R=C3=A9ponse_automatique?= : x", Reply},
		{jane, "Precedence: Bulk", Bulk},
		{jane, "List-Id: <x.example.com>", Bulk},
		{"team-bounces@example.com", "Subject: x", Bulk},
		{"owner-team@example.com", "Subject: x", Bulk},
		{"NoReply@example.com", "Subject: x", Generated},
		{"MAILER-DAEMON@example.com", "Subject: x", Notice},
		{jane, "Content-Type: Multipart/Report; report-type=delivery-status", Notice},
		{jane, "From: Mail Delivery System <x@example.com>", Notice},
		{jane, "X-Failed-Recipients: a@example.com", Notice},
	} {
		fields, _, err := mime.ScanHeader([]byte(strings.ReplaceAll(c.header, "\n", "\r\n") + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		got, why := OriginOf(c.sender, fields)
		if got != c.want || (why == "") != (got == FromPerson) {
			t.Errorf("%q %q: %v (%s), want %v", c.sender, c.header, got, why, c.want)
		}
	}
}

func TestDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 01 Mar 2024 10:15:31 PST": "2024-03-01T18:15:31Z", "Fri, 1 Mar 2024 10:15:31 +0100 (CET)": "2024-03-01T09:15:31Z", "x": "0001-01-01T00:00:00Z", "": "0001-01-01T00:00:00Z",
	} {
		if got := date(in).Format("2006-01-02T15:04:05Z07:00"); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]bool{"redacted@x.example": true, "<[redacted]>": true, "xxxx@x.example": true, "***@x.example": true, "jane@x.example": false, "xx@x.example": false, "": false} {
		if redacted(in) != want {
			t.Errorf("%q: %t", in, !want)
		}
	}
}
