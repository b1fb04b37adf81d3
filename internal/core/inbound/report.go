package inbound

import (
	"context"
	"strings"
	"sync/atomic"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/report"
)

// Stats count since the start.
type Stats struct {
	Taken      atomic.Int64 // messages for lists and routes
	Refused    atomic.Int64 // after DATA
	Spam       atomic.Int64 // of these, as spam
	Bounces    atomic.Int64 // reports about mail of ours
	Complaints atomic.Int64
	Left       atomic.Int64 // requests to be unsubscribed
	Ignored    atomic.Int64 // mail to addresses of the last three that is none, or names nothing of ours
}

// maxReported bounds the recipients of one report that events are made for.
const maxReported = 1000

// reports takes what came to return paths, feedback addresses and those for
// leaving, and returns the other targets. A report that says nothing about mail of
// ours is taken and forgotten: refusing it would make another report. What a person
// wrote to a feedback address is no report: a list or a route takes it, or it is
// refused, so that nobody waits for an answer.
func (s *Service) reports(ctx context.Context, r *received, targets []*Target) (rest []*Target, err error) {
	for _, t := range targets {
		switch {
		case t.bounce != nil:
			err = s.returned(ctx, r, t)
		case t.leave != nil:
			err = s.left(ctx, r, t)
		case t.feedback:
			if s.isReport(r) {
				err = s.complaint(ctx, r, nil, report.ID{})
			} else if t.list || t.route {
				rest = append(rest, t)
			} else {
				r.refusal = errs.New(errs.Forbidden, "%s takes feedback reports (RFC 5965) only", t.Mailbox)
			}
		default:
			rest = append(rest, t)
			continue
		}
		if err != nil {
			return nil, errs.Wrap(errs.Unavailable, err, "the report could not be taken, try again later")
		}
	}
	return rest, nil
}

// left unsubscribes who wrote to an address for that. What answered it, or reports
// about it, is forgotten.
func (s *Service) left(ctx context.Context, r *received, t *Target) error {
	if ok, why := report.IsRequest(r.Sender, r.fields); !ok {
		return s.ignore(r, t.Mailbox, why)
	}
	from := []string{r.Sender}
	if list, err := addr.ParseList(r.fields.Raw("From")); err == nil && len(list) == 1 {
		from = append(from, list[0].Mailbox())
	}
	to, err := s.OptOut.ByMail(ctx, optout.Mail{Domain: t.domain, ID: *t.leave, From: from, IP: r.IP.String()})
	if err != nil {
		return err
	}
	if to == "" {
		return s.ignore(r, t.Mailbox, "it is not known whose address it is")
	}
	s.Stats.Left.Add(1)
	return nil
}

// isReport reports whether a message to a feedback address is for programs: a
// refusal of it would be of use to nobody.
func (s *Service) isReport(r *received) bool {
	if _, ok := report.ReadComplaint(r.raw); ok {
		return true
	}
	origin, _ := report.OriginOf(r.Sender, r.fields)
	return origin == report.Notice || origin == report.Reply
}

// returned reads a message to a return path.
func (s *Service) returned(ctx context.Context, r *received, t *Target) error {
	m, err := s.Messages.ByID(ctx, t.bounce.Message)
	if errs.Is(err, errs.NotFound) || err == nil && m.DomainID != t.domain.ID {
		return s.ignore(r, t.Mailbox, "the message it is about is gone")
	}
	if err != nil {
		return err
	}
	if c, ok := report.ReadComplaint(r.raw); ok && c.Complains() {
		return s.complaint(ctx, r, m, *t.bounce)
	}
	b, ok := report.ReadBounce(r.raw)
	if !ok {
		return s.ignore(r, t.Mailbox, "it is no bounce")
	}
	var events []*event.Event
	known := false
	for _, rcpt := range b.Recipients[:min(len(b.Recipients), maxReported)] {
		to, vars, err := s.whom(ctx, m, rcpt.Address())
		if err != nil {
			return err
		}
		if to == "" || !s.copyOf(*t.bounce, to) {
			continue
		}
		known = true
		if err := s.Messages.Hear(ctx, m, to, vars, &rcpt); err != nil {
			return err
		}
		if e := bounced(m, to, vars, &rcpt); e != nil {
			events = append(events, e)
		}
	}
	if known && len(events) == 0 {
		return nil // a report of success: its sender has been told if they asked
	}
	if len(events) == 0 {
		return s.ignore(r, t.Mailbox, "it reports no failure of a recipient of the message")
	}
	s.Stats.Bounces.Add(1)
	s.Logger.Info("bounce", "message", m.MessageID, "recipients", len(events), "from", b.ReportingMTA, "ip", r.IP)
	return s.append(ctx, events)
}

// whom returns the recipient of m that a report names, "" if it is none. Whom a
// post or mail from outside went to is known from its events.
func (s *Service) whom(ctx context.Context, m *message.Message, address string) (recipient, vars string, err error) {
	if to, ok := m.Sent(address); ok || address == "" {
		return to, "", nil
	}
	recipient, err = s.Events.Recipient(ctx, m.ID, address)
	return recipient, "", err
}

// bounced makes the event of what a report says about one recipient, nil if there
// is nothing to say. Mailgun: a delayed bounce is failed, with is-delayed-bounce
// and no envelope; only a hard one adds the address to the bounces.
func bounced(m *message.Message, to, vars string, r *report.Recipient) *event.Event {
	if r.Action != report.Failed && r.Action != report.Delayed {
		return nil
	}
	e := m.EventFor(event.Failed, to, vars)
	d := &e.Doc
	d.Envelope = &event.Envelope{}
	d.Flags.IsDelayedBounce = true
	d.Severity, d.Reason = event.Permanent, "generic"
	code := r.Code
	switch {
	case r.Action == report.Delayed:
		d.Severity = event.Temporary
	case r.Hard:
		d.Reason = "bounce"
	}
	if code == 0 {
		code = map[string]int{event.Permanent: 550, event.Temporary: 450}[d.Severity]
	}
	d.DeliveryStatus = &event.DeliveryStatus{Code: code, BounceCode: r.Status, EnhancedCode: r.Status, Message: clip(r.Diagnostic, 1000),
		Description: "reported after delivery", MXHost: clip(r.RemoteMTA, 255)}
	if r.Hard && d.Severity == event.Permanent {
		d.DeliveryStatus.BounceType = "hard"
	}
	return e
}

// copyOf reports whether a return path is that of the recipient's copy, or of one
// that several share.
func (s *Service) copyOf(id report.ID, to string) bool {
	return id.Delivery == 0 || id.Delivery == report.Copy(&s.Returns, id.Message, to)
}

// complaint reads a feedback report about m, which came to the return path id, or
// about the message that it names with proof when m is nil.
func (s *Service) complaint(ctx context.Context, r *received, m *message.Message, id report.ID) error {
	c, ok := report.ReadComplaint(r.raw)
	if !ok || !c.Complains() {
		return s.ignore(r, "feedback", "it is no complaint")
	}
	var err error
	if m == nil {
		if m, id, err = s.about(ctx, c); errs.Is(err, errs.NotFound) {
			return s.ignore(r, "feedback", "nothing in it proves which message it is about")
		}
	}
	if err != nil {
		return err
	}
	to, err := s.complainer(ctx, m, c)
	if err != nil {
		return err
	}
	if to == "" || !s.copyOf(id, to) {
		return s.ignore(r, "feedback", "it does not say which recipient complains")
	}
	s.Stats.Complaints.Add(1)
	s.Logger.Info("complaint", "message", m.MessageID, "recipient", to, "type", c.Type, "agent", c.UserAgent, "ip", r.IP)
	e := m.EventFor(event.Complained, to, "")
	e.Doc.Envelope = nil
	return s.append(ctx, []*event.Event{e})
}

// about finds the message a complaint proves to be about: by the signed return
// path, which it gives as well, or by the X-Mailgun-Sid of the copy. NotFound without
// proof.
func (s *Service) about(ctx context.Context, c *report.Complaint) (m *message.Message, id report.ID, err error) {
	for _, path := range []string{c.MailFrom, strings.Trim(c.Original.Get("Return-Path"), "<> ")} {
		if id, ok := report.ReadReturnPath(&s.Returns, path); ok {
			m, err = s.Messages.ByID(ctx, id.Message)
			return m, id, err
		}
	}
	m, err = s.Messages.BySID(ctx, c.Original.MessageID, c.Original.SID)
	return m, report.ID{}, err
}

// complainer is the recipient who complains. A report that names several, or
// none, counts only when the message went to one.
func (s *Service) complainer(ctx context.Context, m *message.Message, c *report.Complaint) (string, error) {
	if len(c.Recipients) == 1 {
		to, _, err := s.whom(ctx, m, c.Recipients[0])
		if to != "" || err != nil || c.Named {
			return to, err
		}
	}
	to, _ := m.Sent("")
	return to, nil
}

func (s *Service) append(ctx context.Context, list []*event.Event) error {
	for _, e := range list {
		if err := s.Events.Seal(e); err != nil {
			return err
		}
	}
	return s.DB.Group(ctx, func(tx *db.Tx) error {
		for _, e := range list {
			if err := s.Events.Stage(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) ignore(r *received, to, why string) error {
	s.Stats.Ignored.Add(1)
	s.Logger.Info("inbound report ignored", "to", to, "from", r.Sender, "ip", r.IP, "why", why)
	return nil
}
