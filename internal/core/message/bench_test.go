package message

import (
	"fmt"
	"strings"
	"testing"

	"postroad/internal/mail/addr"
)

// benchMessage is an ordinary message of 10 kB as a client submits it.
func benchMessage() []byte {
	return []byte("Received: from client (client [192.0.2.1]) by mail.ex.com; Fri, 20 Nov 2026 12:00:00 +0000\r\nFrom: Me <me@ex.com>\r\nTo: Ann <a@b.com>\r\n" +
		"Subject: minutes of the meeting\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-Id: <1@ex.com>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nX-Mailgun-Tag: news\r\nX-Mailgun-Variables: {\"id\": 7}\r\n\r\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog, and does it again.\r\n", 160))
}

func BenchmarkFromSMTP10K(b *testing.B) {
	raw, to := benchMessage(), []addr.Address{{Local: "a", Domain: "b.com"}}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fromSMTP(raw, to, testDomain(), testNow, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFromSMTPBatch has a thousand recipients with variables.
func BenchmarkFromSMTPBatch(b *testing.B) {
	var vars strings.Builder
	var to []addr.Address
	for i := range MaxRecipients {
		fmt.Fprintf(&vars, "%s\"user%d@b.com\": {\"name\": \"User %d\", \"id\": %d}", map[bool]string{true: ",\r\n "}[i > 0], i, i, i)
		to = append(to, addr.Address{Local: fmt.Sprintf("user%d", i), Domain: "b.com"})
	}
	raw := append([]byte("X-Mailgun-Recipient-Variables: {"+vars.String()+"}\r\n"), benchMessage()...)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fromSMTP(raw, to, testDomain(), testNow, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromParts(b *testing.B) {
	body := strings.Repeat("The quick brown fox jumps over the lazy dog, and does it again.\r\n", 160)
	b.ReportAllocs()
	for b.Loop() {
		r, err := readForm(values("from", "Me <me@ex.com>", "to", "Ann <a@b.com>", "subject", "minutes", "text", body, "o:tag", "news", "v:id", "7"), 25<<20, plenty(), nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fromParts(r, testDomain(), testNow, nil); err != nil {
			b.Fatal(err)
		}
	}
}
