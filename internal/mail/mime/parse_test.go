package mime

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func parse(t *testing.T, s string) *Message {
	t.Helper()
	m, err := Parse([]byte(s), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseText(t *testing.T) {
	for _, c := range []struct {
		name, in, text, html string
		broken               bool
	}{
		{"no header", "\r\nhello", "hello", "", false},
		{"empty", "", "", "", false},
		{"latin1 qp", "Content-Type: text/plain; charset=ISO-8859-1\nContent-Transfer-Encoding: Quoted-Printable\n\ncaf=E9=\n!\n", "caf\u00e9!\n", "", false},
		{"html base64", "Content-Type: text/html\r\nContent-Transfer-Encoding: base64 ; x\r\n\r\nPGI+\r\n", "", "<b>", false},
		{"broken base64", "Content-Transfer-Encoding: base64\r\n\r\naGVs*bG8", "hello", "", true},
		{"joined base64", "Content-Transfer-Encoding: base64\r\n\r\naGU=\r\nbGxv", "hello", "", false},
		{"broken qp", "Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz=4", "a=zz=4", "", true},
		{"unknown charset", "Content-Type: text/plain; charset=x-none\r\n\r\ncaf\xe9", "caf\u00e9", "", true},
		{"unknown encoding", "Content-Transfer-Encoding: x-uue\r\n\r\nraw", "raw", "", true},
		{"8bit unlabelled", "\r\ncaf\xe9", "caf\u00e9", "", false},
		{"old type", "Content-Type: text\r\n\r\nold", "old", "", false},
		{"iso-2022-jp", "Content-Type: text/plain; charset=\"iso-2022-jp\"\r\n\r\n\x1b$B$3$s\x1b(B", "\u3053\u3093", "", false},
		{"multipart without boundary", "Content-Type: multipart/mixed\r\n\r\nplain", "plain", "", false},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=x\r\n\r\nplain", "plain", "", false},
		{"not closed", "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nplain", "plain", "", false},
		{"epilogue", "Content-Type: multipart/mixed; boundary=\"x\"\n\npre\n--x \n\nplain\n--xy\n--x--\nepi\n--x\n\nno", "plain\n--xy", "", false},
		{"two texts", "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--x--", "one\r\ntwo", "", false},
	} {
		m := parse(t, c.in)
		if m.Text != c.text || m.HTML != c.html || m.Broken != c.broken || len(m.Attachments) != 0 {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
}

func TestParseAttachments(t *testing.T) {
	m := parse(t, strings.Join([]string{
		"Subject: =?utf-8?q?=C3=A4?=", "Content-Type: multipart/mixed; boundary=x", "",
		"--x", "Content-Type: text/plain; name=notes.txt", "", "attached",
		"--x", "Content-Type: text/html", "Content-Disposition: attachment", "", "<p>",
		"--x", "Content-Type: message/rfc822", "", "Content-Type: multipart/mixed; boundary=y", "", "--y", "", "inner", "--y--",
		"--x", "Content-Type: image/png; name==?utf-8?q?a=2Fb=C3=A4.png?=", "Content-ID: <i@d>", "Content-Transfer-Encoding: base64", "", "AAEC",
		"--x", "Content-Type: application/pdf", "Content-Disposition: attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=\".pdf\"", "", "",
		"--x", "Content-Disposition: attachment; filename*=iso-8859-1'de'%E4.txt; filename=\"other\"", "Content-Type: application/x", "", "",
		"--x", "Content-Type: a/b; name=\"..\\\\..\\\\evil.exe\"", "", "",
		"--x--", ""}, "\r\n"))
	want := []string{
		"notes.txt text/plain 8 false ", " text/html 3 false ", "message.eml message/rfc822 64 false ", "b\u00e4.png image/png 3 true i@d",
		"\u20ac.pdf application/pdf 0 false ", "\u00e4.txt application/x 0 false ", "evil.exe a/b 0 false ",
	}
	if len(m.Attachments) != len(want) {
		t.Fatalf("%d attachments", len(m.Attachments))
	}
	for i, p := range m.Attachments {
		if got := fmt.Sprintf("%s %s %d %v %s", p.Name, p.ContentType, p.Size, p.Inline, p.ContentID); got != want[i] {
			t.Errorf("%d: %q, want %q", i, got, want[i])
		}
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(m.Attachments[3].Open()); err != nil || b.String() != "\x00\x01\x02" {
		t.Errorf("content %q, %v", b.Bytes(), err)
	}
	if m.Get("SUBJECT") != "\u00e4" || m.Get("none") != "" || m.Text != "" {
		t.Errorf("%+v", m.Header)
	}
}

func TestParseLimits(t *testing.T) {
	if _, err := Parse(make([]byte, 11), Limits{MaxBytes: 10}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("size: %v", err)
	}
	var deep strings.Builder
	for i := range 200 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	if m := parse(t, deep.String()+"\r\nend"); !m.Truncated {
		t.Error("a deep message is not marked")
	}
	many := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\na\r\n", 5000)
	m := parse(t, many)
	if !m.Truncated || len(m.Root.Children) != 999 {
		t.Errorf("%d parts, truncated %v", len(m.Root.Children), m.Truncated)
	}
	big := parse(t, "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"+strings.Repeat("A: b\n", maxHeaderFields+1)+"\r\n--x\r\n\r\nnext\r\n--x--")
	if !big.Truncated || big.Text != "next" {
		t.Errorf("a part with a header out of bounds: %v %.20q", big.Truncated, big.Text)
	}
	same := parse(t, strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 60)+"\r\nend")
	if len(same.Root.Children) == 0 {
		t.Error("a boundary used again inside")
	}
}

// TestScanBound: each level searches its octets once, within the budget.
func TestScanBound(t *testing.T) {
	var b strings.Builder
	for i := range 49 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("\r\n" + strings.Repeat("x\n--", 200000))
	w := walker{raw: []byte(b.String()), limits: Limits{}.orDefault()}
	if _, err := w.walk(0, len(w.raw), 0, "text/plain"); err != nil {
		t.Fatal(err)
	}
	if !w.truncated || w.scanned > (scanFactor+1)*(len(w.raw)+4096) {
		t.Errorf("searched %d octets of %d, truncated %v", w.scanned, len(w.raw), w.truncated)
	}
}

func FuzzParse(f *testing.F) {
	src := counter(0)
	d := everything
	d.Rand = &src
	raw, err := d.Build()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	for _, s := range []string{
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--", "Content-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: base64\n\n//4=",
		"Content-Type: multipart/x; boundary*0=a; boundary*1=\"b\n\n--ab\n--ab--", "Content-Type: a/b; name*0*=x'y'%; name*1=\"", "Content-Transfer-Encoding: quoted-printable\n\n=\n=0",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw, Limits{MaxParts: 50, MaxDepth: 5})
		if err != nil {
			return
		}
		if !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML) || !utf8.ValidString(m.AMP) {
			t.Error("text is no UTF-8")
		}
		for _, h := range m.Header {
			if !utf8.ValidString(h[1]) || strings.ContainsAny(h[1], "\r\n\x00") {
				t.Errorf("header value %q", h[1])
			}
		}
		for _, p := range m.Attachments {
			if strings.ContainsAny(p.Name, "/\\\r\n\x00") || !utf8.ValidString(p.Name) || p.Size != len(p.Data) {
				t.Errorf("attachment %+v", p)
			}
		}
		files, err := Attachments(raw, Limits{MaxParts: 50, MaxDepth: 5})
		if err != nil || !reflect.DeepEqual(files, m.Attachments) {
			t.Errorf("files alone %+v %v, with the texts %+v", files, err, m.Attachments)
		}
		checkNode(t, m.Root, 0, len(raw), 0)
	})
}

func checkNode(t *testing.T, n *Node, from, to, depth int) {
	if n.Start < from || n.Body < n.Start || n.End < n.Body || n.End > to || depth > 5 {
		t.Fatalf("part %d %d %d within %d to %d, depth %d", n.Start, n.Body, n.End, from, to, depth)
	}
	at := n.Body
	for _, c := range n.Children {
		checkNode(t, c, at, n.End, depth+1)
		at = c.End
	}
}

func BenchmarkParse10K(b *testing.B) {
	src := counter(0)
	raw := build(b, Draft{Header: []Field{{"From", "Bob <bob@example.com>"}, {"Subject", "Gr\u00fc\u00dfe"}}, Text: text10k()[:5000], HTML: text10k()[:5000] + "\u00e4", Rand: &src})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
