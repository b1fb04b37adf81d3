package message

import (
	"bytes"
	"encoding/binary"
	"hash"
	"io"
	"mime"
	"path"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	imime "postroad/internal/mail/mime"
)

// pair is one form field.
type pair struct{ name, value string }

// form is a send request as it was sent: fields in order, files apart.
type form struct {
	fields   []pair // without the Rails style []
	files    []imime.File
	inline   []imime.File
	message  []byte    // the MIME of messages.mime
	isFile   bool      // whether message came as a file
	notFiles string    // attachment or inline that came as text: no file, ignored
	options  int       // bytes of o:, h:, v: and t: names and values
	hash     hash.Hash // nil when nobody asks for it
	scratch  *bytes.Buffer
	in       counted // the field being read
	size     int64
	memory   *memory
	held     int64 // of memory
}

// maxKept bounds what is remembered of a request for the panel.
const (
	maxKeptFields = 60
	maxKeptValue  = 300
)

// errTooLarge is the refusal of a message over the limit.
func errTooLarge(limit int64) error {
	return errs.New(errs.TooLarge, "message size exceeds the limit of %d bytes", limit)
}

// readForm reads the request body as a stream, hashing it into digest unless
// that is nil. What it holds is taken from the budget m; the caller releases it.
func readForm(f op.Form, limit int64, m *memory, digest hash.Hash) (*form, error) {
	r := &form{hash: digest, memory: m, scratch: m.buffer(), fields: make([]pair, 0, 8)}
	for {
		field, err := f.Next()
		if err == io.EOF { // not errors.Is: a body that breaks off is no end
			return r, nil
		}
		if err == nil {
			err = r.take(field, limit)
		}
		if err != nil {
			r.release()
			return nil, err
		}
	}
}

// release gives back what the form held of the budget, and its scratch buffer,
// of which nothing that stays is a part.
func (r *form) release() {
	r.memory.give(r.held)
	r.held = 0
	if r.scratch != nil {
		r.memory.reuse(r.scratch)
		r.scratch = nil
	}
}

// counted reads at most left bytes of a field and counts them against the
// budget.
type counted struct {
	r    *form
	body io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if n > 0 && !c.r.memory.take(int64(n)) {
		return 0, errBusy()
	}
	c.r.held += int64(n)
	return n, err
}

func errBusy() error {
	return errs.New(errs.Unavailable, "too much mail is being received at this moment, try again later")
}

func (r *form) take(field op.Field, limit int64) error {
	r.scratch.Reset()
	r.in = counted{r: r, body: field.Body, left: limit - r.size + 1}
	if _, err := r.scratch.ReadFrom(&r.in); err != nil {
		return err
	}
	data := r.scratch.Bytes() // what stays is copied below
	if r.size += int64(len(data)); r.size > limit {
		return errTooLarge(limit)
	}
	name := strings.TrimSuffix(field.Name, "[]")
	r.digest(name, field.Filename, data)
	switch {
	case field.IsFile && field.Filename == "" && len(data) == 0:
		return nil // the file input of a form in which none was chosen
	case name == "message":
		r.message, r.isFile = r.keep(data), field.IsFile
	case field.IsFile && len(r.files)+len(r.inline) >= MaxFiles:
		return errs.New(errs.Invalid, "Too many attachments, max is %d", MaxFiles)
	case field.IsFile && name == "attachment":
		r.files = append(r.files, file(field, r.keep(data)))
	case field.IsFile && name == "inline":
		r.inline = append(r.inline, file(field, r.keep(data)))
	case field.IsFile && (name == "recipient-variables" || strings.HasPrefix(name, "t:") || name == "text" || name == "html" || name == "amp-html"):
		return r.text(name, data)
	case field.IsFile:
		return errs.New(errs.Invalid, "'%s' parameter may not be a file", shorten(name, 60))
	default:
		if (name == "attachment" || name == "inline") && len(data) > 0 {
			r.notFiles = name
		}
		return r.text(name, data)
	}
	return nil
}

// keep returns data for good: a copy, or scratch itself if it is large.
func (r *form) keep(data []byte) []byte {
	if len(data) <= 4*usualBytes {
		return bytes.Clone(data)
	}
	r.scratch = &bytes.Buffer{}
	return data
}

func (r *form) text(name string, data []byte) error {
	if bytes.IndexByte(data, 0) >= 0 || strings.IndexByte(name, 0) >= 0 {
		return errs.New(errs.Invalid, "'%s' parameter contains a NUL byte", shorten(strings.ReplaceAll(name, "\x00", ""), 60))
	}
	if !utf8.Valid(data) {
		return errs.New(errs.Invalid, "parameter %s is not valid UTF-8", shorten(strings.ToValidUTF8(name, "?"), 60))
	}
	if len(name) > 2 && name[1] == ':' && strings.IndexByte("ohvt", name[0]) >= 0 {
		if r.options += len(name) + len(data); r.options > MaxOptions {
			return errs.New(errs.Invalid, "Send options (parameters starting with o:, h:, v:, or t:) are limited to 16 kB total")
		}
	}
	r.fields = append(r.fields, pair{name, string(data)})
	return nil
}

// digest adds a field to the hash that tells repeated requests from changed
// ones. Boundaries and transfer details do not count.
func (r *form) digest(name, filename string, data []byte) {
	if r.hash == nil {
		return
	}
	var n [8]byte
	for _, s := range [][]byte{[]byte(name), []byte(filename), data} {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		r.hash.Write(n[:])
		r.hash.Write(s)
	}
}

func file(f op.Field, data []byte) imime.File {
	ct := f.ContentType
	name := path.Base(strings.ReplaceAll(f.Filename, `\`, "/"))
	if name == "." || name == "/" {
		name = "attachment"
	}
	if ct == "" || ct == "application/octet-stream" {
		if byName := mime.TypeByExtension(path.Ext(name)); byName != "" {
			ct = byName
		}
	}
	if ct == "" {
		ct = "application/octet-stream"
	}
	return imime.File{Name: name, ContentType: ct, ContentID: f.ContentID, Data: data}
}

// get returns the first value of a field and whether it was sent.
func (r *form) get(name string) (string, bool) {
	for _, p := range r.fields {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// template is the name of the template that is asked for by a parameter.
func (r *form) template() string {
	v, _ := r.get("template")
	return v
}

// hasTemplate reports whether a template is asked for in any way.
func (r *form) hasTemplate() bool {
	if strings.TrimSpace(r.template()) != "" {
		return true
	}
	for _, p := range r.fields {
		if strings.EqualFold(p.name, "h:x-mailgun-template-name") && strings.TrimSpace(p.value) != "" {
			return true
		}
	}
	return false
}

// hold takes n bytes more from the budget.
func (r *form) hold(n int) error {
	if !r.memory.take(int64(n)) {
		return errBusy()
	}
	r.held += int64(n)
	return nil
}

// all returns every value of a field.
func (r *form) all(name string) (out []string) {
	for _, p := range r.fields {
		if p.name == name {
			out = append(out, p.value)
		}
	}
	return out
}

// kept returns the fields for the record of the request, values shortened and
// files by name and size.
func (r *form) kept() [][2]string {
	out := make([][2]string, 0, min(len(r.fields), maxKeptFields)+len(r.files)+len(r.inline))
	for _, p := range r.fields {
		if len(out) == maxKeptFields {
			break
		}
		out = append(out, [2]string{shorten(p.name, 100), shorten(p.value, maxKeptValue)})
	}
	for _, f := range r.files[:min(len(r.files), maxKeptFields)] {
		out = append(out, [2]string{"attachment", describe(f)})
	}
	for _, f := range r.inline[:min(len(r.inline), maxKeptFields)] {
		out = append(out, [2]string{"inline", describe(f)})
	}
	return out
}

func describe(f imime.File) string {
	return "@" + shorten(f.Name, 100) + " (" + f.ContentType + ")"
}

// shorten cuts s to at most n bytes at a character border.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "..."
}
