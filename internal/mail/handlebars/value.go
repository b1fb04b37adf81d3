package handlebars

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	missing kind = iota // and null
	boolean             // text is "true" or "false"
	number              // text is as it is printed
	text
	list
	object
)

// Value is what a template is rendered with: a JSON value whose objects keep the
// order of their members. The zero Value is null. It is not to be changed.
type Value struct {
	kind kind
	text string
	sub  *compound
}

// compound holds the members of a list or object.
type compound struct {
	names []string // of an object
	items []Value
	index map[string]int // of a large object
}

// maxDepth bounds the nesting of data and of templates.
const maxDepth = 100

// indexed is how many members an object has that is searched one by one.
const indexed = 8

var errDepth = fmt.Errorf("nested more than %d levels deep", maxDepth)

// JSON reads a value. Of members of one name the last counts.
func JSON(data []byte) (Value, error) {
	if !json.Valid(data) {
		return Value{}, errors.New("not valid JSON")
	}
	r := reader{src: string(data)}
	return r.value(0)
}

// reader walks through JSON that is known to be valid.
type reader struct {
	src string
	at  int
}

// next is the first byte that is no blank.
func (r *reader) next() byte {
	for r.at < len(r.src) && r.src[r.at] <= ' ' {
		r.at++
	}
	if r.at == len(r.src) {
		return 0
	}
	return r.src[r.at]
}

func (r *reader) value(depth int) (Value, error) {
	switch r.next() {
	case '{', '[':
		return r.compound(depth + 1)
	case '"':
		s, err := r.text()
		return textValue(s), err
	}
	word := r.src[r.at:]
	if i := strings.IndexAny(word, ",]} \t\r\n"); i >= 0 {
		word = word[:i]
	}
	r.at += len(word)
	switch word {
	case "true", "false":
		return boolValue(word == "true"), nil
	case "null":
		return Value{}, nil
	}
	return Value{kind: number, text: printed(word)}, nil
}

func (r *reader) compound(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, errDepth
	}
	v := Value{kind: list, sub: &compound{}}
	end := byte(']')
	if r.src[r.at] == '{' {
		v.kind, end = object, '}'
	}
	for r.at++; r.next() != end; {
		name, err := "", error(nil)
		if v.kind == object {
			if name, err = r.text(); err != nil {
				return Value{}, err
			}
			r.next()
			r.at++ // the colon
		}
		item, err := r.value(depth)
		if err != nil {
			return Value{}, err
		}
		v.sub.put(name, item, v.kind == object)
		if r.next() == ',' {
			r.at++
			r.next()
		}
	}
	r.at++
	return v, nil
}

// text reads a text; a plain one is not copied.
func (r *reader) text() (s string, err error) {
	begin, plain := r.at, true
	for r.at++; r.src[r.at] != '"'; r.at++ {
		if r.src[r.at] == '\\' {
			plain = false
			r.at++
		}
	}
	r.at++
	s = r.src[begin+1 : r.at-1]
	if !plain || !utf8.ValidString(s) {
		err = json.Unmarshal([]byte(r.src[begin:r.at]), &s)
	}
	return s, err
}

func (c *compound) put(name string, v Value, named bool) {
	if named {
		if i := c.find(name); i >= 0 {
			c.items[i] = v
			return
		}
		c.names = append(c.names, name)
		if n := len(c.names); n == indexed+1 {
			c.index = make(map[string]int, 2*n)
			for i, s := range c.names {
				c.index[s] = i
			}
		} else if n > indexed {
			c.index[name] = n - 1
		}
	}
	c.items = append(c.items, v)
}

// find returns where the member of an object is, -1 without one.
func (c *compound) find(name string) int {
	if c.index != nil {
		if i, ok := c.index[name]; ok {
			return i
		}
		return -1
	}
	for i, s := range c.names {
		if s == name {
			return i
		}
	}
	return -1
}

// printed is how a number looks: without exponent and without zeros behind the
// point. Mailgun: numbers are doubles there; here whole numbers stay exact.
func printed(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		if s == "-0" {
			return "0"
		}
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	if f == 0 {
		return "0"
	}
	return strconv.FormatFloat(f, 'f', -1, 64) // 326 digits at the most
}

func boolValue(b bool) Value {
	if b {
		return Value{kind: boolean, text: "true"}
	}
	return Value{kind: boolean, text: "false"}
}

func textValue(s string) Value { return Value{kind: text, text: s} }

func intValue(n int) Value { return Value{kind: number, text: strconv.Itoa(n)} }

// get returns a member. Lists have their items by number, and like texts a
// length.
func (v *Value) get(name string) Value {
	switch v.kind {
	case object:
		if i := v.sub.find(name); i >= 0 {
			return v.sub.items[i]
		}
	case list:
		if name == "length" {
			return intValue(len(v.sub.items))
		}
		if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(v.sub.items) {
			return v.sub.items[n]
		}
	case text:
		if name == "length" {
			return intValue(utf8.RuneCountInString(v.text))
		}
	}
	return Value{}
}

// truthy is what if asks. Handlebars: an empty list is false, an empty object
// is not.
func (v *Value) truthy() bool {
	switch v.kind {
	case missing:
		return false
	case boolean:
		return v.text == "true"
	case number:
		return v.text != "0"
	case text:
		return v.text != ""
	case list:
		return len(v.sub.items) > 0
	}
	return true
}

// appendTo adds the value as text. Mailgun: lists are their items one behind the
// other. Handlebars: what an object looks like.
func (v *Value) appendTo(dst []byte, escape bool) []byte {
	switch v.kind {
	case list:
		for i := range v.sub.items {
			dst = v.sub.items[i].appendTo(dst, escape)
		}
		return dst
	case object:
		return append(dst, "[object Object]"...)
	case text:
		if escape {
			return appendEscaped(dst, v.text)
		}
	}
	return append(dst, v.text...)
}

// equal compares as texts; work is how much that was, in steps.
func (v *Value) equal(w *Value) (same bool, work int) {
	if v.kind < list && w.kind < list {
		return v.text == w.text, min(len(v.text), len(w.text)) / 256
	}
	a, b := v.appendTo(nil, false), w.appendTo(nil, false)
	return bytes.Equal(a, b), (v.size() + w.size()) / 16
}

// size counts the values in v and the kilobytes of their texts.
func (v *Value) size() int {
	n := 1 + len(v.text)/64
	if v.sub != nil {
		for i := range v.sub.items {
			n += v.sub.items[i].size()
		}
	}
	return n
}

// escapes are Handlebars' for HTML.
var escapes = [256]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&#x27;", '`': "&#x60;", '=': "&#x3D;"}

func appendEscaped(dst []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); i++ {
		if e := escapes[s[i]]; e != "" {
			dst = append(append(dst, s[done:i]...), e...)
			done = i + 1
		}
	}
	return append(dst, s[done:]...)
}
