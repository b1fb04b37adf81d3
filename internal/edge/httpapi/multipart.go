package httpapi

import (
	"errors"
	"io"
	"mime"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// multiForm is a multipart/form-data body, read part by part. Nothing is kept:
// multipart.Reader.ReadForm would refuse a thousand recipients as parts.
type multiForm struct {
	media media
	body  *body
	parts *parts
	count int
	decl  string // charset declared by a _charset_ field
	text  textReader
	part  partReader
	end   error
}

func newMultiForm(m media, b *body) (*multiForm, error) {
	if m.boundary == "" {
		return nil, errs.New(errs.Invalid, textMultipart).WithHint("Content-Type has no boundary; let the HTTP client set the header")
	}
	return &multiForm{media: m, body: b, parts: newParts(b.buffered(), m.boundary)}, nil
}

// Multipart returns true.
func (f *multiForm) Multipart() bool { return true }

// ContentType returns multipart/form-data.
func (f *multiForm) ContentType() string { return f.media.kind }

// Next returns the next part that has a name.
func (f *multiForm) Next() (op.Field, error) {
	for f.end == nil {
		p, err := f.parts.next()
		if err != nil {
			f.end = f.phrase(err)
			break
		}
		field, skip, err := f.field(p)
		if err != nil {
			f.end = err
			break
		}
		if !skip {
			return field, nil
		}
	}
	return op.Field{}, f.end
}

func (f *multiForm) field(p part) (field op.Field, skip bool, err error) {
	if f.count++; f.count > maxParts {
		return field, false, errTooManyFields
	}
	name, filename, isFile, err := disposition(p.disposition)
	if err != nil || name == "" {
		return field, true, err
	}
	field.ContentType = p.contentType
	field.Filename, field.IsFile = filename, isFile
	if field.Name, err = cleanName(name); err != nil {
		return field, false, err
	}
	if len(field.Filename) > maxName {
		return field, false, errs.New(errs.Invalid, "file name of parameter %s is longer than 1024 bytes", clip(field.Name, 60))
	}
	if err := checkText("filename", field.Filename); err != nil {
		return field, false, err
	}
	f.part = partReader{form: f, r: p.body}
	if field.IsFile {
		field.Body = &f.part
		return field, false, nil
	}
	return f.textField(field)
}

// disposition reads the name of a part and whether, and under which name, it is
// a file. Parts with neither a name nor a sign of one are no fields.
func disposition(header string) (name, filename string, isFile bool, err error) {
	if name, ok := plainDisposition(header); ok {
		return name, "", false, nil
	}
	return fullDisposition(header)
}

// plainDisposition reads what nearly all parts have: a name in quotes that has
// nothing special in it, and no more.
func plainDisposition(header string) (name string, ok bool) {
	name, ok = strings.CutPrefix(header, `form-data; name="`)
	if !ok {
		return "", false
	}
	if name, ok = strings.CutSuffix(name, `"`); !ok {
		return "", false
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return name, true
}

func fullDisposition(header string) (name, filename string, isFile bool, err error) {
	kind, params, perr := mime.ParseMediaType(header)
	if perr != nil && header != "" {
		return looseDisposition(header)
	}
	if kind != "form-data" {
		return "", "", false, nil
	}
	filename, isFile = params["filename"]
	return params["name"], baseName(filename), isFile, nil
}

// looseDisposition reads what clients write that put a file name between
// quotes without a look at it (PHP's Guzzle, older form-data of Node.js). A
// part must not get lost for a quote in its name: the mail would go out
// without it.
func looseDisposition(header string) (name, filename string, isFile bool, err error) {
	before, after, isFile := strings.Cut(header, `; filename="`)
	_, name, _ = strings.Cut(before, `; name="`)
	name, rest, ok := strings.Cut(name, `"`)
	if !ok || name == "" || strings.TrimSpace(rest) != "" {
		return "", "", false, errs.New(errs.Invalid, textMultipart).WithHint("a part has a Content-Disposition that cannot be read: %s", clip(header, 120))
	}
	filename, _, extended := strings.Cut(after, `"; filename*=`)
	if end := strings.LastIndexByte(after, '"'); end >= 0 && !extended {
		filename = after[:end]
	}
	return name, baseName(filename), isFile, nil
}

// baseName takes off the directory some clients send.
func baseName(s string) string {
	return s[strings.LastIndexAny(s, `/\`)+1:]
}

func (f *multiForm) textField(field op.Field) (op.Field, bool, error) {
	if field.Name == "_charset_" {
		decl, err := readCharset(&f.part)
		f.decl = decl
		return field, true, err
	}
	err := f.text.reset(&f.part, field.Name, partCharset(field.ContentType, f.decl))
	field.Body = &f.text
	return field, false, err
}

func (f *multiForm) phrase(err error) error {
	if err == io.EOF {
		f.body.drain()
		if failed := f.body.failure(); failed != nil {
			return failed
		}
		return io.EOF
	}
	if failed := f.body.failure(); failed != nil {
		return failed
	}
	if errors.Is(err, io.EOF) { // no boundary, or none at the end; must not pass for the end of the form
		return errs.New(errs.Invalid, textMultipart)
	}
	return errs.Wrap(errs.Invalid, err, textMultipart)
}

// partReader gives errors inside a part the form's words.
type partReader struct {
	form *multiForm
	r    io.Reader
}

// Read reads the content of the part.
func (p *partReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if err != nil && err != io.EOF {
		err = p.form.phrase(err)
	}
	return n, err
}
