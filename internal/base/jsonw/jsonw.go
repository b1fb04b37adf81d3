// Package jsonw appends JSON documents of a known form without reflection, for
// those made for every message. What it writes equals what encoding/json writes
// with < > & left as they are; what is rare is left to encoding/json.
package jsonw

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Writer appends to B. Names of members are written as they are: they are
// constants without anything to escape. Begin an object by appending a brace.
type Writer struct {
	B   []byte
	Err error // the first of encoding/json
}

// Name begins a member.
func (w *Writer) Name(name string) {
	if w.B[len(w.B)-1] != '{' {
		w.B = append(w.B, ',')
	}
	w.B = append(w.B, '"')
	w.B = append(w.B, name...)
	w.B = append(w.B, '"', ':')
}

// Object begins a member that is an object; End ends it.
func (w *Writer) Object(name string) {
	w.Name(name)
	w.B = append(w.B, '{')
}

// End ends the object begun last.
func (w *Writer) End() { w.B = append(w.B, '}') }

// Member writes a member that is a string.
func (w *Writer) Member(name, value string) {
	w.Name(name)
	w.Text(value)
}

// Optional writes a string that is left out when empty.
func (w *Writer) Optional(name, value string) {
	if value != "" {
		w.Member(name, value)
	}
}

// Bool writes a member that is a boolean.
func (w *Writer) Bool(name string, v bool) {
	w.Name(name)
	w.B = strconv.AppendBool(w.B, v)
}

// Int writes a member that is a whole number.
func (w *Writer) Int(name string, v int64) {
	w.Name(name)
	w.B = strconv.AppendInt(w.B, v, 10)
}

// Float writes v as ECMAScript does within the range of seconds.
func (w *Writer) Float(name string, v float64) {
	w.Name(name)
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) || math.IsNaN(v) {
		w.Any(v)
		return
	}
	w.B = strconv.AppendFloat(w.B, v, 'f', -1, 64)
}

// List writes a member that is a list of strings, null when that is nil.
func (w *Writer) List(name string, list []string) {
	w.Name(name)
	if list == nil {
		w.B = append(w.B, "null"...)
		return
	}
	w.B = append(w.B, '[')
	for i, s := range list {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		w.Text(s)
	}
	w.B = append(w.B, ']')
}

// Text writes a string; one that is not ASCII by encoding/json.
func (w *Writer) Text(s string) {
	start, done := len(w.B), 0
	w.B = append(w.B, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			w.B = w.B[:start]
			w.Any(s)
			return
		case c >= ' ' && c != '"' && c != '\\':
			continue
		}
		w.B = appendEscape(append(w.B, s[done:i]...), c)
		done = i + 1
	}
	w.B = append(append(w.B, s[done:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// Rare writes a member that is seldom there, and left out when nil.
func Rare[T any](w *Writer, name string, v *T) {
	if v != nil {
		w.Name(name)
		w.Any(v)
	}
}

// Any writes v with encoding/json.
func (w *Writer) Any(v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && w.Err == nil {
		w.Err = err
	}
	w.B = append(w.B, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
