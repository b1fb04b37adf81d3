package list

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/mail/addr"
)

// Change is what to change of a list; nil leaves a value as it is.
type Change struct {
	Address, Name, Description, Access, Reply, ListID *string
}

// Bounds of texts, in bytes.
const (
	maxName        = 500
	maxDescription = 4000
)

// errDuplicate answers an address that has a list. Mailgun.
var errDuplicate = errs.New(errs.Invalid, "Duplicate object")

// missing answers a list there is none of. Mailgun.
func missing(address string) error {
	return errs.New(errs.NotFound, "Mailing list %s not found", clip(address))
}

// missingQuoted is missing of the uploads. Mailgun: in quotes there.
func missingQuoted(address string) error {
	return errs.New(errs.NotFound, "Mailing list '%s' not found", clip(address))
}

func clip(s string) string {
	if len(s) > 320 {
		s = s[:320]
	}
	return strings.ToValidUTF8(s, "?")
}

// Create makes a list. Invalid where a value is wrong or the address has one.
func (s *Service) Create(ctx context.Context, c Change) (*List, error) {
	caller := account.From(ctx)
	l := &List{ID: s.IDs.Next(), AccountID: caller.AccountID, Access: Readonly, Reply: ToList}
	if err := s.change(ctx, l, c); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		l.CreatedAt = tx.Now
		return taken(insertList(tx, l))
	})
	if err != nil {
		return nil, err
	}
	return l, s.refresh(ctx)
}

func taken(err error) error {
	if db.IsConflict(err) {
		return errDuplicate
	}
	return err
}

// change applies c to l, checked.
func (s *Service) change(ctx context.Context, l *List, c Change) error {
	if c.Address != nil && strings.TrimSpace(*c.Address) != "" || l.Address == "" {
		if err := s.setAddress(ctx, l, c.Address); err != nil {
			return err
		}
	}
	for _, t := range []struct {
		name     string
		from, to *string
		max      int
	}{{"name", c.Name, &l.Name, maxName}, {"description", c.Description, &l.Description, maxDescription}, {"list-id", c.ListID, &l.ListID, maxName}} {
		if t.from == nil {
			continue
		}
		if len(*t.from) > t.max {
			return errs.New(errs.Invalid, "'%s' parameter is invalid: must be at most %d bytes long", t.name, t.max)
		}
		if strings.ContainsAny(*t.from, "\r\n") && t.name != "description" {
			return errs.New(errs.Invalid, "'%s' parameter is invalid: must be one line", t.name)
		}
		*t.to = *t.from
	}
	return l.setLevels(c)
}

// setLevels has Mailgun's texts.
func (l *List) setLevels(c Change) error {
	if c.Access != nil && *c.Access != "" {
		switch a := Access(*c.Access); a {
		case Readonly, MembersOnly, Everyone:
			l.Access = a
		default:
			return errs.New(errs.Invalid, "Invalid access level '%s'. It can be any of: 'readonly', 'members', 'everyone'.", clip(*c.Access))
		}
	}
	if c.Reply != nil && *c.Reply != "" {
		switch r := Reply(*c.Reply); r {
		case ToList, ToSender:
			l.Reply = r
		default:
			return errs.New(errs.Invalid, "Invalid reply preference '%s'. It can be any of: 'sender', 'list'", clip(*c.Reply))
		}
	}
	return nil
}

// setAddress takes an address of a domain of the account. Mailgun: a name beside
// it is the list's.
func (s *Service) setAddress(ctx context.Context, l *List, given *string) error {
	if given == nil {
		return errs.New(errs.Invalid, "Missing mandatory parameter: address")
	}
	a, err := addr.Parse(*given)
	if err != nil {
		return badAddress(*given, err)
	}
	if a.IsUTF8() {
		return errs.New(errs.Invalid, "'address' parameter is invalid: what is before the @ must be ASCII")
	}
	if strings.HasPrefix(strings.ToLower(a.Local), leavePrefix) {
		return errs.New(errs.Invalid, "'address' parameter is invalid: addresses that begin with %s are ways out of lists", leavePrefix)
	}
	d, err := s.Owned(ctx, account.From(ctx), a.Domain)
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.Invalid, "'address' parameter is invalid: %s is no domain of this account", clip(a.Domain))
	}
	if err != nil {
		return err
	}
	l.Address, l.DomainID = a.Mailbox(), d.ID
	if l.Name == "" {
		l.Name = a.Name
	}
	return nil
}

func badAddress(value string, err error) *errs.Error {
	reason := "it cannot be read"
	var why *addr.Error
	if errors.As(err, &why) {
		reason = string(why.Reason)
	}
	return errs.Wrap(errs.Invalid, err, "'address' parameter is invalid: "+strconv.Quote(clip(value))+": "+reason)
}

// Get returns a list of the caller's account; NotFound.
func (s *Service) Get(ctx context.Context, address string) (l *List, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		l, err = s.own(ctx, tx, address)
		return err
	})
	return l, err
}

func (s *Service) own(ctx context.Context, tx *db.Tx, address string) (*List, error) {
	l, err := selectByAddress(tx, addr.Canonical(address))
	if err == nil && (l == nil || l.AccountID != account.From(ctx).AccountID) {
		return nil, missing(address)
	}
	return l, err
}

// Update changes a list.
func (s *Service) Update(ctx context.Context, address string, c Change) (l *List, err error) {
	// The address is checked first: finding its domain may need a transaction.
	if l, err = s.Get(ctx, address); err != nil {
		return nil, err
	}
	if err := s.change(ctx, l, c); err != nil {
		return nil, err
	}
	moved, domainID := l.Address, l.DomainID
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		if l, err = s.own(ctx, tx, address); err != nil {
			return err
		}
		c := c
		c.Address = nil
		if err := s.change(ctx, l, c); err != nil {
			return err
		}
		l.Address, l.DomainID = moved, domainID
		return taken(updateList(tx, l))
	})
	if err != nil {
		return nil, err
	}
	return l, s.refresh(ctx)
}

// Delete removes a list. Its members go in the background.
func (s *Service) Delete(ctx context.Context, address string) (l *List, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		if l, err = s.own(ctx, tx, address); err != nil {
			return err
		}
		return retire(tx, "id", l.ID)
	})
	if err != nil {
		return nil, err
	}
	s.poke()
	return l, s.refresh(ctx)
}

// DeleteDomain removes the lists of a domain that is deleted.
func (s *Service) DeleteDomain(tx *db.Tx, d *domain.Domain) error {
	tx.AfterCommit(s.poke) // the domain keeps its place in s.domains: that only costs a look-up
	return retire(tx, "domain_id", d.ID)
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dateText is the form of times. Mailgun: RFC 2822 with the zone -0000.
func dateText(micro int64) string {
	return time.UnixMicro(micro).UTC().Format("Mon, 02 Jan 2006 15:04:05 -0000")
}
