package quote

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// PlainText makes readable text of HTML in UTF-8: a line for a line, links with
// their address behind them, lists with their marks, cells of a row with tabs
// between them, quotations with '>' before each line. What browsers do not show
// is left out. The text has LF line ends and no blanks at its ends.
func PlainText(body string) string {
	w := textWriter{}
	w.out = make([]byte, 0, len(body)/2)
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch t := z.Next(); t {
		case html.ErrorToken:
			w.closeLink()
			return strings.TrimFunc(string(w.out), unseen)
		case html.TextToken:
			if w.skip == 0 {
				w.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			w.start(atom.Lookup(name), z, more, t == html.StartTagToken)
		case html.EndTagToken:
			name, _ := z.TagName()
			w.finish(atom.Lookup(name))
		}
	}
}

// Bounds of what stands before a line, so that nesting costs no more than it
// shows, and of line ends in a row.
const (
	maxBreaks     = 4
	maxQuoteDepth = 10
	maxListDepth  = 10
)

// textWriter is the state between two tags.
type textWriter struct {
	out     []byte
	lines   int  // line ends owed before the next text
	space   byte // blank owed before the next text: ' ' or '\t'
	begun   bool // the line has text
	quotes  int
	lists   []int // by level: the last number, or -1 for marks
	deep    int   // levels beyond lists
	pre     int
	skip    atom.Atom
	href    string
	linkAt  int // where the text of the link begins
	linking bool
}

// breakLine owes at least n line ends.
func (w *textWriter) breakLine(n int) {
	if n > 0 {
		w.lines, w.space = max(w.lines, n), 0
	}
}

// owed writes what stands before text.
func (w *textWriter) owed() {
	if len(w.out) == 0 {
		w.lines, w.space = 0, 0
	}
	if w.lines > 0 {
		w.begun = false
		for ; w.lines > 1; w.lines-- {
			w.out = append(w.out, '\n')
			w.prefix()
			w.trimRight()
		}
		w.out = append(w.out, '\n')
		w.lines = 0
	}
	if !w.begun {
		w.prefix()
		w.begun, w.space = true, 0
	}
	if w.space != 0 {
		w.out = append(w.out, w.space)
		w.space = 0
	}
}

func (w *textWriter) prefix() {
	for range min(w.quotes, maxQuoteDepth) {
		w.out = append(w.out, "> "...)
	}
	for range len(w.lists) - 1 {
		w.out = append(w.out, "  "...)
	}
}

func (w *textWriter) trimRight() {
	for n := len(w.out); n > 0 && w.out[n-1] == ' '; n-- {
		w.out = w.out[:n-1]
	}
}

// text writes a text token.
func (w *textWriter) text(s string) {
	if w.pre > 0 {
		w.preformatted(s)
		return
	}
	for at := 0; at < len(s); {
		end := at
		for end < len(s) && !isSpace(s[end]) {
			end++
		}
		if end > at {
			w.word(s[at:end])
		}
		for at = end; at < len(s) && isSpace(s[at]); at++ {
		}
		if at > end && w.space == 0 && w.begun && w.lines == 0 {
			w.space = ' '
		}
	}
}

// isSpace reports whether c is of the blanks HTML takes for one.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' }

func (w *textWriter) preformatted(s string) {
	for line := range strings.Lines(s) {
		if text := strings.TrimRight(line, "\r\n"); text != "" {
			w.owed()
			w.visible(text)
		}
		if strings.HasSuffix(line, "\n") {
			w.lines = min(w.lines+1, maxBreaks)
		}
	}
}

// word writes a word, unless there is nothing to see of it.
func (w *textWriter) word(s string) {
	if strings.Trim(s, "\u00a0\u200b\ufeff") == "" {
		if w.begun && w.lines == 0 {
			w.space = ' '
		}
		return
	}
	w.owed()
	w.visible(s)
}

// visible writes text without soft hyphens and marks of no width, and with
// hard blanks as blanks.
func (w *textWriter) visible(s string) {
	for i, r := range s {
		switch r {
		case 0xa0:
			w.out = append(w.out, ' ')
		case 0xad, 0x200b, 0xfeff, 0:
		default:
			_, n := utf8.DecodeRuneInString(s[i:])
			w.out = append(w.out, s[i:i+n]...)
		}
	}
}

// start reads a start tag; raw: it is not written <as/>.
func (w *textWriter) start(tag atom.Atom, z *html.Tokenizer, more, raw bool) {
	switch tag {
	case atom.Br:
		w.lines = min(w.lines+1, maxBreaks)
		w.space = 0
	case atom.Hr:
		w.breakLine(1)
		w.owed()
		w.out = append(w.out, strings.Repeat("_", 32)...)
		w.breakLine(1)
	case atom.Img:
		if alt := strings.TrimSpace(attribute(z, more, "alt")); alt != "" {
			w.text(alt)
		}
	case atom.A:
		w.closeLink()
		w.href, w.linkAt, w.linking = attribute(z, more, "href"), len(w.out), true
	case atom.Td, atom.Th:
		if w.begun && w.lines == 0 {
			w.space = '\t'
		}
	case atom.Ul, atom.Ol:
		w.list(tag)
	case atom.Li:
		w.item()
	case atom.Blockquote:
		w.breakLine(2)
		w.flushBreak()
		w.quotes++
	case atom.Pre:
		w.breakLine(2)
		w.pre++
	default:
		if isHidden(tag) && raw {
			w.skip = tag
		}
		w.breakLine(margin(tag))
	}
}

// flushBreak writes the line ends owed but one, so that the blank line before
// a quotation has no '>'.
func (w *textWriter) flushBreak() {
	if len(w.out) == 0 {
		return
	}
	for ; w.begun && w.lines > 1; w.lines-- {
		w.out = append(w.out, '\n')
		w.prefix()
		w.trimRight()
	}
	w.begun, w.lines = false, 1
}

func (w *textWriter) finish(tag atom.Atom) {
	switch {
	case tag == w.skip:
		w.skip = 0
	case tag == atom.A:
		w.closeLink()
	case tag == atom.Ul || tag == atom.Ol:
		switch {
		case w.deep > 0:
			w.deep--
		case len(w.lists) > 0:
			w.lists = w.lists[:len(w.lists)-1]
		}
		if len(w.lists) == 0 {
			w.breakLine(2)
		}
		w.breakLine(1)
	case tag == atom.Blockquote:
		w.quotes = max(w.quotes-1, 0)
		w.breakLine(2)
	case tag == atom.Pre:
		w.pre = max(w.pre-1, 0)
		w.breakLine(2)
	case tag == atom.Td || tag == atom.Th:
	default:
		w.breakLine(margin(tag))
	}
}

// list begins a list.
func (w *textWriter) list(tag atom.Atom) {
	if len(w.lists) == 0 {
		w.breakLine(2)
	}
	w.breakLine(1)
	if len(w.lists) == maxListDepth {
		w.deep++
		return
	}
	n := -1
	if tag == atom.Ol {
		n = 0
	}
	w.lists = append(w.lists, n)
}

// item begins an item of a list.
func (w *textWriter) item() {
	w.breakLine(1)
	w.owed()
	mark := "* "
	if n := len(w.lists); n > 0 && w.lists[n-1] >= 0 {
		w.lists[n-1]++
		mark = strconv.Itoa(w.lists[n-1]) + ". "
	}
	w.out = append(w.out, mark...)
	w.begun = true
}

// closeLink writes the address of a link, unless its text says it.
func (w *textWriter) closeLink() {
	if !w.linking {
		return
	}
	w.linking = false
	href := strings.TrimSpace(w.href)
	scheme, rest, ok := strings.Cut(href, ":")
	if !ok || strings.ContainsAny(href, "\r\n<>") {
		return
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp":
		rest = strings.TrimPrefix(rest, "//")
	case "mailto", "tel":
	default:
		return
	}
	text := strings.TrimSpace(string(w.out[min(w.linkAt, len(w.out)):]))
	if text == "" || strings.TrimSuffix(text, "/") == strings.TrimSuffix(href, "/") || strings.TrimSuffix(text, "/") == strings.TrimSuffix(rest, "/") {
		return
	}
	w.space = ' '
	w.owed()
	w.out = append(append(append(w.out, '<'), href...), '>')
}

// attribute gives the value of an attribute of the tag just read.
func attribute(z *html.Tokenizer, more bool, name string) (value string) {
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		if string(k) == name {
			return string(v)
		}
	}
	return ""
}

// margin is the number of line ends around an element.
func margin(tag atom.Atom) int {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Table, atom.Dl, atom.Form, atom.Fieldset, atom.Figure:
		return 2
	case atom.Dd, atom.Dt, atom.Body, atom.Html:
		return 1
	}
	if isBlock(tag) {
		return 1
	}
	return 0
}
