package resend

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"postroad/internal/base/op"
)

// form is an email as the fields of POST /v3/{domain}/messages.
type form struct {
	fields []op.Field
	next   int
}

// Next implements op.Form.
func (f *form) Next() (op.Field, error) {
	if f.next == len(f.fields) {
		return op.Field{}, io.EOF
	}
	f.next++
	return f.fields[f.next-1], nil
}

// Multipart implements op.Form.
func (f *form) Multipart() bool { return true }

// ContentType implements op.Form.
func (f *form) ContentType() string { return "multipart/form-data" }

func (f *form) add(name, value string) {
	f.fields = append(f.fields, op.Field{Name: name, Body: strings.NewReader(value)})
}

// form maps the email. The name of a tag becomes a tag, whose number is limited and
// by which mail is counted; name and value become a variable, which events carry.
// Neither is for the recipient to see.
func (e *email) form() *form {
	f := &form{}
	f.add("from", e.From)
	for i, list := range []addresses{e.To, e.CC, e.BCC} {
		for _, a := range list {
			f.add([]string{"to", "cc", "bcc"}[i], a)
		}
	}
	if e.Subject != "" || e.Template == nil {
		f.add("subject", e.Subject)
	}
	if e.HTML != nil && *e.HTML != "" {
		f.add("html", *e.HTML)
	}
	if e.Text != nil && *e.Text != "" {
		f.add("text", *e.Text)
	}
	if t := e.Template; t != nil {
		f.add("template", t.ID)
		if vars, err := json.Marshal(t.Variables); err == nil && len(t.Variables) > 0 { // what was read can be written
			f.add("t:variables", string(vars))
		}
	}
	for _, t := range e.Tags {
		f.add("o:tag", t.Name)
		f.add("v:"+t.Name, t.Value)
	}
	f.add("o:suppress-headers", "all")
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		f.add("h:"+name, e.Headers[name])
	}
	if len(e.ReplyTo) > 0 {
		f.add("h:Reply-To", strings.Join(e.ReplyTo, ", "))
	}
	for i := range e.Attachments {
		f.fields = append(f.fields, e.Attachments[i].field())
	}
	return f
}

func (a *attachment) field() op.Field {
	name := "attachment"
	if a.ContentID != "" {
		name = "inline"
	}
	return op.Field{Name: name, Filename: a.name, IsFile: true, ContentType: a.ContentType, ContentID: a.ContentID, Body: bytes.NewReader(a.Content)}
}
