package parsed

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"postroad/internal/mail/mime"
)

func parse(t testing.TB, lines ...string) (*Message, []byte) {
	t.Helper()
	raw := []byte(strings.Join(lines, "\r\n"))
	m, err := Parse(raw, mime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m, raw
}

var reply = []string{
	"Received: from a by b", "Received: from c by d", "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>", "To: bob@example.com", "Subject: =?iso-8859-1?q?Gr=FC=DFe?=", "Message-ID: <1@example.org>",
	"recipient: forged@example.net", "signature: forged", "attachment-1: forged",
	"Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: multipart/alternative; boundary=a", "",
	"--a", "Content-Type: text/plain; charset=utf-8", "", "Ja & nein.", "", "Viele Gr\u00fc\u00dfe", "J\u00fcrgen", "", "Am 04.03.2024 um 09:41 schrieb Bob <bob@example.com>:", "> Oder?", "",
	"--a", "Content-Type: text/html; charset=utf-8", "", `<p>Ja &amp; nein.</p><blockquote type="cite"><p>Oder?</p></blockquote>`, "--a--", "",
	"--m", "Content-Type: image/png; name=a.png", "Content-ID: <pic@example.org>", "Content-Transfer-Encoding: base64", "", "AAEC",
	"--m", "Content-Type: application/pdf", "Content-Disposition: attachment; filename=b.pdf", "", "PDF", "--m--", "",
}

func TestFields(t *testing.T) {
	m, raw := parse(t, reply...)
	want := [][2]string{
		{"Received", "from a by b"}, {"Received", "from c by d"}, {"From", "J\u00fcrgen <j@example.org>"}, {"To", "bob@example.com"}, {"Subject", "Gr\u00fc\u00dfe"}, {"Message-ID", "<1@example.org>"},
		{"Content-Type", "multipart/mixed; boundary=m"}, {"from", "J\u00fcrgen <j@example.org>"}, {"subject", "Gr\u00fc\u00dfe"},
		{"message-headers", `[["Received","from a by b"],["Received","from c by d"],["From","J` + "\u00fc" + `rgen <j@example.org>"],["To","bob@example.com"],["Subject","Gr` + "\u00fc\u00df" + `e"],["Message-ID","<1@example.org>"],` +
			`["recipient","forged@example.net"],["signature","forged"],["attachment-1","forged"],["Content-Type","multipart/mixed; boundary=m"]]`},
		{"body-plain", "Ja & nein.\r\n\r\nViele Gr\u00fc\u00dfe\r\nJ\u00fcrgen\r\n\r\nAm 04.03.2024 um 09:41 schrieb Bob <bob@example.com>:\r\n> Oder?\r\n"},
		{"body-html", `<p>Ja &amp; nein.</p><blockquote type="cite"><p>Oder?</p></blockquote>`},
		{"stripped-text", "Ja & nein."}, {"stripped-signature", "Viele Gr\u00fc\u00dfe\r\nJ\u00fcrgen"}, {"stripped-html", "<p>Ja &amp; nein.</p>"},
	}
	if got := m.Fields(raw, false); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	names := ""
	for _, f := range m.Fields(raw, true)[7:] {
		names += f[0] + " "
	}
	if names != "from subject message-headers stripped-text stripped-signature stripped-html body-mime " {
		t.Errorf("for a URL that wants MIME: %s", names)
	}
	if got := m.ContentIDJSON(); got != `{"<pic@example.org>":"attachment-1"}` {
		t.Errorf("content-id-map %s", got)
	}
	if got := m.FilesByIDJSON("http://h/m"); got != `{"<pic@example.org>":{"content-type":"image/png","name":"a.png","size":3,"url":"http://h/m/attachments/0"}}` {
		t.Errorf("content-id-map of a notification %s", got)
	}
	if got := m.FilesJSON("http://h/m"); got != `[{"content-type":"image/png","name":"a.png","size":3,"url":"http://h/m/attachments/0"},{"content-type":"application/pdf","name":"b.pdf","size":3,"url":"http://h/m/attachments/1"}]` {
		t.Errorf("attachments %s", got)
	}
}

func TestDocument(t *testing.T) {
	m, _ := parse(t, reply...)
	doc := m.Document("http://h/m")
	file := File{"image/png", "a.png", 3, "http://h/m/attachments/0"}
	for name, want := range map[string]any{
		"From": "J\u00fcrgen <j@example.org>", "from": "J\u00fcrgen <j@example.org>", "Message-Id": "<1@example.org>", "subject": "Gr\u00fc\u00dfe",
		"stripped-text": "Ja & nein.", "stripped-signature": "Viele Gr\u00fc\u00dfe\r\nJ\u00fcrgen", "stripped-html": "<p>Ja &amp; nein.</p>", "content-id-map": map[string]File{"<pic@example.org>": file},
	} {
		if !reflect.DeepEqual(doc[name], want) {
			t.Errorf("%s: %v, want %v", name, doc[name], want)
		}
	}
	if _, ok := doc["recipient"]; ok {
		t.Error("a header field nobody asked for is a member")
	}
	m, _ = parse(t, "", "text")
	doc = m.Document("")
	if _, ok := doc["stripped-html"]; ok || doc["body-plain"] != "text" || doc["stripped-text"] != "text" || doc["stripped-signature"] != "" || fmt.Sprint(doc["message-headers"], doc["attachments"]) != "[] []" {
		t.Errorf("%v", doc)
	}
	if m.ContentIDJSON() != "" || m.FilesByIDJSON("") != "" || m.HeaderJSON() != "[]" {
		t.Errorf("%q %q", m.ContentIDJSON(), m.HeaderJSON())
	}
}

func TestOnlyHTML(t *testing.T) {
	m, _ := parse(t, "Content-Type: text/html; charset=utf-8", "",
		`<div>See <a href="https://example.com/p">the plan</a>.</div><div>-- <br>Ann</div><div class="yahoo_quoted"><div>Bob, hieraux:</div><div>Cu mardo?</div></div>`)
	if m.Plain != "See the plan <https://example.com/p>.\n--\nAnn\nBob, hieraux:\nCu mardo?" {
		t.Errorf("plain %q", m.Plain)
	}
	if m.Stripped != "See the plan <https://example.com/p>." || m.Signature != "--\nAnn" {
		t.Errorf("%q, %q", m.Stripped, m.Signature)
	}
	m, _ = parse(t, "Content-Type: text/html", "", `<p>Own.</p><p>Cheers,<br>Ann</p><div class="gmail_signature">Ann Sample<br>Gardens</div><div class="gmail_quote">Quoted.</div>`)
	if m.Stripped != "Own." || m.Signature != "Cheers,\nAnn\n\nAnn Sample\nGardens" {
		t.Errorf("%q, %q", m.Stripped, m.Signature)
	}
	m, _ = parse(t, "Content-Type: text/html", "", `<p>Own.</p><div class="yahoo_quoted">Quoted.</div>`)
	if m.Stripped != "Own." || m.StrippedHTML != "<p>Own.</p>" {
		t.Errorf("%q, %q", m.Stripped, m.StrippedHTML)
	}
}

// TestNothingOwn: what can not be stripped is left out.
func TestNothingOwn(t *testing.T) {
	m, raw := parse(t, "Content-Type: text/plain", "", "On Mon, Mar 4, 2024 at 9:41 AM Bob <bob@example.com> wrote:", "> a", "")
	for _, f := range m.Fields(raw, false) {
		if strings.HasPrefix(f[0], "stripped-") {
			t.Errorf("%s: %q", f[0], f[1])
		}
	}
	m, raw = parse(t, "", "")
	if got := fmt.Sprint(m.Fields(raw, false)); got != "[[from ] [subject ] [message-headers []] [body-plain ]]" {
		t.Errorf("an empty message: %s", got)
	}
}

func TestCharsets(t *testing.T) {
	for name, c := range map[string]struct {
		enc  encoding.Encoding
		text string
	}{
		"iso-8859-1": {charmap.ISO8859_1, "caf\u00e9"}, "iso-8859-2": {charmap.ISO8859_2, "\u017elu\u0165"}, "iso-8859-5": {charmap.ISO8859_5, "\u0441\u0430\u0434"}, "iso-8859-7": {charmap.ISO8859_7, "\u03ba\u03ae\u03c0\u03bf\u03c2"},
		"iso-8859-8-i": {charmap.ISO8859_8, "\u05d2\u05df"}, "iso-8859-9": {charmap.ISO8859_9, "bah\u00e7e\u015f"}, "iso-8859-15": {charmap.ISO8859_15, "10 \u20ac"}, "windows-1250": {charmap.Windows1250, "\u0159eka"},
		"windows-1251": {charmap.Windows1251, "\u0441\u0430\u0434"}, "windows-1252": {charmap.Windows1252, "\u201ca\u201d"}, "windows-1253": {charmap.Windows1253, "\u03ba\u03ae\u03c0"}, "windows-1254": {charmap.Windows1254, "\u015f"},
		"windows-1255": {charmap.Windows1255, "\u05d2\u05df"}, "windows-1256": {charmap.Windows1256, "\u062d\u062f\u064a\u0642\u0629"}, "windows-1257": {charmap.Windows1257, "\u0101\u010d"}, "windows-1258": {charmap.Windows1258, "\u0111"},
		"koi8-r": {charmap.KOI8R, "\u0441\u0430\u0434"}, "koi8-u": {charmap.KOI8U, "\u0457\u0436"}, "macintosh": {charmap.Macintosh, "caf\u00e9"}, "windows-874": {charmap.Windows874, "\u0e2a\u0e27\u0e19"}, "tis-620": {charmap.Windows874, "\u0e2a\u0e27\u0e19"}, "ibm850": {charmap.CodePage850, "\u00e9"},
		"gb2312": {simplifiedchinese.GBK, "\u82b1\u56ed"}, "gbk": {simplifiedchinese.GBK, "\u82b1\u56ed"}, "gb18030": {simplifiedchinese.GB18030, "\u82b1\u56ed"}, "hz-gb-2312": {simplifiedchinese.HZGB2312, "\u82b1\u56ed"}, "big5": {traditionalchinese.Big5, "\u82b1\u5712"},
		"shift_jis": {japanese.ShiftJIS, "\u5ead"}, "euc-jp": {japanese.EUCJP, "\u5ead"}, "iso-2022-jp": {japanese.ISO2022JP, "\u5ead"}, "euc-kr": {korean.EUCKR, "\uc815\uc6d0"}, "ks_c_5601-1987": {korean.EUCKR, "\uc815\uc6d0"},
		"utf-16": {unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "\u5ead"}, "utf-8": {encoding.Nop, "\u5ead"},
	} {
		b, err := c.enc.NewEncoder().Bytes([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, _ := parse(t, "Content-Type: text/plain; charset=\""+strings.ToUpper(name)+"\"", "Content-Transfer-Encoding: base64", "Subject: =?"+name+"?b?"+base64.StdEncoding.EncodeToString(b)+"?=", "", base64.StdEncoding.EncodeToString(b))
		if m.Plain != c.text || m.Subject() != c.text {
			t.Errorf("%s: %q, %q, want %q", name, m.Plain, m.Subject(), c.text)
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := Parse(make([]byte, 20), mime.Limits{MaxBytes: 10}); !errors.Is(err, mime.ErrTooLarge) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.Join(reply, "\r\n")))
	f.Add([]byte("Content-Type: text/html\n\n<p>a<blockquote>b"))
	f.Add([]byte("\n> a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw, mime.Limits{MaxParts: 50, MaxDepth: 5})
		if err != nil {
			return
		}
		plain := 0
		for _, field := range m.Fields(raw, false) {
			if field[0] == "body-plain" {
				plain++
			}
			if strings.HasPrefix(field[0], "stripped-") && field[1] == "" || !utf8.ValidString(field[1]) {
				t.Errorf("%s: %q", field[0], field[1])
			}
		}
		if plain != 1 {
			t.Errorf("%d body-plain", plain)
		}
		if m.HeaderJSON() == "" || m.FilesJSON("") == "" {
			t.Error("no JSON")
		}
		m.Document("")
	})
}

func BenchmarkParse10K(b *testing.B) {
	raw := []byte(strings.Replace(strings.Join(reply, "\r\n"), "Ja & nein.", strings.Repeat("A line of some length, as people write them in mail.\r\n", 170), 1))
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Parse(raw, mime.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
