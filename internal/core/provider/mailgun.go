package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
	"postroad/internal/mail/addr"
)

// Base URLs of Mailgun's regions.
const (
	MailgunUS = "https://api.mailgun.net"
	MailgunEU = "https://api.eu.mailgun.net"
)

// MetadataVariable is the user variable that holds a message's metadata as JSON
// text in Mailgun's events.
const MetadataVariable = "metadata"

type mailgun struct {
	caller
	base string
}

// Mailgun returns the driver of Mailgun's API at base (scheme://host), performed by
// do. Mailgun: up to 1,000 recipients in a batch.
func Mailgun(base string, do Doer, c clock.Clock) Driver {
	return &mailgun{caller{do, c, usual}, strings.TrimSuffix(base, "/")}
}

func (*mailgun) Name() string { return "mailgun" }

func (*mailgun) BatchSize() int { return 1000 }

func (d *mailgun) Send(ctx context.Context, a Account, m *Message) (string, error) {
	f := common(m)
	f.Set("subject", m.Subject)
	set(f, "html", m.HTML)
	set(f, "text", m.Text)
	for name, list := range map[string][]string{"to": m.To, "cc": m.CC, "bcc": m.BCC} {
		f[name] = list
	}
	if len(m.Metadata) > 0 {
		f.Set("v:"+MetadataVariable, string(m.Metadata))
	}
	return d.post(ctx, a, f, m.IdempotencyKey)
}

func (d *mailgun) SendBatch(ctx context.Context, a Account, b *Batch) []Sent {
	f := common(&b.Message)
	var s slots
	f.Set("subject", s.convert(b.Subject, Subject))
	set(f, "html", s.convert(b.HTML, HTML))
	set(f, "text", s.convert(b.Text, Text))
	all, withMetadata := make(map[string]map[string]string, len(b.Recipients)), false
	for _, r := range b.Recipients {
		f.Add("to", r.Email)
		metadata := r.Metadata
		if metadata == nil {
			metadata = b.Metadata
		}
		withMetadata = withMetadata || len(metadata) > 0
		all[mailbox(r.Email)] = s.values(r.Variables, metadata)
	}
	if withMetadata {
		f.Set("v:"+MetadataVariable, "%recipient."+metadataSlot+"%")
	}
	out := make([]Sent, len(b.Recipients))
	vars, err := json.Marshal(all)
	id := ""
	if err == nil {
		f.Set("recipient-variables", string(vars))
		id, err = d.post(ctx, a, f, b.IdempotencyKey)
	}
	for i := range out {
		out[i] = Sent{id, err}
	}
	return out
}

func mailbox(s string) string {
	if a, err := addr.Parse(s); err == nil {
		return a.Mailbox()
	}
	return s
}

// common is the form of what single messages and batches share.
func common(m *Message) url.Values {
	f := url.Values{"from": {m.From}, "o:tag": m.Tags}
	set(f, "h:Reply-To", m.ReplyTo)
	for _, name := range slices.Sorted(maps.Keys(m.Variables)) {
		f.Set("v:"+name, m.Variables[name])
	}
	return f
}

func set(f url.Values, name, value string) {
	if value != "" {
		f.Set(name, value)
	}
}

func (d *mailgun) post(ctx context.Context, a Account, f url.Values, key string) (string, error) {
	h := map[string][]string{
		"Content-Type":  {"application/x-www-form-urlencoded"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+a.Key))},
	}
	if key != "" {
		h["Idempotency-Key"] = []string{key}
	}
	resp, err := d.call(ctx, netx.Request{Method: "POST", URL: d.base + "/v3/" + url.PathEscape(a.Domain) + "/messages", Header: h, Body: []byte(f.Encode())})
	if err != nil {
		return "", err
	}
	var out struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(resp.Body, &out); err != nil || out.ID == "" {
		return "", &Error{Status: resp.Status, Text: "an answer without an id", err: err}
	}
	return out.ID, nil
}
