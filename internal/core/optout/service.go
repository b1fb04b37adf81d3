package optout

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/suppress"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
)

// Config is what the service is made of.
type Config struct {
	DB       *db.DB
	Events   *event.Service
	Suppress *suppress.Service
	Messages *message.Service
	Domains  *domain.Service
	Logger   *slog.Logger

	Links   *linktoken.Key // of links
	Returns report.Secret  // of addresses
	// Client tells what is known of who makes a request; nil: what the request
	// says itself.
	Client func(*op.Request) (ip string, c *event.ClientInfo, g *event.Geolocation)
}

// Service lets recipients leave. It is safe for concurrent use.
type Service struct{ Config }

// New returns the service.
func New(c Config) *Service {
	if c.Client == nil {
		c.Client = plainClient
	}
	return &Service{c}
}

// plainClient looks nothing up.
func plainClient(r *op.Request) (string, *event.ClientInfo, *event.Geolocation) {
	const unknown = "unknown"
	return r.RemoteIP, &event.ClientInfo{ClientType: unknown, ClientOS: unknown, DeviceType: unknown, ClientName: unknown, UserAgent: r.UserAgent},
		&event.Geolocation{Country: "Unknown", Region: "Unknown", City: "Unknown"}
}

// subject is what somebody leaves.
type subject struct {
	suppress.Leaving
	domain *domain.Domain
	event  event.Event // of leaving it, without who asks for it
}

// about finds the subject of leaving all mail of a domain that a message came from.
// m is nil when its retention is over.
func (s *Service) about(ctx context.Context, d *domain.Domain, id int64, m *message.Message, recipient string) (*subject, error) {
	n := &subject{domain: d, Leaving: suppress.Leaving{DomainID: d.ID, Address: recipient}}
	n.event = event.Event{AccountID: d.AccountID, DomainID: d.ID, MessageID: id, Doc: event.Doc{Event: event.Unsubscribed, Recipient: recipient}}
	var from *event.Event
	if m != nil {
		from = m.EventFor(event.Unsubscribed, recipient, "")
	} else {
		var err error
		if from, err = s.Events.About(ctx, id, recipient); err != nil {
			return nil, fmt.Errorf("events of message %d: %w", id, err)
		}
	}
	if from == nil || from.Doc.Message == nil || from.DomainID != d.ID {
		return n, nil
	}
	// Mailgun: as opened, so of the message the id only. That it went through a
	// list is left out: it is the domain that is left.
	doc := &n.event.Doc
	n.MessageID = from.Doc.Message.Headers.MessageID
	doc.Message = &event.Message{Headers: event.Headers{MessageID: n.MessageID}, Attachments: []event.Attachment{}}
	doc.Tags, doc.UserVariables, doc.Template, doc.Campaigns = from.Doc.Tags, from.Doc.UserVariables, from.Doc.Template, from.Doc.Campaigns
	return n, nil
}

// message returns a message of the domain, nil if it is gone.
func (s *Service) message(ctx context.Context, d *domain.Domain, id int64) (*message.Message, error) {
	m, err := s.Messages.ByID(ctx, id)
	if errs.Is(err, errs.NotFound) || err == nil && m.DomainID != d.ID {
		return nil, nil
	}
	return m, err
}

// leave unsubscribes, with the event, from what has not been left yet. done is
// false if that is nothing.
func (s *Service) leave(ctx context.Context, n *subject, by event.Doc) (done bool, err error) {
	e := n.event
	e.Doc.IP, e.Doc.ClientInfo, e.Doc.Geolocation = by.IP, by.ClientInfo, by.Geolocation
	if err := s.Events.Seal(&e); err != nil {
		return false, err
	}
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		tags, err := s.Suppress.Claim(tx, n.Leaving)
		if done = len(tags) > 0; err != nil || !done {
			return err
		}
		if len(n.Tags) > 0 {
			e.Leave = tags
		}
		return s.Events.Stage(tx, &e)
	})
	if err != nil {
		return false, fmt.Errorf("unsubscribe: %w", err)
	}
	if done {
		s.Logger.Info("unsubscribed", "domain", n.domain.Name, "recipient", n.Address, "tags", n.Tags, "message", n.MessageID, "ip", by.IP)
	}
	return done, nil
}

// Address is the address in the domain of m that its recipient leaves by.
func (s *Service) Address(m *message.Message, recipient string) string {
	return report.UnsubscribeAddress(&s.Returns, report.ID{Message: m.ID, Delivery: report.Copy(&s.Returns, m.ID, recipient)}, m.Domain)
}

// ReadAddress tells whose address for leaving a mailbox is, with its domain in
// A-labels; ok is false for one that is none.
func (s *Service) ReadAddress(mailbox string) (id report.ID, ok bool) {
	return report.ReadUnsubscribe(&s.Returns, mailbox)
}

// Mail is a message to an address for leaving.
type Mail struct {
	Domain *domain.Domain // of the address
	ID     report.ID      // what the address names
	From   []string       // who may have sent it
	IP     string         // of the client that handed it over
}

// ByMail unsubscribes the recipient of the message and domain an address names,
// and returns it; "" if it is not known whom the address was for.
func (s *Service) ByMail(ctx context.Context, in Mail) (recipient string, err error) {
	m, err := s.message(ctx, in.Domain, in.ID.Message)
	if err != nil {
		return "", err
	}
	if recipient, err = s.addressee(ctx, in, m); recipient == "" || err != nil {
		return "", err
	}
	n, err := s.about(ctx, in.Domain, in.ID.Message, m, recipient)
	if err == nil {
		_, err = s.leave(ctx, n, event.Doc{IP: in.IP})
	}
	return recipient, err
}

// searched bounds the events in which the addressee of a copy is looked for: the
// first are those of all recipients of a request.
const searched = 2 * message.MaxRecipients

// addressee finds who got the copy an address was in: a recipient of the message,
// or of its events for what went through lists and routes and for what is gone, or
// the sender, who in most cases it is.
func (s *Service) addressee(ctx context.Context, in Mail, m *message.Message) (string, error) {
	known := in.From
	if m != nil {
		known = append(m.Meta.Recipients[:len(m.Meta.Recipients):len(m.Meta.Recipients)], in.From...)
	}
	for _, to := range known {
		if s.names(in.ID, to) {
			return to, nil
		}
	}
	list, err := s.Events.OfMessage(ctx, in.ID.Message, searched)
	if err != nil {
		return "", fmt.Errorf("events of message %d: %w", in.ID.Message, err)
	}
	last := ""
	for _, e := range list {
		to := e.Doc.Recipient
		if to != last && e.DomainID == in.Domain.ID && s.names(in.ID, to) {
			return to, nil
		}
		last = to
	}
	return "", nil
}

func (s *Service) names(id report.ID, recipient string) bool {
	return strings.Contains(recipient, "@") && id.Delivery == report.Copy(&s.Returns, id.Message, recipient)
}
