package panel

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestRewrite(t *testing.T) {
	inline := func(cid string) string {
		if cid == "logo@example.com" {
			return "data:image/png;base64,AAAA"
		}
		return ""
	}
	cases := []struct {
		name, in, want string // want without our own head
	}{
		{"untouched", "<p>a &amp; b<br></p>", "<p>a &amp; b<br></p>"},
		{"odd markup is copied", "<P ><b>x</B>&nbsp;&foo;", "<P ><b>x</B>&nbsp;&foo;"},
		{"cid image", `<img src="cid:logo@example.com" alt="x">`, `<img src="data:image/png;base64,AAAA" alt="x">`},
		{"cid unknown", `<img src="cid:none">`, `<img src="cid:none">`},
		{"cid in style", `<td style="background:url('cid:logo@example.com')">`, `<td style="background:url(&#34;data:image/png;base64,AAAA&#34;)">`},
		{"link", `<a href="https://x.example/?a=1&amp;b=2" target="_top" ping="https://p.example">x</a>`, `<a href="https://x.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">x</a>`},
		{"anchor", `<a href="#top">x</a>`, `<a href="#top">x</a>`},
		{"script link", `<a href=" JaVaScRiPt:alert(1)">x</a>`, `<a>x</a>`},
		{"data link", `<a href="data:text/html,x">x</a>`, `<a>x</a>`},
		{"events", `<p onclick="a()" ONLOAD=b class=c>x</p>`, `<p class="c">x</p>`},
		{"script", `a<script>alert("<p>")</script>b`, "ab"},
		{"script in noscript", `<noscript><script>x</script><img src="cid:logo@example.com"></noscript>`, `<noscript><img src="data:image/png;base64,AAAA"></noscript>`},
		{"frames", `<iframe src=x>y</iframe><object data=x>z</object><embed src=x><base href=x><link rel=stylesheet href=x>`, "z"},
		{"meta", `<meta http-equiv=refresh content="0;url=x"><meta charset=latin1><meta name="color-scheme" content="dark">`, `<meta name="color-scheme" content="dark">`},
		{"doctype and comment", `<!doctype html><!-- a --><p>b</p>`, `<p>b</p>`},
		{"dark rules off", `<style>@media (Prefers-Color-Scheme : dark){p{color:red}}</style>`, `<style>@media (max-width:0px){p{color:red}}</style>`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rw := &rewriter{scheme: "light", inline: inline}
			_, got, ok := strings.Cut(rw.rewrite(c.in), "</style>")
			if !ok || got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRewriteScheme(t *testing.T) {
	in := `<style>@media (prefers-color-scheme:dark){a{}} @media (prefers-color-scheme:light){b{}}</style>`
	got := (&rewriter{scheme: "dark"}).rewrite(in)
	if !strings.Contains(got, "(min-width:0px){a{}}") || !strings.Contains(got, "(max-width:0px){b{}}") {
		t.Error(got)
	}
}

func TestRewriteCountsRemote(t *testing.T) {
	rw := &rewriter{}
	rw.rewrite(`<img src="https://a.example/x.png"><img src="//b.example/y"><img srcset="x 1x, https://c.example/z 2x">
		<td background="http://d.example/bg"><p style="background:url(https://e.example/)"><style>p{background:url("http://f.example")}</style>
		<img src="cid:a"><img src="data:image/png;base64,"><a href="https://g.example">x</a>`)
	if rw.remote != 6 {
		t.Errorf("remote = %d, want 6", rw.remote)
	}
}

func TestRewriteLongToken(t *testing.T) {
	got := (&rewriter{}).rewrite("<p>start</p><img alt=\"" + strings.Repeat("x", maxToken+1) + "\">")
	if !strings.Contains(got, "<p>start</p>") || !strings.Contains(got, "too long to preview") || len(got) > 10_000 {
		t.Errorf("%d octets", len(got))
	}
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{"", "<p>", `<a href=javascript:x onclick=y>`, "<script><!--<script></script>", "<style>a{b:url(cid:x)}</style>",
		"<svg><style><img src=x onerror=y></style>", "<noscript><p title=\"</noscript><script>\">", "<iframe><script></iframe>", "<meta http-equiv=refresh>", "<base/href=x>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := (&rewriter{inline: func(string) string { return "" }}).rewrite(s)
		_, body, _ := strings.Cut(out, "</style>")
		z := html.NewTokenizer(strings.NewReader(body))
		for {
			switch z.Next() {
			case html.ErrorToken:
				return
			case html.StartTagToken, html.SelfClosingTagToken:
				tok := z.Token()
				if dropped(tok.DataAtom) {
					t.Fatalf("%q kept %s", s, tok)
				}
				if tok.Data == "noscript" {
					z.NextIsNotRawText()
				}
				for _, a := range tok.Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "href" && tok.Data == "a" && !linkable(a.Val) {
						t.Fatalf("%q kept %s", s, tok)
					}
				}
			}
		}
	})
}
