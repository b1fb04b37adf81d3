package panel

import (
	"io"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// rewriter makes the copy of a mail's HTML that the preview shows. What keeps
// the mail harmless is the policy it is served under; the rewriting makes it
// useful there: images of the mail itself appear, links open outside, and the
// colour scheme is the one asked for. What could only be used to attack or to
// call home is left out on the way.
type rewriter struct {
	scheme string // "light", "dark" or "inverted"
	// inline returns a data: URL for a Content-ID, or "".
	inline func(cid string) string

	out    strings.Builder
	remote int // references to things elsewhere
	skip   atom.Atom
}

// maxToken bounds one tag or text run of a mail's HTML, in octets.
const maxToken = 2 << 20

// schemeStyle sets no background: that of the frame shows through, and the
// mail's own still fills the page. The light scheme is what most mails are designed for. Inverted is what some
// clients do to mails that have no dark colours of their own.
func schemeStyle(scheme string) string {
	switch scheme {
	case "dark":
		return ":root{color-scheme:dark}"
	case "inverted":
		return ":root{color-scheme:light;filter:invert(1) hue-rotate(180deg);min-height:100%}" +
			"img,video,picture img{filter:invert(1) hue-rotate(180deg)}"
	default:
		return ":root{color-scheme:light}"
	}
}

// rewrite returns the document to serve. It copies what it does not change
// octet by octet and stops, keeping what it has, at a token beyond maxToken.
func (rw *rewriter) rewrite(doc string) string {
	rw.out.WriteString(`<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>` +
		schemeStyle(rw.scheme) + "</style>")
	z := html.NewTokenizer(strings.NewReader(doc))
	z.SetMaxBuf(maxToken)
	style := false
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if z.Err() != io.EOF {
				rw.out.WriteString("<p>[The rest is too long to preview.]</p>")
			}
			return rw.out.String()
		}
		raw := string(z.Raw())
		switch kind {
		case html.TextToken:
			rw.text(raw, style)
		case html.DoctypeToken, html.CommentToken: // ours stands; comments can hide conditional markup
		case html.EndTagToken:
			style = false
			rw.end(z.Token(), raw)
		default:
			t := z.Token()
			style = t.DataAtom == atom.Style
			if t.DataAtom == atom.Noscript { // shown, as the preview runs no scripts
				z.NextIsNotRawText()
			}
			rw.start(t, raw)
		}
	}
}

func (rw *rewriter) text(raw string, style bool) {
	if rw.skip != 0 {
		return
	}
	if style {
		raw = rw.css(raw)
	}
	rw.out.WriteString(raw)
}

func (rw *rewriter) end(t html.Token, raw string) {
	if rw.skip != 0 {
		if t.DataAtom == rw.skip {
			rw.skip = 0
		}
		return
	}
	if !dropped(t.DataAtom) {
		rw.out.WriteString(raw)
	}
}

// dropped names the elements that have no place in a mail: they run code, load
// another document, or change what addresses mean.
func dropped(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Base, atom.Link, atom.Iframe, atom.Frame, atom.Frameset,
		atom.Object, atom.Embed, atom.Applet:
		return true
	}
	return false
}

func (rw *rewriter) start(t html.Token, raw string) {
	if rw.skip != 0 {
		return
	}
	if dropped(t.DataAtom) {
		// Their text would otherwise appear as text of the mail.
		if t.DataAtom == atom.Script || t.DataAtom == atom.Iframe {
			rw.skip = t.DataAtom
		}
		return
	}
	if t.DataAtom == atom.Meta && !harmlessMeta(t) {
		return
	}
	if len(t.Attr) == 0 {
		rw.out.WriteString(raw)
		return
	}
	rw.tag(t)
}

// harmlessMeta keeps names such as color-scheme and drops http-equiv: refresh
// goes elsewhere, and the character set is ours already.
func harmlessMeta(t html.Token) bool {
	named := false
	for _, a := range t.Attr {
		switch a.Key {
		case "http-equiv", "charset":
			return false
		case "name":
			named = !strings.EqualFold(a.Val, "viewport") && !strings.EqualFold(a.Val, "referrer")
		}
	}
	return named
}

func (rw *rewriter) tag(t html.Token) {
	link := t.DataAtom == atom.A || t.DataAtom == atom.Area
	outside := false
	kept := t.Attr[:0]
	for _, a := range t.Attr {
		if strings.HasPrefix(a.Key, "on") || (link && (a.Key == "target" || a.Key == "rel" || a.Key == "ping")) {
			continue
		}
		if a.Key == "href" || a.Key == "xlink:href" {
			if link && !linkable(a.Val) {
				continue
			}
			outside = outside || link && !strings.HasPrefix(strings.TrimSpace(a.Val), "#")
		}
		a.Val = rw.attribute(a.Key, a.Val)
		kept = append(kept, a)
	}
	t.Attr = kept
	if outside {
		t.Attr = append(t.Attr, html.Attribute{Key: "target", Val: "_blank"},
			html.Attribute{Key: "rel", Val: "noopener noreferrer"})
	}
	rw.out.WriteString(t.String())
}

// linkable names what a link in a mail may open.
func linkable(href string) bool {
	href = strings.ToLower(strings.TrimSpace(href))
	for _, ok := range []string{"http://", "https://", "mailto:", "tel:", "#"} {
		if strings.HasPrefix(href, ok) {
			return true
		}
	}
	return false
}

func (rw *rewriter) attribute(key, val string) string {
	switch key {
	case "src", "background", "poster":
		if u := rw.cid(val); u != "" {
			return u
		}
		rw.count(val)
	case "srcset":
		rw.count(val)
	case "style":
		return rw.css(val)
	}
	return val
}

func (rw *rewriter) count(val string) {
	if remoteRef.MatchString(val) {
		rw.remote++
	}
}

// cid resolves a "cid:" reference (RFC 2392) to a part of the mail.
func (rw *rewriter) cid(val string) string {
	val = strings.TrimSpace(val)
	if len(val) < 5 || !strings.EqualFold(val[:4], "cid:") || rw.inline == nil {
		return ""
	}
	return rw.inline(val[4:])
}

// Compiled once; never changed.
var (
	remoteRef = regexp.MustCompile(`(?i)^\s*(https?:)?//|\shttps?://`)
	cssURL    = regexp.MustCompile(`(?i)url\(\s*["']?(cid:[^)"'\s]{1,998})["']?\s*\)`)
	cssRemote = regexp.MustCompile(`(?i)url\(\s*["']?(https?:)?//`)
	darkQuery = regexp.MustCompile(`(?i)\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)`)
)

// css puts the mail's own images into a style and decides its questions about
// the colour scheme the way the preview is asked to.
func (rw *rewriter) css(s string) string {
	rw.remote += len(cssRemote.FindAllStringIndex(s, 100))
	s = cssURL.ReplaceAllStringFunc(s, func(m string) string {
		if u := rw.cid(cssURL.FindStringSubmatch(m)[1]); u != "" {
			return `url("` + u + `")`
		}
		return m
	})
	return darkQuery.ReplaceAllStringFunc(s, func(m string) string {
		dark := strings.EqualFold(darkQuery.FindStringSubmatch(m)[1], "dark")
		if dark == (rw.scheme == "dark") {
			return "(min-width:0px)"
		}
		return "(max-width:0px)"
	})
}
