package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// draft is a message between the request and its submission: options read,
// addresses parsed, nothing stored.
type draft struct {
	domain *domain.Domain
	now    time.Time
	sub    *Submission
	vars   variables
	custom []mime.Field // h: fields

	from        addr.Address
	to, cc, bcc []addr.Address
	rcptVars    map[string]json.RawMessage // of parameter and header, by canonical address
	boxed       boxed
	find        finder
	template    *event.Template // that was rendered
	toField     string          // To of a batch with placeholders
	unknown     []string        // option names nobody knows
}

func newDraft(d *domain.Domain, now time.Time, method string) *draft {
	return &draft{domain: d, now: now, sub: &Submission{Domain: d, Meta: Meta{Method: method}}}
}

func (d *draft) bounds() bounds {
	return bounds{now: d.now, schedule: ahead(d.domain), to: len(d.sub.Recipients)}
}

// ahead is how long the domain's mail may wait for its time. Mailgun: three days,
// or message_ttl where it is set.
func ahead(d *domain.Domain) time.Duration {
	if ttl := d.Settings.MessageTTL; ttl > 0 {
		return time.Duration(ttl) * time.Second
	}
	return 72 * time.Hour
}

// addresses reads the recipients of one kind: repeated fields, each a list.
func addresses(r *form, name string) ([]addr.Address, error) {
	var out []addr.Address
	for _, v := range r.all(name) {
		if strings.TrimSpace(v) == "" {
			continue
		}
		list, err := addr.ParseList(v)
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, name+" parameter is not a valid address. please check documentation").WithHint("%v in %q", err, shorten(v, 120))
		}
		if out = append(out, list...); len(out) > MaxRecipients {
			return nil, errs.New(errs.Invalid, "Too many recipients, max is %d", MaxRecipients)
		}
	}
	return out, nil
}

// recipients reads to, cc and bcc and removes duplicates across them.
func (d *draft) recipients(r *form) (err error) {
	if d.to, err = addresses(r, "to"); err != nil {
		return err
	}
	if len(d.to) == 0 {
		return errs.New(errs.Invalid, "to parameter is missing")
	}
	if d.cc, err = addresses(r, "cc"); err != nil {
		return err
	}
	if d.bcc, err = addresses(r, "bcc"); err != nil {
		return err
	}
	return d.envelope()
}

func (d *draft) envelope() error {
	seen := addr.Set{}
	for i, list := range [][]addr.Address{d.to, d.cc, d.bcc} {
		for _, a := range list {
			if !seen.Add(a) {
				continue
			}
			d.sub.Recipients = append(d.sub.Recipients, Recipient{Address: a.Mailbox(), Header: a.String(), Copy: i > 0})
			d.sub.Meta.Recipients = append(d.sub.Meta.Recipients, a.Mailbox())
		}
	}
	if len(d.sub.Recipients) > MaxRecipients {
		return errs.New(errs.Invalid, "Too many recipients, max is %d", MaxRecipients)
	}
	d.to = addr.Dedupe(d.to)
	return nil
}

// options applies the variables of a batch, o:, t:, v: and h: parameters and the
// template.
func (d *draft) options(r *form) error {
	if v, ok := r.get("recipient-variables"); ok && strings.TrimSpace(v) != "" {
		if err := d.batch(v, "'recipient-variables' parameter is not a valid JSON"); err != nil {
			return err
		}
	}
	for _, kinds := range [...]string{"ovt", "h"} { // a header field wins over its parameter
		for _, p := range r.fields {
			kind, name, ok := strings.Cut(p.name, ":")
			if !ok || len(kind) != 1 || !strings.Contains(kinds, kind) {
				continue
			}
			if err := d.parameter(kind, name, p.value); err != nil {
				return err
			}
		}
	}
	if o := &d.sub.Meta.Options; o.Template == "" {
		o.Template = strings.TrimSpace(r.template())
	}
	return nil
}

func (d *draft) parameter(kind, name, value string) error {
	switch kind {
	case "o":
		return d.option(strings.ToLower(name), value)
	case "v":
		return d.vars.text(name, value)
	case "t":
		return d.templateOption(strings.ToLower(name), value)
	}
	return d.header(name, value)
}

func (d *draft) option(name, value string) error {
	known, err := d.sub.Meta.Options.set(name, value, d.bounds())
	if !known {
		d.unknown = append(d.unknown, "o:"+name)
	}
	return err
}

func (d *draft) templateOption(name, value string) error {
	o := &d.sub.Meta.Options
	switch name {
	case "variables":
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(value), &m); err != nil {
			return errs.New(errs.Invalid, "'t:variables' parameter is not a valid JSON")
		}
		o.TemplateVariables = string(compactJSON(json.RawMessage(value))) // one line: it becomes a header field
	case "version":
		o.TemplateVersion = strings.ToLower(value)
	case "text":
		v, err := yesNo("text", value)
		if err != nil {
			return errs.New(errs.Invalid, "invalid value '%s' of 't:text': expected yes, no, true or false", shorten(value, 40))
		}
		if *v {
			o.TemplateText = "yes"
		}
	default:
		d.unknown = append(d.unknown, "t:"+name)
	}
	return nil
}

// header takes an h: field. The headers that mean something to us are read;
// those that the message structure decides are left to it.
func (d *draft) header(name, value string) error {
	lower := strings.ToLower(strings.TrimSpace(name))
	if opt, ok := optionHeaders[lower]; ok {
		return d.option(opt, value)
	}
	switch lower {
	case "x-mailgun-variables":
		return d.vars.header(value)
	case "x-mailgun-recipient-variables":
		return d.batch(value, "'X-Mailgun-Recipient-Variables' header is not a valid JSON")
	case "x-mailgun-template-variables":
		return d.templateOption("variables", value)
	case "x-mailgun-template-version":
		return d.templateOption("version", value)
	case "x-mailgun-template-name":
		d.sub.Meta.Options.Template = strings.TrimSpace(value)
		return nil
	case "message-id":
		return d.messageID(value)
	case "bcc", "mime-version", "content-type", "content-transfer-encoding", "return-path", "received", "dkim-signature":
		return nil
	}
	f := mime.Field{Name: strings.TrimSpace(name), Value: value}
	if err := f.Check(); err != nil {
		return headerError(f.Name, err)
	}
	d.custom = append(d.custom, f)
	return nil
}

func headerError(name string, err error) error {
	name = shorten(strings.ToValidUTF8(strings.Map(printable, name), "?"), 80)
	if errors.Is(err, mime.ErrHeaderName) {
		return errs.New(errs.Invalid, "Header name must be pure ASCII: %s", name)
	}
	if errors.Is(err, mime.ErrHeaderInjection) {
		return errs.New(errs.Invalid, "Header value must not contain line breaks or NUL: %s", name)
	}
	return errs.Wrap(errs.Invalid, err, "invalid header: "+name)
}

func printable(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return '?'
	}
	return r
}

// messageID takes the caller's Message-Id. Mailgun: honoured and returned.
func (d *draft) messageID(v string) error {
	v = strings.TrimSpace(v)
	v = strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">")
	if v == "" || len(v) > 900 || strings.ContainsAny(v, "<> \t\r\n\x00") {
		return errs.New(errs.Invalid, "invalid Message-Id: expected <local@domain>")
	}
	d.sub.MessageID = v
	return nil
}

// batch reads recipient variables: an object per address, whose members go
// before those read earlier.
func (d *draft) batch(text, public string) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil || m == nil {
		return errs.New(errs.Invalid, "%s", public)
	}
	if d.rcptVars == nil {
		d.rcptVars = make(map[string]json.RawMessage, len(m))
	}
	for address, vars := range m {
		var probe map[string]json.RawMessage
		if err := json.Unmarshal(vars, &probe); err != nil {
			return errs.New(errs.Invalid, "%s", public).WithHint("the value for %q is not an object", shorten(address, 80))
		}
		key := addr.Canonical(address)
		d.rcptVars[key] = merged(d.rcptVars[key], compactJSON(vars))
	}
	d.sub.Meta.Batch = true
	return nil
}

func compactJSON(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// personal gives each to-recipient of a batch its variables.
func (d *draft) personal() {
	if !d.sub.Meta.Batch {
		return
	}
	for i := range d.sub.Recipients {
		r := &d.sub.Recipients[i]
		if !r.Copy {
			r.Vars = d.varsOf(r.Address)
			r.Header = d.addressed(r)
		}
	}
	d.sub.Meta.Vars = keptVars(d.sub.Recipients)
}

// maxKeptVars bounds the recipient variables kept with the message.
const maxKeptVars = 64 << 10

func keptVars(list []Recipient) map[string]Vars {
	out, size := make(map[string]Vars, len(list)), 0
	for _, r := range list {
		if r.Copy {
			continue
		}
		if size += len(r.Address) + len(r.Header) + len(r.Vars); size > maxKeptVars {
			return nil
		}
		out[r.Address] = Vars{To: r.Header, Target: r.Address, Vars: r.Vars}
	}
	return out
}

// newMessageID makes an id of the form Mailgun's have since 2022.
func newMessageID(now time.Time, domain string) string {
	return now.UTC().Format("20060102150405") + "." + ids.Hex(8) + "@" + domain
}

// ownHeaders are the X-Mailgun-* fields a delivered message carries, unless
// o:suppress-headers names them. Mailgun: which stay is not listed; tags,
// variables and the Sid are seen.
func (d *draft) ownHeaders() []mime.Field {
	o := &d.sub.Meta.Options
	out := []mime.Field{{Name: "X-Mailgun-Sid", Value: ids.Token(24)}}
	for _, t := range o.Tags {
		out = append(out, mime.Field{Name: "X-Mailgun-Tag", Value: t})
	}
	if v := d.vars.object(); v != nil {
		out = append(out, mime.Field{Name: "X-Mailgun-Variables", Value: string(v)})
	}
	if o.Template != "" {
		out = append(out, mime.Field{Name: "X-Mailgun-Template-Name", Value: o.Template})
	}
	if o.TemplateVariables != "" {
		out = append(out, mime.Field{Name: "X-Mailgun-Template-Variables", Value: o.TemplateVariables})
	}
	keep := out[:0]
	for _, f := range out {
		if !suppressed(o.SuppressHeaders, f.Name) {
			keep = append(keep, f)
		}
	}
	return keep
}

// suppresses reports whether a field of the sender's is one of Mailgun's that is
// to be left out.
func (d *draft) suppresses(name string) bool {
	list := d.sub.Meta.Options.SuppressHeaders
	return list != "" && ours(name) && suppressed(list, name)
}

// suppressed reports whether a comma list of header names, or the word all,
// covers name.
func suppressed(list, name string) bool {
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); strings.EqualFold(s, "all") || strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// finish fills what events and delivery read, after the MIME is known.
func (d *draft) finish(files []event.Attachment) {
	m := &d.sub.Meta
	m.Variables = d.vars.forEvents()
	m.Attachments = files
	m.From, m.FromMailbox = shorten(d.from.String(), 400), d.from.Mailbox()
	if len(m.To) == 0 {
		m.To = shorten(addr.Join(d.to), 1000)
	}
	m.Subject = shorten(m.Subject, 998)
	m.Template = d.template
	end := max(bytes.Index(d.sub.MIME, []byte("\r\n\r\n")), 0)
	m.UTF8, m.EightBit = mime.EightBit(d.sub.MIME[:end]), mime.EightBit(d.sub.MIME[end:])
	d.personal()
}
