package httpapi

import (
	"bytes"
	"errors"
	"io"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// readForm keeps the values of known parameters and reads past the others.
func (c *call) readForm(p *plan, m media, v *values) error {
	b, err := c.openBody()
	if err != nil {
		return err
	}
	form, err := openForm(m, b)
	if err != nil {
		return err
	}
	return c.readFields(p, form, v)
}

func (c *call) readFields(p *plan, form op.Form, v *values) error {
	v.body, v.files = make([][]string, len(p.fields)), make([][]byte, len(p.fields))
	var total int64
	for {
		fd, err := form.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		at, ok := p.lookup(p.form, fd.Name)
		if !ok {
			c.noteUnknown(fd.Name)
			if _, err := io.Copy(io.Discard, fd.Body); err != nil {
				return err
			}
			continue
		}
		n, err := p.keep(at, fd, v)
		if err != nil {
			return err
		}
		if total += n; total > maxFormTotal {
			return errs.New(errs.TooLarge, "parameters exceed %d MB in total", maxFormTotal>>20)
		}
	}
}

// keep reads one value and returns the bytes that count against the total.
func (p *plan) keep(at int, fd op.Field, v *values) (int64, error) {
	f := &p.fields[at]
	limit := p.valueCap
	if f.shape == octets {
		limit = maxFile
	}
	b, err := readLimited(fd.Body, limit)
	if err == errOverLimit {
		return 0, errs.New(errs.TooLarge, "parameter %s exceeds %d MB", f.name, limit>>20)
	}
	if err != nil {
		return 0, err
	}
	if f.shape == octets {
		v.files[at] = b
		return 0, nil
	}
	if fd.IsFile {
		if err := checkText(f.name, string(b)); err != nil {
			return 0, err
		}
	}
	v.body[at] = append(v.body[at], string(b))
	return int64(len(b)), nil
}

// errOverLimit says that a value is longer than it may be.
var errOverLimit = errors.New("over limit")

// readLimited reads all of r, at most limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errOverLimit
	}
	if buf.Len() == 0 {
		return []byte{}, nil
	}
	return buf.Bytes(), nil
}
