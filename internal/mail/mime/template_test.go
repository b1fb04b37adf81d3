package mime

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func lookupIn(m map[string]string) Lookup {
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

var alice = map[string]string{
	"recipient": "alice@example.com", "recipient_name": "Alice, \"A\" M\u00fcller", "recipient.first": "Alice", "recipient.umlaut": "\u00c4nne",
	"recipient.evil": "x\r\nBcc: victim@example.com\r\n\r\nbody", "recipient.a b": "spaced", "recipient.html": "<b>&</b>", "recipient.lines": "one\ntwo",
	"recipient.long": strings.Repeat("l", 1200), "recipient.empty": "", "unsubscribe_url": "https://x/u",
}

func execute(t *testing.T, raw string) string {
	t.Helper()
	tpl, err := CompileTemplate([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := tpl.Execute(lookupIn(alice))
	if err != nil {
		t.Fatal(err)
	}
	return string(Join(pieces))
}

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"Hi %recipient.first%": "Hi Alice",
		"%recipient%%recipient%, %recipient.no% %recipient_fname%": "alice@example.comalice@example.com, %recipient.no% %recipient_fname%",
		"50% off %recipient.first% %":                              "50% off Alice %",
		"%recipient.a b%":                                          "spaced",
		"%recipient.":                                              "%recipient.",
		"%recipient.%x%recipient.empty%y":                          "%recipient.%xy",
		"%other% %recipients% %%recipient.first%%":                 "%other% %recipients% %Alice%",
		"%recipient.a\nb%":                                         "%recipient.a\nb%",
		"%unsubscribe_url%":                                        "https://x/u",
		"%recipient." + strings.Repeat("k", 300) + "%":             "%recipient." + strings.Repeat("k", 300) + "%",
	} {
		if got := Expand(in, lookupIn(alice)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if HasPlaceholder("100% of %x% and %recipient .a%") || !HasPlaceholder("%a%recipient%") {
		t.Error("HasPlaceholder")
	}
}

func TestTemplateHeader(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: Hi %recipient.first%\r\n":                            "Subject: Hi Alice\r\n",
		"Subject: Hi %recipient.no%\r\n folded\r\n":                    "Subject: Hi %recipient.no%\r\n folded\r\n",
		"subject:  Hi\r\n %recipient.a\r\n b%\r\n":                     "subject: Hi spaced\r\n",
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_%recipient=2Efirst%?=\r\n": "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= Alice\r\n",
		"Subject: =?utf-8?b?" + "JXJlY2lwaWVudC5maXJzdCU=" + "?=\r\n":  "Subject: Alice\r\n",
		"Subject: %recipient.umlaut%\r\n":                              "Subject: =?utf-8?q?=C3=84nne?=\r\n",
		"Subject: %recipient.evil%\r\n":                                "Subject: x Bcc: victim@example.com  body\r\n",
		"To: %recipient%\r\n":                                          "To: alice@example.com\r\n",
		"To: %recipient_name% <%recipient%>\r\n":                       "To: =?utf-8?q?Alice=2C_A_M=C3=BCller?= <alice@example.com>\r\n",
		"To: \"%recipient_name%\" <%recipient%>\r\n":                   "To: =?utf-8?q?Alice=2C_=22A=22_M=C3=BCller?= <alice@example.com>\r\n",
		"To: =?utf-8?q?=25recipient=5Fname%?= <%recipient%>\r\n":       "To: =?utf-8?q?Alice=2C_=22A=22_M=C3=BCller?= <alice@example.com>\r\n",
		"X-Mailgun-Variables: {\"a\":\"%recipient_name%\"}\r\n":        "X-Mailgun-Variables: {\"a\":\"Alice, \\\"A\\\" =?utf-8?q?M=C3=BCller\"}?=\r\n",
		"List-Unsubscribe: <%unsubscribe_url%>\r\n":                    "List-Unsubscribe: <https://x/u>\r\n",
		"X: \xe4 %recipient.x%\r\n":                                    "X: \xe4 %recipient.x%\r\n",
	} {
		got := execute(t, "A: 1\r\n"+in+"B: 2\r\n\r\nbody\r\n")
		if got != "A: 1\r\n"+want+"B: 2\r\n\r\nbody\r\n" {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestTemplateParts(t *testing.T) {
	mixed := func(part string) string {
		return "X: %recipient.first%\r\nContent-Type: multipart/mixed; boundary=\"bnd\"\r\n\r\n--bnd\r\n" + part + "\r\n--bnd\r\nContent-Type: image/png\r\n\r\n%recipient%\r\n--bnd--\r\n"
	}
	for _, c := range []struct{ name, in, want string }{
		{"ascii", "Content-Type: text/plain; charset=us-ascii\r\nX: %recipient%\r\n\r\nHi %recipient.first%", "Content-Type: text/plain; charset=us-ascii\r\nX: %recipient%\r\n\r\nHi Alice"},
		{"html verbatim", "Content-Type: text/html\r\n\r\n<p>%recipient.html%", "Content-Type: text/html\r\n\r\n<p><b>&</b>"},
		{"to utf-8", "Content-Type: text/plain; format=flowed; charset=iso-8859-1\r\nContent-Transfer-Encoding: 7bit\r\n\r\nDear old friend %recipient.umlaut%",
			"Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nDear old friend =C3=84nne"},
		{"no fields", "\r\nDear old friend %recipient.umlaut%",
			"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nDear old friend =C3=84nne"},
		{"qp soft break", "Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: base64\r\n\r\nHi %reci=\r\npient.first%=21", "Content-Transfer-Encoding: 7bit\r\n\r\nHi Alice!"},
		{"base64", "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nJXJlY2lwaWVudC5maXJzdCU=", "Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nAlice"},
		{"line ends", "\r\n%recipient.lines%", "\r\none\r\ntwo"},
		{"unknown name", "Content-Transfer-Encoding: QUOTED-printable\r\n\r\n=41%recipient.no%", "Content-Transfer-Encoding: QUOTED-printable\r\n\r\n=41%recipient.no%"},
		{"unknown charset", "Content-Type: text/plain; charset=x-none\r\n\r\n%recipient%", "Content-Type: text/plain; charset=x-none\r\n\r\n%recipient%"},
		{"latin1 text", "Content-Type: text/plain; charset=latin1\r\n\r\ncaf\xe9 au lait, dear %recipient.first%",
			"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 au lait, dear Alice"},
		{"latin1 stays for ascii", "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n%recipient.first%", "Content-Type: text/plain; charset=iso-8859-1\r\n\r\nAlice"},
	} {
		want := strings.Replace(mixed(c.want), "X: %recipient.first%", "X: Alice", 1)
		if got := execute(t, mixed(c.in)); got != want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, want)
		}
	}
}

func TestTemplateRoot(t *testing.T) {
	got := execute(t, "Subject: %recipient.umlaut%\r\nFrom: a@b.c\r\n\r\nDear old friend %recipient.umlaut%\r\n")
	want := "Subject: =?utf-8?q?=C3=84nne?=\r\nFrom: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nDear old friend =C3=84nne\r\n"
	if got != want {
		t.Errorf("%q", got)
	}
	long := execute(t, "Subject: s\r\n\r\n%recipient.long%\r\n")
	checkWire(t, []byte(long))
	if m := parse(t, long); m.Text != alice["recipient.long"]+"\r\n" {
		t.Errorf("long line: %q", m.Text)
	}
}

// TestTemplateDelimiter: a value can not end the part it is put in.
func TestTemplateDelimiter(t *testing.T) {
	raw := "Content-Type: multipart/mixed; boundary=bnd\r\n\r\n--bnd\r\n\r\nHi %recipient.x%!\r\n--bnd--\r\n"
	tpl, err := CompileTemplate([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	v := "\r\n--bnd\r\nContent-Type: text/html\r\n\r\n<script>"
	pieces, err := tpl.Execute(lookupIn(map[string]string{"recipient.x": v}))
	if err != nil {
		t.Fatal(err)
	}
	if m := parse(t, string(Join(pieces))); m.Text != "Hi "+v+"!" || m.HTML != "" || len(m.Root.Children) != 1 {
		t.Errorf("%q %q", m.Text, m.HTML)
	}
}

func TestTemplateStatic(t *testing.T) {
	raw := []byte("Subject: 100% of =?utf-8?q?%x%?=\r\n\r\n%nothing%\r\n")
	tpl, err := CompileTemplate(raw)
	if err != nil || tpl.HasPlaceholders() {
		t.Fatal(err, tpl.HasPlaceholders())
	}
	pieces, err := tpl.Execute(lookupIn(alice))
	if err != nil || len(pieces) != 1 || !bytes.Equal(pieces[0], raw) {
		t.Errorf("%q, %v", pieces, err)
	}
	if _, err := CompileTemplate(make([]byte, Limits{}.orDefault().MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("size: %v", err)
	}
	tpl, err = CompileTemplate([]byte("\r\n" + strings.Repeat("%recipient.x%", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpl.Execute(lookupIn(map[string]string{"recipient.x": strings.Repeat("x", 1<<20)})); !errors.Is(err, ErrTooLarge) {
		t.Errorf("output: %v", err)
	}
}

// TestTemplateBuilt personalises what Build made, in each encoding.
func TestTemplateBuilt(t *testing.T) {
	d := everything
	d.Header = append([]Field{{"To", "%recipient%"}, {"Subject", "\u00dc %recipient.first%"}}, d.Header[:1]...)
	d.Text, d.HTML, d.AMP = "T %recipient.first%", "\u65e5\u672c\u8a9e %recipient.first%", strings.Repeat("x", 1000)+"%recipient.first%"
	raw := build(t, d)
	tpl, err := CompileTemplate(raw)
	if err != nil || !tpl.HasPlaceholders() {
		t.Fatal(err)
	}
	pieces, err := tpl.Execute(lookupIn(alice))
	if err != nil {
		t.Fatal(err)
	}
	out := Join(pieces)
	checkWire(t, out)
	m := parse(t, string(out))
	if m.Text != "T Alice" || m.HTML != "\u65e5\u672c\u8a9e Alice" || !strings.HasSuffix(m.AMP, "xAlice") {
		t.Errorf("%q %q", m.Text, m.HTML)
	}
	if m.Get("To") != "alice@example.com" || m.Get("Subject") != "\u00dc Alice" || len(m.Attachments) != len(d.Inline)+len(d.Attachments) {
		t.Errorf("%q", m.Header)
	}
}

func FuzzTemplate(f *testing.F) {
	src := counter(0)
	d := Draft{Header: []Field{{"Subject", "\u00fc %recipient.x%"}, {"To", "\"%recipient.x%\" <a@b.c>"}}, Text: "a %recipient.x%", HTML: "\u65e5 %recipient.x%", Rand: &src}
	raw, err := d.Build()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, "Alice")
	f.Add([]byte("S: %recipient.x%\r\n\r\n%recipient.x%"), "a\r\nb: c\r\n\r\n\u00e4")
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n%recipient.x%\r\n--b--"), "--b--\n")
	f.Add([]byte("Content-Type: text/plain\r\n\r\n%recipient%"), "")
	f.Add([]byte("To: =?utf-8?q?=22%recipient.x%?= <%recipient.x%>\r\nContent-Transfer-Encoding: base64\r\n\r\nJXJl"), "\", <x@y>")
	f.Fuzz(func(t *testing.T, raw []byte, value string) {
		raw = NormalizeCRLF(raw)
		tpl, err := CompileTemplate(raw)
		if err != nil {
			return
		}
		pieces, err := tpl.Execute(func(string) (string, bool) { return "", false })
		if err != nil || !bytes.Equal(Join(pieces), raw) {
			t.Fatalf("unknown names changed %q to %q, %v", raw, Join(pieces), err)
		}
		pieces, err = tpl.Execute(func(string) (string, bool) { return value, true })
		if err != nil {
			return
		}
		out := Join(pieces)
		if !cleanCRLF(string(out)) {
			t.Fatalf("line ends in %q", out)
		}
		checkSameShape(t, raw, out)
	})
}

// checkSameShape: values neither add fields nor parts.
func checkSameShape(t *testing.T, raw, out []byte) {
	a, err := Parse(raw, Limits{})
	b, err2 := Parse(out, Limits{})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if !utf8.ValidString(b.Text) || strings.Count(shape(a.Root), "(") != strings.Count(shape(b.Root), "(") || len(shapes(a.Root)) != len(shapes(b.Root)) {
		t.Fatalf("%q became %q: %s, %s", raw, out, shape(a.Root), shape(b.Root))
	}
	if n := len(b.Header) - len(a.Header); n < -20 || n > 3 {
		t.Fatalf("%d fields more in %q", n, out)
	}
	for _, h := range b.Header {
		known := h[0] == "MIME-Version" || h[0] == "Content-Type" || h[0] == "Content-Transfer-Encoding"
		for _, o := range a.Header {
			known = known || o[0] == h[0]
		}
		if !known {
			t.Fatalf("new field %q in %q", h[0], out)
		}
	}
}

func shapes(n *Node) []*Node {
	all := []*Node{n}
	for _, c := range n.Children {
		all = append(all, shapes(c)...)
	}
	return all
}

func BenchmarkTemplateExecute10K(b *testing.B) {
	src := counter(0)
	text := text10k()[:5000] + "%recipient.first% has %recipient.umlaut%"
	raw := build(b, Draft{Header: []Field{{"To", "%recipient%"}, {"Subject", "Hi %recipient.first%"}}, Text: text, HTML: text10k()[:5000] + "%recipient.first%", Rand: &src})
	tpl, err := CompileTemplate(raw)
	if err != nil {
		b.Fatal(err)
	}
	lookup := lookupIn(alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tpl.Execute(lookup); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompileTemplate10K(b *testing.B) {
	src := counter(0)
	raw := build(b, Draft{Header: []Field{{"Subject", "Hi"}}, Text: text10k()[:5000] + "%recipient.first%", HTML: text10k()[:5000], Rand: &src})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompileTemplate(raw); err != nil {
			b.Fatal(err)
		}
	}
}
