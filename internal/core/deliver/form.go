package deliver

import (
	"bytes"
	"io"
	"net/url"
	"strconv"
	"strings"

	"postroad/internal/base/ids"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/parsed"
)

// form is the body of a POST in pieces: large values are encoded while they are
// sent, not before, so that a form takes hardly more memory than the message it
// is made of.
type form struct {
	kind  string // Content-Type
	size  int64
	parts []func() io.Reader
	text  bytes.Buffer // of small pieces since the last large one
}

// largeValue is from where on a value is no small piece, in bytes.
const largeValue = 4 << 10

func (f *form) add(text string) {
	f.text.WriteString(text)
	f.size += int64(len(text))
}

func (f *form) large(size int64, open func() io.Reader) {
	f.flush()
	f.parts = append(f.parts, open)
	f.size += size
}

func (f *form) flush() {
	if f.text.Len() > 0 {
		text := bytes.Clone(f.text.Bytes())
		f.parts = append(f.parts, func() io.Reader { return bytes.NewReader(text) })
		f.text.Reset()
	}
}

// open reads the form from its beginning.
func (f *form) open() io.Reader {
	list := make([]io.Reader, len(f.parts))
	for i, part := range f.parts {
		list[i] = part()
	}
	return io.MultiReader(list...)
}

// urlencoded is a form without files.
func urlencoded(fields [][2]string) *form {
	f := &form{kind: "application/x-www-form-urlencoded"}
	for i, x := range fields {
		if i > 0 {
			f.add("&")
		}
		f.add(url.QueryEscape(x[0]) + "=")
		if value := x[1]; len(value) < largeValue {
			f.add(url.QueryEscape(value))
		} else {
			f.large(escapedLen(value), func() io.Reader { return &escaper{rest: value} })
		}
	}
	f.flush()
	return f
}

// multipart is a form with files, which stand behind the fields (RFC 7578).
func multipart(fields [][2]string, files []mime.Part) *form {
	boundary := ids.Hex(20)
	f := &form{kind: "multipart/form-data; boundary=" + boundary}
	begin := func(name, rest string) {
		f.add("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + inQuotes(name) + "\"" + rest + "\r\n\r\n")
	}
	for _, x := range fields {
		begin(x[0], "")
		if value := x[1]; len(value) < largeValue {
			f.add(value)
		} else {
			f.large(int64(len(value)), func() io.Reader { return strings.NewReader(value) })
		}
		f.add("\r\n")
	}
	for i, file := range files {
		name := file.Name
		if name == "" {
			name = parsed.FieldName(i)
		}
		begin(parsed.FieldName(i), "; filename=\""+inQuotes(name)+"\"\r\nContent-Type: "+typeOf(&file))
		f.large(int64(len(file.Data)), file.Open)
		f.add("\r\n")
	}
	f.add("--" + boundary + "--\r\n")
	f.flush()
	return f
}

// inQuotes writes a name as browsers do (HTML, "multipart/form-data encoding
// algorithm"), and other characters alike for which receivers would refuse or
// misread the whole form.
func inQuotes(name string) string {
	name = strings.ToValidUTF8(name, "\ufffd")
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ', c == '"', c == '\\', c == 0x7f:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// typeOf is the content type of a file, which a stranger named.
func typeOf(file *mime.Part) string {
	if file.ContentType == "" || strings.ContainsFunc(file.ContentType, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "application/octet-stream"
	}
	return file.ContentType
}

// escaper reads a text in the form of application/x-www-form-urlencoded.
type escaper struct {
	rest string
	out  []byte // encoded and not read yet
	buf  []byte
}

// Read implements io.Reader.
func (e *escaper) Read(p []byte) (int, error) {
	if len(e.out) == 0 {
		if e.rest == "" {
			return 0, io.EOF
		}
		n := min(len(e.rest), largeValue)
		e.buf = appendEscaped(e.buf[:0], e.rest[:n])
		e.out, e.rest = e.buf, e.rest[n:]
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}

const hex = "0123456789ABCDEF"

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case isBare(c):
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func escapedLen(s string) int64 {
	n := len(s)
	for i := range len(s) {
		if c := s[i]; c != ' ' && !isBare(c) {
			n += 2
		}
	}
	return int64(n)
}

// isBare reports whether an octet stands for itself, as url.QueryEscape has it.
func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}

// attached are the fields about files that are sent along.
func attached(m *parsed.Message) [][2]string {
	out := [][2]string{{"attachment-count", strconv.Itoa(len(m.Attachments))}}
	if ids := m.ContentIDJSON(); ids != "" {
		out = append(out, [2]string{"content-id-map", ids})
	}
	return out
}
