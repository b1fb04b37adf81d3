package httpapi

import (
	"encoding"
	"encoding/json"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/op"
)

var (
	responderType = reflect.TypeFor[op.Responder]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	jsonType      = reflect.TypeFor[json.Marshaler]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
)

// schemas collects the named struct types of a document as components, which
// also ends the recursion of types that hold themselves.
type schemas struct {
	names map[reflect.Type]string
	taken map[string]bool
	out   object
}

func newSchemas() *schemas {
	return &schemas{names: map[reflect.Type]string{}, taken: map[string]bool{}, out: object{}}
}

func (s *schemas) done() object { return s.out }

// of returns the JSON schema of a Go type as encoding/json writes it.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == rawType:
		return object{}
	case implements(t, jsonType):
		return object{} // it writes itself; only it knows what
	case implements(t, textType):
		return object{"type": "string"}
	}
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return s.of(t.Elem())
	case k == reflect.String:
		return object{"type": "string"}
	case k == reflect.Bool:
		return object{"type": "boolean"}
	case isInt(k) || isUint(k):
		return object{"type": "integer"}
	case k == reflect.Float32 || k == reflect.Float64:
		return object{"type": "number"}
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	case k == reflect.Slice || k == reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case k == reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case k == reflect.Struct:
		return s.structure(t)
	}
	return object{}
}

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(iface)
}

// structure returns a reference for a named type, the schema itself for one
// without a name.
func (s *schemas) structure(t reflect.Type) object {
	if t.Name() == "" {
		return s.body(t)
	}
	name, ok := s.names[t]
	if !ok {
		name = s.name(t)
		s.names[t] = name
		s.out[name] = s.body(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// name returns package.Type in the letters a component name may have.
func (s *schemas) name(t reflect.Type) string {
	base := strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, path.Base(t.PkgPath())+"."+t.Name())
	name := base
	for n := 2; s.taken[name]; n++ {
		name = base + "_" + strconv.Itoa(n)
	}
	s.taken[name] = true
	return name
}

// jsonMember is one member of a struct as encoding/json sees it.
type jsonMember struct {
	name     string
	optional bool
	field    reflect.StructField
}

func jsonMembers(t reflect.Type) []jsonMember {
	var out []jsonMember
	for i := range t.NumField() {
		sf := t.Field(i)
		name, opts, _ := strings.Cut(sf.Tag.Get("json"), ",")
		ft := sf.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if sf.Anonymous && name == "" && ft.Kind() == reflect.Struct {
			out = append(out, jsonMembers(ft)...)
			continue
		}
		if !sf.IsExported() || name == "-" && opts == "" {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		out = append(out, jsonMember{name, strings.Contains(opts, "omit"), sf})
	}
	return out
}

func (s *schemas) body(t reflect.Type) object {
	props, required := object{}, []string{}
	for _, m := range jsonMembers(t) {
		sc := s.of(m.field.Type)
		kind, plain := sc["type"].(string)
		if m.field.Type.Kind() == reflect.Pointer && !m.optional && plain {
			sc["type"] = []string{kind, "null"}
		}
		if doc := m.field.Tag.Get("doc"); doc != "" {
			sc["description"] = doc
		}
		if enum := m.field.Tag.Get("enum"); enum != "" && kind == "string" {
			sc["enum"] = strings.Split(enum, ",")
		}
		props[m.name] = sc
		if !m.optional && !slices.Contains(required, m.name) {
			required = append(required, m.name)
		}
	}
	return objectSchema(props, required)
}

func objectSchema(props object, required []string) object {
	s := object{"type": "object", "properties": props}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// fieldSchema is the schema of a parameter with its limits and default.
func (d *document) fieldSchema(f *field) object {
	if f.shape == octets {
		return object{"type": "string", "format": "binary"}
	}
	s := d.schemas.of(f.typ)
	if f.typ == timeType {
		s = object{"type": "string", "description": "RFC 2822 date or seconds since 1970"}
	}
	item := s
	if f.shape == list {
		item, _ = s["items"].(object)
	}
	if f.enum != nil {
		item["enum"] = typedAll(f, f.enum)
	}
	low, high := "minimum", "maximum"
	switch {
	case f.shape == list:
		low, high = "minItems", "maxItems"
	case f.conv != nil && f.typ.Kind() == reflect.String:
		low, high = "minLength", "maxLength"
	}
	if f.min != nil {
		s[low] = *f.min
	}
	if f.max != nil {
		s[high] = *f.max
	}
	switch {
	case f.hasDef && f.shape == list:
		s["default"] = typedAll(f, f.def)
	case f.hasDef:
		s["default"] = typed(f, f.typ, f.def[0])
	}
	return s
}

// typed gives a text of a tag the JSON type of the parameter.
func typed(f *field, t reflect.Type, text string) any {
	v := reflect.New(t).Elem()
	if t == timeType || f.conv(v, text) != nil {
		return text
	}
	return v.Interface()
}

func typedAll(f *field, texts []string) []any {
	t := f.typ
	if f.shape == list {
		t = t.Elem()
	}
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = typed(f, t, s)
	}
	return out
}
