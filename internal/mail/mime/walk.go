package mime

import (
	"bytes"
	"strings"
)

// Node is a part in the structure of a message.
type Node struct {
	// ContentType is the media type in lower case, without parameters.
	ContentType string
	// Charset as declared, in lower case.
	Charset string
	// Encoding is the Content-Transfer-Encoding in lower case.
	Encoding string
	// Disposition is "inline", "attachment", another token, or empty.
	Disposition string
	// Name is the file name, decoded, without directories.
	Name string
	// ContentID without angle brackets.
	ContentID string
	// Start, Body and End are offsets in the message: of the part's header,
	// of its body, and behind its body.
	Start, Body, End int
	// Children of a multipart.
	Children []*Node

	fields   Fields
	boundary string
}

// Limits bounds what Parse does. A zero value means the default.
type Limits struct {
	MaxParts int // parts of all levels; default 1,000
	MaxDepth int // levels of multiparts; default 50
	MaxBytes int // octets of the message; default 64 MiB
}

func (l Limits) orDefault() Limits {
	if l.MaxParts <= 0 {
		l.MaxParts = 1000
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = 50
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = 64 << 20
	}
	return l
}

// walker finds the parts of a message. Each level of a multipart searches its
// own octets once more, so the octets searched are bounded too: a message that
// needs more than scanFactor passes is cut.
type walker struct {
	raw       []byte
	limits    Limits
	parts     int
	scanned   int
	truncated bool
}

const scanFactor = 12

func (w *walker) walk(start, end, depth int, defaultType string) (*Node, error) {
	w.parts++
	fields, body, err := scanHeader(w.raw, start, end)
	if err != nil {
		return nil, err
	}
	n := newNode(fields, defaultType)
	n.Start, n.Body, n.End = start, body, end
	if n.boundary == "" || !strings.HasPrefix(n.ContentType, "multipart/") {
		return n, nil
	}
	w.scanned += end - body
	if depth >= w.limits.MaxDepth || w.scanned > scanFactor*(len(w.raw)+4096) {
		w.truncated = true
		return n, nil
	}
	w.children(n, depth)
	return n, nil
}

func (w *walker) children(n *Node, depth int) {
	childType := "text/plain"
	if n.ContentType == "multipart/digest" {
		childType = "message/rfc822" // RFC 2046 section 5.1.5
	}
	delim := newDelimiter(w.raw[:n.End], n.boundary)
	_, start, last := delim.next(n.Body)
	for start >= 0 && !last {
		if w.parts >= w.limits.MaxParts {
			w.truncated = true
			return
		}
		partEnd, next, final := delim.next(start)
		if next < 0 {
			partEnd = n.End // no closing delimiter: the rest is the part
		}
		child, err := w.walk(start, partEnd, depth+1, childType)
		if err != nil {
			w.truncated = true // a header out of bounds: the part is passed over
		} else {
			n.Children = append(n.Children, child)
		}
		start, last = next, final
	}
}

// delimiter finds the delimiter lines of one multipart (RFC 2046 section 5.1.1).
type delimiter struct {
	raw  []byte
	mark []byte // "--" and the boundary
}

func newDelimiter(raw []byte, boundary string) delimiter {
	return delimiter{raw, append([]byte("--"), boundary...)}
}

// next searches from offset from, which is the start of a line. It gives the
// end of what is before the delimiter (its line end belongs to it), the offset
// behind the delimiter line, and whether it was the closing one; start is -1
// if there is none.
func (d delimiter) next(from int) (before, start int, closing bool) {
	for i := from; i < len(d.raw); {
		j := bytes.Index(d.raw[i:], d.mark)
		if j < 0 {
			break
		}
		at := i + j
		end := lineEnd(d.raw, at, len(d.raw))
		rest, isClose := bytes.CutPrefix(d.raw[at+len(d.mark):end], []byte("--"))
		if (at == from || d.raw[at-1] == '\n') && len(bytes.Trim(rest, " \t\r\n")) == 0 {
			return d.lineStart(from, at), end, isClose
		}
		i = at + len(d.mark)
	}
	return -1, -1, false
}

// lineStart takes the line end before the delimiter off.
func (d delimiter) lineStart(from, at int) int {
	if at > from && d.raw[at-1] == '\n' {
		at--
	}
	if at > from && d.raw[at-1] == '\r' {
		at--
	}
	return at
}

func newNode(fields Fields, defaultType string) *Node {
	n := &Node{ContentType: defaultType, fields: fields}
	if f, ok := fields.Find("Content-Type"); ok {
		typ, params := parseParams(string(f.Value))
		if main, sub, ok := strings.Cut(typ, "/"); ok && isToken(main) && isToken(sub) {
			n.ContentType = typ
		} else if strings.HasPrefix(typ, "text") {
			n.ContentType = "text/plain" // "text" and other forms before MIME
		}
		n.Charset = strings.ToLower(getParam(params, "charset"))
		n.boundary = getBoundary(params)
		n.Name = getParam(params, "name")
	}
	if f, ok := fields.Find("Content-Disposition"); ok {
		disp, params := parseParams(string(f.Value))
		n.Disposition = disp
		if name := getParam(params, "filename"); name != "" {
			n.Name = name
		}
	}
	n.Name = baseName(n.Name)
	cte, _, _ := strings.Cut(fields.Get("Content-Transfer-Encoding"), ";")
	n.Encoding = strings.ToLower(strings.TrimSpace(cte))
	n.ContentID = strings.Trim(fields.Get("Content-Id"), "<> ")
	return n
}

// maxBoundary is beyond the 70 of RFC 2046; a longer one is not searched for.
const maxBoundary = 250

func getBoundary(params []param) string {
	i := indexParam(params, "boundary")
	if i < 0 {
		return ""
	}
	b := strings.TrimRight(params[i].value, " \t\r\n")
	if len(b) > maxBoundary || strings.ContainsAny(b, "\r\n") {
		return ""
	}
	return b
}

// headerEnd is the offset behind the last field of the part.
func (n *Node) headerEnd() int {
	if len(n.fields) == 0 {
		return n.Start
	}
	return headerEnd(n.fields)
}

// isText reports whether the part is text to be shown as the message.
func (n *Node) isText() bool {
	switch n.ContentType {
	case "text/plain", "text/html", "text/x-amp-html":
		return n.Disposition != "attachment" && n.Name == ""
	}
	return false
}
