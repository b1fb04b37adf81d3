package mime

import (
	"slices"
	"strings"

	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/rewrite"
)

// Additions says what the copies of a message get besides values of placeholders.
// They are made in the parts that are the message's text; files, signed parts,
// AMP and nested messages have none.
type Additions struct {
	// HTMLLinks and TextLinks: links lead to where Links.Click says. Left alone are
	// those rewrite.Target does not want, and those with a way out of further mail in
	// them (%unsubscribe_url% and the like).
	HTMLLinks, TextLinks bool
	// Pixel: the first HTML part gets a picture nobody sees, at its end or at its
	// top.
	Pixel, PixelTop bool
	// HTMLFooter and TextFooter are put at the end of the first HTML part and the
	// first plain one, unless %unsubscribe_url% stands in that part: it says itself
	// how to leave, and shall not say so twice.
	HTMLFooter, TextFooter string
	// Base is the scheme://host of our own links, which are left as they are.
	Base string
}

// Links are those of one copy.
type Links struct {
	// Click returns what takes the place of a link to url: a URL of letters and
	// digits that means the same in HTML and text. nil leaves the links as they are.
	Click func(url string) string
	Pixel string // URL of the picture; "" for none
}

// maxLinks is how many links of a message are rewritten; the others stay.
const maxLinks = 10_000

const (
	unsubscribeURL = "%unsubscribe_url%"
	pixelStart     = `<img src="`
	pixelEnd       = `" width="1" height="1" alt="" style="border:0;width:1px;height:1px">`
)

// link is a link of a text, which is in the segment's text.
type link struct {
	url string // where it leads, if there are no placeholders in it

	segs    []segment
	decoded []string // of segs, with the character references of HTML decoded
	html    bool
	ends    string // characters that end it; with a value that has one it is another text
	base    string
}

// room is how much more than its text a segment takes, about.
func (g *segment) room() int {
	switch {
	case g.link != nil:
		return 100 + linktoken.MaxURL/32
	case g.pixel:
		return 300
	}
	return 0
}

// tracks reports whether the part may get additions.
func (c *compiler) tracks(n *Node) bool {
	a := &c.add
	switch {
	case !n.isText(), n.Body == n.headerEnd(): // nothing says that the header is over
		return false
	case n.ContentType == "text/html":
		return a.HTMLLinks || a.Pixel || a.HTMLFooter != ""
	}
	return n.ContentType == "text/plain" && (a.TextLinks || a.TextFooter != "")
}

// mark is what takes the place of text[start:end].
type mark struct {
	start, end int
	segs       []segment
}

// segments cuts a text at what may change in it; nil if that is nothing. What is
// signed within the text (RFC 9580 section 7) gets no additions.
func (c *compiler) segments(n *Node, text string, additions bool) []segment {
	switch {
	case !additions, strings.Contains(text, "-----BEGIN PGP "):
		return placeholders(text)
	case n.ContentType == "text/html":
		return cut(text, c.htmlMarks(text))
	}
	return cut(text, c.textMarks(n, text))
}

func (c *compiler) htmlMarks(text string) (marks []mark) {
	page := rewrite.HTML(text, c.links)
	if c.add.HTMLLinks {
		marks = c.linkMarks(marks, text, page.Links, true)
	}
	if c.html {
		return marks
	}
	c.html = true
	if c.add.HTMLFooter != "" && !strings.Contains(text, unsubscribeURL) {
		marks = append(marks, mark{page.Bottom, page.Bottom, footer(c.add.HTMLFooter)})
	}
	if at := page.Bottom; c.add.Pixel {
		if c.add.PixelTop {
			at = page.Top
		}
		marks = append(marks, mark{at, at, []segment{{pixel: true}}})
	}
	slices.SortStableFunc(marks, func(a, b mark) int { return a.start - b.start })
	return marks
}

func (c *compiler) textMarks(n *Node, text string) (marks []mark) {
	if c.add.TextLinks {
		syn := rewrite.Syntax{Placeholder: placeholderLen}
		if f, ok := n.fields.Find("Content-Type"); ok {
			_, params := parseParams(string(f.Value))
			syn.DelSp = strings.EqualFold(getParam(params, "delsp"), "yes")
		}
		marks = c.linkMarks(marks, text, rewrite.Text(text, c.links, syn), false)
	}
	if !c.text && c.add.TextFooter != "" && !strings.Contains(text, unsubscribeURL) {
		marks = append(marks, mark{len(text), len(text), footer(ownLine(text, c.add.TextFooter))})
	}
	c.text = true
	return marks
}

// ownLine returns a footer of text that begins in a line of its own: a link at the
// end of the text must not go on in it.
func ownLine(text, footer string) string {
	if text == "" || strings.HasSuffix(text, "\n") || strings.HasPrefix(footer, "\n") || strings.HasPrefix(footer, "\r\n") {
		return footer
	}
	return "\r\n" + footer
}

func footer(text string) []segment {
	segs := pieces(text)
	for i := range segs {
		segs[i].added = true
	}
	return segs
}

func placeholderLen(s string) int {
	if name := placeholderAt(s); name != "" {
		return len(name) + 2
	}
	return 0
}

func (c *compiler) linkMarks(marks []mark, text string, found []rewrite.Link, html bool) []mark {
	for _, f := range found {
		s := text[f.Start:f.End]
		if l := newLink(s, f.Quote, html, c.add.Base); l != nil {
			marks = append(marks, mark{f.Start, f.End, []segment{{text: s, link: l}}})
			c.links--
		}
	}
	return marks
}

// newLink gives nil for a link that is to stay as it is.
func newLink(s string, quote byte, html bool, base string) *link {
	l := &link{segs: placeholders(s), html: html, base: base, ends: " \t\r\n<>\""}
	if l.segs == nil {
		var ok bool
		l.url, ok = rewrite.Target(l.decode(s), base)
		if !ok {
			return nil
		}
		return l
	}
	switch {
	case quote != 0:
		l.ends = string(quote)
	case html:
		l.ends = " \t\r\n\f>\"'"
	}
	for _, g := range l.segs {
		if strings.HasSuffix(g.name, "unsubscribe_url") || g.name == "unsubscribe_email" {
			return nil
		}
		l.decoded = append(l.decoded, l.decode(g.text))
	}
	return l
}

func (l *link) decode(s string) string {
	if l.html {
		return rewrite.Decode(s)
	}
	return s
}

// target returns where the link leads in one copy; false if it is to stay.
func (l *link) target(lookup Lookup) (string, bool) {
	if l.segs == nil {
		return l.url, true
	}
	b := make([]byte, 0, 256)
	for i, g := range l.segs {
		s := l.decoded[i]
		if g.name != "" {
			if v, ok := lookup(g.name); ok {
				if len(v) > 2*linktoken.MaxURL || strings.ContainsAny(v, l.ends) {
					return "", false
				}
				s = l.decode(strings.ToValidUTF8(v, "\ufffd"))
			}
		}
		if b = append(b, s...); len(b) > 4*linktoken.MaxURL {
			return "", false
		}
	}
	return rewrite.Target(string(b), l.base)
}

// cut puts marks, which are in order, into a text.
func cut(text string, marks []mark) []segment {
	if len(marks) == 0 {
		return placeholders(text)
	}
	segs := make([]segment, 0, 2*len(marks)+1)
	at := 0
	for _, m := range marks {
		segs = append(append(segs, pieces(text[at:m.start])...), m.segs...)
		at = m.end
	}
	return append(segs, pieces(text[at:])...)
}

// pieces is placeholders with the text itself where there is none.
func pieces(text string) []segment {
	if segs := placeholders(text); segs != nil || text == "" {
		return segs
	}
	return []segment{{text: text}}
}

// expand writes the text of one copy; changed reports whether it differs.
func (l *textLeaf) expand(dst []byte, lookup Lookup, links *Links) (out []byte, changed bool) {
	for i := range l.segs {
		g := &l.segs[i]
		this := false
		switch {
		case g.link != nil:
			dst, this = g.appendLink(dst, lookup, links)
		case g.pixel && links.Pixel != "":
			dst, this = append(append(append(dst, pixelStart...), links.Pixel...), pixelEnd...), true
		default:
			dst, this = expandSegments(dst, l.segs[i:i+1], lookup, appendValue)
		}
		changed = changed || this || g.added
	}
	return dst, changed
}

func (g *segment) appendLink(dst []byte, lookup Lookup, links *Links) (out []byte, changed bool) {
	if links.Click != nil {
		if url, ok := g.link.target(lookup); ok {
			return append(dst, links.Click(url)...), true
		}
	}
	if g.link.segs == nil {
		return append(dst, g.text...), false
	}
	return expandSegments(dst, g.link.segs, lookup, appendValue)
}
