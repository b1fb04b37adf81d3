package mime

import (
	"encoding/json"
	"strings"

	"postroad/internal/mail/mime/encword"
)

// leafText is a text part after its placeholders were replaced.
type leafText struct {
	text    string
	enc     encoding
	changed bool
	ascii   bool
}

// span is octets of the message, or of the buffer being written.
type span struct {
	static     []byte
	start, end int
}

// Execute gives the message with the placeholders replaced, as pieces to be
// written one after another: pieces of the stored message as they are, and
// what changed. A placeholder lookup does not know stays. In header values,
// line breaks of a value become blanks and the field is encoded and folded
// anew; in text parts values are put in verbatim, HTML too (Mailgun does the
// same), and the part's transfer encoding and charset follow. The error is
// ErrTooLarge, for a result over MaxOutput.
func (t *Template) Execute(lookup Lookup) ([][]byte, error) {
	return t.ExecuteTracked(lookup, Links{})
}

// ExecuteTracked is Execute with the additions the template was compiled with: the
// links of this copy in the place of those of the message.
func (t *Template) ExecuteTracked(lookup Lookup, links Links) ([][]byte, error) {
	if !t.dyn {
		return [][]byte{t.raw}, nil
	}
	texts, size, err := t.expandLeaves(lookup, &links)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 0, size+1024)
	spans := make([]span, 0, 2*len(t.edits)+1)
	keep := 0
	for i := range t.edits {
		e := &t.edits[i]
		from := len(buf)
		var changed bool
		if buf, changed = t.apply(buf, e, texts, lookup); !changed {
			continue
		}
		if len(buf) > MaxOutput {
			return nil, ErrTooLarge
		}
		if e.start > keep {
			spans = append(spans, span{static: t.raw[keep:e.start]})
		}
		if len(buf) > from {
			spans = append(spans, span{start: from, end: len(buf)})
		}
		keep = e.end
	}
	if keep < len(t.raw) {
		spans = append(spans, span{static: t.raw[keep:]})
	}
	return resolve(spans, buf), nil
}

func resolve(spans []span, buf []byte) [][]byte {
	pieces := make([][]byte, len(spans))
	for i, s := range spans {
		if pieces[i] = s.static; s.static == nil {
			pieces[i] = buf[s.start:s.end:s.end]
		}
	}
	return pieces
}

// expandLeaves replaces the placeholders of the text parts: their headers,
// which are written first, depend on the result.
func (t *Template) expandLeaves(lookup Lookup, links *Links) ([]leafText, int, error) {
	texts := make([]leafText, len(t.leaves))
	total := 0
	for i, l := range t.leaves {
		out, changed := l.expand(make([]byte, 0, l.size+l.size/8+64), lookup, links)
		if total += len(out); total > MaxOutput {
			return nil, 0, ErrTooLarge
		}
		if !changed {
			continue
		}
		texts[i] = l.choose(view(out))
		total += len(out) / 2
	}
	return texts, total, nil
}

func appendValue(dst []byte, _ segment, v string) []byte {
	if len(dst) > MaxOutput {
		return dst // the caller refuses the result
	}
	return append(dst, strings.ToValidUTF8(v, "\ufffd")...)
}

// choose picks the encoding. Text sent without one stays so. Text in which a line could be taken for a
// delimiter of the multipart around it becomes base64, which has no "-".
func (l *textLeaf) choose(text string) leafText {
	r := leafText{text: text, enc: pickText(text), changed: true, ascii: isASCII(text)}
	if l.eightBit && !r.ascii && linesFit(text) && strings.IndexByte(text, 0) < 0 {
		r.enc = enc8bit
	}
	for _, b := range l.boundaries {
		if strings.Contains(text, b) {
			r.enc = encBase64
		}
	}
	return r
}

// apply writes what takes the place of one edit; false leaves it as it was.
func (t *Template) apply(buf []byte, e *edit, texts []leafText, lookup Lookup) ([]byte, bool) {
	if e.kind == editField {
		return e.field.append(buf, lookup)
	}
	leaf, text := t.leaves[e.leaf], &texts[e.leaf]
	if !text.changed {
		return buf, false
	}
	_, hasType := leaf.node.fields.Find("Content-Type")
	_, hasCTE := leaf.node.fields.Find("Content-Transfer-Encoding")
	relabel := !leaf.keepUTF8 && !(text.ascii && leaf.keepASCII)
	switch e.kind {
	case editType:
		if relabel {
			return append(buf, leaf.newType...), true
		}
		return buf, false
	case editCTE:
		if leaf.node.Encoding == text.enc.String() {
			return buf, false
		}
		return appendCTE(buf, text.enc), true
	case editAdd:
		if leaf.addMIME && (relabel || text.enc != enc7bit) {
			buf = append(buf, "MIME-Version: 1.0\r\n"...)
		}
		if !hasType && relabel {
			buf = append(buf, leaf.newType...)
		}
		if !hasCTE && text.enc != enc7bit {
			buf = appendCTE(buf, text.enc)
		}
	case editBody:
		buf = appendText(buf, text.text, text.enc)
		if e.end == len(t.raw) && text.text != "" && buf[len(buf)-1] != '\n' {
			buf = append(buf, "\r\n"...)
		}
	}
	return buf, true // editDrop writes nothing
}

func appendCTE(buf []byte, e encoding) []byte {
	return append(append(append(buf, "Content-Transfer-Encoding: "...), e.String()...), "\r\n"...)
}

// append writes the field with its values; false if none was known.
func (f *textField) append(buf []byte, lookup Lookup) ([]byte, bool) {
	write := appendHeaderValue
	if f.object {
		write = appendStringValue
	}
	out, changed := expandSegments(make([]byte, 0, 128), f.segs, lookup, write)
	if !changed {
		return buf, false
	}
	buf = append(append(buf, f.name...), ": "...)
	col := len(f.name) + 2
	if value := view(out); f.address {
		buf = encodeAddresses(buf, col, value)
	} else {
		buf = encword.AppendText(buf, col, value)
	}
	return append(buf, "\r\n"...), true
}

// appendStringValue writes a value inside a JSON string.
func appendStringValue(dst []byte, g segment, v string) []byte {
	b, err := json.Marshal(v)
	if err != nil || len(b) < 2 {
		return dst // cannot be: a Go string always has a JSON form
	}
	return appendHeaderValue(dst, g, string(b[1:len(b)-1]))
}

var lineBreaks = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", " ")

func appendHeaderValue(dst []byte, g segment, v string) []byte {
	if len(dst) > maxHeaderBytes {
		return dst // the header is over any sense; Execute bounds the whole
	}
	if strings.ContainsAny(v, "\r\n\x00") {
		v = lineBreaks.Replace(v)
	}
	if g.quoted {
		return appendEscaped(dst, v)
	}
	return append(dst, v...)
}
