package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"postroad/internal/core/message"
	"postroad/internal/core/route"
	"postroad/internal/mail/authres"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/smtp"
)

// group is what routes ask for the targets of one domain: one message, as the
// domain's settings have it marked.
type group struct {
	target *Target // the first
	raw    []byte  // with our fields
	fields mime.Fields
	rcpts  []string // a route matched for
	dsn    smtp.DSN // what was asked for them

	recipients []message.Recipient
	seen       map[string]bool
	store      bool
	forwards   bool // to an address
}

func (s *Service) newGroup(ctx context.Context, r *received, t *Target) (*group, error) {
	raw, err := s.marked(ctx, r, t, true)
	if err != nil {
		return nil, err
	}
	fields, _, err := mime.ScanHeader(raw)
	if err != nil {
		return nil, fmt.Errorf("own header: %w", err)
	}
	return &group{target: t, raw: raw, fields: fields, seen: map[string]bool{}}, nil
}

// maxDeliveries bounds what the routes ask for one message.
const maxDeliveries = 1000

// add notes one action of a route for a target. The same destination gets the
// message once for each recipient.
func (g *group) add(t *Target, rt *route.Route, a *route.Action, log *slog.Logger) {
	to := a.Address + a.URL
	switch {
	case a.Problem != "":
		log.Warn("an action of a route cannot be done", "route", rt.ID, "recipient", t.Mailbox, "why", a.Problem)
		return
	case a.Kind == route.Store:
		g.store = true
		if to == "" {
			return
		}
	case a.Kind != route.Forward:
		return
	}
	key := string(a.Kind) + " " + to
	if a.URL != "" {
		key += " " + t.Mailbox // who it is for is part of what is posted
	}
	if g.seen[key] || len(g.recipients) >= maxDeliveries {
		return
	}
	g.seen[key] = true
	g.forwards = g.forwards || a.Address != ""
	g.recipients = append(g.recipients, message.Recipient{Address: to, Header: to,
		Routed: &message.Routed{Recipient: t.Mailbox, ID: rt.ID, Expression: rt.Expression, Notify: a.Kind == route.Store}})
}

// marked returns the message with the fields a receiving server adds, and without
// those that others made to look like ours. Nothing else of it is touched.
func (s *Service) marked(_ context.Context, r *received, t *Target, routed bool) ([]byte, error) {
	pieces, err := authres.Strip(r.raw, s.Hostname)
	if err != nil {
		return nil, fmt.Errorf("inbound header: %w", err)
	}
	head := r.trace(s.Hostname, t.Mailbox)
	if r.verdict != nil {
		head = append(head, r.verdict.Field()...)
	}
	var own []mime.Field
	if routed {
		own = append(own, mime.Field{Name: "X-Mailgun-Incoming", Value: "Yes"})
	}
	if r.verdict != nil {
		own = append(own, mime.Field{Name: authres.MailgunSPFName, Value: r.verdict.MailgunSPF()})
		if v := r.verdict.MailgunDKIM(); v != "" {
			own = append(own, mime.Field{Name: authres.MailgunDKIMName, Value: v})
		}
	}
	if r.spam != nil && t.domain.Settings.SpamAction != "disabled" && t.domain.Settings.SpamAction != "" {
		own = append(own, r.spam.Headers()...)
	}
	for _, f := range own {
		if head, err = mime.AppendField(head, f); err != nil {
			return nil, fmt.Errorf("inbound header: %w", err)
		}
	}
	return mime.Join(append([][]byte{head}, pieces...)), nil
}

// trace is the Received field (RFC 5321 section 4.4, RFC 3848 for the protocol).
func (r *received) trace(hostname, rcpt string) []byte {
	name := "unknown"
	if r.verdict != nil && r.verdict.IPRev.Name != "" {
		name = strings.TrimSuffix(r.verdict.IPRev.Name, ".")
	}
	ip := r.IP.String()
	if r.IP.Is6() && !r.IP.Is4In6() {
		ip = "IPv6:" + ip
	}
	with := "SMTP"
	if r.Extended {
		with = "ESMTP"
	}
	if r.UTF8 {
		with = "UTF8SMTP"
	}
	if r.TLS {
		with += "S"
	}
	// The recipient is named only where there is one for all who read it.
	return fmt.Appendf(nil, "Received: from %s (%s [%s])\r\n\tby %s (Postroad) with %s id %s\r\n\tfor <%s>; %s\r\n",
		atom(r.HELO), atom(name), ip, hostname, with, r.QueueID, rcpt, r.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

// atom makes what a client said fit for a field.
func atom(s string) string {
	s = strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f || strings.ContainsRune("()<>;\\\"", c) {
			return '_'
		}
		return c
	}, clip(s, 255))
	if s == "" {
		return "unknown"
	}
	return s
}

// seal adds an ARC set by the domain's key, so that the next server can believe
// what we saw (RFC 8617). Without a key, or where it must not be, the message
// goes as it is.
func (s *Service) seal(ctx context.Context, r *received, g *group) []byte {
	if r.verdict == nil {
		return g.raw
	}
	keys, err := s.Domains.Signers(ctx, g.target.domain.ID)
	if err != nil || len(keys) == 0 {
		if err != nil {
			s.Logger.Error("forwarded message not sealed", "domain", g.target.domain.Name, "error", err)
		}
		return g.raw
	}
	set, err := r.verdict.Seal(&s.signer, [][]byte{g.raw}, keys[0], r.at)
	if err != nil {
		s.Logger.Error("forwarded message not sealed", "domain", g.target.domain.Name, "error", err)
		return g.raw
	}
	return append(set, g.raw...)
}
