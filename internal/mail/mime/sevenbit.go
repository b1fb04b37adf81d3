package mime

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ErrEightBit: a message holds octets over 127 in a place where no encoding is
// defined for them: an address that needs SMTPUTF8, a structured field, a
// boundary, a multipart that can not be read. Such a message can not be given
// to a server without 8BITMIME (RFC 6152 section 3, option 2: it bounces).
var ErrEightBit = errors.New("message can not be made 7bit")

// maxNesting bounds messages within messages that are looked into.
const maxNesting = 20

// SevenBit gives the message in a form for a server without 8BITMIME: no octet
// over 127, and no part labelled 8bit or binary (RFC 6152, RFC 2045 section
// 6.2). Leaves that need it become quoted-printable or base64, multiparts and
// nested messages are relabelled and converted inside (they may not be encoded
// themselves, RFC 2046 section 5.2.1), header text becomes encoded words (RFC
// 2047) and file names the form of RFC 2231. All other octets stay, and a
// message that needs nothing is returned as the same slice. It breaks body
// signatures, so it comes before signing. raw should have CRLF line ends. The
// errors wrap ErrEightBit or are those of Parse.
func SevenBit(raw []byte) ([]byte, error) {
	out, err := sevenBit(raw, 0, nil)
	if err == nil && bytes.HasSuffix(raw, crlf) && !bytes.HasSuffix(out, crlf) {
		out = append(out, crlf...)
	}
	return out, err
}

func sevenBit(raw []byte, nesting int, boundaries []string) ([]byte, error) {
	limits := Limits{}.orDefault()
	if len(raw) > limits.MaxBytes {
		return nil, ErrTooLarge
	}
	w := walker{raw: raw, limits: limits}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return nil, err
	}
	c := converter{raw: raw, root: root, nesting: nesting}
	if w.truncated || nesting > maxNesting {
		if !isASCII(view(raw)) {
			return nil, fmt.Errorf("%w: too many levels or parts", ErrEightBit)
		}
		return raw, nil
	}
	if err := c.node(root, boundaries); err != nil {
		return nil, err
	}
	return c.join(), nil
}

// converter collects what changes, in the order of the offsets.
type converter struct {
	raw     []byte
	root    *Node
	nesting int
	edits   []change
}

// change puts text in the place of raw[start:end].
type change struct {
	start, end int
	text       []byte
}

func (c *converter) replace(start, end int, text []byte) {
	c.edits = append(c.edits, change{start, end, text})
}

func (c *converter) join() []byte {
	if len(c.edits) == 0 {
		return c.raw
	}
	size := len(c.raw)
	for _, e := range c.edits {
		size += len(e.text) - (e.end - e.start)
	}
	out, keep := make([]byte, 0, size+2), 0
	for _, e := range c.edits {
		out = append(append(out, c.raw[keep:e.start]...), e.text...)
		keep = e.end
	}
	return append(out, c.raw[keep:]...)
}

// node converts a part. boundaries are the delimiters around it.
func (c *converter) node(n *Node, boundaries []string) error {
	switch {
	case len(n.Children) > 0:
		return c.container(n, boundaries)
	case n.ContentType == "message/rfc822" && !isEncoded(n.Encoding):
		return c.message(n, boundaries)
	}
	return c.leaf(n, boundaries)
}

// isEncoded reports whether the encoding changes octets.
func isEncoded(cte string) bool { return cte == "base64" || cte == "quoted-printable" }

// label7 is the label a part without encoded octets gets; "" keeps its own.
func label7(n *Node) string {
	if n.Encoding == "8bit" || n.Encoding == "binary" {
		return "7bit"
	}
	return ""
}

func (c *converter) container(n *Node, boundaries []string) error {
	if err := c.header(n, label7(n)); err != nil {
		return err
	}
	if !isASCII(n.boundary) {
		return fmt.Errorf("%w: boundary %q", ErrEightBit, n.boundary)
	}
	boundaries = append(boundaries[:len(boundaries):len(boundaries)], "--"+n.boundary)
	at := n.Body
	for _, child := range n.Children {
		if err := c.gap(at, child.Start, boundaries); err != nil {
			return err
		}
		if err := c.node(child, boundaries); err != nil {
			return err
		}
		at = child.End
	}
	return c.gap(at, n.End, boundaries)
}

// gap converts what no reader shows, before, between and after the parts. Its
// octets become a sign that can not complete a delimiter.
func (c *converter) gap(start, end int, boundaries []string) error {
	if isASCII(view(c.raw[start:end])) {
		return nil
	}
	sign := byte(0)
	for _, s := range []byte("*#!^~") {
		if strings.IndexByte(strings.Join(boundaries, ""), s) < 0 {
			sign = s
			break
		}
	}
	if sign == 0 {
		return fmt.Errorf("%w: text outside the parts", ErrEightBit)
	}
	text := bytes.Clone(c.raw[start:end])
	for i, b := range text {
		if b > 127 {
			text[i] = sign
		}
	}
	c.replace(start, end, text)
	return nil
}

// message converts a nested message in its place.
func (c *converter) message(n *Node, boundaries []string) error {
	body, err := sevenBit(c.raw[n.Body:n.End], c.nesting+1, boundaries)
	if err != nil {
		return err
	}
	if err := c.header(n, label7(n)); err != nil {
		return err
	}
	c.replace(n.Body, n.End, body)
	return nil
}

func (c *converter) leaf(n *Node, boundaries []string) error {
	body := c.raw[n.Body:n.End]
	if c.fits(n, body) {
		return c.header(n, label7(n))
	}
	if !mayEncode(n.ContentType) {
		if !isASCII(view(body)) {
			return fmt.Errorf("%w: body of a %s", ErrEightBit, n.ContentType)
		}
		return c.header(n, label7(n))
	}
	data, _ := decodeBody(body, n.Encoding)
	enc, text := encodeLeaf(n, data, boundaries)
	if err := c.header(n, enc.String()); err != nil {
		return err
	}
	c.replace(n.Body, n.End, text)
	return nil
}

// mayEncode is false for the types that are 7bit or broken (RFC 2045 section
// 6.4, RFC 2046 sections 5.2.2 and 5.2.3); a multipart gets here without parts.
func mayEncode(contentType string) bool {
	return !strings.HasPrefix(contentType, "multipart/") &&
		contentType != "message/partial" && contentType != "message/external-body"
}

// fits reports whether the body may go as it is, but for its label.
func (c *converter) fits(n *Node, body []byte) bool {
	s := view(body)
	if !isASCII(s) {
		return false
	}
	switch n.Encoding {
	case "binary":
		return linesFit(s) && strings.IndexByte(s, 0) < 0 && cleanCRLF(s)
	case "8bit":
		return linesFit(s) && strings.IndexByte(s, 0) < 0
	}
	return true
}

// encodeLeaf writes a text as the shorter of the two encodings, and anything
// else as base64, which also is what can not hold a delimiter. Quoted-printable
// has line ends of its own kind, so only text with clean ones takes it.
func encodeLeaf(n *Node, data []byte, boundaries []string) (encoding, []byte) {
	s := view(data)
	if strings.HasPrefix(n.ContentType, "text/") && cleanCRLF(s) && pickText(s) != encBase64 {
		text := appendQP(nil, s)
		if !containsAny(text, boundaries) {
			return encQP, text
		}
	}
	return encBase64, appendBase64(nil, data)
}

func containsAny(text []byte, marks []string) bool {
	for _, m := range marks {
		if strings.Contains(view(text), m) {
			return true
		}
	}
	return false
}

// header converts the fields of a part and labels it; cte "" keeps the label.
func (c *converter) header(n *Node, cte string) error {
	labelled, version := false, false
	for _, f := range n.fields {
		version = version || f.Is("MIME-Version")
		if cte != "" && f.Is("Content-Transfer-Encoding") {
			var text []byte
			if !labelled {
				text = []byte("Content-Transfer-Encoding: " + cte + "\r\n")
			}
			c.replace(f.Start, f.End, text)
			labelled = true
			continue
		}
		if isASCII(view(c.raw[f.Start:f.End])) {
			continue
		}
		text, err := asciiField(f)
		if err != nil {
			return err
		}
		if c.raw[f.End-1] != '\n' {
			text = bytes.TrimSuffix(text, crlf) // the header just stops there
		}
		c.replace(f.Start, f.End, text)
	}
	c.label(n, cte, labelled, version)
	return nil
}

// label adds the fields an encoded part lacks, at the end of its header.
func (c *converter) label(n *Node, cte string, labelled, version bool) {
	var text []byte
	if cte != "" && cte != "7bit" {
		if n == c.root && !version {
			text = append(text, "MIME-Version: 1.0\r\n"...)
		}
		if !labelled {
			text = append(text, "Content-Transfer-Encoding: "+cte+"\r\n"...)
		}
	}
	if len(text) == 0 {
		return
	}
	at := n.Start
	if len(n.fields) > 0 {
		at = headerEnd(n.fields)
	}
	c.replace(at, at, text)
}
