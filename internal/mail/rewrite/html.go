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
}

// HTML looks through s, which may be anything, for at most max links.
func HTML(s string, max int) Page {
	var p Page
	z := html.NewTokenizer(strings.NewReader(s))
	rank, closed := none, false
	for at := 0; ; {
		kind := z.Next()
		if kind == html.ErrorToken { // with half a tag, perhaps: what stands before it is shown
			if !closed {
				p.Bottom = at
			}
			return p
		}
		start := at
		at += len(z.Raw())
		switch kind {
		case html.DoctypeToken:
			p.top(at, doctype, &rank)
		case html.StartTagToken, html.SelfClosingTagToken:
			p.open(z, s[start:at], start, max, &rank)
		case html.EndTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "head":
				p.top(at, head, &rank)
			case "body":
				p.Bottom, closed = start, true
			}
		case html.CommentToken:
			if at == len(s) && !ends(s[start:]) {
				at = start // an open comment hides what is put behind it
			}
		}
	}
}

// What says where a page begins to show; a higher one overrules.
const (
	none = iota
	doctype
	root
	head
	body
)

// top is called with the end of what is of the given rank; the first counts.
func (p *Page) top(at, of int, rank *int) {
	if of > *rank {
		p.Top, *rank = at, of
	}
}

// open looks at a start tag, whose text begins at the offset start.
func (p *Page) open(z *html.Tokenizer, tag string, start, max int, rank *int) {
	name, _ := z.TagName()
	switch string(name) {
	case "html":
		p.top(start+len(tag), root, rank)
	case "body":
		p.top(start+len(tag), body, rank)
	case "noscript":
		z.NextIsNotRawText() // programs that show mail run no scripts
	case "a", "area":
		if len(p.Links) >= max {
			return
		}
		if l := hyperlink(tag, len(name)); l.End > 0 {
			p.Links = append(p.Links, Link{start + l.Start, start + l.End, l.Quote})
		}
	}
}

// ends reports whether a comment has an end.
func ends(comment string) bool {
	if strings.HasPrefix(comment, "<!--") {
		return strings.HasSuffix(comment, "-->") || strings.HasSuffix(comment, "--!>")
	}
	return strings.HasSuffix(comment, ">")
}

// hyperlink returns the href in a tag that has one to be rewritten. Of an
// attribute given twice the first counts.
func hyperlink(tag string, name int) (href Link) {
	found := false
	for a := (attribute{end: 1 + name}); a.next(tag); {
		switch key := tag[a.key : a.key+a.keyLen]; {
		case !found && strings.EqualFold(key, "href"):
			found = true
			if v := strings.TrimLeft(Decode(tag[a.value.Start:a.value.End]), blanks); webLink(v) || strings.HasPrefix(v, "%") {
				href = a.value
			}
		case strings.EqualFold(key, "disable-tracking"):
			if !strings.EqualFold(tag[a.value.Start:a.value.End], "false") {
				return Link{}
			}
		}
	}
	return href
}

// attribute is one attribute of a tag.
type attribute struct {
	key, keyLen int
	value       Link
	end         int // of the attribute
}

// next moves on to the next attribute of a complete start tag, by the rules of
// the tokenizer ("13.2.5.32 Before attribute name state" and the following of the
// HTML standard).
func (a *attribute) next(tag string) bool {
	i, last := a.end, len(tag)-1 // of '>'
	for i < last && (space(tag[i]) || tag[i] == '/') {
		i++
	}
	if i >= last {
		return false
	}
	a.key = i
	for i++; i < last && !space(tag[i]) && tag[i] != '/' && tag[i] != '='; {
		i++
	}
	a.keyLen, a.value, a.end = i-a.key, Link{i, i, 0}, i
	if i = skip(tag, i, last); i >= last || tag[i] != '=' {
		return true
	}
	i = skip(tag, i+1, last)
	switch {
	case i >= last:
		a.value.Start, a.value.End, a.end = last, last, last
	case tag[i] == '"' || tag[i] == '\'':
		a.value = Link{i + 1, last, tag[i]}
		if n := strings.IndexByte(tag[i+1:last], tag[i]); n >= 0 {
			a.value.End = i + 1 + n
		}
		a.end = min(a.value.End+1, last)
	default:
		a.value.Start = i
		for i < last && !space(tag[i]) {
			i++
		}
		a.value.End, a.end = i, i
	}
	return true
}

func skip(s string, i, end int) int {
	for i < end && space(s[i]) {
		i++
	}
	return i
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// Decode gives the value of an attribute with its character references decoded:
// "&amp;" becomes "&", but in "?a=1&copy=2" there is none.
func Decode(value string) string {
	if strings.IndexByte(value, '&') < 0 {
		return value
	}
	z := html.NewTokenizer(strings.NewReader(`<a b="` + strings.ReplaceAll(value, `"`, "&#34;") + `">`))
	z.Next()
	z.TagName()
	_, v, _ := z.TagAttr()
	return string(v)
}
