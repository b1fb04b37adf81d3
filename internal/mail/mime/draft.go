package mime

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// ErrFileName: the name of an attached file holds control characters or is
// longer than 255 octets.
var ErrFileName = errors.New("invalid file name")

const maxFileName = 255

// Draft is a message to be built.
type Draft struct {
	// Header holds the fields in their order, as text. MIME-Version,
	// Content-Type and Content-Transfer-Encoding are the builder's: fields of
	// these names are left out, as they would contradict the structure.
	Header []Field
	// Text, HTML and AMP are the alternatives. An empty one is present only
	// if its Has field says so: SDKs send empty text beside HTML.
	Text, HTML, AMP          string
	HasText, HasHTML, HasAMP bool
	// Attachments are files to keep; Inline are files the HTML shows.
	Attachments, Inline []File
	// Report is a report-type: the message becomes a multipart/report (RFC
	// 6522), its attachments the parts that follow the text.
	Report string
	// Rand gives the boundaries; nil means crypto/rand.
	Rand io.Reader
}

// File is an attached or inline file.
type File struct {
	Name string
	// ContentType as given by the sender; empty or unusable ones are derived
	// from the name.
	ContentType string
	// ContentID without angle brackets; empty means Name, for inline files
	// (Mailgun: referenced as cid:<filename>).
	ContentID string
	Data      []byte
}

// part is a node of the structure being built.
type part struct {
	ctype    string // media type for containers and texts
	children []*part
	text     string
	file     *File
	inline   bool
	report   string // of a container: its report-type
	bare     bool   // of a file: a part of a report, written without disposition
	enc      encoding
	clean    bool   // of a text: its line ends are CRLF already
	level    string // level of a container's boundary
}

// Build writes the message: multipart/mixed(multipart/related(
// multipart/alternative(text/plain, text/x-amp-html, text/html), inline),
// attachments) without the levels that have one child only. The error is a
// *FieldError or wraps ErrFileName, or comes from Rand.
func (d *Draft) Build() ([]byte, error) {
	size := 1024
	for _, f := range d.Header {
		if err := f.Check(); err != nil {
			return nil, err
		}
		size += len(f.Name) + len(f.Value) + len(f.Value)/4 + 8
	}
	for _, files := range [][]File{d.Attachments, d.Inline} {
		for i := range files {
			if err := checkFile(&files[i]); err != nil {
				return nil, err
			}
		}
	}
	root := d.tree()
	stem := ""
	if len(root.children) > 0 {
		var err error
		if stem, err = newBoundary(d.Rand, root.contains); err != nil {
			return nil, err
		}
	}
	dst := make([]byte, 0, size+root.size())
	for _, f := range d.Header {
		if !isBuilderField(f.Name) {
			dst = appendField(dst, f)
		}
	}
	dst = append(dst, "MIME-Version: 1.0\r\n"...)
	dst = root.append(dst, stem)
	if n := len(dst); n < 2 || dst[n-1] != '\n' {
		dst = append(dst, "\r\n"...)
	}
	return dst, nil
}

func isBuilderField(name string) bool {
	return strings.EqualFold(name, "MIME-Version") || strings.EqualFold(name, "Content-Type") ||
		strings.EqualFold(name, "Content-Transfer-Encoding")
}

func checkFile(f *File) error {
	bad := func(s string) bool {
		return len(s) > maxFileName || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
	}
	if bad(f.Name) || bad(f.ContentID) {
		return fmt.Errorf("%w: %q", ErrFileName, f.Name)
	}
	if strings.ContainsAny(f.ContentType, "\r\n\x00") {
		return &FieldError{"Content-Type", ErrHeaderInjection}
	}
	return nil
}

// tree lays out the structure.
func (d *Draft) tree() *part {
	var alts []*part
	if d.HasText || d.Text != "" {
		alts = append(alts, textPart("text/plain", d.Text))
	}
	if d.HasAMP || d.AMP != "" {
		alts = append(alts, textPart("text/x-amp-html", d.AMP))
	}
	rich := d.HasHTML || d.HTML != ""
	if rich {
		alts = append(alts, textPart("text/html", d.HTML))
	}
	rich = rich || d.HasAMP || d.AMP != ""
	inline, attached := fileParts(d.Inline, true), fileParts(d.Attachments, false)
	if len(alts)+len(inline)+len(attached) == 0 {
		alts = append(alts, textPart("text/plain", ""))
	}
	body := collapse("multipart/alternative", "3", alts)
	if rich && len(inline) > 0 {
		body = []*part{{ctype: "multipart/related", level: "2", children: append(body, inline...)}}
	} else {
		attached = append(inline, attached...)
	}
	if d.Report != "" {
		for _, p := range attached {
			p.bare = true
		}
		return (&part{ctype: "multipart/report", report: d.Report, level: "1", children: append(body, attached...)}).settle()
	}
	if len(attached) == 0 {
		return body[0].settle()
	}
	return (&part{ctype: "multipart/mixed", level: "1", children: append(body, attached...)}).settle()
}

func collapse(ctype, level string, parts []*part) []*part {
	if len(parts) < 2 {
		return parts
	}
	return []*part{{ctype: ctype, level: level, children: parts}}
}

func textPart(ctype, s string) *part {
	t := look(s)
	if !t.ascii { // nor will it be after this, and its line ends stay
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	return &part{ctype: ctype, text: s, enc: t.pick(s), clean: t.clean}
}

func fileParts(files []File, inline bool) []*part {
	parts := make([]*part, 0, len(files))
	for i := range files {
		f := &files[i]
		ctype, enc := fileType(f)
		parts = append(parts, &part{ctype: ctype, file: f, inline: inline, enc: enc})
	}
	return parts
}

// settle marks containers that hold an 8bit part (RFC 2045 section 6.4).
func (p *part) settle() *part {
	for _, c := range p.children {
		if c.settle().enc == enc8bit {
			p.enc = enc8bit
		}
	}
	return p
}

// contains searches the bodies that are written as they are.
func (p *part) contains(s string) bool {
	for _, c := range p.children {
		if c.contains(s) {
			return true
		}
	}
	switch {
	case p.enc != enc7bit && p.enc != enc8bit:
		return false
	case p.file != nil:
		return strings.Contains(view(p.file.Data), s)
	}
	return strings.Contains(p.text, s)
}

// size estimates the octets of the part, a little high.
func (p *part) size() int {
	n := 400 + 3*len(p.children)
	for _, c := range p.children {
		n += c.size()
	}
	if p.file != nil {
		return n + base64Len(len(p.file.Data)) + 8*len(p.file.Name)
	}
	switch p.enc {
	case encBase64:
		return n + base64Len(len(p.text)+len(p.text)/16)
	case encQP:
		return n + len(p.text)*3/2
	}
	if p.clean {
		return n + len(p.text)
	}
	return n + len(p.text) + len(p.text)/16
}

// append writes the part's header and body.
func (p *part) append(dst []byte, stem string) []byte {
	dst = append(append(dst, "Content-Type: "...), p.ctype...)
	switch {
	case p.children != nil:
		return p.appendContainer(dst, stem)
	case p.file != nil:
		return p.appendFile(dst)
	}
	dst = append(dst, "; charset=utf-8\r\nContent-Transfer-Encoding: "...)
	dst = append(append(dst, p.enc.String()...), "\r\n\r\n"...)
	if p.clean && p.enc == enc7bit {
		return append(dst, p.text...)
	}
	return appendText(dst, p.text, p.enc)
}

func (p *part) appendContainer(dst []byte, stem string) []byte {
	boundary := boundaryAt(p.level, stem)
	if p.ctype == "multipart/related" {
		dst = appendParam(dst, "type", p.children[0].ctype) // RFC 2387 section 3.1
	}
	if p.report != "" {
		dst = appendParam(dst, "report-type", p.report)
	}
	dst = append(appendParam(dst, "boundary", boundary), "\r\n"...)
	if p.enc == enc8bit {
		dst = append(dst, "Content-Transfer-Encoding: 8bit\r\n"...)
	}
	for _, c := range p.children {
		dst = append(append(append(dst, "\r\n--"...), boundary...), "\r\n"...)
		dst = c.append(dst, stem)
	}
	return append(append(append(dst, "\r\n--"...), boundary...), "--\r\n"...)
}
