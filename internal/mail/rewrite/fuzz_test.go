package rewrite

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// reference gives what x/net/html reads in s: adjoining texts as one, and hrefs apart.
func reference(s string) (all, hrefs []string) {
	z := html.NewTokenizer(strings.NewReader(s))
	text := ""
	for {
		kind := z.Next()
		if kind == html.TextToken {
			text += string(z.Raw())
			continue
		}
		if text != "" {
			all, text = append(all, text), ""
		}
		if kind == html.ErrorToken {
			return all, hrefs
		}
		t := z.Token()
		if t.Type == html.StartTagToken && t.Data == "noscript" {
			z.NextIsNotRawText()
		}
		link := kind != html.EndTagToken && (t.Data == "a" || t.Data == "area")
		href, off := "", false
		for i, a := range t.Attr {
			switch {
			case link && a.Key == "href":
				href, t.Attr[i].Val = a.Val, ""
			case a.Key == "disable-tracking":
				off = off || !strings.EqualFold(a.Val, "false")
			}
		}
		if v := strings.TrimLeft(href, blanks); !off && (webLink(v) || strings.HasPrefix(v, "%")) {
			hrefs = append(hrefs, href)
		}
		all = append(all, t.String())
	}
}

// newline does what the tokenizer does to line ends and NUL.
var newline = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\ufffd")

func FuzzHTML(f *testing.F) {
	for _, s := range []string{
		`<!DOCTYPE html><html><head></head><body><a href="https://x.test/?a=1&amp;b=2">x</a></body></html>`, `<A HREF=http://x/ disable-tracking>`,
		"<!--[if mso]><a href='https://x'><![endif]--><area\nhref = 'https://x' href=y />", `<script><!--<script></script><a href="https://x">--></script>`, `<a ="x" / href=https://x/&copy=1>`,
		"<noscript><a href=\" \r\nhttps://x\"></noscript></body><![CDATA[</body>]]>", "<a href=\"%recipient.x%\"><!-- ", "<svg><a xlink:href='https://x' href=\"https://x'\">",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := HTML(s, 1000)
		if p.Top < 0 || p.Bottom < 0 || max(p.Top, p.Bottom) > len(s) {
			t.Fatalf("%q: top %d, bottom %d", s, p.Top, p.Bottom)
		}
		before, hrefs := reference(s)
		if len(hrefs) >= 1000 {
			return
		}
		var got []string
		out, at := "", 0
		const to = "https://t.test/c/abc"
		for _, l := range p.Links {
			if l.Start < at || l.End <= l.Start {
				t.Fatalf("%q: link %+v", s, l)
			}
			got = append(got, Decode(newline.Replace(s[l.Start:l.End])))
			out, at = out+s[at:l.Start]+to, l.End
		}
		out += s[at:]
		if !slices.Equal(got, hrefs) {
			t.Fatalf("%q: %q, want %q", s, got, hrefs)
		}
		after, hrefs := reference(out)
		if !slices.Equal(before, after) || len(hrefs) != len(p.Links) {
			t.Fatalf("%q: %q became %q", s, before, after)
		}
		if again := HTML(out, 1000); len(again.Links) != len(p.Links) || slices.ContainsFunc(again.Links, func(l Link) bool { return out[l.Start:l.End] != to }) {
			t.Fatalf("%q: in %q %+v", s, out, again)
		}
		checkPlaces(t, s, p, before)
	})
}

// checkPlaces: what is put at the top or the bottom is read as what it is.
func checkPlaces(t *testing.T, s string, p Page, before []string) {
	lower := strings.ToLower(s)
	if strings.HasSuffix(s, "<") || strings.HasSuffix(s, "</") {
		return // with what is put behind it, it becomes something else
	}
	for _, raw := range []string{"title", "textarea", "style", "script", "xmp", "iframe", "noembed", "noframes", "plaintext"} {
		if strings.Contains(lower, "<"+raw) {
			return // where one is not closed, nothing shows at all
		}
	}
	for _, at := range []int{p.Top, p.Bottom} {
		after, _ := reference(s[:at] + "<img>" + s[at:])
		if strings.Join(before, "") != strings.Replace(strings.Join(after, ""), "<img>", "", 1) && !strings.Contains(lower, "<img>") {
			t.Fatalf("%q at %d: %q became %q", s, at, before, after)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"see https://x.test/a_(b), (http://y.test). <https://z.test/\r\nx>", "%p x%/https://a", "https://x.test/{{ id }}", "HTTPS://Ü。ü http://x<%", "https://を"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, delSp bool) {
		syn := Syntax{Placeholder: testPlaceholder, DelSp: delSp}
		list := Text(s, 1000, syn)
		out, at := "", 0
		for _, l := range list {
			run := s[l.Start:l.End]
			if l.Start < at || !webLink(run) && testPlaceholder(run) == 0 {
				t.Fatalf("%q: link %+v, %q", s, l, run)
			}
			if !strings.Contains(s, "%") && strings.ContainsAny(run, " \r\n\t<>\"") {
				t.Fatalf("%q: %q", s, run)
			}
			out, at = out+s[at:l.Start]+"https://t.test/c/abc", l.End
		}
		out += s[at:]
		if len(list) < 1000 && len(Text(out, 1000, syn)) < len(list) {
			t.Fatalf("%q became %q, in which there are fewer links", s, out)
		}
	})
}

func FuzzTarget(f *testing.F) {
	f.Add(" https://x.test/\na?b=\"c\"#d")
	f.Add("https://email.example.com/c/x")
	f.Fuzz(func(t *testing.T, s string) {
		u, ok := Target(s, base)
		if !ok || strings.Contains(u, "{%") { // of {"
			return
		}
		if again, ok := Target(u, base); !ok || again != u {
			t.Fatalf("%q is %q is %q, %v", s, u, again, ok)
		}
		if !webLink(u) || strings.ContainsAny(u, blanks+"\"<>") || strings.HasPrefix(strings.ToLower(u), base+"/") {
			t.Fatalf("%q leads to %q", s, u)
		}
	})
}

func BenchmarkHTML10K(b *testing.B) {
	s := "<html><body>" + strings.Repeat(`<tr><td style="padding:0 10px;color:#333" align="left"><a style="x" href="https://www.example.com/a?utm=1&amp;b=2">text of a link</a>`+strings.Repeat("word ", 70)+"</td></tr>\r\n", 20) + "</body></html>"
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		HTML(s, 1000)
	}
}
