package message

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/report"
	"postroad/internal/mail/smtp"
)

// DSN is what the sender of a message asked of notifications (RFC 3461).
type DSN struct {
	Return     smtp.Return     `json:"ret,omitempty"`
	EnvelopeID string          `json:"id,omitempty"`
	Recipients map[string]Wish `json:"to,omitempty"` // by canonical address; the others asked for nothing
}

// of returns what was asked about a recipient.
func (d *DSN) of(address string) Wish {
	if d == nil {
		return Wish{}
	}
	return d.Recipients[addr.Canonical(address)]
}

// Wish is what was asked about one recipient, see smtp.RcptOptions.
type Wish struct {
	Notify       smtp.Notify `json:"n,omitempty"`
	OriginalType string      `json:"t,omitempty"`
	Original     string      `json:"o,omitempty"`
}

// Wishes returns what an SMTP client asked for, with the recipients' mailboxes by
// the index they have in asked; nil when that is nothing, or when there is nobody
// to tell. Some clients always give an ORCPT: without anything else it is worth
// keeping only where it names another address.
func Wishes(sender string, asked *smtp.DSN, mailbox func(i int) string) *DSN {
	if sender == "" || asked.Return == 0 && asked.EnvelopeID == "" && asked.Recipients == nil {
		return nil
	}
	d := &DSN{Return: asked.Return, EnvelopeID: asked.EnvelopeID}
	for i, o := range asked.Recipients {
		to := addr.Canonical(mailbox(i))
		if o.Notify == 0 && (o.Original == "" || addr.Canonical(o.Original) == to) {
			continue
		}
		if d.Recipients == nil {
			d.Recipients = map[string]Wish{}
		}
		d.Recipients[to] = Wish(o)
	}
	if d.Return == 0 && d.EnvelopeID == "" && d.Recipients == nil {
		return nil
	}
	return d
}

// PassOn returns the parameters for a server that a message for the recipients is
// handed to, nil when there are none. Mail from outside is sent on in our own name,
// and it is for us to say what became of it (RFC 3464 section 4.2); copies of a
// post are the list's (RFC 3461 section 5.2.7.3).
func (m *Message) PassOn(recipients []string) *smtp.DSN {
	d := m.Meta.DSN
	if d == nil || m.Meta.Foreign || m.Meta.List != nil {
		return nil
	}
	out := &smtp.DSN{Return: d.Return, EnvelopeID: d.EnvelopeID, Recipients: make([]smtp.RcptOptions, len(recipients))}
	for i, r := range recipients {
		out.Recipients[i] = smtp.RcptOptions(d.of(r))
	}
	return out
}

// notify is what has to be asked for to hear of an action. "Relayed" and
// "expanded" are the successes of those who cannot see the end.
func notify(a report.Action) smtp.Notify {
	switch a {
	case report.Failed:
		return smtp.NotifyFailure
	case report.Delayed:
		return smtp.NotifyDelay
	}
	return smtp.NotifySuccess
}

// Told returns an outcome of a delivery with these variables as the message's
// sender gets to see it; ok is false if the sender did not ask for it. Of mail
// that a route forwarded it names the address it was sent to only: where that
// mail goes is the recipient's secret (RFC 3464 section 4.2).
func (m *Message) Told(o report.Outcome, vars string) (told report.Outcome, ok bool) {
	if m.Meta.ReturnTo == "" || m.Meta.Report || m.Meta.Options.TestMode || m.Meta.DSN == nil && o.Action != report.Failed {
		return o, false
	}
	if m.Meta.List != nil && addr.Canonical(o.Address) != addr.Canonical(m.Meta.List.Address) {
		return o, false
	}
	wish := m.Meta.DSN.of(o.Address)
	if m.Meta.Foreign {
		to, ok := m.cameFor(vars)
		if !ok {
			return o, false
		}
		o = report.Outcome{Address: to, Action: o.Action, Status: o.Status, LastAttempt: o.LastAttempt, RetryUntil: o.RetryUntil}
		if notify(o.Action) != smtp.NotifySuccess {
			o.Reply = "the message could not be delivered to where mail for this address goes"
		}
		if strings.HasPrefix(o.Status, "5.1.") { // of the other address: this one exists
			o.Status = ""
		}
		if wish = m.Meta.DSN.of(o.Address); wish.Notify == 0 {
			wish.Notify = smtp.NotifyFailure // the default of RFC 3461 section 4.1
		}
	}
	o.ORCPT = smtp.RcptOptions(wish).ORCPT()
	return o, wish.Notify&notify(o.Action) != 0
}

// cameFor is the address that mail from outside came in for and a delivery with
// these variables sends on; false if nobody is to hear of the delivery, or that
// cannot be told any more.
func (m *Message) cameFor(vars string) (string, bool) {
	if vars == "" && len(m.Meta.Recipients) == 1 {
		return m.Meta.Recipients[0], true
	}
	v, err := ParseVars(vars, "")
	if err != nil || v.Routed == nil || v.Routed.Notify {
		return "", false
	}
	return v.Routed.Recipient, true
}

// Notice is a delivery status notification to the sender of a message, stored but
// not sent yet.
type Notice struct {
	s *Service
	p *pending
}

// Notice makes the notification of outcomes that Told passed; recipient is one of
// them, as the delivery has it. An error is one of the storage; a notification that
// cannot be made is nil and in the log.
func (s *Service) Notice(ctx context.Context, m *Message, recipient string, list []report.Outcome) (*Notice, error) {
	dom, err := s.Domains.ByID(ctx, m.DomainID)
	if errs.Is(err, errs.NotFound) {
		return nil, nil // deleted: there is nobody the report could be from
	}
	if err != nil {
		return nil, err
	}
	sub, err := s.notification(m, dom, recipient, list)
	if err != nil {
		s.Logger.Error("a report to a message's sender could not be made", "message", m.MessageID, "error", err)
		return nil, nil
	}
	p, err := s.ready(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &Notice{s, p}, nil
}

// posted makes the notification that a post has reached its list, if its sender
// asked for that (RFC 3461 section 5.2.7.3).
func (s *Service) posted(ctx context.Context, m *Message) (*Notice, error) {
	o, ok := m.Told(report.Outcome{Address: m.Meta.List.Address, Action: report.Delivered}, "")
	if !ok {
		return nil, nil
	}
	return s.Notice(ctx, m, o.Address, []report.Outcome{o})
}

// Stage sends the notification with what else the transaction holds.
func (n *Notice) Stage(tx *db.Tx) error { return n.s.stage(tx, n.p) }

// notification makes the submission of a report: from the domain of the message,
// signed as its mail is, and without return address.
func (s *Service) notification(m *Message, dom *domain.Domain, recipient string, list []report.Outcome) (*Submission, error) {
	to, err := addr.ParseMailbox(m.Meta.ReturnTo)
	if err != nil {
		return nil, fmt.Errorf("return address: %w", err)
	}
	original, err := s.CopyFor(m, recipient)
	if err != nil {
		s.Logger.Warn("a report goes out without the message it is about", "message", m.MessageID, "error", err)
	}
	now := s.clock.Now()
	n := report.Notification{MTA: s.Hostname, To: to.Mailbox(), From: "Mail Delivery System <mailer-daemon@" + dom.Name + ">",
		MessageID: newMessageID(now, dom.Name), Date: now.UTC(), Arrival: m.CreatedAt, Recipients: list, Original: original, UTF8: m.Meta.UTF8}
	if n.MTA == "" {
		n.MTA = dom.Name
	}
	if d := m.Meta.DSN; d != nil {
		n.Full = d.Return == smtp.ReturnFull
		n.ENVID = (&smtp.DSN{EnvelopeID: d.EnvelopeID}).ENVID()
	}
	raw, err := n.Build()
	if err != nil {
		return nil, err
	}
	d, err := fromSMTP(raw, []addr.Address{to}, dom, now, nil)
	if err != nil {
		return nil, err
	}
	d.sub.Meta.Report = true
	d.sub.Meta.Options.RequireTLS = m.Meta.Options.RequireTLS // what is returned is not less secret (RFC 8689 section 5)
	d.sub.Request = Request{Method: "DSN", Path: m.MessageID, RemoteIP: m.Meta.RemoteIP}
	return d.sub, nil
}

// Hear tells the sender of m what a report of another server says about the
// delivery to recipient, if the sender asked for that: it went to our return path
// and not to the sender. vars are the delivery's, "" when they are gone. What the
// other server wrote is not passed on, and the same is told once a day at most.
func (s *Service) Hear(ctx context.Context, m *Message, recipient, vars string, r *report.Recipient) error {
	o, ok := m.Told(report.Outcome{Address: recipient, Action: r.Action, Status: r.Status, Code: r.Code, Reply: said(r), RemoteMTA: r.RemoteMTA}, vars)
	if !ok {
		return nil
	}
	dom, err := s.Domains.ByID(ctx, m.DomainID)
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	sub, err := s.notification(m, dom, recipient, []report.Outcome{o})
	if err != nil {
		return fmt.Errorf("passing on a report: %w", err)
	}
	sub.IdempotencyKey = "dsn " + strconv.FormatInt(m.ID, 10) + " " + r.Action.String() + " " + o.Address
	_, _, err = s.Submit(ctx, sub)
	return err
}

// said is the text of a diagnostic without its type and code.
func said(r *report.Recipient) string {
	kind, text, ok := strings.Cut(r.Diagnostic, ";")
	if !ok || strings.ContainsAny(kind, " \t") {
		text = r.Diagnostic
	}
	text = strings.TrimSpace(text)
	if r.Code != 0 {
		text = strings.TrimLeft(strings.TrimPrefix(text, strconv.Itoa(r.Code)), " -")
	}
	return text
}
