package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
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
	text       int // bytes the recipients carry
	store      bool
	forwards   bool // to an address
}

func (s *Service) newGroup(r *received, targets []*Target) (*group, error) {
	raw, err := s.marked(r, targets, true)
	if err != nil {
		return nil, err
	}
	fields, _, err := mime.ScanHeader(raw)
	if err != nil {
		return nil, fmt.Errorf("own header: %w", err)
	}
	return &group{target: targets[0], raw: raw, fields: fields, seen: map[string]bool{}}, nil
}

// Bounds of what the routes of a domain ask for one message.
const (
	maxDeliveries = message.MaxDeliveries
	maxRouteText  = 8 << 20 // bytes of expressions and destinations, which each delivery carries
)

// errManyDeliveries refuses what would be too much: a message that some get and
// some do not would be lost without a word.
func errManyDeliveries() error {
	return errs.New(errs.Forbidden, "the routes make too many deliveries of this message: send it to fewer recipients at once")
}

// add notes one action of a route for a target. The same destination gets the
// message once for each recipient.
func (g *group) add(t *Target, rt *route.Route, a *route.Action, log *slog.Logger) error {
	to := a.Address + a.URL
	switch {
	case a.Problem != "":
		log.Warn("an action of a route cannot be done", "route", rt.ID, "recipient", t.Mailbox, "why", a.Problem)
		return nil
	case a.Kind == route.Store:
		g.store = true
		if to == "" {
			return nil
		}
	case a.Kind != route.Forward:
		return nil
	}
	key := string(a.Kind) + " " + to
	if a.URL != "" {
		key += " " + t.Mailbox // who it is for is part of what is posted
	}
	if g.seen[key] {
		return nil
	}
	g.text += len(rt.Expression) + len(t.Mailbox) + len(to)
	if len(g.recipients) >= maxDeliveries || g.text > maxRouteText {
		return errManyDeliveries()
	}
	g.seen[key] = true
	g.forwards = g.forwards || a.Address != ""
	g.recipients = append(g.recipients, message.Recipient{Address: to, Header: to,
		Routed: &message.Routed{Recipient: t.Mailbox, ID: rt.ID, Expression: rt.Expression, Notify: a.Kind == route.Store}})
	return nil
}

// marked returns the message with the fields a receiving server adds for targets
// of one domain, and without those that others made to look like ours. Nothing else
// of it is touched.
func (s *Service) marked(r *received, targets []*Target, routed bool) ([]byte, error) {
	pieces, err := authres.Strip(r.raw, s.Hostname)
	if err != nil {
		return nil, fmt.Errorf("inbound header: %w", err)
	}
	head := r.trace(s.Hostname, targets)
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
	if action := targets[0].domain.Settings.SpamAction; r.spam != nil && action != "disabled" && action != "" {
		own = append(own, r.spam.Headers()...)
	}
	if routed { // feedback about a forward is traced by it
		own = append(own, mime.Field{Name: "X-Mailgun-Sid", Value: ids.Token(24)})
	}
	for _, f := range own {
		if head, err = mime.AppendField(head, f); err != nil {
			return nil, fmt.Errorf("inbound header: %w", err)
		}
	}
	return mime.Join(append([][]byte{head}, pieces...)), nil
}

// trace is the Received field (RFC 5321 section 4.4, RFC 3848 for the protocol).
// It names the recipient only where there is one: of several, some may be blind
// copies (RFC 5321 section 7.2).
func (r *received) trace(hostname string, targets []*Target) []byte {
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
	rcpt := ""
	if len(targets) == 1 && (r.UTF8 || isASCII(targets[0].Mailbox)) {
		rcpt = "\r\n\tfor <" + targets[0].Mailbox + ">"
	}
	return fmt.Appendf(nil, "Received: from %s (%s [%s])\r\n\tby %s (Postroad) with %s id %s%s; %s\r\n",
		atom(r.HELO), atom(r.clientName()), ip, hostname, with, r.QueueID, rcpt, r.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c > '~' })
}

// atom makes what a client or a name server said fit for a field of any message:
// in ASCII, and nothing that ends the field or its comment.
func atom(s string) string {
	s = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || strings.ContainsRune("()<>;\\\"", c) {
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
