package mime

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"postroad/internal/mail/mime/encword"
)

// ErrTooLarge: a message has more octets than the limit allows.
var ErrTooLarge = errors.New("message too large to parse")

// Message is a stored message as people read it.
type Message struct {
	// Header holds names as written and values decoded, in order.
	Header [][2]string
	// Text, HTML and AMP are the bodies in UTF-8; several parts of one kind
	// are joined.
	Text, HTML, AMP string
	// Attachments are all other leaves, in order; a nested message counts as
	// one and is not opened.
	Attachments []Part
	// Root is the structure.
	Root *Node
	// Truncated: parts beyond the limits were not looked into.
	Truncated bool
	// Broken: some encoding or character set was unknown or damaged, and what
	// could be read is given.
	Broken bool
}

// Part is an attached or inline file.
type Part struct {
	Name        string
	ContentType string
	// ContentID without angle brackets.
	ContentID string
	// Inline parts are meant to be shown within the text.
	Inline bool
	// Size is the number of octets of Data.
	Size int
	// Data is the decoded content; it may share memory with the message.
	Data []byte
	// Broken: the encoding was damaged or unknown.
	Broken bool
}

// Open gives a reader of the content.
func (p Part) Open() io.Reader { return bytes.NewReader(p.Data) }

// Get gives the decoded value of the first field of this name, or "".
func (m *Message) Get(name string) string {
	for _, f := range m.Header {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// Parse reads a message. Broken MIME is read as far as it makes sense; the
// errors are ErrTooLarge and ErrHeaderTooLarge.
func Parse(raw []byte, limits Limits) (*Message, error) {
	limits = limits.orDefault()
	if len(raw) > limits.MaxBytes {
		return nil, ErrTooLarge
	}
	w := walker{raw: raw, limits: limits}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return nil, err
	}
	m := &Message{Root: root, Truncated: w.truncated, Header: make([][2]string, 0, len(root.fields))}
	for _, f := range root.fields {
		if f.Name != nil {
			m.Header = append(m.Header, [2]string{string(f.Name), f.Text()})
		}
	}
	c := collector{m: m, raw: raw}
	c.collect(root)
	m.Text, m.HTML, m.AMP = c.text.String(), c.html.String(), c.amp.String()
	return m, nil
}

// Attachments reads the files of a message as Parse does and leaves its texts
// alone, which takes a tenth of the time.
func Attachments(raw []byte, limits Limits) ([]Part, error) {
	limits = limits.orDefault()
	if len(raw) > limits.MaxBytes {
		return nil, ErrTooLarge
	}
	w := walker{raw: raw, limits: limits}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return nil, err
	}
	c := collector{m: &Message{Root: root}, raw: raw, files: true}
	c.collect(root)
	return c.m.Attachments, nil
}

// collector gathers the leaves.
type collector struct {
	m               *Message
	raw             []byte
	files           bool // only attachments are wanted
	text, html, amp textJoin
}

// textJoin joins the parts of one kind; a single one is not copied.
type textJoin struct {
	first string
	n     int
	b     strings.Builder
}

func (j *textJoin) add(s string) {
	if j.n++; j.n == 1 {
		j.first = s
		return
	}
	if j.n == 2 {
		j.b.WriteString(j.first)
	}
	if j.b.Len() > 0 && s != "" {
		j.b.WriteString("\r\n")
	}
	j.b.WriteString(s)
}

// String gives the joined text.
func (j *textJoin) String() string {
	if j.n < 2 {
		return j.first
	}
	return j.b.String()
}

func (c *collector) collect(n *Node) {
	if len(n.Children) > 0 {
		for _, child := range n.Children {
			c.collect(child)
		}
		return
	}
	body := c.raw[n.Body:n.End]
	text := n.isText() || n == c.m.Root && strings.HasPrefix(n.ContentType, "multipart/")
	if text && c.files {
		return
	}
	data, clean := decodeBody(body, n.Encoding)
	switch {
	case text:
		c.addText(n, data, clean)
	case strings.HasPrefix(n.ContentType, "multipart/") && len(body) == 0:
		// an empty container: nothing to show
	default:
		c.addFile(n, data, clean)
	}
}

func (c *collector) addText(n *Node, data []byte, clean bool) {
	s, known := encword.ToUTF8(n.Charset, data)
	if !clean || !known {
		c.m.Broken = true
	}
	switch n.ContentType {
	case "text/html":
		c.html.add(s)
	case "text/x-amp-html":
		c.amp.add(s)
	default:
		c.text.add(s)
	}
}

func (c *collector) addFile(n *Node, data []byte, clean bool) {
	p := Part{
		Name: n.Name, ContentType: n.ContentType, ContentID: n.ContentID, Size: len(data), Data: data, Broken: !clean,
		Inline: n.Disposition == "inline" || n.Disposition == "" && n.ContentID != "",
	}
	if p.Name == "" && n.ContentType == "message/rfc822" {
		p.Name = "message.eml"
	}
	if !clean {
		c.m.Broken = true
	}
	c.m.Attachments = append(c.m.Attachments, p)
}
