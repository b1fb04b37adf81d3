package httpapi

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"postroad/internal/base/op"
)

// object is a JSON object of the document; encoding/json sorts its keys, so
// the document is the same for the same operations.
type object = map[string]any

// FormDocer may be implemented by a request type that takes its body as an
// op.Form: FormDoc returns a struct whose form tags describe the fields, since
// the stream itself cannot say them. It is read for the documents alone.
type FormDocer interface {
	FormDoc() any
}

// OpenAPI returns the OpenAPI 3.1 document of the operations. Operations that
// New refuses are left out.
func OpenAPI(ops []op.Op, version string) object {
	if version == "" {
		version = "dev"
	}
	d := &document{schemas: newSchemas(), paths: object{}, names: map[string][]string{}, keys: map[string]string{}, ids: map[string]int{}}
	for _, o := range ops {
		if p, err := compile(o); err == nil {
			d.add(o, p)
		}
	}
	return object{
		"openapi":  "3.1.0",
		"info":     object{"title": "Postroad API", "version": version, "description": "Send, receive and track mail. Compatible with the Mailgun API."},
		"paths":    d.paths,
		"security": []any{object{"basicAuth": []string{}}},
		"tags":     groupTags(ops),
		"components": object{
			"securitySchemes": object{"basicAuth": object{"type": "http", "scheme": "basic", "description": "User name api, password an API key."}},
			"schemas":         d.schemas.done(),
			"responses":       object{"Error": errorResponse(), "Unauthorized": unauthorizedResponse()},
		},
	}
}

// document is an OpenAPI document in the making.
type document struct {
	schemas *schemas
	paths   object
	keys    map[string]string   // pattern without names: path in the document
	names   map[string][]string // path in the document: its value names
	ids     map[string]int
}

func groupTags(ops []op.Op) []any {
	tags := []any{}
	for _, g := range groups(ops) {
		tags = append(tags, object{"name": string(g)})
	}
	return tags
}

func errorResponse() object {
	schema := object{"type": "object", "properties": object{"message": object{"type": "string"}}, "required": []string{"message"}}
	return object{"description": "The request was refused; message says why.", "content": object{typeJSON: object{"schema": schema}}}
}

func unauthorizedResponse() object {
	return object{"description": "No key, an unknown key, or a domain the key does not reach.", "content": object{"text/plain": object{"schema": object{"type": "string", "const": "Forbidden"}}}}
}

// pathOf returns the document's path for a pattern and the names of its
// values. Paths that differ in names alone are one path in OpenAPI.
func (d *document) pathOf(pattern string) (string, []string) {
	key := shapeKey(pattern)
	path, ok := d.keys[key]
	if !ok {
		path = plainPath(pattern)
		d.keys[key], d.names[path] = path, pathParams(pattern)
		d.paths[path] = object{}
	}
	return path, d.names[path]
}

// plainPath takes chi's expressions out of a pattern.
func plainPath(pattern string) string {
	return strings.ReplaceAll(regexp.MustCompile(`\{([^}:]*):[^}]*\}`).ReplaceAllString(pattern, "{$1}"), "*", "{rest}")
}

func (d *document) add(o op.Op, p *plan) {
	path, names := d.pathOf(o.Path)
	item := object{
		"operationId": d.operationID(o), "summary": o.Summary, "tags": []string{string(o.Group)},
		"responses": d.responses(o),
	}
	if o.Doc != "" {
		item["description"] = o.Doc
	}
	if o.Deprecated {
		item["deprecated"] = true
	}
	if o.Access == op.Public {
		item["security"] = []any{}
	}
	if params := d.parameters(o, p, names); len(params) > 0 {
		item["parameters"] = params
	}
	if body := d.requestBody(o, p); body != nil {
		item["requestBody"] = body
	}
	d.paths[path].(object)[strings.ToLower(o.Method)] = item
}

// operationID is method and path in words: post_v3_domain_messages.
func (d *document) operationID(o op.Op) string {
	words := strings.FieldsFunc(plainPath(o.Path), func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	id := strings.ToLower(o.Method) + "_" + strings.Join(words, "_")
	if d.ids[id]++; d.ids[id] > 1 {
		id += "_" + strconv.Itoa(d.ids[id])
	}
	return id
}

// inBodyDoc reports whether form parameters of o are documented as its body.
func inBodyDoc(o op.Op) bool {
	return o.Method != http.MethodGet && o.Method != http.MethodDelete
}

func (d *document) parameters(o op.Op, p *plan, names []string) []any {
	var params []any
	for i := range p.fields {
		f := &p.fields[i]
		prm := object{"name": f.name, "schema": d.fieldSchema(f)}
		switch {
		case f.place == inPath:
			prm["in"], prm["required"] = "path", true
			if prm["name"] = names[f.param]; prm["name"] == "*" {
				prm["name"] = "rest"
			}
		case f.place == inQuery || f.place == inForm && !inBodyDoc(o) && f.shape != octets:
			prm["in"] = "query"
			if f.required != "" {
				prm["required"] = true
			}
		case f.place == inHeader:
			prm["in"] = "header"
		default:
			continue
		}
		if f.doc != "" {
			prm["description"] = f.doc
		}
		params = append(params, prm)
	}
	return params
}

// requestBody documents the kinds of body the operation takes.
func (d *document) requestBody(o op.Op, p *plan) object {
	switch {
	case p.stream >= 0:
		schema := d.streamSchema(o)
		return object{"content": object{typeMultipart: object{"schema": schema}, typeURLEncoded: object{"schema": schema}}}
	case p.raw():
		return object{"content": object{typeJSON: object{"schema": object{"type": "object", "description": p.fields[p.body].doc}}}}
	case p.body >= 0:
		return object{"content": object{typeJSON: object{"schema": d.schemas.of(p.fields[p.body].typ)}}}
	}
	form, needed := d.members(p, func(f *field) bool { return f.place == inForm && (inBodyDoc(o) || f.shape == octets) })
	all, neededAll := d.members(p, func(f *field) bool {
		return f.place == inJSON || f.place == inForm && f.shape != octets && inBodyDoc(o)
	})
	content := object{}
	if len(form) > 0 && len(p.json) == 0 {
		content[typeMultipart] = object{"schema": objectSchema(form, needed)}
		content[typeURLEncoded] = object{"schema": objectSchema(form, needed)}
	}
	if len(all) > 0 {
		content[typeJSON] = object{"schema": objectSchema(all, neededAll)}
	}
	if len(content) == 0 {
		return nil
	}
	return object{"content": content, "required": len(neededAll)+len(needed) > 0}
}

func (d *document) members(p *plan, want func(*field) bool) (props object, required []string) {
	props = object{}
	for i := range p.fields {
		f := &p.fields[i]
		if !want(f) {
			continue
		}
		props[f.name] = d.described(f)
		if f.required != "" {
			required = append(required, f.name)
		}
	}
	return props, required
}

func (d *document) described(f *field) object {
	s := d.fieldSchema(f)
	if _, ref := s["$ref"]; f.doc != "" && !ref {
		s["description"] = f.doc
	}
	return s
}

// streamSchema documents a streamed form from its FormDoc, if it has one.
func (d *document) streamSchema(o op.Op) object {
	schema := object{"type": "object", "additionalProperties": true}
	p := streamPlan(o)
	if p == nil {
		return schema
	}
	props, required := d.members(p, func(f *field) bool { return f.place == inForm })
	schema["properties"] = props
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// streamPlan compiles the FormDoc of the request type, nil when there is none.
func streamPlan(o op.Op) *plan {
	fd, ok := reflect.New(o.In).Interface().(FormDocer)
	if !ok {
		return nil
	}
	t := reflect.TypeOf(fd.FormDoc())
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p, err := compile(op.Op{In: t, Call: o.Call})
	if err != nil {
		return nil
	}
	return p
}

func (d *document) responses(o op.Op) object {
	ok := object{"description": "Success."}
	if rs := o.Out; rs != nil && rs.Kind() == reflect.Struct {
		kind := typeJSON
		schema := d.schemas.of(rs)
		if rs.NumField() > 0 && len(jsonMembers(rs)) == 0 && reflect.PointerTo(rs).Implements(responderType) {
			kind, schema = "*/*", object{}
		}
		ok["content"] = object{kind: object{"schema": schema}}
	}
	res := object{"200": ok, "default": object{"$ref": "#/components/responses/Error"}}
	if o.Access != op.Public {
		res["401"] = object{"$ref": "#/components/responses/Unauthorized"}
	}
	return res
}
