package quote

import (
	"strings"
)

// HTML takes quotations and what is marked or known as a signature off an HTML
// body in UTF-8. Only whole elements, and texts and pictures between tags, are
// taken; all other octets stay as they are, so valid HTML stays valid. It is
// empty if body holds nothing but a quotation, and body itself if it can not be
// told what is quoted, or the document has more than maxTags tags.
func HTML(body string) string {
	d, nothing := unquoted(body)
	switch {
	case d == nil:
		return body
	case nothing:
		return ""
	}
	dropSignature(known(), d.lines)
	return d.without()
}

// HTMLText is Text for an HTML body that comes without a text: what is quoted
// is told by its elements, what is the signature by both.
func HTMLText(body string) (stripped, signature string) {
	d, nothing := unquoted(body)
	switch {
	case d == nil:
		return Text(PlainText(body))
	case nothing:
		return "", ""
	}
	text := PlainText(d.without())
	if d.lines != nil && d.lines[len(d.lines)-1].mark == forwarded {
		return text, "" // the last words are those of somebody else
	}
	dropSignature(known(), d.lines)
	kept := PlainText(d.without())
	if kept == "" || len(kept) == len(text) || !strings.HasPrefix(text, kept) {
		return splitSignature(known(), text)
	}
	stripped, _ = splitSignature(known(), kept)
	return stripped, trimBlank(text[len(stripped):])
}

// unquoted reads a document and marks the lines that are quoted; it gives nil
// if the document is too large. nothing: there is only a quotation.
func unquoted(body string) (d *document, nothing bool) {
	d = readDocument(body)
	if d == nil {
		return nil, false
	}
	s := scanner{phrases: known(), lines: d.lines}
	s.scan()
	return d, resolve(d.lines)
}

// dropSignature marks the lines of a signature, if something is left without.
func dropSignature(p *phrases, lines []line) {
	var seen []int
	for i := range lines {
		if l := &lines[i]; !l.drop && l.mark == own && l.text != "" {
			seen = append(seen, i)
		}
		if lines[i].mark == forwarded {
			return
		}
	}
	at := max(0, len(seen)-maxDelimited-2)
	last := make([]line, 0, maxDelimited+2)
	for _, i := range seen[at:] {
		last = append(last, lines[i])
	}
	first := 0
	if at == 0 {
		first = 1
	}
	from := len(lines)
	if n := appendedStart(p, last, first); n < len(last) {
		from = seen[at+n]
	}
	left := false
	for i := range lines {
		left = left || i < from && !lines[i].drop && isContent(&lines[i])
	}
	if !left {
		return
	}
	for i := range lines {
		lines[i].drop = lines[i].drop || i >= from || lines[i].mark == signed
	}
}

// without gives the document without the lines that go: of each element that
// holds nothing else the whole, of others the pieces.
func (d *document) without() string {
	gone := make([]int32, len(d.pieces)+1) // pieces that go, before each
	for i, p := range d.pieces {
		gone[i+1] = gone[i]
		if d.lines[p.line].drop {
			gone[i+1]++
		}
	}
	if gone[len(d.pieces)] == 0 {
		return d.body
	}
	var b strings.Builder
	b.Grow(len(d.body))
	at, piece := int32(0), int32(0)
	skip := func(start, end int32) {
		if start >= at {
			b.WriteString(d.body[at:start])
			at = end
		}
	}
	pieces := func(to int32) {
		for ; piece < to; piece++ {
			if p := d.pieces[piece]; d.lines[p.line].drop {
				skip(p.start, p.end)
			}
		}
	}
	for _, e := range d.elements {
		if n := e.to - e.from; n > 0 && !e.fixed && gone[e.to]-gone[e.from] == n && e.start >= at {
			pieces(e.from)
			skip(e.start, e.end)
			piece = max(piece, e.to)
		}
	}
	pieces(int32(len(d.pieces)))
	b.WriteString(d.body[at:])
	return b.String()
}
