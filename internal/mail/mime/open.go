package mime

import (
	"bytes"

	"postroad/internal/mail/mime/encword"
)

// Structure finds the parts of a message without decoding any, for readers
// that open a few of them. truncated tells that parts beyond the limits were
// not looked into. The errors are ErrTooLarge and ErrHeaderTooLarge.
func Structure(raw []byte, limits Limits) (root *Node, truncated bool, err error) {
	limits = limits.orDefault()
	if len(raw) > limits.MaxBytes {
		return nil, false, ErrTooLarge
	}
	w := walker{raw: raw, limits: limits}
	root, err = w.walk(0, len(raw), 0, "text/plain")
	return root, w.truncated, err
}

// Header gives the fields of the part.
func (n *Node) Header() Fields { return n.fields }

// Param gives a decoded parameter of the part's Content-Type, or "".
func (n *Node) Param(name string) string {
	f, ok := n.fields.Find("Content-Type")
	if !ok {
		return ""
	}
	_, params := parseParams(string(f.Value))
	return getParam(params, name)
}

// Content decodes the part's body in raw, the message it was found in. Of a
// body with more than max encoded octets, max are decoded, cut at a line end
// if there is one in their second half. What is not encoded shares memory with
// raw.
func (n *Node) Content(raw []byte, max int) []byte {
	body := raw[n.Body:n.End]
	if len(body) > max {
		body = body[:max]
		if i := bytes.LastIndexByte(body, '\n'); i >= max/2 {
			body = body[:i+1]
		}
	}
	data, _ := decodeBody(body, n.Encoding)
	return data
}

// Text is Content in UTF-8.
func (n *Node) Text(raw []byte, max int) string {
	s, _ := encword.ToUTF8(n.Charset, n.Content(raw, max))
	return s
}
