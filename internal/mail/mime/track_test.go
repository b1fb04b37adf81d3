package mime

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const trackBase = "https://t.test"

// everyAddition is what a message can get.
var everyAddition = Additions{HTMLLinks: true, TextLinks: true, Pixel: true, HTMLFooter: `<p><a href="%unsubscribe_url%">leave</a></p>`, TextFooter: "\n\nLeave: <%unsubscribe_url%>\n", Base: trackBase}

// testLinks writes where a link leads into the one in its place.
func testLinks() Links {
	return Links{Click: func(url string) string { return trackBase + "/c/" + fmt.Sprintf("%x", url) }, Pixel: trackBase + "/o/p.png"}
}

// undo turns the links of testLinks back, with braces.
func undo(s string) string {
	const head = trackBase + "/c/"
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, head)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		n := 0
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] >= 'a' && rest[n] <= 'f') {
			n++
		}
		var url []byte
		fmt.Sscanf(rest[:n], "%x", &url)
		b.WriteString("{" + string(url) + "}")
		s = rest[n:]
	}
}

func track(t *testing.T, raw string, add Additions) string {
	t.Helper()
	tpl, err := CompileTracked([]byte(raw), add)
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := tpl.ExecuteTracked(lookupIn(alice), testLinks())
	if err != nil {
		t.Fatal(err)
	}
	return string(Join(pieces))
}

func TestTrackedHTML(t *testing.T) {
	links := Additions{HTMLLinks: true, Base: trackBase}
	pixel := pixelStart + trackBase + "/o/p.png" + pixelEnd
	for _, tt := range []struct {
		name, in, want string
		add            Additions
	}{
		{"link", `<a class=x href="https://x.test/?a=1&amp;b=2">x</a> & <br>`, `<a class=x href="{https://x.test/?a=1&b=2}">x</a> & <br>`, links},
		{"no quotes", `<a href=https://x.test/>x</a>`, `<a href={https://x.test/}>x</a>`, links},
		{"left alone", `<a href="mailto:a@b.c"><a href="https://t.test/u/x"><a href="https://x.test/{{id}}"><a href="https://%host%/">`, `<a href="mailto:a@b.c"><a href="https://t.test/u/x"><a href="https://x.test/{{id}}"><a href="https://%host%/">`, links},
		{"a value in it", `<a href="https://x.test/?i=%recipient.first%&amp;b=%recipient.no%">`, `<a href="{https://x.test/?i=Alice&b=%recipient.no%}">`, links},
		{"encoded", `<a href="https://x.test/?i=%recipient.a b%">%recipient.first%</a>`, `<a href="{https://x.test/?i=spaced}">Alice</a>`, links},
		{"a value with references", `<a href="https://x.test/%recipient.html%">`, `<a href="{https://x.test/%3Cb%3E&%3C/b%3E}">`, links},
		{"a value that ends it", `<a href=https://x.test/%recipient.html%>`, `<a href=https://x.test/<b>&</b>>`, links},
		{"a value that is the link", `<a href="%unsubscribe_url%"></a><a href='%recipient.first%'></a><a href="https://x.test/%unsubscribe_url%">`, `<a href="https://x/u"></a><a href='Alice'></a><a href="https://x.test/https://x/u">`, links},
		{"too long with its value", `<a href="https://x.test/` + strings.Repeat("%recipient.long%", 4) + `">`, `<a href="https://x.test/` + strings.Repeat(alice["recipient.long"], 4) + `">`, links},
		{"pixel at the end", "<html><body>x</body></html>", "<html><body>x" + pixel + "</body></html>", Additions{Pixel: true}},
		{"pixel at the top", "<html><body>x</body></html>", "<html><body>" + pixel + "x</body></html>", Additions{Pixel: true, PixelTop: true}},
		{"pixel of a fragment", "x\r\n", "x\r\n" + pixel, Additions{Pixel: true}},
		{"footer before the pixel", "<body>x</body>", "<body>x<p>leave</p>" + pixel + "</body>", Additions{Pixel: true, HTMLFooter: "<p>leave</p>"}},
		{"footer with a way out", "<body>x", "<body>x<p>https://x/u</p>", Additions{HTMLFooter: "<p>%unsubscribe_url%</p>"}},
		{"has a way out", `<body><a href="%unsubscribe_url%">x</a></body>`, `<body><a href="https://x/u">x</a></body>`, Additions{HTMLFooter: "<p>%unsubscribe_url%</p>"}},
		{"nothing to do", "<body>x</body>", "<body>x</body>", Additions{TextLinks: true, TextFooter: "x"}},
	} {
		head := "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
		want := head + tt.want
		got := undo(parse(t, track(t, head+tt.in, tt.add)).HTML)
		if want = strings.TrimPrefix(want, head); strings.TrimSuffix(got, "\r\n") != strings.TrimSuffix(want, "\r\n") {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, want)
		}
	}
}

func TestTrackedText(t *testing.T) {
	add := Additions{TextLinks: true, TextFooter: "\n\nLeave: <%unsubscribe_url%>\n", Base: trackBase}
	for _, tt := range []struct{ name, kind, in, want string }{
		{"link", "text/plain", "See https://x.test/a, (https://x.test/b).\r\nhttps://t.test/u/x", "See {https://x.test/a}, ({https://x.test/b}).\r\nhttps://t.test/u/x\r\n\r\nLeave: <https://x/u>\r\n"},
		{"a value in it", "text/plain", "https://x.test/%recipient.first%/%recipient.a b%. %recipient.first%, %unsubscribe_url% https://x.test/%recipient.html%", "{https://x.test/Alice/spaced}. Alice, https://x/u https://x.test/<b>&</b>\r\n"},
		{"flowed", "text/plain; format=flowed; delsp=yes", "https://x.test/ \r\na https://x.test/b c %unsubscribe_url%", "https://x.test/ \r\na {https://x.test/b} c https://x/u\r\n"},
		{"signed", "text/plain", "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhttps://x.test/\r\n", "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhttps://x.test/\r\n"},
		{"no links", "text/plain", "x", "x\r\n\r\nLeave: <https://x/u>\r\n"},
		{"footer in a line of its own", "text/plain", "https://x.test/", "{https://x.test/}\r\nLeave\r\n"},
		{"which it has", "text/plain", "https://x.test/\r\n", "{https://x.test/}\r\nLeave\r\n"},
	} {
		add := add
		if strings.Contains(tt.want, "\nLeave\r") {
			add.TextFooter = "Leave"
		}
		got := undo(parse(t, track(t, "Content-Type: "+tt.kind+"\r\n\r\n"+tt.in, add)).Text)
		if got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// TestTrackedMessage goes through a whole message: which parts get what, and that
// the others stay as they are.
func TestTrackedMessage(t *testing.T) {
	const link = `<a href="https://x.test/">x</a>`
	raw := strings.ReplaceAll(`From: a@b.c
Content-Type: multipart/mixed; boundary=m

preamble https://x.test/
--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit
X-Part: 1

Text https://x.test/
--a
Content-Type: text/x-amp-html

`+link+`
--a
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html; charset=utf-8
Content-transfer-encoding: 8BIT

<p>gr`+"\u00fc"+`n `+link+`
--r
Content-Type: image/png
Content-ID: <x>

https://x.test/
--r--

--a--

--m
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

=E9`+strings.ReplaceAll(link, "=", "=3D")+`
--m
Content-Type: text/html
Content-Disposition: attachment; filename=x.html

`+link+`
--m
Content-Type: message/rfc822

Content-Type: text/html

`+link+`
--m
Content-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"

--s
Content-Type: text/html

`+link+`
--s
Content-Type: application/pgp-signature

x
--s--

--m
Content-Type: text/plain; charset=x-unknown

https://x.test/
--m
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

aHR0cHM6Ly94LnRlc3QvIMO8
--m--
`, "\n", "\r\n")
	const click = trackBase + "/c/68747470733a2f2f782e746573742f"
	pixel := pixelStart + trackBase + "/o/p.png" + pixelEnd
	newLink := strings.Replace(link, "https://x.test/", click, 1)
	want := strings.NewReplacer(
		"Text https://x.test/", "Text "+click+"\r\n\r\nLeave: <https://x/u>\r\n",
		"<p>gr\u00fcn "+link, "<p>gr\u00fcn "+newLink+`<p><a href="https://x/u">leave</a></p>`+pixel,
		"iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9"+strings.ReplaceAll(link, "=", "=3D"),
		"utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+string(appendQP(nil, "\u00e9"+newLink)),
		"base64\r\n\r\naHR0cHM6Ly94LnRlc3QvIMO8", "quoted-printable\r\n\r\n"+string(appendQP(nil, click+" \u00fc")),
	).Replace(raw)
	if got := track(t, raw, everyAddition); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := track(t, raw, Additions{Pixel: true}); got != strings.Replace(raw, link+"\r\n--r\r\n", link+pixel+"\r\n--r\r\n", 1) {
		t.Errorf("with a pixel alone:\n%s", got)
	}
	tpl, err := CompileTracked([]byte(raw), Additions{HTMLLinks: true, TextLinks: true})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := tpl.Execute(lookupIn(alice))
	if err != nil || string(Join(pieces)) != raw {
		t.Errorf("without links of a copy: %v\n%s", err, Join(pieces))
	}
}

// TestTrackedLines: a link may make a line longer than SMTP allows.
func TestTrackedLines(t *testing.T) {
	head := "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	for _, body := range []string{"<p>x</p>\r\n", "\u00fc", strings.Repeat("\u65e5", 300)} {
		long := `<a href="https://x.test/` + strings.Repeat("y", 900) + `">`
		out := track(t, head+body+long, Additions{HTMLLinks: true})
		checkWire(t, []byte(out))
		if got := undo(parse(t, out).HTML); strings.TrimSuffix(got, "\r\n") != body+strings.NewReplacer(`"https`, `"{https`, `">`, `}">`).Replace(long) {
			t.Errorf("%q became %q", body, got)
		}
	}
}

func TestTrackedBounds(t *testing.T) {
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("http://x.test/\r\n", maxLinks-10) +
		"\r\n--b\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("<a href='http://x.test/'>\r\n", 100) + "\r\n--b--\r\n"
	if n := strings.Count(track(t, raw, Additions{HTMLLinks: true, TextLinks: true}), trackBase+"/c/"); n != maxLinks {
		t.Errorf("%d links were rewritten", n)
	}
	tpl, err := CompileTracked([]byte(raw), everyAddition)
	if err != nil {
		t.Fatal(err)
	}
	if !tpl.HasField("content-type") || tpl.HasField("To") || tpl.HasUnsubscribeURL() {
		t.Error("header")
	}
}

func TestHasUnsubscribeURL(t *testing.T) {
	for in, want := range map[string]bool{
		"\r\n%unsubscribe_url%":                          true,
		"\r\n%tag_unsubscribe_url%":                      false,
		"List-Unsubscribe: <%unsubscribe_url%>\r\n\r\nx": false,
		"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n%unsubscribe_url%":                 false,
		"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/html\r\n\r\n%uns=\r\nubscribe_url%": true,
	} {
		if tpl, err := CompileTracked([]byte(in), Additions{Pixel: true}); err != nil || tpl.HasUnsubscribeURL() != want {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestMentionsUnsubscribe(t *testing.T) {
	mixed := func(part string) string {
		return "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + part + "\r\n--b--\r\n"
	}
	for in, want := range map[string]bool{
		"\r\nnothing":               false,
		"\r\n%unsubscribe_url%":     true,
		"\r\n%tag_unsubscribe_url%": true,
		"\r\n%unsubscribe_email%":   true,
		"\r\n%mailing_list_unsubscribe_url% %unsubscribe_urls%":                                                                                                  false,
		"List-Unsubscribe: <%unsubscribe_url%>\r\n\r\nx":                                                                                                         true,
		"Subject: =?utf-8?q?=25unsubscribe=5Furl=25?=\r\n\r\nx":                                                                                                  true,
		"Subject: unsubscribe_url\r\n\r\nx":                                                                                                                      false,
		mixed("Content-Type: text/html\r\n\r\n<a href=\"%unsubscribe_url%\">"):                                                                                   true,
		mixed("Content-Type: text/html\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n<a href=3D\"%unsub=\r\nscribe=5Furl%\">"):                           true,
		mixed("Content-Type: text/plain\r\nContent-Transfer-Encoding: BASE64\r\n\r\nJXVuc3Vic2NyaWJlX3VybCU="):                                                   true,
		mixed("Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\n" + string(appendBase64(nil, utf16("%unsubscribe_url%")))): true,
		mixed("Content-Type: image/png\r\n\r\n%unsubscribe_url%"):                                                                                                false,
		mixed("Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJXVuc3Vic2NyaWJlX3VybCU="):                                              false,
		strings.Repeat("x", 5<<20) + "%unsubscribe_url%":                                                                                                         false,
	} {
		if got := MentionsUnsubscribe([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func utf16(s string) (out []byte) {
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return out
}

// FuzzTracked: whatever the message, its copy has the same structure, parts that
// get nothing are the same, and without what was added the texts are.
func FuzzTracked(f *testing.F) {
	src := counter(0)
	d := Draft{Header: []Field{{"Subject", "\u00fc %recipient.x%"}}, Text: "a https://x.test/%recipient.x%, b", HTML: "<body>\u65e5 <a href='https://x.test/?a&amp;%recipient.x%'>", Rand: &src}
	raw, err := d.Build()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, "Alice")
	f.Add([]byte("Content-Type: text/html\r\n\r\n<!doctype html><a href=https://x.test/>x</a>"), "x y")
	f.Add([]byte("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=https://x>\r\n--b--"), "--b--\n")
	f.Add([]byte("Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\nPABhAD4A"), "\"")
	f.Add([]byte("Content-Type: text/html; charset=utf-8\r\n\r\n\u00fc<a href='https://x.test/'>\x00"), "https://y")
	f.Fuzz(func(t *testing.T, raw []byte, value string) {
		raw = NormalizeCRLF(raw)
		add := everyAddition
		add.PixelTop = len(raw)%2 == 0
		add.HTMLFooter, add.TextFooter = "<p>FOOT</p>", "\nFOOT"
		tpl, err := CompileTracked(raw, add)
		if err != nil {
			return
		}
		checkAdditions(t, tpl, raw)
		pieces, err := tpl.ExecuteTracked(func(string) (string, bool) { return value, true }, testLinks())
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

// checkAdditions undoes what was added to a copy without values.
func checkAdditions(t *testing.T, tpl *Template, raw []byte) {
	if bytes.Contains(raw, []byte("FOOT")) || bytes.Contains(raw, []byte("<>")) {
		return
	}
	links := testLinks()
	urls := []string{}
	links.Click = func(url string) string { urls = append(urls, url); return "<>" }
	pieces, err := tpl.ExecuteTracked(func(string) (string, bool) { return "", false }, links)
	if err != nil {
		return
	}
	again, err := Parse(Join(pieces), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := Parse(raw, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Attachments) != len(before.Attachments) {
		t.Fatalf("%d files of %d", len(again.Attachments), len(before.Attachments))
	}
	for i, p := range before.Attachments {
		if !bytes.Equal(p.Data, again.Attachments[i].Data) {
			t.Fatalf("file %d: %q became %q", i, p.Data, again.Attachments[i].Data)
		}
	}
	sameBut(t, before.HTML, again.HTML, pixelStart+links.Pixel+pixelEnd, "<p>FOOT</p>")
	sameBut(t, before.Text, again.Text, "\r\nFOOT")
	if before.AMP != again.AMP {
		t.Fatalf("AMP: %q became %q", before.AMP, again.AMP)
	}
}

// sameBut: got is want with links in angle brackets, and with what was added.
func sameBut(t *testing.T, want, got string, added ...string) {
	for _, a := range added {
		got = strings.Replace(got, a, "", 1)
	}
	norm := func(s string) string { return strings.TrimRight(string(appendCRLF(nil, s)), "\r\n") }
	want, got = norm(want), norm(got)
	pieces := strings.Split(got, "<>")
	last := len(pieces) - 1
	for i, piece := range pieces {
		at := strings.Index(want, piece)
		if i == last && last > 0 {
			at = len(want) - len(piece)
		}
		if at < 0 || i == 0 && at > 0 || !strings.HasPrefix(want[at:], piece) {
			t.Fatalf("%q is not in %q (of %q)", piece, want, got)
		}
		want = want[at+len(piece):]
	}
	if want != "" {
		t.Fatalf("%q is left of what became %q", want, got)
	}
}

// page10k is a page of 10 KB with 20 links.
func page10k() string {
	var b strings.Builder
	b.WriteString("<!doctype html>\r\n<html><head><style>td{padding:0}</style></head><body>\r\n")
	for i := range 20 {
		fmt.Fprintf(&b, "<tr><td style=\"padding:0 10px;color:#333\" align=\"left\"><a style=\"x\" href=\"https://www.example.com/a/%d?utm_source=mail&amp;utm_campaign=spring\">text of a link</a>%s</td></tr>\r\n", i, strings.Repeat("some words ", 30))
	}
	return b.String() + "</body></html>\r\n"
}

func tracked10k(b *testing.B) []byte {
	src := counter(0)
	return build(b, Draft{Header: []Field{{"From", "a@b.c"}, {"To", "c@d.e"}, {"Subject", "Hi"}}, HTML: page10k(), Rand: &src})
}

func BenchmarkCompileTracked10K(b *testing.B) {
	raw := tracked10k(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompileTracked(raw, everyAddition); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecuteTracked10K(b *testing.B) {
	tpl, err := CompileTracked(tracked10k(b), everyAddition)
	if err != nil {
		b.Fatal(err)
	}
	links := Links{Click: func(string) string {
		return "https://t.test/c/" + "0123456789012345678901234567890123456789012345678901234567890123456789"
	}, Pixel: "https://t.test/o/x.png"}
	lookup := lookupIn(alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tpl.ExecuteTracked(lookup, links); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMentionsUnsubscribe10K(b *testing.B) {
	src := counter(0)
	for name, text := range map[string]string{"7bit": strings.ReplaceAll(page10k(), "64", ""), "quoted-printable": page10k() + "\u00fc"} {
		raw := build(b, Draft{Header: []Field{{"Subject", "Hi"}}, HTML: text, Rand: &src})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if MentionsUnsubscribe(raw) {
					b.Fatal("mentioned")
				}
			}
		})
	}
}
