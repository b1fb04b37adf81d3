package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"os"
	"path/filepath"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// maxInput bounds what is read into memory; no server takes larger messages.
const maxInput = 1 << 30

// formBody is a multipart/form-data body whose files are read while it is sent,
// so that its length is known and no file is held in memory.
type formBody struct {
	w     *multipart.Writer
	text  *bytes.Buffer // what was written since the last file
	parts []io.Reader
	size  int64
	files []*os.File
}

func newFormBody() *formBody {
	b := &formBody{text: &bytes.Buffer{}}
	b.w = multipart.NewWriter(tail{b})
	return b
}

// tail writes to the end of a body.
type tail struct{ b *formBody }

func (t tail) Write(p []byte) (int, error) { return t.b.text.Write(p) }

// field adds a value. Writing to memory does not fail.
func (b *formBody) field(name, value string) { _ = b.w.WriteField(name, value) }

// file adds a file of the machine under its own name.
func (b *formBody) file(field, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	b.files = append(b.files, f)
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return fmt.Errorf("%s is a directory", name)
	}
	if !st.Mode().IsRegular() { // a pipe does not say how long it is
		data, err := readBounded(f)
		if err != nil {
			return err
		}
		return b.data(field, filepath.Base(name), bytes.NewReader(data), int64(len(data)))
	}
	return b.data(field, filepath.Base(name), io.LimitReader(f, st.Size()), st.Size())
}

// data adds a file with the content of r.
func (b *formBody) data(field, name string, r io.Reader, size int64) error {
	if _, err := b.w.CreateFormFile(field, name); err != nil {
		return err
	}
	b.flush()
	b.parts = append(b.parts, r)
	b.size += size
	return nil
}

func (b *formBody) flush() {
	b.size += int64(b.text.Len())
	b.parts = append(b.parts, b.text)
	b.text = &bytes.Buffer{}
}

// finish ends the body.
func (b *formBody) finish() (body io.Reader, size int64, contentType string) {
	_ = b.w.Close() // writes to memory
	b.flush()
	return io.MultiReader(b.parts...), b.size, b.w.FormDataContentType()
}

func (b *formBody) close() {
	for _, f := range b.files {
		f.Close()
	}
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("more than %s", bytesText(maxInput))
	}
	return data, err
}

// readStdin reads standard input to its end, telling a person who may wonder why
// nothing happens.
func (e *Env) readStdin() ([]byte, error) {
	if t := e.terminal(); t.Stdin && t.Stderr {
		fmt.Fprintln(e.Stderr, "Reading standard input up to Ctrl-D.")
	}
	data, err := readBounded(e.Stdin)
	if err != nil {
		return nil, unreadable("standard input", err)
	}
	return data, nil
}

// orStdin returns the text itself or, for "-", standard input.
func (e *Env) orStdin(text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	data, err := e.readStdin()
	if err == nil && len(data) == 0 {
		err = usage("standard input is empty")
	}
	return string(data), err
}

// addMIME adds a complete message and the recipients, which its header names
// when no option does. It returns the domain of its From.
func (o *sendOptions) addMIME(e *Env, b *formBody) (domain string, err error) {
	raw, err := o.readMIME(e)
	if err != nil {
		return "", err
	}
	fields, _, err := mime.ScanHeader(raw)
	if err != nil {
		return "", notMessage(o.file, err.Error())
	}
	from, err := addr.ParseList(fields.Raw("From"))
	if err != nil || len(from) == 0 {
		return "", notMessage(o.file, "its header has no usable From field")
	}
	to := o.to
	if len(to) == 0 {
		to = recipientsOf(fields)
	}
	if len(to) == 0 {
		return "", usage("--to is missing, and the header of the message names no recipient").try("postroad send --to ADDRESS " + o.file)
	}
	for _, v := range to {
		if _, err := addr.ParseList(v); err != nil {
			return "", badAddress("--to", v, err)
		}
		b.field("to", v)
	}
	return from[0].Domain, b.data("message", "message.eml", bytes.NewReader(raw), int64(len(raw)))
}

func (o *sendOptions) readMIME(e *Env) ([]byte, error) {
	if o.file == "-" {
		return e.readStdin()
	}
	f, err := os.Open(o.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage("there is no file %q", clean(o.file)).try("postroad send --help")
	}
	if err != nil {
		return nil, unreadable(o.file, err)
	}
	defer f.Close()
	raw, err := readBounded(f)
	if err != nil {
		return nil, unreadable(o.file, err)
	}
	return raw, nil
}

func notMessage(name, cause string) error {
	if name == "-" {
		name = "standard input"
	}
	f := usage("%s is not a mail message", clean(name))
	f.cause = cause
	return f.try("postroad send --help")
}

// recipientsOf gives the recipients a header names, one list for each field.
func recipientsOf(fields mime.Fields) []string {
	var out []string
	for _, f := range fields {
		if !f.Is("To") && !f.Is("Cc") && !f.Is("Bcc") {
			continue
		}
		list, err := addr.ParseList(mime.Fields{f}.Raw(string(f.Name)))
		if err == nil && len(list) > 0 {
			out = append(out, addr.Join(list))
		}
	}
	return out
}
