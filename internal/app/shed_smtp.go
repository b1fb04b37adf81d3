package app

import (
	"context"
	"errors"
	"io"

	"postroad/internal/base/errs"
	"postroad/internal/mail/scram"
	"postroad/internal/mail/smtp"
)

// shedSMTP refuses mail over SMTP before it is sent: a session that begins while
// memory is short gets 421, a transaction 452 (RFC 5321 section 4.2.2, RFC 3463
// X.3.1 and X.3.2).
type shedSMTP struct {
	smtp.Backend
	s *shedder
}

// NewSession implements smtp.Backend.
func (b shedSMTP) NewSession(c smtp.Conn) (smtp.Session, error) {
	if p := b.s.state.Load(); p.why[memory] != "" {
		b.s.refused.Add(1)
		return nil, &smtp.Error{Code: 421, Enhanced: "4.3.2", Text: p.text(memory)}
	}
	inner, err := b.Backend.NewSession(c)
	if err != nil {
		return nil, err
	}
	return shedSession{inner, b.s}, nil
}

type shedSession struct {
	smtp.Session
	s *shedder
}

// Mail implements smtp.Session.
func (t shedSession) Mail(ctx context.Context, from string, o smtp.MailOptions) error {
	if err := t.s.refuse(); err != nil {
		return insufficient(err)
	}
	return t.Session.Mail(ctx, from, o)
}

// Data implements smtp.Session.
func (t shedSession) Data(ctx context.Context, r io.Reader) (string, error) {
	if err := t.s.refuse(); err != nil {
		return "", insufficient(err)
	}
	return t.Session.Data(ctx, r)
}

// AuthMechanisms implements smtp.AuthMechanisms.
func (t shedSession) AuthMechanisms() []string {
	if m, ok := t.Session.(smtp.AuthMechanisms); ok {
		return m.AuthMechanisms()
	}
	return nil
}

// Verifier implements smtp.SCRAMSession.
func (t shedSession) Verifier(ctx context.Context, user string) (scram.Verifier, error) {
	if m, ok := t.Session.(smtp.SCRAMSession); ok {
		return m.Verifier(ctx, user)
	}
	return scram.Verifier{}, errNoSCRAM
}

// AuthSCRAM implements smtp.SCRAMSession.
func (t shedSession) AuthSCRAM(ctx context.Context, user string, proved bool) error {
	if m, ok := t.Session.(smtp.SCRAMSession); ok {
		return m.AuthSCRAM(ctx, user, proved)
	}
	return errNoSCRAM
}

// errNoSCRAM is what a session without SCRAM, which does not offer it, says.
var errNoSCRAM = errors.New("the session does not support SCRAM")

func insufficient(err error) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	return &smtp.Error{Code: 452, Enhanced: "4.3.1", Text: e.Public}
}
