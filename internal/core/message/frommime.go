package message

import (
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// Parts of a stored message are read within these bounds.
var parseLimits = mime.Limits{MaxParts: 1000, MaxDepth: 50}

// fromMIMEForm makes a submission of messages.mime: recipients and options
// from the form, content from the message file.
func fromMIMEForm(r *form, dom *domain.Domain, now time.Time, find finder) (*draft, error) {
	d := newDraft(dom, now, "http")
	d.find = find
	if err := d.recipients(r); err != nil {
		return nil, err
	}
	if r.message == nil {
		return nil, errs.New(errs.Invalid, "message parameter is missing")
	}
	if !r.isFile {
		return nil, errs.New(errs.Invalid, "'message' parameter is not a file")
	}
	if err := d.options(r); err != nil {
		return nil, err
	}
	return d, d.content(r.message)
}

// fromSMTP makes a submission of a message that came by SMTP: recipients from
// the envelope, options from its header.
func fromSMTP(raw []byte, rcpts []addr.Address, dom *domain.Domain, now time.Time, find finder) (*draft, error) {
	d := newDraft(dom, now, "smtp")
	d.find = find
	d.to = rcpts
	if err := d.envelope(); err != nil {
		return nil, err
	}
	return d, d.content(raw)
}

// content reads options from the header of a complete message and makes the
// MIME that is stored: own headers removed or added, the rest untouched.
func (d *draft) content(raw []byte) error {
	raw, fields, variables, err := d.open(raw)
	if err != nil {
		return err
	}
	// v: and X-Mailgun-Variables, o: and X-Mailgun-*: headers come second and win.
	for _, f := range fields {
		if err := d.mimeHeader(f); err != nil {
			return err
		}
	}
	if variables != nil {
		if err := d.box(variables); err != nil {
			return err
		}
	}
	if raw, fields, err = d.fill(raw, fields); err != nil {
		return err
	}
	if err := d.mimeAddresses(fields); err != nil {
		return err
	}
	given := d.sub.MessageID
	add := append(d.missing(fields), d.custom...)
	pieces, err := mime.EditHeader(raw, func(f mime.RawField) bool {
		return dropped(strings.ToLower(string(f.Name))) || d.overridden(string(f.Name)) || d.suppresses(string(f.Name)) ||
			d.sub.Meta.Batch && f.Is("To") || f.Is("Message-Id") && given == ""
	}, nil, append(add, d.ownHeaders()...))
	if err != nil {
		return buildError(err)
	}
	d.sub.MIME = mime.Join(pieces)
	files, err := attachmentsOf(d.sub.MIME)
	if err != nil {
		return err
	}
	d.finish(files)
	return nil
}

// dropped lists header fields of a submitted message that are ours to decide
// or instructions to us.
func dropped(name string) bool {
	switch name {
	case "bcc", "resent-bcc", "return-path", "x-mailgun-recipient-variables", "x-mailgun-variables", "x-mailgun-sid",
		"x-mailgun-template-name", "x-mailgun-template-version", "x-mailgun-template-variables":
		return true
	}
	_, opt := optionHeaders[name]
	return opt
}

func (d *draft) mimeHeader(f mime.RawField) error {
	name := strings.ToLower(string(f.Name))
	if opt, ok := optionHeaders[name]; ok {
		return d.option(opt, f.Text())
	}
	switch name {
	case "x-mailgun-variables":
		return d.vars.header(f.Text())
	case "x-mailgun-recipient-variables":
		return d.batch(f.Text(), "'X-Mailgun-Recipient-Variables' header is not a valid JSON")
	case "x-mailgun-template-name":
		d.sub.Meta.Options.Template = strings.TrimSpace(f.Text())
	case "x-mailgun-template-version":
		return d.templateOption("version", f.Text())
	case "x-mailgun-template-variables":
		return d.templateOption("variables", f.Text())
	case "message-id":
		if d.sub.MessageID != "" { // set by h:Message-Id, or a second field
			return nil
		}
		if err := d.messageID(f.Text()); err != nil {
			d.sub.MessageID = "" // an unusable one is replaced
		}
	}
	return nil
}

// mimeAddresses reads From for the events; a message without one is refused.
func (d *draft) mimeAddresses(fields mime.Fields) error {
	list, err := addr.ParseList(fields.Raw("From"))
	if err != nil || len(list) == 0 {
		return errs.New(errs.Invalid, "from parameter is not a valid address. please check documentation").WithHint("the message has no usable From header field")
	}
	d.from = list[0]
	to := fields.Get("To")
	d.sub.Meta.To = shorten(to, 1000)
	if d.sub.Meta.Batch && len(to) <= 998 && mime.HasPlaceholder(to) {
		d.toField = to
	}
	d.sub.Meta.Subject = fields.Get("Subject")
	return nil
}

// missing adds the fields RFC 5322 section 3.6 requires. A Message-Id given
// by h: replaces the one of the message.
func (d *draft) missing(fields mime.Fields) (add []mime.Field) {
	if d.sub.MessageID == "" {
		d.sub.MessageID = newMessageID(d.now, d.domain.Name)
		add = append(add, mime.Field{Name: "Message-Id", Value: "<" + d.sub.MessageID + ">"})
	} else if !strings.Contains(fields.Raw("Message-Id"), d.sub.MessageID) {
		d.custom = append(d.custom, mime.Field{Name: "Message-Id", Value: "<" + d.sub.MessageID + ">"})
	}
	if _, ok := fields.Find("Date"); !ok {
		add = append(add, mime.Field{Name: "Date", Value: d.now.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")})
	}
	return add
}

func attachmentsOf(raw []byte) ([]event.Attachment, error) {
	files, err := mime.Attachments(raw, parseLimits)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the message could not be parsed: "+err.Error())
	}
	var out []event.Attachment
	for _, a := range files {
		out = append(out, event.Attachment{Filename: a.Name, ContentType: a.ContentType, Size: int64(a.Size)})
	}
	return out, nil
}
