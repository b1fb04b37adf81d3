package quote

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of a document: of its tags and pieces, and of the text kept of a line.
const (
	maxTags     = 500_000
	maxLineText = 700
)

// document is HTML as lines, with where they stand in it.
type document struct {
	body     string
	lines    []line
	pieces   []piece
	elements []element
}

// piece is a text, or a tag that is something to see, of a line.
type piece struct{ start, end, line int32 }

// element is where an element stands, and which pieces it holds.
type element struct {
	start, end int32
	from, to   int32 // pieces
	firstLine  int32
	fixed      bool // never taken alone: html, head, body
}

// open is an element whose end was not seen yet.
type open struct {
	tag     atom.Atom
	element int32
	mark    mark // what its lines are
	// holder is 1 + the element around a quotation, which may also hold
	// answers, or 0.
	holder int32
}

// reader builds a document.
type reader struct {
	d       *document
	at, end int32 // of the token
	stack   []open
	count   map[atom.Atom]int // open elements by tag
	text    []byte            // of the current line
	flushed bool              // it has its text
	broken  bool              // the next piece begins a line
	fresh   bool              // an element begins with it
	next    mark              // of the line that begins next, if not own
	holders map[int32]bool    // elements around quotations: is there a quotation marked in it
	skip    atom.Atom         // the element whose text is not shown
	pre     int
}

// readDocument divides HTML into lines; it gives nil if there is too much of it.
func readDocument(body string) *document {
	if len(body) > maxBody {
		return nil
	}
	r := reader{d: &document{body: body}, count: map[atom.Atom]int{}, holders: map[int32]bool{}, broken: true}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		t := z.Next()
		r.at, r.end = r.end, r.end+int32(len(z.Raw()))
		if t == html.ErrorToken {
			break
		}
		if len(r.d.pieces)+len(r.d.elements) > maxTags || len(r.d.lines) > maxLines {
			return nil
		}
		switch t {
		case html.TextToken:
			r.texts()
		case html.StartTagToken, html.SelfClosingTagToken:
			r.startTag(z, t == html.StartTagToken)
		case html.EndTagToken:
			name, _ := z.TagName()
			r.endTag(atom.Lookup(name))
		}
	}
	r.closeAll()
	return r.d
}

// startTag reads a start tag; raw: it is not written <as/>.
func (r *reader) startTag(z *html.Tokenizer, raw bool) {
	name, more := z.TagName()
	tag := atom.Lookup(name)
	a := readAttributes(z, more)
	switch {
	case tag == 0:
		return // of a namespace, o:p: not taken alone
	case isVoid(tag):
		r.void(tag, a)
		return
	case isHidden(tag):
		if raw {
			r.skip = tag
		}
		return
	}
	r.closeImplied(tag)
	if isBlock(tag) {
		r.broken, r.fresh = true, true
	}
	o := open{tag: tag, element: int32(len(r.d.elements))}
	if n := len(r.stack); n > 0 {
		o.mark, o.holder = r.stack[n-1].mark, r.stack[n-1].holder
	}
	r.classify(&o, a)
	r.d.elements = append(r.d.elements, element{
		start: r.at, end: -1, from: int32(len(r.d.pieces)), firstLine: int32(len(r.d.lines)),
		fixed: tag == atom.Html || tag == atom.Body || tag == atom.Head,
	})
	if tag == atom.Pre {
		r.pre++
	}
	r.count[tag]++
	r.stack = append(r.stack, o)
}

// classify finds what the lines of an element are by the marks mail programs
// leave on it.
func (r *reader) classify(o *open, a attributes) {
	switch m := a.means(o.tag); m {
	case meansQuote:
		if o.holder > 0 {
			r.holders[o.holder-1] = true
		}
		o.mark = quoted
	case meansHolder:
		if o.holder == 0 && o.mark == own {
			o.holder = o.element + 1
			r.holders[o.element] = false
			r.flush()
			r.broken = true
		}
	case meansIntro:
		if o.mark == own {
			o.mark = intro
		}
	case meansBlockquote:
		if o.mark == own {
			o.mark = maybe
		}
	case meansSignature:
		if o.mark == own {
			o.mark = signed
		}
	case meansCut:
		r.next = cut
	case meansRule:
		if o.mark == own {
			r.line(rule)
			r.broken = true
		}
	}
}

// closeImplied closes what the start of a tag closes by the rules of HTML.
func (r *reader) closeImplied(tag atom.Atom) {
	n := len(r.stack)
	if n == 0 {
		return
	}
	top := r.stack[n-1].tag
	switch {
	case top == atom.P && isBlock(tag), top == atom.Li && tag == atom.Li, top == atom.Head && tag == atom.Body,
		(top == atom.Td || top == atom.Th) && (tag == atom.Td || tag == atom.Th || tag == atom.Tr),
		top == atom.Tr && tag == atom.Tr, (top == atom.Dt || top == atom.Dd) && (tag == atom.Dt || tag == atom.Dd):
		r.pop(r.at)
		r.closeImplied(tag)
	}
}

// maxMisnested is how far an end tag of an inline element looks for its start.
const maxMisnested = 8

func (r *reader) endTag(tag atom.Atom) {
	if r.skip != 0 && tag == r.skip {
		r.skip = 0
		return
	}
	if tag == 0 || r.count[tag] == 0 {
		return
	}
	if isBlock(tag) {
		r.broken, r.fresh = true, true
	} else if !r.near(tag) {
		return
	}
	for {
		top := r.stack[len(r.stack)-1].tag
		if top == tag {
			r.pop(r.end)
			return
		}
		r.pop(r.at)
	}
}

// near reports whether an inline element is open without a block in it.
func (r *reader) near(tag atom.Atom) bool {
	for i := len(r.stack) - 1; i >= 0 && i >= len(r.stack)-maxMisnested; i-- {
		if r.stack[i].tag == tag {
			return true
		}
		if isBlock(r.stack[i].tag) {
			return false
		}
	}
	return false
}

// pop closes the innermost element at an offset.
func (r *reader) pop(end int32) {
	o := r.stack[len(r.stack)-1]
	r.stack = r.stack[:len(r.stack)-1]
	r.count[o.tag]--
	if o.tag == atom.Pre {
		r.pre--
	}
	e := &r.d.elements[o.element]
	e.end, e.to = end, int32(len(r.d.pieces))
	if isBlock(o.tag) || o.mark != own {
		r.broken = true
	}
	if marked, ok := r.holders[o.element]; ok {
		r.flush()
		r.broken = true
		r.held(r.d.lines[min(int(e.firstLine), len(r.d.lines)):], marked)
	}
}

// maxHeld is the number of lines above a quotation that introduce it.
const maxHeld = 6

// held marks the lines of an element around a quotation: what is above the
// quotation, or all if none is marked in it.
func (r *reader) held(lines []line, marked bool) {
	above := 0
	for above < len(lines) && lines[above].mark != quoted {
		above++
	}
	if marked && above > maxHeld {
		return
	}
	for i := range lines {
		l := &lines[i]
		switch {
		case !marked:
			l.mark, l.sure = quoted, true
		case i < above && l.mark == own:
			l.mark, l.sure = intro, true
		}
	}
}

func (r *reader) closeAll() {
	for len(r.stack) > 0 {
		r.pop(int32(len(r.d.body)))
	}
	r.flush()
}

// void reads a tag without content.
func (r *reader) void(tag atom.Atom, a attributes) {
	switch tag {
	case atom.Br:
		r.piece(r.at, r.end)
		r.broken = true
	case atom.Hr:
		r.broken = true
		if a.means(tag) == meansCut {
			r.next = cut
		}
		m := rule
		if n := len(r.stack); n > 0 && r.stack[n-1].mark != own {
			m = r.stack[n-1].mark
		}
		r.line(m)
		r.piece(r.at, r.end)
		r.broken = true
	case atom.Img, atom.Input:
		r.piece(r.at, r.end)
		r.d.lines[len(r.d.lines)-1].picture = !a.tiny
	}
}

// texts reads a text token, in pre line by line.
func (r *reader) texts() {
	if r.skip != 0 {
		return
	}
	raw := r.d.body[r.at:r.end]
	if r.pre == 0 {
		r.words(raw, r.at)
		return
	}
	for at := 0; at < len(raw); {
		end := len(raw)
		if n := strings.IndexByte(raw[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		r.piece(r.at+int32(at), r.at+int32(end))
		r.add(raw[at:end])
		r.broken = r.broken || raw[end-1] == '\n'
		at = end
	}
}

// words reads text in which line ends are blanks. Blanks between tags are
// nothing by themselves.
func (r *reader) words(raw string, at int32) {
	if strings.Trim(raw, " \t\r\n\f") == "" {
		if !r.broken && len(r.text) > 0 {
			r.add(" ")
		}
		return
	}
	r.piece(at, at+int32(len(raw)))
	r.add(raw)
}

// add adds to the text of the line.
func (r *reader) add(raw string) {
	if len(r.text) >= maxLineText {
		return
	}
	raw = raw[:min(len(raw), maxLineText)]
	if strings.IndexByte(raw, '&') >= 0 {
		raw = html.UnescapeString(raw)
	}
	r.text = append(r.text, raw...)
}

// piece adds a piece to the line, or to the one that begins with it.
func (r *reader) piece(start, end int32) {
	if r.broken || len(r.d.lines) == 0 {
		m := own
		if n := len(r.stack); n > 0 {
			m = r.stack[n-1].mark
		}
		r.line(m)
	}
	r.d.pieces = append(r.d.pieces, piece{start, end, int32(len(r.d.lines) - 1)})
}

// line begins a line.
func (r *reader) line(m mark) {
	r.flush()
	l := line{mark: m, n: 1, sure: m == quoted || m == maybe || m == intro || m == signed}
	if r.next != own && m != quoted {
		l.mark, l.sure = r.next, true
	}
	l.fresh, r.flushed = r.fresh, false
	r.next, r.broken, r.fresh = own, false, false
	r.d.lines = append(r.d.lines, l)
}

// flush gives the current line its text and adds it to the run it continues.
func (r *reader) flush() {
	n := len(r.d.lines)
	if n == 0 || r.flushed {
		return
	}
	r.flushed = true
	l := &r.d.lines[n-1]
	if l.mark == own || l.sure {
		l.text = trim(string(oneBlank(r.text)))
	}
	r.text = r.text[:0]
	if l.mark == own && !l.picture {
		l.mark = plainMark(l.text)
	}
	if before := appendLine(r.d.lines[:n-1], *l); len(before) < n {
		r.d.lines = before
		for i := len(r.d.pieces) - 1; i >= 0 && int(r.d.pieces[i].line) == n-1; i-- {
			r.d.pieces[i].line--
		}
		r.broken = true
	}
}

// oneBlank makes runs of blanks one blank, in place.
func oneBlank(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		if isSpace(c) {
			if n := len(out); n == 0 || out[n-1] == ' ' {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return out
}
