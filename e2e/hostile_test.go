package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"postroad/internal/config"
)

// trap is a server nobody may call. It remembers who did.
type trap struct {
	*httptest.Server
	mu   sync.Mutex
	hits []string
	page string // served at /control
}

func newTrap(t *testing.T) *trap {
	tr := &trap{}
	tr.Server = httptest.NewServer(tr)
	t.Cleanup(tr.Close)
	return tr
}

func (tr *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if r.URL.Path == "/control" {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(tr.page))
		return
	}
	if r.URL.Path != "/favicon.ico" {
		tr.hits = append(tr.hits, strings.TrimPrefix(r.URL.Path, "/"))
	}
	if strings.HasSuffix(r.URL.Path, ".css") {
		w.Header().Set("Content-Type", "text/css")
	} else {
		w.Header().Set("Content-Type", "image/svg+xml")
		w.Write([]byte(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`))
	}
}

func (tr *trap) caught() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.hits)
}

// ran is what every hostile script does. Unlike a dialog or a request, no
// policy keeps a script that runs from writing to the console.
const ran = `console.log('RAN');try{top.document.title='RAN'}catch(e){}`

// hostileHTML tries to run scripts and to call the server at base, in the ways
// HTML knows. The last image is the end mark.
func hostileHTML(base string) string {
	return strings.NewReplacer("$BASE", base, "$HOST", strings.TrimPrefix(base, "http:"), "$RUN", ran).Replace(`<!doctype html><html><head>
<base href="$BASE/base/"><title>"><script>$RUN</script></title>
<script>$RUN</script><script src="$BASE/script.js"></script>
<link rel="stylesheet" href="$BASE/link.css"><link rel="preload" as="image" href="$BASE/preload.png">
<link rel="prefetch" href="$BASE/prefetch.png"><link rel="modulepreload" href="$BASE/module.js"><link rel="icon" href="$BASE/icon.png">
<link rel="dns-prefetch" href="$HOST"><link rel="preconnect" href="$BASE">
<style>@import url("$BASE/import.css");@font-face{font-family:f;src:url("$BASE/font.woff")}
body{font-family:f;background:url("$BASE/body.png")}.j{background:url(javascript:alert(1));list-style:url("$BASE/list.png")}
p::after{content:url("$BASE/content.png")}</style></head>
<body onload="$RUN" background="$BASE/background.png"><p class=j>The beginning of the mail</p>
<img src="nowhere:" onerror="$RUN"><img src="javascript:$RUN"><svg onload="$RUN"><script>$RUN</script><image href="$BASE/svgimage.png" width="9" height="9"/>
<animate onbegin="$RUN" attributeName=x dur=1s /><foreignObject><iframe src="$BASE/foreign.html"></iframe></foreignObject></svg>
<svg><style><img src=x onerror="$RUN"></style></svg><noscript><p title="</noscript><img src=x onerror=$RUN>"></noscript>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=$RUN&gt;"></table></mtext></math>
<!--[if !IE]><!--><script>$RUN</script><!--<![endif]-->
<a id=link href="javascript:$RUN">click</a><a id=data href="data:text/html,<script>$RUN</script>">click</a>
<details open ontoggle="$RUN"><summary>x</summary></details><input autofocus onfocus="$RUN"><select autofocus onfocus="$RUN"></select>
<iframe srcdoc="<script>$RUN</script>"></iframe><iframe src="javascript:$RUN"></iframe><iframe src="data:text/html,<script>$RUN</script>"></iframe>
<iframe src="$BASE/iframe.html"></iframe><frameset><frame src="$BASE/frame.html"></frameset>
<object data="$BASE/object.svg" type="image/svg+xml"></object><object data="data:text/html,<script>$RUN</script>"></object><embed src="$BASE/embed.svg" type="image/svg+xml">
<video autoplay src="$BASE/video.mp4" poster="$BASE/poster.png"></video><audio autoplay src="$BASE/audio.mp3"></audio>
<picture><source srcset="$BASE/source.png"><img srcset="$BASE/srcset.png 2x" src="$BASE/picture.png"></picture>
<img src="$HOST/noscheme.png"><img src="relative.png"><table background="$BASE/table.png"><tr><td>x</td></tr></table>
<form action="$BASE/form" id=f><input name=q value=secret><input type=image src="$BASE/input.png"><button id=submit>send</button></form>
<div style="background-image:url('$BASE/style.png')">x</div><img src="cid:evil.svg">
<p>The end of the mail</p><img src="$BASE/last.png"></body></html>`)
}

func TestHostileMail(t *testing.T) {
	provoke(t)
	tr := newTrap(t)
	doc := hostileHTML(tr.URL)
	p := start(t, config.Dev)
	attack := `"><script>` + ran + `</script><img src=x onerror="` + ran + `">`
	svg := `<svg xmlns="http://www.w3.org/2000/svg" onload="` + ran + `"><script>` + ran + `</script><image href="` + tr.URL + `/inline.png"/></svg>`
	p.must("POST", "/v3/you.test/messages", [][2]string{
		{"from", `"<script>alert(1)</script>" <me@you.test>`}, {"to", `"<b onclick=alert(1)>x" <jane@example.com>`}, {"subject", attack},
		{"text", attack}, {"html", strings.Replace(doc, "<head>", `<head><meta http-equiv="refresh" content="0;url=`+tr.URL+`/refresh">`, 1)},
		{"o:tag", `<i onclick=alert(1)>tag`}, {"h:X-Attack", attack}, {"v:attack", attack},
	}, file{"inline", "evil.svg", "image/svg+xml", svg},
		file{"attachment", `"><img src=x onerror=alert(1)>.html`, "text/html", "<script>" + ran + "</script>"},
		file{"attachment", "evil.svg", "image/svg+xml", svg})

	b := open(t)
	b.visit(p.base)
	b.says("tbody", `"><script>`)
	b.click("a.open")
	b.frameSays("The end of the mail")
	b.wait("the last image was refused", func(context.Context) (bool, error) { return b.refused("last.png"), nil })
	quiet(t, b, tr, "preview")
	for _, title := range []string{"Text", "Headers", "Raw", "Attachments", "Timeline", "SMTP", "Webhooks", "Request", "JSON"} {
		choose(b, title)
	}
	choose(b, "Attachments")
	b.until(`document.querySelectorAll("#view a[download]").length === 3`)
	for i := range 3 {
		url := b.get(fmt.Sprintf(`document.querySelectorAll("#view a[download]")[%d].href`, i))
		if got := b.header(url, "Content-Disposition"); !strings.HasPrefix(got, "attachment") {
			t.Errorf("%s is served with Content-Disposition %q", url, got)
		}
		if got := b.header(url, "Content-Security-Policy"); !strings.HasPrefix(got, "sandbox; default-src 'none'") {
			t.Errorf("%s is served under %q", url, got)
		}
	}
	// The preview on its own, as somebody may open it.
	choose(b, "Preview")
	src := b.get(`document.querySelector("iframe").src`)
	b.visit(src)
	b.says("body", "The end of the mail")
	b.get(`document.querySelector("#link").click() ?? document.querySelector("#data").click() ?? document.querySelector("#submit").click()`)
	b.says("body", "The end of the mail")
	quiet(t, b, tr, "preview opened by itself")

	onlyExpected(t, b)
	remoteImages(t, p, b, tr)
}

// provoke shows that the document does its harm where nothing stops it, so
// that silence elsewhere means something.
func provoke(t *testing.T) {
	t.Helper()
	tr := newTrap(t)
	tr.page = hostileHTML(tr.URL)
	b := open(t)
	b.visit(tr.URL + "/control")
	b.wait("scripts run and requests are made", func(context.Context) (bool, error) {
		console, _, _, _ := b.noticed()
		hits := tr.caught()
		for _, want := range []string{"script.js", "link.css", "import.css", "preload.png", "body.png", "iframe.html", "object.svg", "poster.png", "last.png", "base/relative.png"} {
			if !slices.Contains(hits, want) {
				return false, fmt.Errorf("%s was not asked for", want)
			}
		}
		return len(console) > 8, nil
	})
}

// quiet fails the test if a script ran or the trap was called.
func quiet(t *testing.T, b *tab, tr *trap, where string) {
	t.Helper()
	console, _, dialogs, _ := b.noticed()
	if len(console)+len(dialogs) > 0 {
		t.Errorf("%s: a script ran: console %q, dialogs %q", where, console, dialogs)
	}
	if b.get("document.title") == "RAN" {
		t.Errorf("%s: a script changed the title", where)
	}
	if hits := tr.caught(); len(hits) > 0 {
		t.Errorf("%s: requests were made: %q", where, hits)
	}
}

// refused reports whether a policy blocked a URL that ends in name.
func (b *tab) refused(name string) bool {
	_, _, _, blocked := b.noticed()
	return slices.ContainsFunc(blocked, func(s string) bool { return strings.HasSuffix(s, name) })
}

// header asks for a URL from within the page and returns a response header.
func (b *tab) header(url, name string) string {
	b.t.Helper()
	b.get(fmt.Sprintf("void fetch(%s).then(r => window.answered = r.headers.get(%s) ?? 'none')", quote(url), quote(name)))
	b.until("window.answered")
	return b.get("[window.answered, delete window.answered][0]")
}

// onlyExpected checks what the policies had to block: things a mail may load,
// never a script, and nothing of the panel itself.
func onlyExpected(t *testing.T, b *tab) {
	t.Helper()
	_, _, _, blocked := b.noticed()
	expected := []string{"img-src", "font-src", "media-src", "style-src-elem"}
	for _, s := range blocked {
		directive, _, _ := strings.Cut(s, " ")
		if !slices.Contains(expected, directive) {
			t.Errorf("blocked by %s, which only a mistake in the rewriting can cause", s)
		}
	}
}

// remoteImages loads what is remote when asked to: images and nothing else.
func remoteImages(t *testing.T, p *program, b *tab, tr *trap) {
	t.Helper()
	b.visit(p.base)
	b.click("a.open")
	b.frameSays("The end of the mail")
	b.says(".bar", "blocked")
	quiet(t, b, tr, "before remote images are asked for")
	b.get(`[...document.querySelectorAll(".bar a")].find(a => a.textContent.includes("Load remote images")).click()`)
	b.wait("the last image is loaded", func(context.Context) (bool, error) { return slices.Contains(tr.caught(), "last.png"), nil })
	b.says(".bar", "Remote images are shown")
	for _, hit := range tr.caught() {
		if !strings.HasSuffix(hit, ".png") {
			t.Errorf("%s was asked for, which is no image", hit)
		}
	}
	console, _, dialogs, _ := b.noticed()
	if len(console)+len(dialogs) > 0 {
		t.Errorf("with remote images a script ran: %q %q", console, dialogs)
	}
}
