package suppress

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// maxLine bounds a record of a file, in bytes.
const maxLine = 64 << 10

// table reads a CSV file (RFC 4180) record by record, in memory that does not
// depend on the file. A record that cannot be read costs the line it begins on,
// not the rest of the file: reading goes on behind that line.
type table struct {
	in    io.Reader
	buf   []byte
	at    int // what is not read yet begins here
	ended bool
	comma byte
	line  int64 // of the next record, counted from 1
	done  int64 // bytes of the file before the next record
}

// newTable reads records from in, which is line of the file and done bytes behind
// its beginning.
func newTable(in io.Reader, comma byte, line, done int64) *table {
	return &table{in: in, comma: comma, line: line, done: done}
}

// line is a record, or what is wrong with it.
type line struct {
	number int64
	fields []string
	text   []byte // as it stands in the file; valid until the next one is read
	err    *errs.Error
}

// excerpt is the beginning of the record for people.
func (l *line) excerpt() string {
	return clip(strings.ReplaceAll(strings.TrimSpace(string(l.text[:min(len(l.text), 2*maxCell)])), "\x00", "?"), maxCell)
}

// fill has the window hold a longest record and a byte, unless the file ends.
func (t *table) fill() error {
	if len(t.buf)-t.at > maxLine || t.ended {
		return nil
	}
	t.buf = append(t.buf[:0], t.buf[t.at:]...)
	t.at = 0
	t.buf = slices.Grow(t.buf, 2*maxLine-len(t.buf))
	for len(t.buf) <= maxLine && !t.ended {
		n, err := t.in.Read(t.buf[len(t.buf):cap(t.buf)])
		t.buf = t.buf[:len(t.buf)+n]
		if err == io.EOF { // not errors.Is: a body that breaks off is no end
			t.ended = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// next returns the next record that has a value, io.EOF behind the last.
// Spreadsheets write empty rows as separators only.
func (t *table) next() (line, error) {
	for {
		if err := t.fill(); err != nil {
			return line{}, err
		}
		data := t.buf[t.at:]
		if len(data) == 0 {
			return line{}, io.EOF
		}
		window := data[:min(len(data), maxLine)]
		fields, n, bad := split(window, t.comma, t.ended && len(window) == len(data))
		l := line{number: t.line, fields: fields, err: bad}
		if bad == nil {
			l.text = data[:n]
			l.err = sound(l.text)
			t.advance(n)
		} else {
			var err error
			if l.text, err = t.skip(); err != nil {
				return line{}, err
			}
		}
		if bad != nil || slices.ContainsFunc(fields, func(f string) bool { return f != "" }) {
			return l, nil
		}
	}
}

func (t *table) advance(n int) {
	t.line += int64(bytes.Count(t.buf[t.at:t.at+n], []byte("\n")))
	t.done += int64(n)
	t.at += n
}

// skip passes over the line that the window begins with, however long it is, and
// returns its beginning.
func (t *table) skip() (text []byte, err error) {
	for {
		data := t.buf[t.at:]
		end := bytes.IndexByte(data, '\n') + 1
		if text == nil {
			text = data[:min(len(data), 2*maxCell)]
			if 0 < end && end < len(text) {
				text = text[:end]
			}
			text = bytes.Clone(text)
		}
		if end > 0 {
			t.advance(end)
			return text, nil
		}
		t.advance(len(data))
		if t.ended {
			return text, nil
		}
		if err := t.fill(); err != nil {
			return nil, err
		}
	}
}

// What is wrong with a record.
var (
	errStrayQuote = errs.New(errs.Invalid, "a quotation mark stands inside a field that does not begin with one")
	errAfterQuote = errs.New(errs.Invalid, "text follows the closing quotation mark of a field")
	errOpenQuote  = errs.New(errs.Invalid, "a quotation mark is not closed")
	errLongLine   = errs.New(errs.Invalid, "the line is longer than %d bytes", maxLine)
	errNotUTF8    = errs.New(errs.Invalid, "the line is not UTF-8")
	errControl    = errs.New(errs.Invalid, "the line holds a NUL byte")
)

func sound(text []byte) *errs.Error {
	switch {
	case !utf8.Valid(text):
		return errNotUTF8
	case bytes.IndexByte(text, 0) >= 0:
		return errControl
	}
	return nil
}

// split takes the record apart that data begins with and says how long it is,
// with the end of its line; ended says that the file ends with data. Blanks around
// fields do not count. Every quotation mark opens or closes: it is that which
// keeps a hostile file from being looked at again and again, line by line.
func split(data []byte, comma byte, ended bool) (fields []string, n int, err *errs.Error) {
	for {
		field, next, err := plain(data, n, comma)
		if err == errStrayQuote && len(bytes.TrimSpace(field)) == 0 {
			field, next, err = quoted(data, next+1, comma)
		}
		if err != nil {
			return nil, 0, err
		}
		fields, n = append(fields, strings.TrimSpace(string(field))), next
		switch {
		case n == len(data) && !ended:
			return nil, 0, errLongLine
		case n == len(data):
			return fields, n, nil
		case data[n] == '\n':
			return fields, n + 1, nil
		}
		n++
	}
}

// plain returns what stands from n up to the end of the field, and where that
// is; a quotation mark ends it as well, with errStrayQuote.
func plain(data []byte, n int, comma byte) (field []byte, end int, err *errs.Error) {
	for i, c := range data[n:] {
		switch c {
		case comma, '\n':
			return data[n : n+i], n + i, nil
		case '"':
			return data[n : n+i], n + i, errStrayQuote
		}
	}
	return data[n:], len(data), nil
}

// quoted returns the content of a field whose opening mark stands before n, and
// where the field ends.
func quoted(data []byte, n int, comma byte) (field []byte, end int, err *errs.Error) {
	for i := n; ; {
		at := bytes.IndexByte(data[i:], '"')
		if at < 0 {
			return nil, 0, errOpenQuote
		}
		if i += at; i+1 < len(data) && data[i+1] == '"' { // a mark of the text is written twice
			i += 2
			continue
		}
		rest, end, err := plain(data, i+1, comma)
		if err != nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, 0, errAfterQuote
		}
		return bytes.ReplaceAll(data[n:i], []byte(`""`), []byte(`"`)), end, nil
	}
}
