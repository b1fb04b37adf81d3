package quote

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"text", "a &lt; b &amp; c&nbsp;d", "a < b & c d"},
		{"blanks", "  a \n\t b<b> c</b>\n", "a b c"},
		{"lines", "a<br>b<br/><br>c", "a\nb\n\nc"},
		{"many lines", "a" + strings.Repeat("<br>", 50) + "b", "a\n\n\n\nb"},
		{"paragraphs", "<p>a</p>\n<p>b<p>c", "a\n\nb\n\nc"},
		{"blocks", "<div>a</div><div><div>b</div></div>c", "a\nb\nc"},
		{"empty paragraph", "<p>a</p><p>&nbsp;</p><p>b</p>", "a\n\nb"},
		{"head", "<html><head><title>T</title><style>p{}</style><meta x></head><body>a<script>b()</script></body></html>", "a"},
		{"comment", "a<!-- b -->c<!--[if mso]><p>d</p><![endif]-->", "ac"},
		{"label", "<b>From:</b> Bob <b>x</b>", "From: Bob x"},
		{"link", `<a href="https://example.com/x">here</a>.`, "here <https://example.com/x>."},
		{"link as text", `<a href="https://example.com/">example.com</a> <a href="mailto:a@example.com">a@example.com</a>`, "example.com a@example.com"},
		{"no address", `<a href="#top">up</a> <a name=x>y</a> <a href="javascript:z()">z</a>`, "up y z"},
		{"link not closed", `<a href="https://a.example">a<a href="https://b.example">b`, "a <https://a.example>b <https://b.example>"},
		{"link around a picture", `<a href="https://a.example"><img src=x alt="Shop"></a><img src=y>`, "Shop <https://a.example>"},
		{"list", "x<ul><li>a</li><li>b<ol><li>c<li>d</ol></ul>y", "x\n\n* a\n* b\n  1. c\n  2. d\n\ny"},
		{"table", "<table><tr><th>a</th><th>b</th></tr>\n<tr>\n<td>1</td>\n<td>2</td></tr></table>c", "a\tb\n1\t2\n\nc"},
		{"preformatted", "<pre>a  b\n\n  c</pre>d", "a  b\n\n  c\n\nd"},
		{"quotation", "a<blockquote>b<blockquote>c</blockquote>d</blockquote>e", "a\n\n> b\n>\n> > c\n>\n> d\n\ne"},
		{"heading and rule", "<h1>T</h1>a<hr>b", "T\n\na\n" + strings.Repeat("_", 32) + "\nb"},
		{"closings alone", "</ul></blockquote></pre></a>a", "a"},
		{"not finished", "a<b", "a"},
		{"soft hyphen", "a&shy;b&#8203;c", "abc"},
		{"line in a quotation", "<blockquote>a<br><br>b</blockquote>", "> a\n>\n> b"},
	} {
		if got := PlainText(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzPlainText(f *testing.F) {
	for _, s := range []string{"<p>a<br>b", "<ul><li>a<ol><li>b</ul>", "<blockquote><pre>a\nb", `<a href="http://x">y</a><td>z<hr>`, "<a href=http:><a>", "\x00<script/>a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := PlainText(s)
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("no UTF-8: %q", got)
		}
		if strings.ContainsRune(got, 0) || got != strings.TrimSpace(got) {
			t.Errorf("%q", got)
		}
		// A tag of four octets adds a line, or an item with what stands before it.
		if most := 16*len(s) + 64; len(got) > most {
			t.Errorf("%d octets of %d", len(got), len(s))
		}
	})
}
