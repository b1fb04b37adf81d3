package mime

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	message "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/google/go-cmp/cmp"
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

func build(t testing.TB, d Draft) []byte {
	t.Helper()
	raw, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestBuildPlain(t *testing.T) {
	got := string(build(t, Draft{
		Header: []Field{{"From", "J\u00f6rg <j@m\u00fcnchen.de>"}, {"Subject", "Gr\u00fc\u00dfe"}, {"content-type", "x/y"}},
		Text:   "Hello\nworld",
	}))
	want := "From: =?utf-8?q?J=C3=B6rg?= <j@xn--mnchen-3ya.de>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello\r\nworld\r\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// shape writes the structure on one line.
func shape(n *Node) string {
	s := n.ContentType
	if n.Disposition != "" {
		s += "[" + n.Disposition + "]"
	}
	if len(n.Children) > 0 {
		parts := make([]string, len(n.Children))
		for i, c := range n.Children {
			parts[i] = shape(c)
		}
		s += "(" + strings.Join(parts, " ") + ")"
	}
	return s
}

func TestBuildStructure(t *testing.T) {
	file := func(name string) []File { return []File{{Name: name, Data: []byte("x")}} }
	for _, c := range []struct {
		d    Draft
		want string
	}{
		{Draft{}, "text/plain"},
		{Draft{HTML: "h"}, "text/html"},
		{Draft{HasText: true, HTML: "h"}, "multipart/alternative(text/plain text/html)"},
		{Draft{Text: "t", HTML: "h", AMP: "a"}, "multipart/alternative(text/plain text/x-amp-html text/html)"},
		{Draft{HTML: "h", Inline: file("a.png")}, "multipart/related(text/html image/png[inline])"},
		{Draft{Text: "t", Inline: file("a.png")}, "multipart/mixed(text/plain image/png[inline])"},
		{Draft{Text: "t", HTML: "h", Inline: file("a.png"), Attachments: file("b.pdf")},
			"multipart/mixed(multipart/related(multipart/alternative(text/plain text/html) image/png[inline]) application/pdf[attachment])"},
		{Draft{Attachments: file("b")}, "multipart/mixed(application/octet-stream[attachment])"},
	} {
		m, err := Parse(build(t, c.d), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := shape(m.Root); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	for _, c := range []struct {
		d    Draft
		want error
	}{
		{Draft{Header: []Field{{"Subject", "a\r\nBcc: x@y"}}}, ErrHeaderInjection},
		{Draft{Header: []Field{{"Subject", "a\rb"}}}, ErrHeaderInjection},
		{Draft{Header: []Field{{"Subject", "a\x00"}}}, ErrHeaderInjection},
		{Draft{Header: []Field{{"Sub ject", "a"}}}, ErrHeaderName},
		{Draft{Header: []Field{{"S\u00fcbject", "a"}}}, ErrHeaderName},
		{Draft{Header: []Field{{"Sub:ject", "a"}}}, ErrHeaderName},
		{Draft{Header: []Field{{"", "a"}}}, ErrHeaderName},
		{Draft{Attachments: []File{{Name: "a\r\nb"}}}, ErrFileName},
		{Draft{Inline: []File{{Name: strings.Repeat("a", 256)}}}, ErrFileName},
		{Draft{Attachments: []File{{Name: "a", ContentType: "a/b\r\nX: y"}}}, ErrHeaderInjection},
		{Draft{Text: "a", HTML: "b", Rand: strings.NewReader("short")}, io.ErrUnexpectedEOF},
	} {
		raw, err := c.d.Build()
		if !errors.Is(err, c.want) {
			t.Errorf("%v: %v\n%s", c.d.Header, err, raw)
		}
		var f *FieldError
		if (c.want == ErrHeaderInjection || c.want == ErrHeaderName) && !errors.As(err, &f) {
			t.Errorf("%v is no FieldError", err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBoundaryNotInText(t *testing.T) {
	stem := strings.Repeat("0", 24)
	raw := build(t, Draft{Text: "--=_3_" + stem + "\nnot a part", HTML: "h", Rand: zeros{}})
	m, err := Parse(raw, Limits{})
	if err != nil || m.Text != "--=_3_"+stem+"\r\nnot a part" || m.HTML != "h" {
		t.Errorf("%v %q %q", err, m.Text, m.HTML)
	}
}

// TestLongAddressList: a list without blanks is folded, never encoded.
func TestLongAddressList(t *testing.T) {
	raw := build(t, Draft{Header: []Field{{"To", strings.Repeat("some.body@example.com,", 1000)}}})
	checkWire(t, raw)
	if n := strings.Count(string(raw), "some.body@example.com"); n != 1000 || bytes.Contains(raw, []byte("=?")) {
		t.Errorf("%d addresses in %.200q", n, raw)
	}
}

var everything = Draft{
	Header: []Field{
		{"From", "J\u00f6rg M\u00fcller <j@example.com>"}, {"To", strings.Repeat("Some Body <some.body@example.com>, ", 30) + "x@example.com"},
		{"Subject", strings.Repeat("Gr\u00fc\u00dfe an alle ", 20)}, {"X-Json", `{"k":"` + strings.Repeat("v", 2000) + `"}`}, {"X-Empty", ""},
	},
	Text: "Zeile 1 \u00e4\u00f6\u00fc \r\n.\r\nFrom me = x\t\r\n" + strings.Repeat("long ", 400),
	HTML: "<p>" + strings.Repeat("\u65e5\u672c\u8a9e", 500) + "</p>\r\n", AMP: "<html amp4email></html>",
	Inline: []File{{Name: "logo \u00e4.png", Data: bytes.Repeat([]byte{0, 1, 255}, 1000)}, {Name: "b.gif", ContentID: "own@id", Data: []byte("GIF")}},
	Attachments: []File{
		{Name: strings.Repeat("\u00fcber", 40) + ".pdf", Data: []byte("%PDF")}, {Name: "q\"uote\\.txt", ContentType: "text/plain; charset=utf-8; name=no", Data: []byte("caf\u00e9\n")},
		{Name: "mail.eml", ContentType: "message/rfc822", Data: []byte("Subject: in\u00fc\n\nbody\n")}, {Name: "empty", ContentType: "nonsense"},
		{Name: "m", ContentType: "multipart/mixed; boundary=x", Data: []byte("--x\r\n\r\n--x--")},
	},
}

func TestBuildRoundTrip(t *testing.T) {
	d := everything
	raw := build(t, d)
	checkWire(t, raw)
	m, err := Parse(raw, Limits{})
	if err != nil || m.Broken || m.Truncated {
		t.Fatal(err, m.Broken, m.Truncated)
	}
	if m.Text != d.Text || m.HTML != d.HTML || m.AMP != d.AMP {
		t.Errorf("texts differ: %q", m.Text)
	}
	for _, f := range d.Header {
		if got := m.Get(f.Name); got != strings.TrimSpace(f.Value) {
			t.Errorf("%s: %q, want %q", f.Name, got, f.Value)
		}
	}
	want := append(append([]File{}, d.Inline...), d.Attachments...)
	for i, p := range m.Attachments {
		data := want[i].Data
		if p.ContentType == "message/rfc822" {
			data = NormalizeCRLF(data)
		}
		if p.Name != want[i].Name && want[i].Name != "q\"uote\\.txt" || !bytes.Equal(p.Data, data) || p.Size != len(data) {
			t.Errorf("file %d is %q %q", i, p.Name, p.Data)
		}
	}
	if m.Attachments[0].ContentID != "logo %C3%A4.png" || m.Attachments[1].ContentID != "own@id" || !m.Attachments[0].Inline || m.Attachments[2].Inline {
		t.Errorf("inline parts: %+v", m.Attachments[:2])
	}
	if got := m.Root.Children[1].Name; !strings.HasSuffix(got, ".pdf") {
		t.Errorf("order of parts: %q", got)
	}
}

// checkWire tests the promises about lines.
func checkWire(t *testing.T, raw []byte) {
	t.Helper()
	if !bytes.HasSuffix(raw, crlf) {
		t.Errorf("no line end at the end of %q", raw)
	}
	for _, line := range strings.Split(string(raw), "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") || len(line) > maxLine {
			t.Errorf("bad line of %d octets: %.100q", len(line), line)
		}
	}
}

// TestSecondReader lets another library read what Build makes.
func TestSecondReader(t *testing.T) {
	e, err := message.Read(bytes.NewReader(build(t, everything)))
	if err != nil {
		t.Fatal(err)
	}
	var types, names []string
	bodies := map[string]string{}
	err = e.Walk(func(_ []int, e *message.Entity, err error) error {
		if err != nil {
			return err
		}
		typ, _, err := e.Header.ContentType()
		if err != nil {
			return err
		}
		types = append(types, typ)
		if strings.HasPrefix(typ, "multipart/") {
			return nil
		}
		if e.Header.Get("Content-Disposition") != "" {
			_, params, err := e.Header.ContentDisposition()
			if err != nil {
				return err
			}
			names = append(names, params["filename"])
		}
		b, err := io.ReadAll(e.Body)
		if _, ok := bodies[typ]; !ok {
			bodies[typ] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"multipart/mixed", "multipart/related", "multipart/alternative", "text/plain", "text/x-amp-html", "text/html", "image/png",
		"image/gif", "application/pdf", "text/plain", "message/rfc822", "application/octet-stream", "application/octet-stream"}; !cmp.Equal(want, types) {
		t.Error(cmp.Diff(want, types))
	}
	var want []string
	for _, f := range append(append([]File{}, everything.Inline...), everything.Attachments...) {
		want = append(want, f.Name)
	}
	if !cmp.Equal(want, names) {
		t.Error(cmp.Diff(want, names))
	}
	if bodies["text/plain"] != everything.Text || bodies["text/html"] != everything.HTML || bodies["image/png"] != string(everything.Inline[0].Data) {
		t.Error("bodies differ")
	}
	if s, err := e.Header.Text("Subject"); err != nil || s != strings.TrimSpace(everything.Header[2].Value) {
		t.Errorf("subject %q %v", s, err)
	}
}

func TestTextEncodings(t *testing.T) {
	for _, c := range []struct {
		in   string
		want encoding
	}{
		{"plain", enc7bit}, {strings.Repeat("x", 998), enc7bit}, {strings.Repeat("x", 999), encQP}, {"caf\u00e9 au lait", encQP},
		{strings.Repeat("\u65e5", 99), encBase64}, {"a\x00b", encBase64},
	} {
		if got := pickText(c.in); got != c.want {
			t.Errorf("%.20q: %v", c.in, got)
		}
		m, err := Parse(build(t, Draft{Text: c.in}), Limits{})
		if err != nil || strings.TrimSuffix(m.Text, "\r\n") != c.in {
			t.Errorf("%.20q came back as %.40q, %v", c.in, m.Text, err)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add("Subject", "a\r\nBcc: b", "text", "<p>", "a.txt", []byte("data"))
	f.Add("To", "J\u00f6rg <j@x.org>, \"a, b\" <c@d.e>", "\u00fc\n\n.\n", "", "\u00fc.eml", []byte("\x00\xff"))
	f.Add("From", "a\u00fc <", "=\r=\n \t\r\n", "\u65e5\u672c", "x\";\\y", []byte("a\rb"))
	f.Fuzz(func(t *testing.T, name, value, text, html, file string, data []byte) {
		src := counter(0)
		d := Draft{Header: []Field{{name, value}, {"X-Last", "end"}}, Text: text, HTML: html, HasText: true, Rand: &src,
			Attachments: []File{{Name: file, Data: data}}, Inline: []File{{Name: file, ContentType: "message/rfc822", Data: data}}}
		raw, err := d.Build()
		if err != nil {
			return
		}
		checkWire(t, raw)
		fields, _, err := ScanHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := 4
		if isBuilderField(name) {
			want--
		}
		if len(fields) != want && len(fields) != want+1 || !fields[want-3].Is("X-Last") {
			t.Fatalf("fields of %q: %d in %q", value, len(fields), raw)
		}
		m, err := Parse(raw, Limits{})
		if err != nil || len(m.Attachments) != 2 {
			t.Fatalf("%v, %+v", err, m)
		}
		if got := crlfString(strings.ToValidUTF8(text, "\ufffd")); m.Text != got {
			t.Errorf("text %q came back as %q", got, m.Text)
		}
		if p := m.Attachments[1]; p.ContentType != "message/rfc822" && !bytes.Equal(p.Data, data) {
			t.Errorf("data %q came back as %q", data, p.Data)
		}
	})
}

func text10k() string {
	return strings.Repeat("The quick brown fox jumps over the lazy dog, line after line.\r\n", 160)
}

func BenchmarkBuild10K(b *testing.B) {
	d := Draft{Header: []Field{{"From", "Bob <bob@example.com>"}, {"To", "alice@example.com"}, {"Subject", "Hello there"},
		{"Date", "Fri, 20 Nov 2026 16:00:00 +0000"}, {"Message-Id", "<20261120160000.0123456789abcdef@example.com>"}}, Text: text10k()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Build(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuildTextHTML(b *testing.B) {
	d := Draft{Header: []Field{{"From", "J\u00f6rg <bob@example.com>"}, {"Subject", "Gr\u00fc\u00dfe"}}, Text: text10k()[:5000] + "\u00e4", HTML: text10k()[:5000]}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Build(); err != nil {
			b.Fatal(err)
		}
	}
}
