// Package smtpd is the SMTP door: listeners whose sessions end in
// message.SubmitSMTP, the same door every other way in uses.
//
// In production a session submits after STARTTLS and AUTH with the credentials
// of a domain, or without both from a trusted network, as one of the domains of
// this server. In dev mode it takes whatever comes, with or without
// credentials, and files it under the sender's domain.
//
// A listener has a role: an MSA takes submissions only, an MTA also mail for the
// accounts' own domains from anybody (core/inbound).
package smtpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/core/inbound"
	"postroad/internal/core/message"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/scram"
	"postroad/internal/mail/smtp"
)

// Role is what a listener is for, in the terms of RFC 5598 section 4.
type Role int

// The roles.
const (
	MSA Role = iota // mail from those who log in or are trusted, to anybody (RFC 6409)
	MTA             // the same, and mail from anybody to the accounts' own domains
)

// String is the role's abbreviation.
func (r Role) String() string {
	if r == MTA {
		return "MTA"
	}
	return "MSA"
}

// Listener is what a backend knows of where its sessions come in.
type Listener struct {
	Role Role
	Addr net.Addr
}

// Submission is the backend for clients that send.
type Submission struct {
	Messages *message.Service
	Domains  *domain.Service
	Accounts *account.Service
	Logger   *slog.Logger
	Open     bool // dev mode: no credentials needed, any pair works
	// Trusted networks need no credentials: the envelope sender names the domain.
	Trusted []netip.Prefix
	// Listener is where the sessions come in. Submission takes the same mail in both
	// roles.
	Listener Listener
	Logins   *Logins // bounds failed logins; required
	// Inbound takes mail for the accounts' domains from clients that do not log in;
	// nil: there is none.
	Inbound *inbound.Service
}

// trusts reports whether a client at a may submit without credentials.
func (b *Submission) trusts(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := t.AddrPort().Addr().Unmap()
	return slices.ContainsFunc(b.Trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// NewSession implements smtp.Backend.
func (b *Submission) NewSession(c smtp.Conn) (smtp.Session, error) {
	return &session{b: b, conn: c, trusted: b.trusts(c.RemoteAddr())}, nil
}

type session struct {
	b       *Submission
	conn    smtp.Conn
	trusted bool

	user     string
	login    *domain.Login // checked again for each message: it can be revoked meanwhile
	verifier scram.Verifier
	from     string
	mail     smtp.MailOptions
	rcpts    []addr.Address
	targets  []*inbound.Target // recipients of a message from outside
	dsn      smtp.DSN
}

var errLoginLimit = &smtp.Error{Code: 454, Enhanced: "4.7.0", Text: "too many failed logins, try again later"}

// Auth checks a domain's credentials. Mailgun: the user name is the full login.
func (s *session) Auth(ctx context.Context, user, pass string) error {
	if s.b.Open {
		s.user = user
		return nil
	}
	if !s.b.Logins.allow(fold(user), s.address()) {
		return errLoginLimit
	}
	l, err := s.b.Domains.CheckCredential(ctx, user, pass)
	return s.authenticated(user, l, err)
}

// Verifier implements smtp.SCRAMSession.
func (s *session) Verifier(ctx context.Context, user string) (v scram.Verifier, err error) {
	if !s.b.Logins.allow(fold(user), s.address()) {
		return v, errLoginLimit
	}
	s.verifier, err = s.b.Domains.SCRAMVerifier(ctx, user)
	return s.verifier, err
}

// AuthSCRAM implements smtp.SCRAMSession.
func (s *session) AuthSCRAM(ctx context.Context, user string, proved bool) error {
	if !proved {
		return s.authenticated(user, nil, smtp.ErrAuthFailed)
	}
	l, err := s.b.Domains.OpenProved(ctx, user, s.verifier)
	return s.authenticated(user, l, err)
}

// authenticated takes note of how a login ended.
func (s *session) authenticated(user string, l *domain.Login, err error) error {
	if err == nil {
		s.user, s.login = l.Name, l
		s.b.Logins.succeeded(fold(user), s.address())
		return nil
	}
	if err == smtp.ErrAuthFailed || errs.Is(err, errs.Unauthorized) || errs.Is(err, errs.NotFound) {
		s.b.Logins.failed(fold(user), s.address())
		s.b.Logger.Warn("smtp login refused", "user", user, "ip", remoteIP(s.conn.RemoteAddr()))
		return smtp.ErrAuthFailed
	}
	return err
}

// address is the unit that failed logins are counted by.
func (s *session) address() netip.Prefix { return smtp.ClientPrefix(s.conn.RemoteAddr()) }

// fold returns what failures of a login are counted by. None that exists is so
// long as to be cut.
func fold(login string) string {
	login = strings.ToLower(strings.TrimSpace(login))
	return login[:min(len(login), 320)]
}

// Mail begins a message.
func (s *session) Mail(ctx context.Context, from string, o smtp.MailOptions) error {
	if !s.b.Open && s.login == nil && !s.trusted && !s.outside() {
		return &smtp.Error{Code: 530, Enhanced: "5.7.0", Text: "authentication required"}
	}
	s.from, s.mail = from, o
	s.dsn.Return, s.dsn.EnvelopeID = o.Return, o.EnvelopeID
	return nil
}

// Rcpt adds a recipient. Mailgun: the text for an address that cannot be read.
func (s *session) Rcpt(ctx context.Context, to string, o smtp.RcptOptions) error {
	a, err := s.mailbox(to)
	if err != nil {
		return err
	}
	if s.outside() {
		return s.target(ctx, a, o)
	}
	if s.b.Open && s.user == "" && s.b.Inbound != nil {
		if left, err := s.capturedTarget(ctx, a); err != nil || !left {
			return err
		}
	}
	s.rcpts = append(s.rcpts, a)
	if o != (smtp.RcptOptions{}) {
		s.dsn.Recipients = append(s.dsn.Recipients, make([]smtp.RcptOptions, len(s.rcpts)-len(s.dsn.Recipients))...)
		s.dsn.Recipients[len(s.rcpts)-1] = o
	}
	return nil
}

// Data takes the message.
func (s *session) Data(ctx context.Context, r io.Reader) (string, error) {
	switch {
	case s.outside():
		return s.receive(ctx, r)
	case len(s.targets) > 0:
		return s.captured(ctx, r)
	}
	return s.submit(ctx, r)
}

// submit hands the message to those who deliver it.
func (s *session) submit(ctx context.Context, r io.Reader) (string, error) {
	caller, dom, err := s.sender(ctx)
	if err != nil {
		return "", reply(err)
	}
	ctx = account.With(ctx, caller)
	m, err := s.b.Messages.SubmitSMTP(ctx, message.SMTPMessage{Domain: dom, Caller: caller, Recipients: s.rcpts, Body: r,
		RemoteIP: remoteIP(s.conn.RemoteAddr()), HELO: s.conn.HELO(), User: s.user, From: s.from, DSN: s.dsn})
	if err != nil {
		s.b.Logger.Warn("smtp message refused", "user", s.user, "ip", remoteIP(s.conn.RemoteAddr()), "error", err)
		return "", reply(err)
	}
	s.b.Logger.Info("smtp message", "message", m.MessageID, "role", s.b.Listener.Role.String(), "user", s.user, "ip", remoteIP(s.conn.RemoteAddr()), "recipients", len(s.rcpts), "bytes", m.Size)
	return m.MessageID, nil
}

// sender returns who sends and from which domain: that of the credentials, in
// dev mode that of the envelope sender.
func (s *session) sender(ctx context.Context) (*account.Caller, *domain.Domain, error) {
	if !s.b.Open && s.user == "" && s.trusted {
		d, err := s.envelopeDomain(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &account.Caller{AccountID: d.AccountID, Role: account.Sending, Domain: d.Name}, d, nil
	}
	if !s.b.Open {
		l, err := s.b.Domains.Recheck(ctx, s.login)
		if errs.Is(err, errs.Unauthorized) {
			s.login, s.user = nil, ""
			return nil, nil, &smtp.Error{Code: 530, Enhanced: "5.7.0", Text: "the login is no longer valid"}
		}
		if err != nil {
			return nil, nil, err
		}
		return &account.Caller{AccountID: l.Domain.AccountID, KeyID: s.user, Role: account.Sending, Domain: l.Domain.Name}, l.Domain, nil
	}
	first, err := s.b.Accounts.First(ctx)
	if err != nil {
		return nil, nil, err
	}
	name := s.from[strings.LastIndexByte(s.from, '@')+1:]
	if _, ok := literal(name); ok || name == "" {
		name = "localhost"
	}
	d, err := s.b.Domains.Ensure(ctx, first, name)
	return &account.Caller{AccountID: first, KeyID: s.user, Role: account.Sending}, d, err
}

// envelopeDomain is the domain a trusted client sends as.
func (s *session) envelopeDomain(ctx context.Context) (*domain.Domain, error) {
	name := s.from[strings.LastIndexByte(s.from, '@')+1:]
	d, err := s.b.Domains.ByName(ctx, strings.ToLower(name))
	if errs.Is(err, errs.NotFound) {
		return nil, &smtp.Error{Code: 550, Enhanced: "5.7.1", Text: "sender domain is not one of this server: log in, or send as one of its domains"}
	}
	return d, err
}

func literal(domain string) (string, bool) { return strings.CutPrefix(domain, "[") }

// Reset forgets the transaction.
func (s *session) Reset() {
	s.from, s.mail, s.rcpts, s.targets, s.dsn = "", smtp.MailOptions{}, nil, nil, smtp.DSN{}
}

// Close ends the session.
func (s *session) Close() {}

// AuthMechanisms implements smtp.AuthMechanisms. Where any login opens there is
// nothing to prove.
func (s *session) AuthMechanisms() []string {
	if s.b.Open {
		return []string{smtp.Plain, smtp.Login}
	}
	return []string{smtp.SCRAMPlus, smtp.SCRAM, smtp.Plain, smtp.Login}
}

// reply maps error kinds to SMTP codes; anything internal gets the server's
// fixed text.
func reply(err error) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case errs.Invalid:
		return &smtp.Error{Code: 550, Enhanced: "5.6.0", Text: e.Public}
	case errs.Unauthorized, errs.Forbidden, errs.NotFound:
		return &smtp.Error{Code: 550, Enhanced: "5.7.1", Text: e.Public}
	case errs.TooLarge:
		return &smtp.Error{Code: 552, Enhanced: "5.3.4", Text: e.Public}
	case errs.Limited:
		return &smtp.Error{Code: 450, Enhanced: "4.7.1", Text: e.Public}
	case errs.Unavailable:
		return &smtp.Error{Code: 451, Enhanced: "4.3.1", Text: e.Public}
	}
	return err
}

func remoteIP(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().String()
	}
	return a.String()
}
