package message

import (
	"context"
	"io"

	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/smtp"
)

// SMTPMessage is what an SMTP session submits.
type SMTPMessage struct {
	Domain     *domain.Domain
	Caller     *account.Caller
	Recipients []addr.Address
	Body       io.Reader
	RemoteIP   string
	HELO       string
	User       string
	From       string   // envelope sender, "" for the null sender
	DSN        smtp.DSN // what is asked of notifications; Recipients by index
}

// SubmitSMTP takes a message from an SMTP session and returns its id.
func (s *Service) SubmitSMTP(ctx context.Context, in SMTPMessage) (*Message, error) {
	if err := s.maySend(in.Domain); err != nil {
		return nil, err
	}
	f := &form{memory: s.memory}
	defer f.release()
	raw, err := s.readAll(&counted{r: f, body: in.Body, left: s.MaxBytes + 1})
	if err != nil {
		return nil, err
	}
	d, err := fromSMTP(raw, in.Recipients, in.Domain, s.clock.Now(), s.templates(ctx, in.Domain))
	if err != nil {
		return nil, err
	}
	if d.template != nil { // a small request made a large message
		if err := f.hold(len(d.sub.MIME)); err != nil {
			return nil, err
		}
	}
	d.sub.Meta.RemoteIP, d.sub.Meta.KeyID = in.RemoteIP, in.Caller.KeyID
	if d.sub.Meta.DSN = Wishes(in.From, &in.DSN, func(i int) string { return in.Recipients[i].Mailbox() }); d.sub.Meta.DSN != nil {
		d.sub.Meta.ReturnTo = in.From
	}
	d.sub.Request = Request{Method: "SMTP", Path: in.User, RemoteIP: in.RemoteIP, UserAgent: shorten(in.HELO, 200), KeyID: in.Caller.KeyID}
	m, _, err := s.Submit(ctx, d.sub)
	return m, err
}
