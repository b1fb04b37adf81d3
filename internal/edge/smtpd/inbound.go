package smtpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/inbound"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/smtp"
)

// outside reports whether the session may only reach the accounts' own domains:
// it comes in where other servers do and nobody has logged in.
func (s *session) outside() bool {
	return !s.b.Open && s.b.Inbound != nil && s.b.Listener.Role == MTA && s.login == nil && !s.trusted
}

// target takes a recipient from outside, or refuses it before anything is sent
// that would have to be bounced.
func (s *session) target(ctx context.Context, a addr.Address, o smtp.RcptOptions) error {
	t, err := s.b.Inbound.Recipient(ctx, a)
	if err == nil && !inbound.Fits(s.targets, t) {
		return &smtp.Error{Code: 452, Enhanced: "4.5.3", Text: "too many or too different recipients for one message, send it to the others separately"}
	}
	if err == nil {
		t.Options = o
		s.targets = append(s.targets, t)
		return nil
	}
	answer := reply(err)
	var e *smtp.Error
	if errs.Is(err, errs.NotFound) && errors.As(answer, &e) {
		e.Enhanced = "5.1.1" // no such mailbox, rather than a policy
	}
	return answer
}

// mailbox reads a recipient. The one that needs no domain is that of the server
// (RFC 5321 section 4.5.1).
func (s *session) mailbox(to string) (addr.Address, error) {
	if s.outside() && strings.EqualFold(to, "postmaster") {
		to += "@" + s.b.Inbound.Hostname
	}
	a, err := addr.ParseMailbox(to)
	if err != nil {
		return a, &smtp.Error{Code: 553, Enhanced: "5.1.3", Text: "Cannot parse to address"}
	}
	return a, nil
}

// receive takes a message from outside.
func (s *session) receive(ctx context.Context, body io.Reader) (string, error) {
	in := inbound.Session{HELO: s.conn.HELO(), Extended: s.conn.Extended(), TLS: s.conn.TLS() != nil, UTF8: s.mail.UTF8, EightBit: s.mail.Body8Bit,
		Sender: s.from, Return: s.mail.Return, EnvelopeID: s.mail.EnvelopeID, QueueID: ids.Hex(8), IP: clientIP(s.conn.RemoteAddr())}
	id, err := s.b.Inbound.Receive(ctx, in, s.targets, body)
	if err != nil {
		s.b.Logger.Warn("inbound message refused", "from", s.from, "ip", in.IP, "error", err)
		return "", reply(err)
	}
	s.b.Logger.Info("inbound message", "id", id, "from", s.from, "ip", in.IP, "helo", in.HELO, "recipients", len(s.targets), "tls", in.TLS)
	return id, nil
}

// capturedTarget looks in capture mode whether a recipient's mail is for a list or
// a route. left: it is to be captured (as well).
func (s *session) capturedTarget(ctx context.Context, a addr.Address) (left bool, err error) {
	_, err = s.envelopeDomain(ctx)
	t, left, err := s.b.Inbound.Captured(ctx, a, err == nil)
	if err != nil {
		return false, reply(err)
	}
	if t != nil {
		s.targets = append(s.targets, t)
	}
	return left, nil
}

// captured takes a message in capture mode: for recipients that a list or a route
// takes it goes the way of mail from outside, for all others it is captured.
func (s *session) captured(ctx context.Context, body io.Reader) (id string, err error) {
	raw, release, err := s.b.Messages.Read(ctx, body)
	if err != nil {
		return "", reply(err)
	}
	defer release()
	if id, err = s.receive(ctx, bytes.NewReader(raw)); err == nil && len(s.rcpts) > 0 {
		id, err = s.submit(ctx, bytes.NewReader(raw))
	}
	return id, err
}

func clientIP(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
