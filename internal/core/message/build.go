package message

import (
	"errors"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// fromParts makes a submission of a form of message parts.
func fromParts(r *form, dom *domain.Domain, now time.Time, find finder) (*draft, error) {
	d := newDraft(dom, now, "http")
	d.find = find
	if err := d.sender(r); err != nil { // Mailgun: an empty request lacks from before to
		return nil, err
	}
	if err := d.recipients(r); err != nil {
		return nil, err
	}
	if err := d.options(r); err != nil {
		return nil, err
	}
	if html, _ := r.get("html"); html != "" && d.sub.Meta.Options.Template != "" {
		return nil, errs.New(errs.Invalid, "Only one parameters 'html' or 'template' is allowed")
	}
	t, err := d.render()
	if err != nil {
		return nil, err
	}
	parts, err := bodyParts(r, t)
	if err != nil {
		return nil, err
	}
	parts.Header, err = d.headerFields(r, t)
	if err != nil {
		return nil, err
	}
	if d.sub.MIME, err = parts.Build(); err != nil {
		return nil, buildError(err)
	}
	d.finish(describeFiles(parts))
	return d, nil
}

// sender reads from, which a message with a template may lack.
func (d *draft) sender(r *form) error {
	v, _ := r.get("from")
	if strings.TrimSpace(v) == "" {
		if r.hasTemplate() {
			return nil
		}
		return errs.New(errs.Invalid, "from parameter is missing")
	}
	a, err := addr.Parse(v)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "from parameter is not a valid address. please check documentation").WithHint("%v in %q", err, shorten(v, 120))
	}
	d.from = a
	return nil
}

// bodyParts collects the alternatives and files. Mailgun: the refusal.
func bodyParts(r *form, t *rendered) (*mime.Draft, error) {
	p := &mime.Draft{Attachments: r.files, Inline: r.inline}
	p.Text, p.HasText = r.get("text")
	p.HTML, p.HasHTML = r.get("html")
	p.AMP, p.HasAMP = r.get("amp-html")
	if t != nil {
		p.HTML, p.HasHTML = t.html, true
		if p.Text == "" {
			p.Text, p.HasText = t.text, t.text != ""
		}
	}
	if !p.HasText && !p.HasHTML && !p.HasAMP {
		return nil, errs.New(errs.Invalid, "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified")
	}
	// SDKs send an empty text beside the html: it is no part of the message.
	p.HasText = p.HasText && (p.Text != "" || !p.HasHTML && !p.HasAMP)
	p.HasHTML = p.HasHTML && (p.HTML != "" || !p.HasText && !p.HasAMP)
	p.HasAMP = p.HasAMP && p.AMP != ""
	return p, nil
}

// headerFields orders the header: what h: gives overrides what parameters say.
func (d *draft) headerFields(r *form, t *rendered) ([]mime.Field, error) {
	subject, _ := r.get("subject")
	replyTo := ""
	if t != nil {
		if replyTo = t.replyTo; subject == "" {
			subject = t.subject
		}
		if from, _ := r.get("from"); strings.TrimSpace(from) == "" {
			if err := d.wanting(t); err != nil {
				return nil, err
			}
		}
	}
	if d.sub.MessageID == "" {
		d.sub.MessageID = newMessageID(d.now, d.domain.Name)
	}
	fields := []mime.Field{
		{Name: "Date", Value: d.now.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")},
		{Name: "From", Value: d.from.String()},
		{Name: "To", Value: addr.Join(d.to)},
		{Name: "Cc", Value: addr.Join(d.cc)},
		{Name: "Reply-To", Value: replyTo},
		{Name: "Subject", Value: subject},
		{Name: "Message-Id", Value: "<" + d.sub.MessageID + ">"},
	}
	out := fields[:0]
	for _, f := range fields {
		if f.Value == "" && f.Name != "Subject" || d.overridden(f.Name) || d.sub.Meta.Batch && f.Name == "To" {
			continue // the To of a batch names one recipient and is added at delivery
		}
		out = append(out, f)
	}
	for _, f := range d.custom {
		if d.suppresses(f.Name) {
			continue
		}
		switch strings.ToLower(f.Name) {
		case "subject":
			subject = f.Value
		case "to":
			if d.sub.Meta.Batch {
				continue
			}
			d.sub.Meta.To = shorten(f.Value, 1000)
		}
		out = append(out, f)
	}
	d.sub.Meta.Subject = subject
	for _, f := range fields {
		if err := f.Check(); err != nil {
			return nil, headerError(f.Name, err)
		}
	}
	return append(out, d.ownHeaders()...), nil
}

func (d *draft) overridden(name string) bool {
	for _, f := range d.custom {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

func buildError(err error) error {
	var f *mime.FieldError
	switch {
	case errors.As(err, &f):
		return headerError(f.Name, err)
	case errors.Is(err, mime.ErrFileName):
		return errs.Wrap(errs.Invalid, err, "invalid file name of an attachment")
	}
	return errs.Wrap(errs.Invalid, err, "the message could not be built")
}

func describeFiles(p *mime.Draft) []event.Attachment {
	var out []event.Attachment
	for _, list := range [][]mime.File{p.Attachments, p.Inline} {
		for _, f := range list {
			out = append(out, event.Attachment{Filename: f.Name, ContentType: f.ContentType, Size: int64(len(f.Data))})
		}
	}
	return out
}
