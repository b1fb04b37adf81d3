package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/op"
)

// place is where a value comes from.
type place uint8

const (
	inPath place = iota
	inForm
	inQuery
	inJSON
	inHeader
	inBody   // the whole JSON body
	inStream // the body as op.Form
)

// places are the tags that name a place, in the order of the constants.
var places = [...]struct {
	tag   string
	place place
}{{"path", inPath}, {"form", inForm}, {"query", inQuery}, {"json", inJSON}, {"header", inHeader}, {"body", inBody}}

// shapeOf tells how the texts of a parameter become the field's value.
type shapeOf uint8

const (
	single shapeOf = iota // one text
	list                  // a slice of them
	octets                // []byte: a file or the bytes of a value
	tree                  // anything encoding/json can fill
	stream                // op.Form
)

// field is one member of a request struct, worked out.
type field struct {
	index []int
	name  string
	place place
	shape shapeOf
	typ   reflect.Type // of the member, without the pointer
	ptr   bool
	conv  converter // single and list
	param int       // position among the path values

	split    string
	def      []string
	hasDef   bool
	min, max *float64
	enum     []string
	required string // error text; "" when the value may be absent
	doc      string
}

// plan is how to fill one request struct. It is made once per operation.
type plan struct {
	in       reflect.Type
	fields   []field
	form     map[string]int // body and query
	query    map[string]int // query alone
	json     map[string]int // JSON body alone
	stream   int            // position of the op.Form, or -1
	body     int            // position of the whole JSON body, or -1
	valueCap int64          // bytes of one form value
}

// Limits of a bound form, whose values are held in memory. An operation that
// needs more takes the body as a stream.
const (
	maxValue     = 1 << 20
	maxFormTotal = 10 << 20
	maxFile      = 25 << 20
	maxJSON      = 25 << 20
)

var (
	formType = reflect.TypeFor[op.Form]()
	timeType = reflect.TypeFor[time.Time]()
)

// compile works a request struct out, or says which member it cannot fill.
func compile(o op.Op) (*plan, error) {
	if o.In == nil || o.In.Kind() != reflect.Struct {
		return nil, errors.New("the request type is not a struct")
	}
	if o.Call == nil {
		return nil, errors.New("no function to call")
	}
	p := &plan{in: o.In, form: map[string]int{}, query: map[string]int{}, json: map[string]int{}, stream: -1, body: -1, valueCap: maxValue}
	if err := p.addStruct(o.In, nil, pathParams(o.Path)); err != nil {
		return nil, err
	}
	if p.raw() && len(p.form)+len(p.json) > 0 {
		return nil, errors.New("members are taken from a raw body")
	}
	if p.stream >= 0 && (p.body >= 0 || len(p.json) > 0) {
		return nil, errors.New("the body is taken both as a form stream and as JSON")
	}
	return p, p.checkPath(o.Path)
}

func (p *plan) addStruct(t reflect.Type, index []int, params []string) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && !tagged(sf) {
			if err := p.addStruct(sf.Type, at, params); err != nil {
				return err
			}
			continue
		}
		if !sf.IsExported() && !tagged(sf) {
			continue
		}
		f, err := newField(sf, at, params)
		if err == nil {
			err = p.add(f)
		}
		if err != nil {
			return fmt.Errorf("member %s: %w", sf.Name, err)
		}
	}
	return nil
}

func tagged(sf reflect.StructField) bool {
	for _, p := range places {
		if v, ok := sf.Tag.Lookup(p.tag); ok && v != "-" {
			return true
		}
	}
	return false
}

func newField(sf reflect.StructField, index []int, params []string) (field, error) {
	f := field{index: index, param: -1, doc: sf.Tag.Get("doc")}
	if !sf.IsExported() {
		return f, errors.New("it has tags but is not exported")
	}
	if sf.Type == formType {
		f.place, f.shape, f.typ = inStream, stream, sf.Type
		return f, nil
	}
	if err := f.locate(sf, params); err != nil {
		return f, err
	}
	if err := f.setType(sf.Type); err != nil {
		return f, err
	}
	return f, f.setLimits(sf.Tag)
}

// locate reads the tag that names the place; there must be one. A json tag
// beside another is not a place: it serves structs that are answers as well.
func (f *field) locate(sf reflect.StructField, params []string) error {
	found := 0
	for _, p := range places {
		v, ok := sf.Tag.Lookup(p.tag)
		if !ok || v == "-" || p.place == inJSON && found > 0 {
			continue
		}
		if found > 0 && f.place != inJSON {
			return errors.New("it has tags for more than one place")
		}
		found++
		f.name, _, _ = strings.Cut(v, ",")
		f.place = p.place
	}
	switch {
	case found == 0:
		return errors.New("it has no tag that names its place")
	case f.name == "":
		return errors.New("its tag has no name")
	case f.place == inBody && f.name == "raw" && sf.Type != reflect.TypeFor[[]byte]():
		return errors.New("body:\"raw\" is for []byte")
	case f.place == inBody && f.name != "json" && f.name != "raw":
		return fmt.Errorf("body:%q is not known, only body:\"json\" and body:\"raw\"", f.name)
	case f.place == inPath:
		if f.param = slices.Index(params, f.name); f.param < 0 {
			return fmt.Errorf("the path has no value %q", f.name)
		}
	}
	return nil
}

// setType decides how texts become the member's value.
func (f *field) setType(t reflect.Type) error {
	if f.place == inBody {
		f.shape, f.typ = tree, t
		if f.name == "raw" {
			f.shape = octets
		}
		return nil
	}
	f.typ = t
	if t.Kind() == reflect.Pointer {
		f.ptr, f.typ = true, t.Elem()
	}
	if conv, ok := converterOf(f.typ); ok {
		f.conv, f.shape = conv, single
		return nil
	}
	if f.place == inJSON && reflect.PointerTo(f.typ).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		f.shape = tree
		return nil
	}
	if f.typ.Kind() == reflect.Slice && f.typ != reflect.TypeFor[json.RawMessage]() {
		if f.typ.Elem().Kind() == reflect.Uint8 && (f.place == inForm || f.place == inJSON) {
			f.shape = octets
			return nil
		}
		if conv, ok := converterOf(f.typ.Elem()); ok {
			f.conv, f.shape = conv, list
			return nil
		}
	}
	if f.place == inJSON {
		f.shape = tree
		return nil
	}
	return fmt.Errorf("type %s cannot be filled from a %s parameter", t, places[f.place].tag)
}

func (f *field) setLimits(tag reflect.StructTag) error {
	if f.split = tag.Get("split"); f.split != "" && f.shape != list {
		return errors.New("split is for slices")
	}
	if v, ok := tag.Lookup("required"); ok {
		if f.required = v; v == "" || v == "true" {
			f.required = f.name + " parameter is missing"
		}
	}
	if v, ok := tag.Lookup("enum"); ok {
		f.enum = strings.Split(v, ",")
	}
	var err error
	if f.min, err = bound(tag, "min"); err != nil {
		return err
	}
	if f.max, err = bound(tag, "max"); err != nil {
		return err
	}
	if (f.min != nil || f.max != nil) && !f.bounded() {
		return errors.New("min and max are for numbers, strings and slices")
	}
	if f.enum != nil && f.conv == nil {
		return errors.New("enum is for strings, numbers and slices of them")
	}
	return f.setDefault(tag)
}

func bound(tag reflect.StructTag, key string) (*float64, error) {
	v, ok := tag.Lookup(key)
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return nil, fmt.Errorf("%s:%q is not a number", key, v)
	}
	return &n, nil
}

func (f *field) bounded() bool {
	if f.shape == list || f.shape == octets {
		return true
	}
	return f.shape == single && (f.typ.Kind() == reflect.String || isNumber(f.typ.Kind()))
}

// setDefault reads the default and tries it, so that a bad one fails at start.
func (f *field) setDefault(tag reflect.StructTag) error {
	v, ok := tag.Lookup("default")
	if !ok {
		return nil
	}
	if f.conv == nil {
		return errors.New("default is for strings, numbers, times and slices of them")
	}
	f.hasDef, f.def = true, []string{v}
	if f.shape == list {
		f.def = splitList(f.def, ",")
	}
	probe := reflect.New(f.typ).Elem()
	if err := f.set(probe, f.def); err != nil {
		return fmt.Errorf("default:%q: %w", v, err)
	}
	return nil
}

// add enters f in the tables of its place.
func (p *plan) add(f field) error {
	at := len(p.fields)
	table := map[place]map[string]int{inForm: p.form, inQuery: p.query, inJSON: p.json}[f.place]
	if table != nil {
		if _, dup := table[f.name]; dup {
			return fmt.Errorf("parameter %q is there twice", f.name)
		}
		table[f.name] = at
	}
	switch {
	case f.place == inStream && p.stream >= 0 || f.place == inBody && p.body >= 0:
		return errors.New("the body is there twice")
	case f.place == inStream:
		p.stream = at
	case f.place == inBody:
		p.body = at
	case f.max != nil && f.shape == single && f.typ.Kind() == reflect.String:
		p.valueCap = max(p.valueCap, int64(*f.max))
	}
	p.fields = append(p.fields, f)
	return nil
}

// checkPath makes sure that no value of the path is forgotten: an operation
// that ignores one acts on more than it was told to.
func (p *plan) checkPath(pattern string) error {
	for _, name := range pathParams(pattern) {
		used := slices.ContainsFunc(p.fields, func(f field) bool { return f.place == inPath && f.name == name })
		if !used {
			return fmt.Errorf("no member takes the path value %q", name)
		}
	}
	return nil
}

// raw reports whether the operation wants the body as it was sent.
func (p *plan) raw() bool { return p.body >= 0 && p.fields[p.body].shape == octets }

// readsBody reports whether any member can come from the body.
func (p *plan) readsBody() bool {
	return p.stream >= 0 || p.body >= 0 || len(p.form) > 0 || len(p.json) > 0
}
