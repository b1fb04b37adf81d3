package rewrite

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const base = "https://email.example.com"

// page marks what HTML found in s: links in braces, top and bottom.
func page(s string) string {
	p := HTML(s, 100)
	type insert struct {
		at   int
		text string
	}
	marks := []insert{{p.Top, "^"}, {p.Bottom, "$"}}
	for _, l := range p.Links {
		marks = append(marks, insert{l.Start, "«"}, insert{l.End, "»"})
	}
	slices.SortStableFunc(marks, func(a, b insert) int { return a.at - b.at })
	var b strings.Builder
	at := 0
	for _, m := range marks {
		b.WriteString(s[at:m.at] + m.text)
		at = m.at
	}
	return b.String() + s[at:]
}

func TestHTML(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"fragment", `^<p>Hi <a href="«https://x.test/»">x</a></p>$`},
		{"empty", `^$`},
		{"whole page", `<!DOCTYPE html><html><head><title>t</title></head><body class="a">^<a href='«http://x.test»'>x</a>$</body></html>`},
		{"upper case", `<HTML><BODY>^<A HREF="«HTTPS://X.test»">x</A>$</BODY></HTML>`},
		{"no quotes", `^<a href=«https://x.test/a/b» class=c>x</a><a href=«https://x.test/»>y</a>$`},
		{"no quotes, a query", `^<a href=«https://x.test/?a=b&c="d"»>x</a>$`},
		{"blanks around the sign", "^<a\n\thref =\n 'x' href=\"https://x.test\"><a href\n=\n \"«https://x.test»\">$"},
		{"the first of two", `^<a href="#" href="https://x.test"></a><a href="«https://x.test/1»" href="https://x.test/2">$`},
		{"line break in the value", "^<a href=\"«\n  https://x.test/a\n»\">$"},
		{"references", `^<a href="«&#104;ttps://x.test/?a=1&amp;b=2»">$`},
		{"area", `^<map><area shape=rect href="«https://x.test»" alt=""/></map>$`},
		{"other elements", `^<link href="https://x.test"><base href="https://x.test"><img src="https://x.test" href="https://x.test"><abbr href="https://x.test"><form action="https://x.test">$`},
		{"other schemes", `^<a href="mailto:a@x.test"></a><a href="tel:+1"></a><a href="sms:+1"></a><a href="javascript:alert(1)"></a><a href="data:text/html,x"></a><a href="cid:x"></a><a href="#https://x.test"></a><a href="/x"></a><a href="//x.test"></a><a href="ftp://x.test"></a><a href=""></a><a href></a><a>$`},
		{"no slashes", `^<a href="https:x.test"></a><a href="https:/x.test"></a><a href="httpsx://x.test">$`},
		{"placeholder", `^<a href="«%recipient.url%»"></a><a href="«https://x.test/?i=%recipient.id%»">$`},
		{"templating first", `^<a href="{{url}}"></a><a href="&lt;%= url %>"></a><a href="*|URL|*">$`},
		{"disabled", `^<a disable-tracking=true href="https://x.test"></a><a href="https://x.test" disable-tracking></a><a href=https://x.test Disable-Tracking="TRUE"></a>$`},
		{"enabled", `^<a disable-tracking="false" href="«https://x.test»"></a><a data-disable-tracking=true href="«https://x.test»">$`},
		{"comment", `^<!-- <a href="https://x.test"> </body> --><a href="«https://x.test»">$`},
		{"for Outlook alone", `^<!--[if mso]><a href="https://x.test"><![endif]--><!--[if !mso]><!--><a href="«https://x.test»">b</a><!--<![endif]--><![if !mso]><a href="«https://x.test»"><![endif]>$`},
		{"CDATA is a comment here", `^<![CDATA[<a href="https://x.test">]]><a href="«https://x.test»">$`},
		{"raw text", `^<script>var a='<a href="https://x.test">'</script><style>/*<a href="https://x.test">*/</style><textarea><a href="https://x.test"></body></textarea><title><a href="https://x.test"></title><a href="«https://x.test»">$`},
		{"script that hides its end", `^<script><!-- <script> <a href="https://x.test"> </script> </body> --></script><a href="«https://x.test»">$`},
		{"noscript shows", `^<noscript><a href="«https://x.test»"></noscript>$`},
		{"greater than in a value", `^<a title="a > b" href="«https://x.test»">$`},
		{"slashes between", `^<a/href="«https://x.test»"/class=x/>$`},
		{"sign first", `^<a ="x" href="«https://x.test»">$`},
		{"no blank between", `^<a title="x"href="«https://x.test»">$`},
		{"bodies", `<body>^a<body>b</body>c$</body> d`},
		{"body in a comment", `<!-- <body> --><body>^x$</body><!-- </body> -->`},
		{"no end of body", `<html><body>^x</html>$`},
		{"no body", `<!doctype html><html><head><style>a{}</style></head>^<p>x</html>$`},
		{"no head either", `<!doctype html><html lang=de>^<p>x$`},
		{"doctype alone", "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\">^\n<p>x$"},
		{"half a tag", `^x$<a href="https://x.test`},
		{"open comment", `^x$<!-- y > z`},
		{"open declaration", `^x$<!y`},
		{"less than", `^1 < 2 <a href="«https://x.test»">< 3</ a>$`},
		{"end tag with href", `^</a href="https://x.test">$`},
		{"button of Outlook", `^<v:roundrect xmlns:v="urn:x" href="https://x.test">$`},
		{"SVG", `^<svg><a href="«https://x.test»" xlink:href="https://x.test"></a></svg>$`},
		{"names with marks", `^<a-b href="https://x.test"><a:b href="https://x.test">$`},
		{"not ASCII", `^ü<a title="ü" href="«https://bücher.test/ü»">ü</a>$`},
		{"CRLF", "^<a\r\nhref=\"«https://x.test»\"\r\n>\r\n$"},
	} {
		in := strings.NewReplacer("^", "", "$", "", "«", "", "»", "").Replace(tt.want)
		if got := page(in); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if p := HTML(strings.Repeat(`<a href="http://x">`, 50), 3); len(p.Links) != 3 {
		t.Errorf("%d links of at most 3", len(p.Links))
	}
}

// texts marks the links of a plain text.
func texts(s string, delSp bool) string {
	var b strings.Builder
	at := 0
	for _, l := range Text(s, 100, Syntax{Placeholder: testPlaceholder, DelSp: delSp}) {
		b.WriteString(s[at:l.Start] + "«" + s[l.Start:l.End] + "»")
		at = l.End
	}
	return b.String() + s[at:]
}

// testPlaceholder knows %p...%.
func testPlaceholder(s string) int {
	if !strings.HasPrefix(s, "%p") {
		return 0
	}
	if n := strings.IndexByte(s[1:], '%'); n > 0 {
		return n + 2
	}
	return 0
}

func TestText(t *testing.T) {
	for _, want := range []string{
		"",
		"no link: none, 50% off, http:, https:/x, ://x",
		"«https://x.test» and «HTTP://X.test/a?b=c&d=%20#e», and (see «https://x.test/a_(b)»). «https://x.test/a»!",
		"<«https://x.test/a,b»> \"«https://x.test»\" '«https://x.test»' [a](«https://x.test/») *«https://x.test»* `«https://x.test»`",
		"a:«https://x.test/a/»... «https://x.test/?u=https://y.test/»\r\n«https://x.test/-_»\r\n",
		"xhttps://x.test 1http://x.test «https://x.test»?!",
		"<https://x.test/long\r\nrest> <https://x.test/long\nrest>",
		"<URL:«https://x.test»>",
		"https://x.test/{{id}} https://x.test/<%= id %> https://x.test/{{ id }} https://x.test/${ id }",
		"«https://x.test/%p id%/b», «%p url%». «%p url%/path» a%p url% mail%p url%",
		"«https://bücher.test/über». „«https://x.test»“, «https://x.test/»… «https://x.test/»\u00a0x",
		"https://x.test/foo–bar https://x.test/を見て https://x.test/。次",
		"((«https://x.test») («https://x.test/(a)/(b)») «https://x.test»]] «https://x.test»}(",
		"«https://»",
	} {
		in := strings.NewReplacer("«", "", "»", "").Replace(want)
		if got := texts(in, false); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	if got := texts("a https://x.test/ \r\nb «https://x.test/» c", true); got != "a https://x.test/ \r\nb ««https://x.test/»» c" {
		t.Errorf("DelSp: %s", got)
	}
	if got := texts("«https://x.test/» \r\n", false); got != "««https://x.test/»» \r\n" {
		t.Errorf("flowed: %s", got)
	}
}

func TestTarget(t *testing.T) {
	long := "https://x.test/" + strings.Repeat("a", 4096-len("https://x.test/"))
	for in, want := range map[string]string{
		"https://x.test":                      "https://x.test",
		" \n https://x.test/a\r\n\tb c \x01":  "https://x.test/ab%20c",
		"HTTP://User:pw@X.test:8080/?a=b&c#d": "http://User:pw@X.test:8080/?a=b&c#d", "hTTPS://x.test": "https://x.test", "httP://x.test": "http://x.test",
		`https://x.test/?q="<>`:            "https://x.test/?q=%22%3C%3E",
		"https://[::1]:80/":                "https://[::1]:80/",
		"https://bücher.test/ü":            "https://bücher.test/ü",
		"https://x.test/?a=%recipient.a%":  "https://x.test/?a=%recipient.a%",
		"https://x.test\\@y.test":          "https://x.test\\@y.test",
		"https://email.example.community/": "https://email.example.community/",
		"http://email.example.com/":        "http://email.example.com/",
		long:                               long,
		long + "a":                         "",
		"https://email.example.com":        "",
		"HTTPS://Email.example.com/c/abc":  "",
		"https://email.example.com?x":      "",
		"https://":                         "",
		"https:///x":                       "",
		"https://?x":                       "",
		"https://{{host}}/":                "",
		"https://x.test/{{id}}":            "",
		"https://x.test/{% if a %}":        "",
		"https://x.test/<%= id %>":         "",
		"https://x.test/${id}":             "",
		"https://%host%/":                  "",
		"https://*|HOST|*/":                "",
		"https://x test/":                  "",
		"https://x.test/\x00":              "",
		"https://x.test/\x01a":             "",
		"https://x.test/\x7f":              "",
		"//x.test":                         "",
		"mailto:a@x.test":                  "",
		"ahttps://x.test":                  "",
		"":                                 "",
	} {
		got, ok := Target(in, base)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "?a=1&amp;b=2&#38;c": "?a=1&b=2&c", "?a=1&copy=2&notit;": "?a=1&copy=2&notit;", `"&lt;`: `"<`, "'&apos;": "''", "&": "&",
	} {
		if got := Decode(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestHostile: texts made to cost time cost little.
func TestHostile(t *testing.T) {
	const size = 2 << 20
	for name, piece := range map[string]string{
		"tags": "<a>", "links": `<a href="https://x.test/">`, "openings": "<", "quotes": `<a "`, "comments": "<!--", "bodies": "<body></body>", "attributes": " a=b",
		"slashes": "://", "schemes": "https://", "percents": "%", "brackets": "https://((((", "closing": ")", "placeholders": "%p", "references": "&amp;", "entities in a link": `<a href="&amp;&amp;`,
	} {
		for _, head := range []string{"", "<a ", `<a href="`, "https://x"} {
			s := head + strings.Repeat(piece, size/len(piece))
			began := time.Now()
			HTML(s, 10000)
			Text(s, 10000, Syntax{Placeholder: func(s string) int { return testPlaceholder(s[:min(len(s), 256)]) }})
			if d := time.Since(began); d > 10*time.Second { // a tenth of a second, if linear
				t.Errorf("%s behind %q: %v", name, head, d)
			}
		}
	}
}
