package gateway

import (
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/provider"
	"postroad/internal/mail/addr"
)

// letter is what single messages, bulk mail and campaigns share.
type letter struct {
	Driver   string `json:"driver" doc:"mailgun or resend"`
	APIKey   string `json:"api_key" max:"500" doc:"API key of the provider"`
	From     string `json:"from" doc:"sender address"`
	FromName string `json:"from_name" max:"500" doc:"sender name"`
	ReplyTo  string `json:"replyTo" doc:"address for answers"`
	Tags     tags   `json:"tags" doc:"tags for tracking"`
	Metadata object `json:"metadata" doc:"comes back with events"`
}

// complete reports whether the driver, the key and the sender are there.
func (l *letter) complete() bool { return l.Driver != "" && l.APIKey != "" && l.From != "" }

// checked collects what is wrong with addresses.
type checked struct{ invalid []string }

// one returns an address in the form for a header field.
func (c *checked) one(s string) string {
	a, err := addr.Parse(s)
	if err != nil {
		c.bad(s)
		return ""
	}
	return a.String()
}

func (c *checked) all(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = c.one(s)
	}
	return out
}

func (c *checked) bad(s string) {
	if len(s) > 400 {
		s = strings.ToValidUTF8(s[:400], "")
	}
	c.invalid = append(c.invalid, s)
}

func (c *checked) err() error {
	if len(c.invalid) == 0 {
		return nil
	}
	return &refusal{public: errs.New(errs.Invalid, "Invalid email addresses"), invalid: c.invalid}
}

// check refuses what no provider would take, and returns what goes to one. The
// addresses of the letter are checked with c.
func (l *letter) check(c *checked) (*provider.Message, error) {
	if l.Driver != mailgun && l.Driver != resend {
		return nil, invalid("driver must be mailgun or resend")
	}
	if strings.ContainsFunc(l.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, invalid("api_key is invalid")
	}
	m := &provider.Message{From: l.sender(c), Tags: l.Tags, Metadata: l.Metadata.text()}
	if l.ReplyTo != "" {
		m.ReplyTo = c.one(l.ReplyTo)
	}
	return m, nil
}

// sender is the From field.
func (l *letter) sender(c *checked) string {
	a, err := addr.Parse(l.From)
	if err != nil {
		c.bad(l.From)
		return ""
	}
	if l.FromName != "" {
		a.Name = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, l.FromName)
	}
	return a.String()
}

// domainOf is the domain of an address that was checked.
func domainOf(from string) string {
	a, err := addr.Parse(from)
	if err != nil {
		return ""
	}
	ascii := a.ASCII()
	return strings.ToLower(ascii[strings.LastIndexByte(ascii, '@')+1:])
}

// mailbox is the address alone, in the form for comparing.
func mailbox(s string) string {
	if a, err := addr.Parse(s); err == nil {
		s = a.Mailbox()
	}
	return addr.Canonical(s)
}

// plain is the address alone, as it was written.
func plain(s string) string {
	if a, err := addr.Parse(s); err == nil {
		return a.Mailbox()
	}
	return s
}
