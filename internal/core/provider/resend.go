package provider

import (
	"context"
	"encoding/json"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
)

// ResendBase is the base URL of Resend's API.
const ResendBase = "https://api.resend.com"

type resend struct {
	caller
	base string
}

// Resend returns the driver of Resend's API at base (scheme://host), performed by
// do. Resend: up to 100 messages in a batch.
func Resend(base string, do Doer, c clock.Clock) Driver {
	return &resend{caller{do, c, usual}, strings.TrimSuffix(base, "/")}
}

func (*resend) Name() string { return "resend" }

func (*resend) BatchSize() int { return 100 }

// resendMail is a message as Resend takes it. Resend: names and values of tags have
// ASCII letters, digits, "_" and "-", up to 256.
type resendMail struct {
	From    string      `json:"from"`
	To      []string    `json:"to"`
	CC      []string    `json:"cc,omitempty"`
	BCC     []string    `json:"bcc,omitempty"`
	ReplyTo string      `json:"reply_to,omitempty"`
	Subject string      `json:"subject"`
	HTML    string      `json:"html,omitempty"`
	Text    string      `json:"text,omitempty"`
	Tags    []resendTag `json:"tags,omitempty"`
}

type resendTag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (d *resend) mail(m *Message) resendMail {
	out := resendMail{From: m.From, To: m.To, CC: m.CC, BCC: m.BCC, ReplyTo: m.ReplyTo, Subject: m.Subject, HTML: m.HTML, Text: m.Text}
	seen := map[string]bool{}
	for _, t := range m.Tags { // theirs have a name and a value; ours are names
		if name := tagName(t); name != "" && !seen[name] {
			seen[name] = true
			out.Tags = append(out.Tags, resendTag{name, "1"})
		}
	}
	return out
}

func tagName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), 256)]
}

func (d *resend) Send(ctx context.Context, a Account, m *Message) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	if err := d.post(ctx, a, "/emails", d.mail(m), m.IdempotencyKey, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", &Error{Status: 200, Text: "an answer without an id"}
	}
	return out.ID, nil
}

func (d *resend) SendBatch(ctx context.Context, a Account, b *Batch) []Sent {
	list := make([]resendMail, len(b.Recipients))
	for i, r := range b.Recipients {
		m := b.Message
		m.To, m.CC, m.BCC = []string{r.Email}, nil, nil
		m.Subject, m.HTML, m.Text = Fill(b.Subject, r.Variables, Subject), Fill(b.HTML, r.Variables, HTML), Fill(b.Text, r.Variables, Text)
		list[i] = d.mail(&m)
	}
	var out struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	err := d.post(ctx, a, "/emails/batch", list, b.IdempotencyKey, &out)
	if err == nil && len(out.Data) != len(list) {
		err = &Error{Status: 200, Text: "an answer for another number of messages"}
	}
	sent := make([]Sent, len(list))
	for i := range sent {
		sent[i].Err = err
		if err == nil {
			sent[i].ID = out.Data[i].ID
		}
	}
	return sent
}

func (d *resend) post(ctx context.Context, a Account, path string, body any, key string, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return &Error{Text: "the message could not be encoded", err: err}
	}
	h := map[string][]string{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + a.Key}}
	if key != "" {
		h["Idempotency-Key"] = []string{key}
	}
	resp, err := d.call(ctx, netx.Request{Method: "POST", URL: d.base + path, Header: h, Body: b})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Body, out); err != nil {
		return &Error{Status: resp.Status, Text: "an answer that is no JSON", err: err}
	}
	return nil
}
