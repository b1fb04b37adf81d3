package httpapi

import (
	"bufio"
	"io"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// urlForm is an application/x-www-form-urlencoded body, decoded while it is
// read so that a message of 25 MB is never held twice. It follows the WHATWG
// URL standard: fields are parted by & alone.
type urlForm struct {
	media media
	body  *body
	in    *bufio.Reader
	count int
	decl  string
	text  textReader
	value urlValue
	name  []byte
	end   error
}

func newURLForm(m media, b *body) *urlForm {
	f := &urlForm{media: m, body: b, in: b.buffered()}
	f.value = urlValue{form: f, done: true}
	return f
}

// Multipart returns false.
func (f *urlForm) Multipart() bool { return false }

// ContentType returns application/x-www-form-urlencoded.
func (f *urlForm) ContentType() string { return f.media.kind }

// Next returns the next field; what is unread of the one before is skipped.
func (f *urlForm) Next() (op.Field, error) {
	for f.end == nil {
		field, skip, err := f.next()
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

func (f *urlForm) next() (field op.Field, skip bool, err error) {
	if err := f.value.skip(); err != nil {
		return field, false, err
	}
	found, err := f.readName()
	if err != nil || !found {
		return field, !found, err
	}
	if f.count++; f.count > maxParts {
		return field, false, errTooManyFields
	}
	name, ok := unescapeInto(f.name)
	if !ok {
		return field, false, errs.New(errs.Invalid, textEscape)
	}
	if field.Name, err = cleanName(name); err != nil {
		return field, false, err
	}
	if field.Name == "_charset_" {
		f.decl, err = readCharset(&f.value)
		return field, true, err
	}
	err = f.text.reset(&f.value, field.Name, f.decl)
	field.Body = &f.text
	return field, false, err
}

// readName reads up to the equals sign. It reports false for an empty field,
// and io.EOF at the end of the body.
func (f *urlForm) readName() (bool, error) {
	f.name = f.name[:0]
	for {
		c, err := f.in.ReadByte()
		switch {
		case err == io.EOF && len(f.name) > 0:
			f.value.done = true
			return true, nil
		case err != nil:
			return false, err
		case c == '=':
			f.value.done = false
			return true, nil
		case c == '&':
			f.value.done = true
			return len(f.name) > 0, nil
		case len(f.name) >= 3*maxName:
			return false, errLongName
		}
		f.name = append(f.name, c)
	}
}

// urlValue decodes the value the form stands at.
type urlValue struct {
	form *urlForm
	done bool
}

// Read decodes up to the next ampersand.
func (v *urlValue) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !v.done {
		chunk, err := v.fill()
		if err != nil {
			return n, err
		}
		out, used, stop := decodeChunk(p[n:], chunk)
		n += out
		if _, err := v.form.in.Discard(used); err != nil {
			return n, err
		}
		switch stop {
		case stopEnd:
			v.done = true
		case stopBad:
			return n, errs.New(errs.Invalid, textEscape)
		case stopMore:
			if used > 0 {
				continue
			}
			if err := v.moreEscape(); err != nil {
				return n, err
			}
		}
	}
	if n == 0 && v.done {
		return 0, io.EOF
	}
	return n, nil
}

// fill returns what is buffered, reading once when that is nothing.
func (v *urlValue) fill() ([]byte, error) {
	in := v.form.in
	if in.Buffered() == 0 {
		if _, err := in.Peek(1); err == io.EOF {
			v.done = true
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	return in.Peek(in.Buffered())
}

// moreEscape waits for the rest of an escape that begins what is buffered.
func (v *urlValue) moreEscape() error {
	_, err := v.form.in.Peek(3)
	if err == io.EOF {
		return errs.New(errs.Invalid, textEscape)
	}
	return err
}

func (v *urlValue) skip() error {
	var scrap [1024]byte
	for {
		_, err := v.Read(scrap[:])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stop says why decodeChunk returned.
type stop uint8

const (
	stopFull stop = iota // dst is full or src used up
	stopEnd              // the ampersand was read
	stopMore             // src ends inside an escape
	stopBad              // not an escape
)

// decodeChunk decodes src into dst and returns the bytes written and used.
func decodeChunk(dst, src []byte) (n, used int, why stop) {
	for n < len(dst) && used < len(src) {
		c := src[used]
		switch c {
		case '&':
			return n, used + 1, stopEnd
		case '+':
			c = ' '
		case '%':
			if used+2 >= len(src) {
				return n, used, stopMore
			}
			hi, lo := unhex(src[used+1]), unhex(src[used+2])
			if hi|lo > 15 {
				return n, used, stopBad
			}
			c = hi<<4 | lo
			used += 2
		}
		dst[n] = c
		n++
		used++
	}
	return n, used, stopFull
}

// unhex returns the value of a hexadecimal digit, 255 for another byte.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// unescapeInto decodes b in place.
func unescapeInto(b []byte) (string, bool) {
	n, used := 0, 0
	for used < len(b) {
		// An ampersand cannot stand in b, so only a bad escape stops early.
		out, took, why := decodeChunk(b[n:], b[used:])
		n, used = n+out, used+took
		if why != stopFull {
			return "", false
		}
	}
	return string(b[:n]), true
}

// unescapeLoose decodes s, or returns it as it is when it has a bad escape.
func unescapeLoose(s string) string {
	if dec, ok := unescapeInto([]byte(s)); ok {
		return dec
	}
	return s
}
