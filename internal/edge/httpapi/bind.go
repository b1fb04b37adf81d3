package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"

	"postroad/internal/base/errs"
)

// values is what a request brought for the members of a plan, by position.
type values struct {
	query [][]string
	body  [][]string
	files [][]byte
	trees []json.RawMessage
	whole []byte // the body, for body:"json" and body:"raw"
	wrong error  // a body of a type the operation does not take was left unread
}

// bind makes and fills the request struct of the operation.
func (c *call) bind(t *target) (any, error) {
	p := t.route.plan
	in := reflect.New(p.in)
	vals, err := c.gather(p, in.Elem())
	if err != nil {
		return nil, err
	}
	for i := range p.fields {
		f := &p.fields[i]
		if err := c.fill(f, i, t.values, &vals, in.Elem()); err != nil {
			return nil, err
		}
	}
	return in.Interface(), nil
}

// gather reads query and body.
func (c *call) gather(p *plan, in reflect.Value) (values, error) {
	var v values
	if c.r.URL.RawQuery != "" && (len(p.form)+len(p.query) > 0 || c.api.cfg.DevHints) {
		v.query = make([][]string, len(p.fields))
		if err := c.readQuery(p, &v); err != nil {
			return v, err
		}
	}
	if !p.readsBody() {
		return v, nil
	}
	if p.stream >= 0 {
		return v, c.setStream(&p.fields[p.stream], in)
	}
	if !hasBody(c.r) {
		return v, nil
	}
	if p.raw() {
		return v, c.readRaw(&p.fields[p.body], &v)
	}
	return v, c.readBody(p, &v)
}

// readRaw reads a body as it is, up to its limit.
func (c *call) readRaw(f *field, v *values) error {
	b, err := c.openBody()
	if err != nil {
		return err
	}
	limit := int64(maxJSON)
	if f.max != nil {
		limit = int64(*f.max)
	}
	v.whole, err = readLimited(b, limit)
	if err == errOverLimit {
		return errs.New(errs.TooLarge, "request body exceeds %d bytes", limit)
	}
	return err
}

// setStream hands the body over unread.
func (c *call) setStream(f *field, in reflect.Value) error {
	m := parseMedia(c.r.Header.Get("Content-Type"))
	if !hasBody(c.r) {
		in.FieldByIndex(f.index).Set(reflect.ValueOf(emptyForm{m.kind}))
		return nil
	}
	b, err := c.openBody()
	if err != nil {
		return err
	}
	form, err := openForm(m, b)
	if err != nil {
		return err
	}
	in.FieldByIndex(f.index).Set(reflect.ValueOf(form))
	return nil
}

// readQuery keeps the query's values of known parameters.
func (c *call) readQuery(p *plan, v *values) error {
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok1 := unescapeInto([]byte(rawName))
		text, ok2 := unescapeInto([]byte(rawValue))
		if !ok1 || !ok2 {
			return errs.New(errs.Invalid, textEscape)
		}
		at, ok := p.lookup(p.query, name)
		if !ok {
			at, ok = p.lookup(p.form, name)
		}
		if !ok {
			c.noteUnknown(name)
			continue
		}
		if err := checkText(p.fields[at].name, text); err != nil {
			return err
		}
		v.query[at] = append(v.query[at], text)
	}
	return nil
}

// lookup finds a parameter by its name, or by what is before the brackets.
func (p *plan) lookup(table map[string]int, name string) (int, bool) {
	at, ok := table[name]
	if !ok {
		at, ok = table[bareName(name)]
	}
	return at, ok
}

// readBody reads the body in whichever form it came.
func (c *call) readBody(p *plan, v *values) error {
	m := parseMedia(c.r.Header.Get("Content-Type"))
	takesJSON := p.body >= 0 || len(p.json) > 0
	if len(p.form) > 0 && (m.kind == typeMultipart || m.kind == typeURLEncoded) && !(takesJSON && m.kind == typeURLEncoded) {
		return c.readForm(p, m, v)
	}
	if m.isJSON() {
		return c.readJSON(p, v)
	}
	if takesJSON && m.kind != typeMultipart {
		return c.sniffJSON(p, m, v)
	}
	v.wrong = wrongType(m, p.types()...)
	return nil
}

// types are the content types the operation takes, for the error text.
func (p *plan) types() []string {
	if len(p.form) == 0 {
		return []string{typeJSON}
	}
	return []string{typeMultipart, typeURLEncoded, typeJSON}
}

// fill gives member i its value.
func (c *call) fill(f *field, i int, params []string, v *values, in reflect.Value) error {
	switch {
	case f.place == inStream:
		return nil
	case f.shape == tree:
		return f.fillTree(i, v, in)
	case f.shape == octets:
		return f.fillOctets(i, v, in)
	}
	texts, err := c.texts(f, i, params, v)
	if err != nil {
		return err
	}
	if f.split != "" && len(texts) > 0 && !f.absent(texts) {
		texts = splitList(texts, f.split)
	}
	if f.absent(texts) {
		if f.required != "" {
			return f.missing(v)
		}
		if !f.hasDef {
			f.setEmpty(texts, in)
			return nil
		}
		texts = f.def
	}
	return f.assign(in.FieldByIndex(f.index), texts)
}

// texts returns what the request has for f: from the body, else the query.
func (c *call) texts(f *field, i int, params []string, v *values) ([]string, error) {
	switch f.place {
	case inPath:
		return params[f.param : f.param+1], checkText(f.name, params[f.param])
	case inHeader:
		h := c.r.Header.Values(f.name)
		for _, s := range h {
			if err := checkText(f.name, s); err != nil {
				return nil, err
			}
		}
		return h, nil
	}
	if v.body != nil && v.body[i] != nil {
		return v.body[i], nil
	}
	if v.query != nil {
		return v.query[i], nil
	}
	return nil, nil
}

// absent reports whether there is no value: nothing sent, or an empty text
// where that cannot be one. A required text must not be empty either.
func (f *field) absent(texts []string) bool {
	if len(texts) == 0 {
		return true
	}
	if f.shape == list {
		return len(texts) == 1 && texts[0] == ""
	}
	return texts[0] == "" && (f.required != "" || f.hasDef || f.enum != nil || f.typ.Kind() != reflect.String)
}

// setEmpty keeps the difference between an empty value and none, where the
// member can hold it: a pointer to a string, a slice that is not nil.
func (f *field) setEmpty(texts []string, in reflect.Value) {
	if len(texts) == 0 {
		return
	}
	v := in.FieldByIndex(f.index)
	if f.ptr && (f.typ.Kind() == reflect.String || f.shape == list) {
		v.Set(reflect.New(f.typ))
		v = v.Elem()
	}
	if f.shape == list {
		v.Set(reflect.MakeSlice(f.typ, 0, 0))
	}
}

// missing is the error for a required value that did not come. Where a body
// came that could not be read, that is the better news.
func (f *field) missing(v *values) error {
	if v.wrong != nil && (f.place == inForm || f.place == inJSON || f.place == inBody) {
		return v.wrong
	}
	return errs.New(errs.Invalid, "%s", f.required)
}

// assign sets the member, through its pointer where it has one.
func (f *field) assign(v reflect.Value, texts []string) error {
	dst := v
	if f.ptr {
		dst = reflect.New(f.typ).Elem()
	}
	if err := f.set(dst, texts); err != nil {
		if clientError(err) {
			return err
		}
		return errs.New(errs.Invalid, "'%s' parameter is invalid: %s", f.name, err)
	}
	if f.ptr {
		v.Set(dst.Addr())
	}
	return nil
}

func (f *field) fillOctets(i int, v *values, in reflect.Value) error {
	var b []byte
	switch {
	case f.place == inBody && v.whole != nil:
		b = v.whole
	case v.files != nil && v.files[i] != nil:
		b = v.files[i]
	case v.body != nil && len(v.body[i]) > 0:
		b = []byte(v.body[i][0])
	case v.query != nil && len(v.query[i]) > 0:
		b = []byte(v.query[i][0])
	case f.required != "":
		return f.missing(v)
	default:
		return nil
	}
	if err := f.checkSize(len(b), "must be %s bytes long"); err != nil {
		return errs.New(errs.Invalid, "'%s' parameter is invalid: %s", f.name, err)
	}
	dst := in.FieldByIndex(f.index)
	if f.ptr {
		dst.Set(reflect.New(f.typ))
		dst = dst.Elem()
	}
	dst.SetBytes(b)
	return nil
}
