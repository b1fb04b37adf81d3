package mime

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func lines(s ...string) string { return strings.Join(s, "\r\n") }

func TestSevenBit(t *testing.T) {
	const u = "\u00fc"
	for _, c := range []struct{ name, in, want string }{
		{"ascii stays", lines("A: b", "", "text", ""), ""},
		{"encoded stays", lines("Content-Transfer-Encoding: base64", "", "w7w=", ""), ""},
		{"text", lines("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "X: y", "", "gr"+u+"n is the colour", ""),
			lines("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "X: y", "", "gr=C3=BCn is the colour", "")},
		{"only labelled", lines("MIME-Version: 1.0", "Content-transfer-encoding: 8bit", "", "a", ""), lines("MIME-Version: 1.0", "Content-Transfer-Encoding: 7bit", "", "a", "")},
		{"no fields", "\r\ngr" + u + "n is the colour", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable", "", "gr=C3=BCn is the colour")},
		{"two labels", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: 7bit", "", "gr"+u+"n is the colour"),
			lines("MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable", "", "gr=C3=BCn is the colour")},
		{"short text", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: binary", "", strings.Repeat(u, 4), ""),
			lines("MIME-Version: 1.0", "Content-Transfer-Encoding: base64", "", "w7zDvMO8w7wNCg==", "")},
		{"binary of ASCII", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: base64", "", "YQpi")},
		{"raw octets in quoted-printable", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable", "", "gr"+u+"n is the c=6flour", ""),
			lines("MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable", "", "gr=C3=BCn is the colour", "")},
		{"multipart", lines("MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit", "Content-Type: multipart/mixed; boundary=b", "", "pre"+u,
			"--b", "Content-Type: text/html", "Content-Transfer-Encoding: 8bit", "", "<p>the colour is gr"+u+"n", "--b", "Content-Type: image/png", "", "\x89PNG", "--b", "", "plain", "--b--", "post", ""),
			lines("MIME-Version: 1.0", "Content-Transfer-Encoding: 7bit", "Content-Type: multipart/mixed; boundary=b", "", "pre**",
				"--b", "Content-Type: text/html", "Content-Transfer-Encoding: quoted-printable", "", "<p>the colour is gr=C3=BCn", "--b", "Content-Type: image/png", "Content-Transfer-Encoding: base64", "", "iVBORw==", "--b", "", "plain", "--b--", "post", "")},
		{"nested", lines("Content-Type: message/rfc822", "Content-Transfer-Encoding: 8bit", "", "Subject: gr"+u+"n", "MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit", "", "gr"+u+"n is the colour"),
			lines("Content-Type: message/rfc822", "Content-Transfer-Encoding: 7bit", "", "Subject: =?utf-8?q?gr=C3=BCn?=", "MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable", "", "gr=C3=BCn is the colour")},
		{"address", lines("To: J"+u+"rg <j@x.org>", "", ""), lines("To: =?utf-8?q?J=C3=BCrg?= <j@x.org>", "", "")},
		{"domain", lines("To: j@gr"+u+"n.org", "", ""), lines("To: j@xn--grn-ioa.org", "", "")},
		{"file name", lines("Content-Type: a/b; x=1; name=\""+u+".txt\"; y=2", "Content-Disposition: attachment; filename=\""+u+".txt\"", "", ""),
			lines("Content-Type: a/b; x=1;", "\tname=\"=?utf-8?b?w7wudHh0?=\"; y=2", "Content-Disposition: attachment;", "\tfilename*=utf-8''%C3%BC.txt", "", "")},
		{"file name twice", lines("Content-Disposition: attachment; filename=\""+u+"\"; filename*=utf-8''%C3%BC", "", ""),
			lines("Content-Disposition: attachment; filename*=utf-8''%C3%BC", "", "")},
		{"raw octets in RFC 2231", lines("Content-Disposition: attachment; filename*=utf-8''a "+u, "", ""),
			lines("Content-Disposition: attachment;", "\tfilename*=utf-8''a%20%C3%BC", "", "")},
	} {
		got, err := SevenBit([]byte(c.in))
		if c.want == "" {
			if err != nil || string(got) != c.in || &got[0] != &[]byte(c.in)[0] && len(got) != len(c.in) {
				t.Errorf("%s: %q, %v", c.name, got, err)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, c.want)
		}
	}
}

func TestSevenBitImpossible(t *testing.T) {
	for _, in := range []string{
		"To: \u00fc@x.org\r\n\r\n", "Message-ID: <\u00fc@x>\r\n\r\n", "X\u00fc: y\r\n\r\n", "no field \u00fc\r\n\r\n",
		"Content-Type: multipart/mixed; boundary=\"\u00fc\"\r\n\r\n--\u00fc\r\n\r\na\r\n--\u00fc--\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n\u00fc\r\n", "Content-Type: message/partial\r\n\r\n\u00fc",
		"Content-Type: \u00fc/plain\r\n\r\n", "Content-Type: text/plain; charset=\u00fc\r\n\r\n",
		strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 30) + "\u00fc: x",
	} {
		if got, err := SevenBit([]byte(in)); !errors.Is(err, ErrEightBit) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// A line that quoted-printable would break so that it begins like a delimiter.
func TestSevenBitDelimiter(t *testing.T) {
	text := strings.Repeat("x", 72) + "=C3" + "--b\u00fc"
	for i := range 12 {
		body := strings.Repeat("x", 60+i) + "\u00fc--b"
		raw := lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "", body, "--b", "", text, "--b--", "")
		out, err := SevenBit([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if m := parse(t, string(out)); m.Text != body+"\r\n"+text || len(m.Root.Children) != 2 {
			t.Errorf("%q became %q", raw, out)
		}
	}
}

func FuzzSevenBit(f *testing.F) {
	src := counter(0)
	d := everything
	d.Rand = &src
	raw, err := d.Build()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	for _, s := range []string{
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xfc\r\n--b\r\nContent-Type: text/html\r\n\r\n\xfc--b\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\x00\n\r\n--b--\xff",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: \xfc\r\n\r\n\xfc\r\n",
		"Content-Type: a/b; name=\"\xc3\xbc\"; name*0=a; name*1*=%fc; filename*=\xfc\r\nTo: \xc3\xbc <a@b.c>\r\n\r\n\xfc",
		"Content-Transfer-Encoding: quoted-printable\n\n=\xfc=3D \n", "Content-Transfer-Encoding: base64\n\nw7\xfcw=", "Content-Transfer-Encoding: 8-bit\n\n\xfc\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := SevenBit(raw)
		if err != nil {
			if isASCII(view(raw)) && errors.Is(err, ErrEightBit) {
				t.Fatalf("%q is ASCII: %v", raw, err)
			}
			return
		}
		if !isASCII(view(out)) {
			t.Fatalf("%q became %q", raw, out)
		}
		sameContent(t, raw, out, 0)
		if again, err := SevenBit(out); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q, %v", out, again, err)
		}
	})
}

// sameContent compares what people see of two messages.
func sameContent(t *testing.T, a, b []byte, depth int) {
	x, err := Parse(a, Limits{})
	if err != nil || depth > maxNesting {
		return
	}
	y, err := Parse(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if x.Text != y.Text || x.HTML != y.HTML || x.AMP != y.AMP || len(x.Attachments) != len(y.Attachments) {
		t.Fatalf("%q became %q:\n%+v\n%+v", a, b, x, y)
	}
	for i, p := range x.Attachments {
		q := y.Attachments[i]
		if p.ContentType != q.ContentType || p.Name != q.Name {
			t.Fatalf("%q became %q: %+v %+v", a, b, p, q)
		}
		if p.ContentType == "message/rfc822" {
			sameContent(t, p.Data, q.Data, depth+1)
		} else if !bytes.Equal(p.Data, q.Data) {
			t.Fatalf("%q became %q: %+v %+v", a, b, p, q)
		}
	}
}

func BenchmarkSevenBit(b *testing.B) {
	raw := []byte("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		strings.Repeat("The colour of the text is gr\u00fcn.\r\n", 300))
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := SevenBit(raw); err != nil {
			b.Fatal(err)
		}
	}
}
