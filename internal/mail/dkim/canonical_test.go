package dkim

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

var (
	anyLineEnd = regexp.MustCompile("\r\n|\r|\n")
	blanks     = regexp.MustCompile("[ \t]+")
	lastBlank  = regexp.MustCompile(" (\n|$)")
)

// referenceBody is the body canonicalization written down as in the RFC, on the
// body with all its line ends made CRLF.
func referenceBody(body string, c Canonicalization) string {
	body = anyLineEnd.ReplaceAllString(body, "\n")
	if c == Relaxed {
		body = blanks.ReplaceAllString(body, " ")
		body = lastBlank.ReplaceAllString(body, "$1")
	}
	body = strings.TrimRight(body, "\n")
	if body != "" || c == Simple {
		body += "\n"
	}
	return strings.ReplaceAll(body, "\n", "\r\n")
}

func hashPieces(c Canonicalization, pieces ...[]byte) BodyHash {
	return ComputeBodyHash(append([][]byte{[]byte("\r\n")}, pieces...), c)
}

func TestBodyExamples(t *testing.T) {
	tests := []struct{ name, body, relaxed, simple string }{
		{"RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n", " C \r\nD \t E\r\n"},
		{"empty", "", "", "\r\n"},
		{"one empty line", "\r\n", "", "\r\n"},
		{"empty lines", "\r\n\r\n\r\n", "", "\r\n"},
		{"blanks only", " \t \r\n  ", "", " \t \r\n  \r\n"},
		{"no last line end", "abc", "abc\r\n", "abc\r\n"},
		{"blank at the end", "abc  ", "abc\r\n", "abc  \r\n"},
		{"inner empty lines", "a\r\n\r\n\r\nb\r\n\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
		{"leading empty lines", "\r\n\r\nb", "\r\n\r\nb\r\n", "\r\n\r\nb\r\n"},
		{"tab", "a\tb", "a b\r\n", "a\tb\r\n"},
		{"bare LF", "a\nb\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"bare CR", "a\rb\r", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"CR CR LF", "a\r\r\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"8bit", "gr\xc3\xbc\xdfe \xa0\r\n", "gr\xc3\xbc\xdfe \xa0\r\n", "gr\xc3\xbc\xdfe \xa0\r\n"},
		{"control bytes", "a\x00\x01 \x0b b\x7f\r\n", "a\x00\x01 \x0b b\x7f\r\n", "a\x00\x01 \x0b b\x7f\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for c, want := range map[Canonicalization]string{Relaxed: tt.relaxed, Simple: tt.simple} {
				if ref := referenceBody(tt.body, c); ref != want {
					t.Errorf("%v reference: got %q, want %q", c, ref, want)
				}
				if hashPieces(c, []byte(tt.body)) != BodyHash(sha256.Sum256([]byte(want))) {
					t.Errorf("%v: hash is not that of %q", c, want)
				}
			}
		})
	}
}

func TestHeaderExamples(t *testing.T) {
	tests := []struct{ raw, relaxed string }{
		{"A: X", "a:X"},                       // RFC 6376, section 3.4.5
		{"B : Y\t\r\n\tZ  ", "b:Y Z"},         // the same
		{"Subject:", "subject:"},              // empty value
		{"Subject: \r\n \r\n x", "subject:x"}, // folds without text
		{"X-A:a:b\t c", "x-a:a:b c"},
	}
	for _, tt := range tests {
		if got := string(Relaxed.appendHeader(nil, []byte(tt.raw))); got != tt.relaxed {
			t.Errorf("relaxed %q: got %q, want %q", tt.raw, got, tt.relaxed)
		}
		if got := string(Simple.appendHeader(nil, []byte(tt.raw))); got != tt.raw {
			t.Errorf("simple %q: got %q", tt.raw, got)
		}
	}
}

// randomBody is rich in what canonicalization deals with.
func randomBody(r *rand.Rand, n int) []byte {
	tokens := []string{" ", " ", "\t", "\r\n", "\r\n", "\r", "\n", "word", "x", "longer text without blanks",
		"\x00", "\xff", "\r\n\r\n", "  ", " \r\n", strings.Repeat("clean words only ", 40)}
	var b bytes.Buffer
	for range n {
		b.WriteString(tokens[r.IntN(len(tokens))])
	}
	return b.Bytes()
}

func TestBodyRandomInPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		body := randomBody(r, r.IntN(60))
		var pieces [][]byte
		for rest := body; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		for _, c := range []Canonicalization{Relaxed, Simple} {
			want := referenceBody(string(body), c)
			if hashPieces(c, pieces...) != BodyHash(sha256.Sum256([]byte(want))) {
				t.Fatalf("%v: hash of %q in %d pieces is not that of %q", c, body, len(pieces), want)
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte(" C \r\nD \t E\r\n\r\n\r\n"), 3)
	f.Add([]byte("a\rb\nc\r\r\n  \t\r\nddddddddddddddddddd  e\r\n"), 8)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		if cut < 0 || cut > len(body) {
			cut = len(body)
		}
		for _, c := range []Canonicalization{Relaxed, Simple} {
			want := sha256.Sum256([]byte(referenceBody(string(body), c)))
			if hashPieces(c, body[:cut], body[cut:]) != want {
				t.Fatalf("%v: wrong hash of %q cut at %d", c, body, cut)
			}
		}
	})
}

func TestFindBodyAtEveryCut(t *testing.T) {
	msg := []byte("From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n\r\nmore\r\n")
	want := bytes.Index(msg, headerEnd) + len(headerEnd)
	for i := range msg {
		for j := i; j <= len(msg); j++ {
			pieces := [][]byte{msg[:i], msg[i:j], msg[j:]}
			at := findBody(pieces)
			offset := at.offset
			for _, p := range pieces[:at.piece] {
				offset += len(p)
			}
			if offset != want {
				t.Fatalf("cut at %d and %d: body at %d, want %d", i, j, offset, want)
			}
		}
	}
}
