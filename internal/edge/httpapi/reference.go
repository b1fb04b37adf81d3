package httpapi

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"postroad/internal/base/op"
)

// groups returns the groups of ops in the order of their names.
func groups(ops []op.Op) []op.Group {
	var out []op.Group
	for _, o := range ops {
		if !slices.Contains(out, o.Group) {
			out = append(out, o.Group)
		}
	}
	slices.Sort(out)
	return out
}

// ReferenceMarkdown returns the reference of the operations, grouped, each
// with its parameters and the members of its answer.
func ReferenceMarkdown(ops []op.Op) string {
	sorted := slices.Clone(ops)
	slices.SortStableFunc(sorted, func(a, b op.Op) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	var b strings.Builder
	b.WriteString("# API reference\n\nGenerated from the operations; do not edit.\n\n" +
		"Every call needs Basic authentication with the user name `api` and an API key as password, unless it says public.\n" +
		"Parameters marked form are taken from the query, a urlencoded or multipart body, or a JSON object.\n")
	var group op.Group
	for i, o := range sorted {
		if i == 0 || o.Group != group {
			group = o.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		referenceOp(&b, o)
	}
	return b.String()
}

// accessWords names the levels for the reference.
var accessWords = [...]string{op.Public: "public", op.Read: "read", op.Write: "write", op.Send: "send"}

func referenceOp(b *strings.Builder, o op.Op) {
	fmt.Fprintf(b, "\n### %s %s\n\n%s\n\n", o.Method, o.Path, o.Summary)
	access := "unknown"
	if int(o.Access) < len(accessWords) {
		access = accessWords[o.Access]
	}
	if o.Auth != nil {
		access = "a token of the application"
	}
	fmt.Fprintf(b, "Access: %s.", access)
	if o.Deprecated {
		b.WriteString(" Deprecated.")
	}
	b.WriteString("\n")
	if o.Doc != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(o.Doc))
	}
	if p, err := compile(o); err == nil {
		referenceParams(b, o, p)
	}
	referenceAnswer(b, o.Out)
}

func referenceParams(b *strings.Builder, o op.Op, p *plan) {
	fields := slices.Clone(p.fields)
	if p.stream >= 0 {
		if sp := streamPlan(o); sp != nil {
			fields = append(fields, sp.fields...)
		}
	}
	fields = slices.DeleteFunc(fields, func(f field) bool { return f.place == inStream })
	if len(fields) == 0 {
		return
	}
	b.WriteString("\n| parameter | in | type | default | limits | description |\n|---|---|---|---|---|---|\n")
	for i := range fields {
		f := &fields[i]
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n",
			code(f.name), places[f.place].tag, typeWord(f.typ), code(strings.Join(f.def, ",")), cell(f.limitWords()), cell(f.doc))
	}
}

// limitWords puts the checks of a parameter into words.
func (f *field) limitWords() string {
	var parts []string
	if f.required != "" || f.place == inPath {
		parts = append(parts, "required")
	}
	if f.enum != nil {
		parts = append(parts, "one of "+strings.Join(f.enum, ", "))
	}
	if words := f.bounds(); words != "" {
		switch {
		case f.shape == list:
			words += " items"
		case f.shape == octets || f.typ.Kind() == reflect.String:
			words += " bytes"
		}
		parts = append(parts, words)
	}
	return strings.Join(parts, "; ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// cell makes s fit a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// typeWord names a type for a reader who does not know Go.
func typeWord(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == timeType:
		return "date"
	case t == rawType:
		return "any"
	case k == reflect.Pointer:
		return typeWord(t.Elem())
	case k == reflect.String:
		return "string"
	case k == reflect.Bool:
		return "boolean"
	case isInt(k) || isUint(k):
		return "integer"
	case k == reflect.Float32 || k == reflect.Float64:
		return "number"
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "file"
	case k == reflect.Slice || k == reflect.Array:
		return "list of " + typeWord(t.Elem())
	case k == reflect.Interface:
		return "any"
	}
	return "object"
}

// referenceAnswer lists the members of the answer, nested ones by their path.
func referenceAnswer(b *strings.Builder, t reflect.Type) {
	if t == nil || t.Kind() != reflect.Struct || len(jsonMembers(t)) == 0 {
		return
	}
	b.WriteString("\n| answer | type | description |\n|---|---|---|\n")
	answerRows(b, t, "", 0)
}

func answerRows(b *strings.Builder, t reflect.Type, prefix string, depth int) {
	for _, m := range jsonMembers(t) {
		ft, name := m.field.Type, prefix+m.name
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(name), typeWord(ft), cell(m.field.Tag.Get("doc")))
		for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
			if ft.Kind() == reflect.Slice {
				name += "[]"
			}
			ft = ft.Elem()
		}
		// Three levels say enough, and end types that hold themselves.
		if ft.Kind() == reflect.Struct && ft != timeType && depth < 2 && !implements(ft, jsonType) {
			answerRows(b, ft, name+".", depth+1)
		}
	}
}
