package message

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/template"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/handlebars"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/quote"
)

// finder finds a version of a stored template that a message may be made from;
// nil finds none.
type finder func(name, tag string) (*template.Version, error)

// templates returns the finder of a domain's messages.
func (s *Service) templates(ctx context.Context, dom *domain.Domain) finder {
	if s.Template == nil {
		return nil
	}
	return func(name, tag string) (*template.Version, error) { return s.Template(ctx, dom, name, tag) }
}

// rendered is a template with the data of a message in it.
type rendered struct {
	html, text             string // text is empty unless asked for
	from, subject, replyTo string // empty where the template has none
}

// render fills the template the options name; nil without one.
func (d *draft) render() (*rendered, error) {
	o := &d.sub.Meta.Options
	if o.Template == "" {
		return nil, nil
	}
	if d.find == nil {
		return nil, errs.New(errs.Invalid, "template '%s' was not found", shorten(o.Template, 80))
	}
	v, err := d.find(o.Template, o.TemplateVersion)
	if err != nil {
		return nil, err
	}
	data, err := d.templateData()
	if err != nil {
		return nil, err
	}
	out := &rendered{}
	for _, part := range []struct {
		from  *handlebars.Template
		to    *string
		plain bool
	}{{v.Content, &out.html, false}, {v.From, &out.from, true}, {v.Subject, &out.subject, true}, {v.ReplyTo, &out.replyTo, true}} {
		if part.from == nil {
			continue
		}
		b, err := part.from.Render(nil, data, handlebars.Options{Plain: part.plain})
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "template '"+v.Name+"' could not be rendered: "+err.Error())
		}
		if part.plain {
			b = bytes.TrimSpace(b)
		}
		*part.to = string(b)
	}
	if o.TemplateText == "yes" {
		out.text = quote.PlainText(out.html)
	}
	o.Template = v.Name
	d.template = &event.Template{Name: v.Name, Version: v.Tag, IsText: o.TemplateText == "yes"}
	return out, nil
}

// templateData are the values for a template. Mailgun: v: values, those of
// X-Mailgun-Variables and those of t:variables alike; what is meant for the
// template wins. Placeholders of recipients in them stay and are replaced at
// delivery.
func (d *draft) templateData() (handlebars.Value, error) {
	raw := merged(d.vars.object(), json.RawMessage(d.sub.Meta.Options.TemplateVariables))
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	v, err := handlebars.JSON(raw)
	if err != nil {
		return v, errs.Wrap(errs.Invalid, err, "template variables are invalid: "+err.Error())
	}
	return v, nil
}

// wanting reads the sender of a message whose request names none: an h: field,
// the template's, or as Mailgun has it the postmaster.
func (d *draft) wanting(t *rendered) error {
	value := "postmaster@" + d.domain.Name
	if t.from != "" {
		value = t.from
	}
	for _, f := range d.custom {
		if strings.EqualFold(f.Name, "From") {
			value = f.Value
		}
	}
	a, err := addr.Parse(value)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "the From of the template is not a valid address").WithHint("%v in %q", err, shorten(value, 120))
	}
	d.from = a
	return nil
}

// fill puts the template in place of the texts of a complete message. Its files
// stay, and so do fields the template has as well.
func (d *draft) fill(raw []byte, fields mime.Fields) ([]byte, mime.Fields, error) {
	t, err := d.render()
	if err != nil || t == nil {
		return raw, fields, err
	}
	m, err := mime.Parse(raw, parseLimits)
	if err != nil {
		return nil, nil, errs.Wrap(errs.Invalid, err, "the message could not be parsed: "+err.Error())
	}
	if m.Truncated {
		return nil, nil, errs.New(errs.Invalid, "the message has too many parts")
	}
	body := mime.Draft{HTML: t.html, HasHTML: true, Text: t.text}
	for _, p := range m.Attachments {
		f := mime.File{Name: p.Name, ContentType: p.ContentType, ContentID: p.ContentID, Data: p.Data}
		if p.Inline {
			body.Inline = append(body.Inline, f)
		} else {
			body.Attachments = append(body.Attachments, f)
		}
	}
	head, err := d.fillHeader(raw, fields, t)
	if err != nil {
		return nil, nil, err
	}
	entity, err := body.Build()
	if err != nil {
		return nil, nil, buildError(err)
	}
	return scan(append(head, entity...))
}

// fillHeader returns the header of a message without what described its body,
// and with the fields of the template that it lacks.
func (d *draft) fillHeader(raw []byte, fields mime.Fields, t *rendered) (head []byte, err error) {
	add := []mime.Field{{Name: "Subject", Value: t.subject}, {Name: "Reply-To", Value: t.replyTo}}
	if strings.TrimSpace(fields.Raw("From")) == "" {
		if err := d.wanting(t); err != nil {
			return nil, err
		}
		add = append(add, mime.Field{Name: "From", Value: d.from.String()})
	}
	lacks := func(name string) bool { return strings.TrimSpace(fields.Raw(name)) == "" }
	for _, f := range fields {
		name := strings.ToLower(string(f.Name))
		replaced := (name == "from" || name == "subject" || name == "reply-to") && lacks(name)
		if name != "mime-version" && !strings.HasPrefix(name, "content-") && !replaced {
			head = append(head, raw[f.Start:f.End]...)
		}
	}
	for _, f := range add {
		if f.Value == "" || !lacks(f.Name) {
			continue
		}
		if head, err = mime.AppendField(head, f); err != nil {
			return nil, buildError(err)
		}
	}
	return head, nil
}
