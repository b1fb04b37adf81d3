package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// readJSON reads a JSON body and parts its members.
func (c *call) readJSON(p *plan, v *values) error {
	b, err := c.openBody()
	if err != nil {
		return err
	}
	data, err := readLimited(b, maxJSON)
	if err == errOverLimit {
		return errs.New(errs.TooLarge, "JSON body exceeds %d MB", maxJSON>>20)
	}
	if err != nil {
		return err
	}
	return c.takeJSON(p, data, v)
}

// sniffJSON reads a body that is not called JSON but may be: curl -d calls
// everything a form. A form body is read as one where the operation takes it,
// and ignored where it does not, as Mailgun does.
func (c *call) sniffJSON(p *plan, m media, v *values) error {
	b, err := c.openBody()
	if err != nil {
		return err
	}
	data, err := readLimited(b, maxJSON)
	if err == errOverLimit {
		return errs.New(errs.TooLarge, "request body exceeds %d MB", maxJSON>>20)
	}
	if err != nil {
		return err
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return c.takeJSON(p, data, v)
	}
	if len(p.form) > 0 && m.kind == typeURLEncoded {
		whole := &body{src: bytes.NewReader(data), max: int64(len(data))}
		return c.readFields(p, newURLForm(m, whole), v)
	}
	v.wrong = wrongType(m, p.types()...)
	return nil
}

// takeJSON checks the text once and gives each member of the plan its part.
func (c *call) takeJSON(p *plan, data []byte, v *values) error {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 {
		return nil
	}
	if !utf8.Valid(data) {
		return errs.New(errs.Invalid, "request body is not valid UTF-8")
	}
	if hasEscapedNUL(data) {
		return errs.New(errs.Invalid, "request body contains a NUL character")
	}
	if p.body >= 0 {
		v.whole = data
	}
	if data[0] != '{' {
		return checkNoObject(p, data)
	}
	if len(p.form)+len(p.json) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return jsonError(err, "")
	}
	v.body, v.trees = make([][]string, len(p.fields)), make([]json.RawMessage, len(p.fields))
	for name, raw := range members {
		if err := p.takeMember(name, raw, v); err != nil {
			return err
		}
		if _, known := p.member(name); !known && p.body < 0 {
			c.noteUnknown(name)
		}
	}
	return nil
}

func checkNoObject(p *plan, data []byte) error {
	if !json.Valid(data) {
		return jsonError(json.Unmarshal(data, new(any)), "")
	}
	if p.body < 0 {
		return errs.New(errs.Invalid, "request body must be a JSON object")
	}
	return nil
}

// member finds the position of a JSON member, by its json or form name.
func (p *plan) member(name string) (int, bool) {
	at, ok := p.json[name]
	if !ok {
		at, ok = p.lookup(p.form, name)
	}
	return at, ok
}

func (p *plan) takeMember(name string, raw json.RawMessage, v *values) error {
	at, ok := p.member(name)
	if !ok || string(raw) == "null" {
		return nil
	}
	f := &p.fields[at]
	if f.shape == tree {
		v.trees[at] = raw
		return nil
	}
	texts, err := jsonTexts(raw, f)
	if err != nil {
		return err
	}
	v.body[at] = texts
	return nil
}

// jsonTexts returns the texts a JSON value stands for, so that one set of
// converters and checks serves all kinds of body.
func jsonTexts(raw json.RawMessage, f *field) ([]string, error) {
	if raw[0] != '[' || f.shape != list {
		s, err := jsonText(raw, f)
		return []string{s}, err
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, jsonError(err, f.name)
	}
	texts := make([]string, len(items))
	for i, item := range items {
		s, err := jsonText(item, f)
		if err != nil {
			return nil, err
		}
		texts[i] = s
	}
	return texts, nil
}

// jsonText returns the content of a string and any other value as written. An
// object or list is a text only where a text is wanted (t:variables).
func jsonText(raw json.RawMessage, f *field) (string, error) {
	if raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", jsonError(err, f.name)
		}
		return s, nil
	}
	nested := raw[0] == '{' || raw[0] == '['
	if nested && f.shape != octets && (f.shape != single || f.typ.Kind() != reflect.String) {
		return "", errs.New(errs.Invalid, "'%s' parameter is invalid: must not be a nested value", f.name)
	}
	return string(raw), nil
}

// fillTree decodes the whole body or one member with encoding/json.
func (f *field) fillTree(i int, v *values, in reflect.Value) error {
	raw := json.RawMessage(v.whole)
	if f.place != inBody {
		raw = nil
		if v.trees != nil {
			raw = v.trees[i]
		}
	}
	if raw == nil {
		if f.required != "" {
			return f.missing(v)
		}
		return nil
	}
	name := f.name
	if f.place == inBody {
		name = ""
	}
	if err := json.Unmarshal(raw, in.FieldByIndex(f.index).Addr().Interface()); err != nil {
		return jsonError(err, name)
	}
	return nil
}

// jsonError words an error of encoding/json; name is the member it was in.
func jsonError(err error, name string) error {
	var wrongKind *json.UnmarshalTypeError
	if errors.As(err, &wrongKind) {
		where := strings.Trim(name+"."+wrongKind.Field, ".")
		if where == "" {
			return errs.Wrap(errs.Invalid, err, fmt.Sprintf("request body is invalid: must be %s", jsonKind(wrongKind.Type)))
		}
		return errs.Wrap(errs.Invalid, err, fmt.Sprintf("'%s' parameter is invalid: must be %s", where, jsonKind(wrongKind.Type)))
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errs.Wrap(errs.Invalid, err, fmt.Sprintf("unable to parse request: invalid JSON at byte %d", syntax.Offset))
	}
	if clientError(err) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.Wrap(errs.Invalid, err, textTruncated)
	}
	if name == "" {
		return errs.Wrap(errs.Invalid, err, "request body is invalid")
	}
	return errs.Wrap(errs.Invalid, err, fmt.Sprintf("'%s' parameter is invalid", name))
}

// jsonKind words the JSON form of a Go type.
func jsonKind(t reflect.Type) string {
	if t == nil {
		return "another type"
	}
	switch k := t.Kind(); {
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case isInt(k) || isUint(k):
		return "an integer"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	default:
		return "an object"
	}
}

// hasEscapedNUL reports whether a string in the JSON text holds \u0000.
func hasEscapedNUL(data []byte) bool {
	for off := 0; ; {
		i := bytes.Index(data[off:], []byte(`\u0000`))
		if i < 0 {
			return false
		}
		at := off + i
		slashes := 0
		for at-slashes-1 >= 0 && data[at-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return true
		}
		off = at + 2
	}
}
