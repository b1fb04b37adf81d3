package dkim

import (
	"crypto"
	"io"
	"strings"
	"testing"
	"time"
)

func benchmarkMessage() [][]byte {
	var body strings.Builder
	for body.Len() < 10<<10 {
		body.WriteString("<p style=\"margin:0\">A paragraph of ordinary text, as newsletters have it.</p>\r\n")
		body.WriteString("  <a href=\"https://example.com/c/0123456789\">link</a>\r\n")
	}
	head := "Message-ID: <20261120100000.1@example.com>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n" +
		"From: Newsletter <news@example.com>\r\nTo: someone@example.net\r\nSubject: This week's news\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" +
		"List-Unsubscribe: <https://example.com/u/0123456789>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n"
	return [][]byte{[]byte(head), []byte(body.String())}
}

// freeSigner answers at once, so that all but the private key operation is seen.
type freeSigner struct {
	crypto.Signer
	signature []byte
}

func (f freeSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return f.signature, nil
}

func benchmarkSign(b *testing.B, keys ...Key) {
	msg := benchmarkMessage()
	opts := Options{Keys: keys, Time: time.Unix(1700000000, 0)}
	var s Signer
	b.SetBytes(int64(len(msg[0]) + len(msg[1])))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(msg, opts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign10KB(b *testing.B) {
	k := keysOf(b)
	free := k.rsa2048
	free.Signer = freeSigner{free.Signer, make([]byte, 256)}
	b.Run("RSA-2048", func(b *testing.B) { benchmarkSign(b, k.rsa2048) })
	b.Run("Ed25519", func(b *testing.B) { benchmarkSign(b, k.ed25519) })
	b.Run("RSA-2048+Ed25519", func(b *testing.B) { benchmarkSign(b, k.rsa2048, k.ed25519) })
	b.Run("withoutPrivateKeyOperation", func(b *testing.B) { benchmarkSign(b, free) })
}

func BenchmarkBodyHash10KB(b *testing.B) {
	msg := benchmarkMessage()
	var s Signer
	for _, c := range []Canonicalization{Relaxed, Simple} {
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(msg[1])))
			b.ReportAllocs()
			for b.Loop() {
				s.ComputeBodyHash(msg, c)
			}
		})
	}
}
