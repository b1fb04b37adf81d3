package inbound

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/core/route"
	"postroad/internal/core/spam"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/authres"
	"postroad/internal/mail/dkim"
	"postroad/internal/mail/report"
	"postroad/internal/mail/smtp"
)

// Config is what the service is made of.
type Config struct {
	DB       *db.DB
	Messages *message.Service
	Domains  *domain.Service
	Events   *event.Service
	Routes   *route.Service
	Lists    *list.Service
	OptOut   *optout.Service
	Spam     *spam.Filter     // nil: there is none
	Resolver authres.Resolver // nil: origin is not checked (capture mode)
	Logger   *slog.Logger

	Hostname string        // ours, in Received and Authentication-Results
	Returns  report.Secret // signs return paths
}

// Service takes mail from outside. It is safe for concurrent use.
type Service struct {
	Config
	clock  clock.Clock
	signer dkim.Signer
	Stats  Stats
}

// New returns the service.
func New(c Config) *Service { return &Service{Config: c, clock: c.DB.Clock()} }

// Session is what is known of who hands a message over.
type Session struct {
	IP         netip.Addr
	HELO       string
	Extended   bool // EHLO was said
	TLS        bool
	UTF8       bool   // SMTPUTF8 was asked for
	EightBit   bool   // BODY=8BITMIME was
	Sender     string // MAIL FROM without brackets, "" for the null sender
	Return     smtp.Return
	EnvelopeID string
	QueueID    string
}

// Target is a recipient that was taken.
type Target struct {
	Mailbox string // as it came
	Options smtp.RcptOptions
	domain  *domain.Domain
	ascii   string // with the domain in A-labels

	bounce   *report.ID // it is a return path of ours
	leave    *report.ID // somebody leaves by it
	feedback bool       // complaints of feedback loops come here
	list     bool
	route    bool
}

// feedbackLocals are the mailboxes of the server's own host name that take
// complaints (RFC 5965) from feedback loops, which want one fixed address.
var feedbackLocals = []string{"fbl", "abuse"}

// errNoUser is what an address gets that nothing takes.
func errNoUser(mailbox string) error {
	return errs.New(errs.NotFound, "%s: no such mailbox, list or route here", mailbox)
}

// Recipient decides about an address of RCPT. NotFound: nothing takes it.
// Forbidden: it is not on a domain of ours, and nobody relays here without a
// login.
func (s *Service) Recipient(ctx context.Context, a addr.Address) (*Target, error) {
	t := &Target{Mailbox: a.Mailbox(), ascii: a.ASCII(), feedback: s.isFeedback(a)}
	var err error
	if t.domain, err = s.domainOf(ctx, a.Domain); err != nil {
		if t.feedback && errs.Is(err, errs.Forbidden) {
			return t, nil
		}
		if errs.Is(err, errs.Forbidden) && strings.EqualFold(a.Domain, s.Hostname) {
			return nil, errNoUser(t.Mailbox)
		}
		return nil, err
	}
	if id, ok := report.ReadReturnPath(&s.Returns, t.ascii); ok {
		t.bounce = &id
		return t, nil
	}
	if report.HasReturnPath(t.ascii) {
		return nil, errs.New(errs.NotFound, "%s: not a return path of this server", t.Mailbox)
	}
	if id, ok := s.OptOut.ReadAddress(t.ascii); ok {
		t.leave = &id
		return t, nil
	}
	if t.list, err = s.Lists.Takes(ctx, t.domain.ID, t.Mailbox); err != nil {
		return nil, err
	}
	if t.route, err = s.Routes.CouldMatch(ctx, t.domain.AccountID, t.ascii); err != nil {
		return nil, err
	}
	if !t.list && !t.route && !t.feedback {
		return nil, errNoUser(t.Mailbox)
	}
	return t, nil
}

// Captured returns the target an address is in capture mode, nil if its mail is
// only to be captured: what lists, routes and return paths take goes the way it
// would go in production. There a sender of the accounts' own domains would have
// logged in, and posts to lists as their owner: own leaves them out, and left
// tells that they were.
func (s *Service) Captured(ctx context.Context, a addr.Address, own bool) (t *Target, left bool, err error) {
	t, err = s.Recipient(ctx, a)
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Forbidden) {
		return nil, true, nil
	}
	if err == nil && own && t.list {
		if t.list = false; !t.route {
			t = nil
		}
		return t, true, nil
	}
	return t, false, err
}

func (s *Service) isFeedback(a addr.Address) bool {
	if !strings.EqualFold(a.Domain, s.Hostname) {
		return false
	}
	for _, l := range feedbackLocals {
		if strings.EqualFold(a.Local, l) {
			return true
		}
	}
	return false
}

// domainOf finds the domain an address is on: one of that name, else the closest
// parent of it that there is, if that takes mail for its subdomains (wildcard). As
// in DNS, one that is closer and does not hides those above it (RFC 4592 section
// 3.3.1). A domain whose owner has not proved that it is his takes no mail from
// the wildcard of somebody else.
func (s *Service) domainOf(ctx context.Context, name string) (*domain.Domain, error) {
	own, parent, err := s.nearest(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case own == nil, parent != nil && own.State == domain.Unverified && parent.AccountID != own.AccountID:
		own = parent
	}
	if own == nil {
		return nil, errs.New(errs.Forbidden, "relaying denied: %s is not a domain of this server", name)
	}
	if own.State == domain.Disabled {
		return nil, errs.New(errs.Forbidden, "domain %s is disabled", own.Name)
	}
	return own, nil
}

// maxLabels bounds the parents of a name that are looked up.
const maxLabels = 10

// nearest returns the domain of a name and the closest above it, if that is a
// wildcard; nil where there is none. The second is looked for only where it could
// matter.
func (s *Service) nearest(ctx context.Context, name string) (own, parent *domain.Domain, err error) {
	for depth := 0; depth < maxLabels && strings.Contains(name, "."); depth++ {
		d, err := s.Domains.ByName(ctx, strings.ToLower(name))
		if err != nil && !errs.Is(err, errs.NotFound) {
			return nil, nil, err
		}
		switch {
		case err != nil:
		case depth > 0 && d.Settings.Wildcard && (own == nil || d.State == domain.Active):
			return own, d, nil
		case depth > 0:
			return own, nil, nil
		case d.State != domain.Unverified:
			return d, nil, nil
		default:
			own = d
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return own, nil, nil
}

// maxCopies bounds the messages that one from outside becomes, as each has a body
// of its own.
const maxCopies = 50

// Fits reports whether a target can be one more of those taken. If not, it is for
// another transaction: what the domains and routes of one account make of a message
// must not decide about mail for another, nor a message for routes about a report,
// and there is no answer to some of the recipients after DATA.
func Fits(taken []*Target, t *Target) bool {
	n := len(taken)
	if n == 0 {
		return true
	}
	last := taken[n-1]
	if t.account() != last.account() || t.report() != last.report() {
		return false
	}
	if t.report() || !t.list && last.route && last.domain.ID == t.domain.ID {
		return true // most have one domain
	}
	copies, seen := 0, map[int64]bool{}
	count := func(t *Target) {
		if t.list {
			copies++
		}
		if t.route && !seen[t.domain.ID] {
			seen[t.domain.ID] = true
			copies++
		}
	}
	for _, one := range taken {
		count(one)
	}
	before := copies
	count(t)
	return copies == before || copies <= maxCopies
}

// report reports whether mail to the target is about mail of ours.
func (t *Target) report() bool { return t.bounce != nil || t.leave != nil || t.feedback }

func (t *Target) account() string {
	if t.domain == nil {
		return ""
	}
	return t.domain.AccountID
}
