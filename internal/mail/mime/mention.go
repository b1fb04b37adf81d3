package mime

import (
	"bytes"
	"strings"

	"postroad/internal/mail/mime/encword"
)

// MentionsUnsubscribe reports whether a copy of raw needs links by which its
// recipient leaves: %unsubscribe_url%, %tag_unsubscribe_url% or
// %unsubscribe_email% stands in its header or in a text part, as Template finds
// them. It takes a microsecond for most messages, as it looks into parts only when
// one may be encoded.
func MentionsUnsubscribe(raw []byte) bool {
	plain := mentions(view(raw))
	if !plain && !mayHide(raw) {
		return false
	}
	limits := Limits{}.orDefault()
	if len(raw) > limits.MaxBytes {
		return false
	}
	w := walker{raw: raw, limits: limits}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return false
	}
	for _, f := range root.fields {
		if tf := newTextField(f); tf != nil && mentioned(tf.segs) {
			return true
		}
	}
	return partMentions(raw, root, plain)
}

// mayHide reports whether the names of transfer encodings of text occur, as
// anybody writes them, or the header has an encoded word.
func mayHide(raw []byte) bool {
	header := raw
	if n := bytes.Index(raw, []byte("\r\n\r\n")); n >= 0 {
		header = raw[:n]
	}
	return bytes.Contains(header, []byte("=?")) || bytes.Contains(raw, []byte("64")) ||
		bytes.Contains(raw, []byte("-print")) || bytes.Contains(raw, []byte("-Print")) || bytes.Contains(raw, []byte("-PRINT"))
}

// mentions is a quick look for what the names begin with.
func mentions(s string) bool {
	return strings.Contains(s, "%unsubscribe_") || strings.Contains(s, "%tag_unsub")
}

func mentioned(segs []segment) bool {
	for _, g := range segs {
		switch g.name {
		case "unsubscribe_url", "tag_unsubscribe_url", "unsubscribe_email":
			return true
		}
	}
	return false
}

// partMentions looks through the parts of n; plain: one that is not encoded may
// have a placeholder.
func partMentions(raw []byte, n *Node, plain bool) bool {
	for _, child := range n.Children {
		if partMentions(raw, child, plain) {
			return true
		}
	}
	encoded := n.Encoding == "base64" || n.Encoding == "quoted-printable"
	if len(n.Children) > 0 || !strings.HasPrefix(n.ContentType, "text/") || !plain && !encoded {
		return false
	}
	data, _ := decodeBody(raw[n.Body:n.End], n.Encoding)
	text := view(data)
	if !encword.IsASCIISuperset(n.Charset) {
		text, _ = encword.ToUTF8(n.Charset, data)
	}
	return mentions(text) && mentioned(placeholders(text))
}
