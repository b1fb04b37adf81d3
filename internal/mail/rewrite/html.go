package rewrite

import (
	"strings"

	"golang.org/x/net/html"
)

// Link is where a link stands, without quotes.
type Link struct {
	Start, End int
	Quote      byte // around the value of an attribute; 0 for none, and in plain text
}

// Page is what was found in an HTML text.
type Page struct {
	// Links are the href of <a> and <area> elements that begin with http://,
	// https:// or a percent sign, as a placeholder does. Elements with the
	// attribute disable-tracking are left out unless its value is false. Mailgun:
	// disable-tracking=true.
	Links []Link
	// Top is where the page begins to show: behind <body>, or behind what of a
	// doctype and a head there is. Bottom is before the last </body>, or the end.
	Top, Bottom int

	rank kind // of what Top is behind
}

// HTML looks through s, which may be anything, for at most max links.
func HTML(s string, max int) Page {
	p := Page{Bottom: -1}
	for z := (tokens{s: s}); ; {
		switch z.next() {
		case end:
			if p.Bottom < 0 {
				p.Bottom = z.start
			}
			return p
		case doctype:
			p.top(z.end, doctype)
		case startTag:
			switch z.name() {
			case "html":
				p.top(z.end, root)
			case "body":
				p.top(z.end, body)
			case "a", "area":
				if len(p.Links) < max {
					p.link(s, &z)
				}
			}
		case endTag:
			switch z.name() {
			case "head":
				p.top(z.end, head)
			case "body":
				p.Bottom = z.start
			}
		}
	}
}

// top is called with the end of what is of the given rank; the first of the
// highest rank counts.
func (p *Page) top(at int, of kind) {
	if of > p.rank {
		p.Top, p.rank = at, of
	}
}

// link adds the href of a tag that has one to be rewritten. Of an attribute given
// twice the first counts.
func (p *Page) link(s string, z *tokens) {
	href, found := Link{}, false
	for a := (attribute{end: z.nameEnd}); a.next(s); {
		switch key := s[a.key:a.keyEnd]; {
		case !found && strings.EqualFold(key, "href"):
			found = true
			if v := strings.TrimLeft(Decode(s[a.value.Start:a.value.End]), blanks); webLink(v) || strings.HasPrefix(v, "%") {
				href = a.value
			}
		case strings.EqualFold(key, "disable-tracking"):
			if !strings.EqualFold(s[a.value.Start:a.value.End], "false") {
				return
			}
		}
	}
	if href.End > 0 {
		p.Links = append(p.Links, href)
	}
}

// Decode gives the value of an attribute with its character references decoded:
// "&amp;" becomes "&", but in "?a=1&copy=2" there is none.
func Decode(value string) string {
	i := strings.IndexByte(value, '&')
	if i < 0 {
		return value
	}
	b := append(make([]byte, 0, len(value)), value[:i]...)
	for rest := value[i:]; rest != ""; {
		switch {
		case rest[0] != '&':
			n := strings.IndexByte(rest, '&')
			if n < 0 {
				n = len(rest)
			}
			b, rest = append(b, rest[:n]...), rest[n:]
		case strings.HasPrefix(rest, "&amp;"):
			b, rest = append(b, '&'), rest[len("&amp;"):]
		default:
			n := 1
			for n < len(rest) && alnum(rest[n]) {
				n++
			}
			if n == len(rest) || rest[n] != '=' { // which follows the name of a parameter
				return decodeAny(value)
			}
			b, rest = append(b, rest[:n]...), rest[n:]
		}
	}
	return string(b)
}

func decodeAny(value string) string {
	z := html.NewTokenizer(strings.NewReader(`<a b="` + strings.ReplaceAll(value, `"`, "&#34;") + `">`))
	z.Next()
	z.TagName()
	_, v, _ := z.TagAttr()
	return string(v)
}
