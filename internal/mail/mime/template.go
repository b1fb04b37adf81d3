package mime

import (
	"strings"

	"postroad/internal/mail/mime/encword"
)

// MaxOutput is the size in octets an executed template may not pass.
const MaxOutput = 64 << 20

// Template is a stored message with placeholders in header values or in
// text/* parts, and with what tracking adds to these. It keeps the message it was
// compiled from and may be executed by several goroutines at once.
type Template struct {
	raw     []byte
	fields  Fields
	edits   []edit // in the order of their offsets
	leaves  []*textLeaf
	dyn     bool
	leaving bool // a text has %unsubscribe_url%
}

// editKind tells what stands in the place of some octets of the message.
type editKind int

const (
	editField editKind = iota // a header field with placeholders
	editType                  // Content-Type of a text part
	editCTE                   // Content-Transfer-Encoding of a text part
	editDrop                  // a second Content-Transfer-Encoding
	editAdd                   // fields a text part lacks, before its empty line
	editBody                  // body of a text part
)

// edit replaces raw[start:end].
type edit struct {
	kind       editKind
	start, end int
	field      *textField
	leaf       int
}

// textField is a header field with placeholders.
type textField struct {
	name    string
	address bool
	object  bool // a JSON object: values stand in its strings
	segs    []segment
}

// textLeaf is a text part in which something changes.
type textLeaf struct {
	node       *Node
	segs       []segment
	size       int      // octets of the text, about
	boundaries []string // delimiters of the multiparts around it
	keepASCII  bool     // the charset label is right for ASCII text
	keepUTF8   bool     // and for UTF-8
	eightBit   bool     // it is sent as UTF-8 without an encoding
	newType    []byte   // the Content-Type field with charset utf-8
	addMIME    bool     // the message has no MIME-Version
}

// CompileTemplate finds the placeholders of a message (see Expand) in the
// values of its header, also folded and in encoded words, and in its text/*
// parts, decoded. Other parts and nested messages are left alone, and so is a
// text part whose charset or encoding is unknown. raw should have CRLF line
// ends and must not change afterwards. The errors are those of Parse.
func CompileTemplate(raw []byte) (*Template, error) { return CompileTracked(raw, Additions{}) }

// CompileTracked is CompileTemplate for a message whose copies get additions.
func CompileTracked(raw []byte, add Additions) (*Template, error) {
	limits := Limits{}.orDefault()
	if len(raw) > limits.MaxBytes {
		return nil, ErrTooLarge
	}
	w := walker{raw: raw, limits: limits}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return nil, err
	}
	t := &Template{raw: raw, fields: root.fields}
	c := compiler{Template: t, add: add, links: maxLinks}
	c.compileHeader(root)
	c.compileParts(root, root, nil, false)
	t.dyn = len(t.edits) > 0
	return t, nil
}

// HasPlaceholders reports whether executing can change anything.
func (t *Template) HasPlaceholders() bool { return t.dyn }

// HasField reports whether the message's header has a field of this name.
func (t *Template) HasField(name string) bool {
	_, ok := t.fields.Find(name)
	return ok
}

// HasUnsubscribeURL reports whether %unsubscribe_url% stands in the text of the
// message.
func (t *Template) HasUnsubscribeURL() bool { return t.leaving }

// compiler makes a Template.
type compiler struct {
	*Template
	add        Additions
	links      int  // that may still be rewritten
	html, text bool // a part of that kind has what is added once
}

// compileHeader adds the fields of the message's header, with those of the
// root when it is a text part itself, as they mix.
func (c *compiler) compileHeader(root *Node) {
	leaf := -1
	if len(root.Children) == 0 {
		if l := c.newLeaf(root, nil, c.tracks(root)); l != nil {
			l.addMIME = !c.HasField("MIME-Version")
			leaf = len(c.leaves)
			c.leaves = append(c.leaves, l)
		}
	}
	c.addFields(root, leaf, true)
}

// compileParts goes through the parts of n. What is signed gets no additions
// (RFC 1847), and values only where the author asks for them.
func (c *compiler) compileParts(root, n *Node, boundaries []string, signed bool) {
	if n.boundary != "" {
		boundaries = append(boundaries[:len(boundaries):len(boundaries)], "--"+n.boundary)
	}
	signed = signed || n.ContentType == "multipart/signed"
	for _, child := range n.Children {
		c.compileParts(root, child, boundaries, signed)
	}
	if n == root || len(n.Children) > 0 {
		return
	}
	if l := c.newLeaf(n, boundaries, !signed && c.tracks(n)); l != nil {
		c.leaves = append(c.leaves, l)
		c.addFields(n, len(c.leaves)-1, false)
	}
}

// addFields adds the edits of one header and, if leaf >= 0, of its body.
func (c *compiler) addFields(n *Node, leaf int, top bool) {
	seen := [2]bool{}
	for _, f := range n.fields {
		e := edit{start: f.Start, end: f.End, leaf: leaf}
		isType, isCTE := f.Is("Content-Type"), f.Is("Content-Transfer-Encoding")
		switch {
		case leaf >= 0 && isType && !seen[0]:
			e.kind, seen[0] = editType, true
		case leaf >= 0 && isCTE && !seen[1]:
			e.kind, seen[1] = editCTE, true
		case leaf >= 0 && isCTE:
			e.kind = editDrop
		case top && !isType && !isCTE:
			if e.field = newTextField(f); e.field == nil {
				continue
			}
		default:
			continue
		}
		c.edits = append(c.edits, e)
	}
	if leaf < 0 {
		return
	}
	at := n.headerEnd()
	c.edits = append(c.edits, edit{kind: editAdd, start: at, end: at, leaf: leaf},
		edit{kind: editBody, start: n.Body, end: n.End, leaf: leaf})
}

// newTextField gives nil for a field without placeholders.
func newTextField(f RawField) *textField {
	if f.Name == nil || !validName(string(f.Name)) {
		return nil
	}
	raw := view(f.Value)
	if strings.IndexByte(raw, '%') < 0 && !strings.Contains(raw, "=?") {
		return nil
	}
	tf := &textField{name: string(f.Name), address: IsAddressField(string(f.Name)),
		object: f.Is("X-Mailgun-Variables") || f.Is("X-Mailgun-Template-Variables")}
	var text string
	if tf.address && !strings.Contains(raw, `"=?`) {
		text = encword.DecodeWith(string(f.Value), quoteWord)
	} else {
		text = encword.Decode(string(f.Value))
	}
	if tf.segs = placeholders(text); tf.segs == nil {
		return nil
	}
	if tf.address {
		markQuoted(tf.segs)
	}
	return tf
}

// quoteWord keeps what an encoded word held one word of a name.
func quoteWord(s string) string { return string(appendEscaped([]byte{'"'}, s)) + `"` }

func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// markQuoted finds the placeholders inside quoted strings.
func markQuoted(segs []segment) {
	in := false
	for i := range segs {
		if segs[i].name != "" {
			segs[i].quoted = in
			continue
		}
		for j := 0; j < len(segs[i].text); j++ {
			switch segs[i].text[j] {
			case '\\':
				j++
			case '"':
				in = !in
			}
		}
	}
}

// newLeaf gives nil for a part that is to stay as it is. additions: it may get
// some.
func (c *compiler) newLeaf(n *Node, boundaries []string, additions bool) *textLeaf {
	if !strings.HasPrefix(n.ContentType, "text/") {
		return nil
	}
	body := c.raw[n.Body:n.End]
	encoded := n.Encoding == "base64" || n.Encoding == "quoted-printable"
	if !additions && !encoded && strings.IndexByte(view(body), '%') < 0 {
		return nil // cheap and the common case; character sets of mail keep '%'
	}
	data, clean := decodeBody(body, n.Encoding)
	if !clean && !encoded {
		return nil
	}
	text, known := encword.ToUTF8(n.Charset, data)
	if !known {
		return nil
	}
	c.leaving = c.leaving || n.isText() && strings.Contains(text, unsubscribeURL)
	segs := c.segments(n, text, additions)
	if segs == nil {
		return nil
	}
	l := &textLeaf{
		node: n, segs: segs, size: len(text), boundaries: boundaries,
		keepASCII: encword.IsASCIISuperset(n.Charset), keepUTF8: encword.IsUTF8Charset(n.Charset), newType: utf8Type(n),
	}
	l.eightBit = l.keepUTF8 && !encoded && EightBit(body)
	for i := range segs {
		l.size += segs[i].room()
	}
	return l
}

// utf8Type writes the Content-Type field of a part with charset utf-8 and its
// other parameters as they were.
func utf8Type(n *Node) []byte {
	f, ok := n.fields.Find("Content-Type")
	if !ok {
		return []byte("Content-Type: " + n.ContentType + "; charset=utf-8\r\n")
	}
	value := string(f.Value)
	_, params := parseParams(value)
	head, _, _ := strings.Cut(value, ";")
	out := "Content-Type: " + strings.Trim(head, " \t\r\n")
	if main, sub, ok := strings.Cut(strings.TrimPrefix(out, "Content-Type: "), "/"); !ok || !isToken(main) || !isToken(sub) {
		out = "Content-Type: " + n.ContentType
	}
	out += "; charset=utf-8"
	for _, p := range params {
		if p.name != "charset" && !strings.HasPrefix(p.name, "charset*") {
			out += strings.TrimRight(value[p.start:p.end], " \t\r\n")
		}
	}
	return append(NormalizeCRLF([]byte(out)), "\r\n"...)
}
