package domain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// UpdateRequest changes a domain; nil fields stay as they are.
type UpdateRequest struct {
	SMTPPassword               *string
	SpamAction                 *string
	Wildcard                   *bool
	RequireTLS                 *bool
	SkipVerification           *bool
	UseAutomaticSenderSecurity *bool
	WebScheme                  *string
	WebPrefix                  *string
	TrackingHost               *string // "" goes back to WebPrefix.Name
	ArchiveTo                  *string // "" turns archiving off
	MailFromHost               *string // "" goes back to the usual one
	MessageTTL                 *int64
}

// change applies fn to the domain as it is now, in a transaction, and stores it.
// Settings are one column, so the row is locked while they change.
func (s *Service) change(ctx context.Context, id int64, fn func(*db.Tx, *Domain) error) (*Domain, error) {
	var d *Domain
	err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
		if d, err = lockDomain(tx, id); err != nil {
			return err
		}
		if err := fn(tx, d); err != nil {
			return err
		}
		tx.AfterCommit(func() { s.forget(d) })
		return updateDomain(tx, d)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Update changes a domain. Invalid if a value cannot be; NotFound if it is gone.
func (s *Service) Update(ctx context.Context, d *Domain, r UpdateRequest) (*Domain, error) {
	var cred *credential
	var keys []*Key
	var err error
	if r.SMTPPassword != nil {
		if cred, err = s.newCredential(ctx, d.ID, d.Settings.SMTPLogin, *r.SMTPPassword, true); err != nil {
			return nil, err
		}
	}
	if on := r.UseAutomaticSenderSecurity; on != nil && *on != d.Settings.UseAutomaticSenderSecurity {
		if keys, err = s.switchKeys(ctx, d, *on); err != nil {
			return nil, err
		}
	}
	return s.change(ctx, d.ID, func(tx *db.Tx, d *Domain) error {
		security := d.Settings.UseAutomaticSenderSecurity
		r.apply(&d.Settings)
		if err := d.Settings.check(); err != nil {
			return err
		}
		if r.TrackingHost != nil {
			if err := s.setHost(tx, d, *r.TrackingHost); err != nil {
				return err
			}
		}
		if d.Settings.UseAutomaticSenderSecurity != security {
			if err := s.switchSecurity(tx, d, keys); err != nil {
				return err
			}
		}
		if cred == nil {
			return nil
		}
		tx.AfterCommit(func() { s.creds.forget(cred.login) })
		return upsertCredential(tx, cred)
	})
}

func (r *UpdateRequest) apply(c *Settings) {
	assign(&c.SpamAction, r.SpamAction)
	assign(&c.Wildcard, r.Wildcard)
	assign(&c.RequireTLS, r.RequireTLS)
	assign(&c.SkipVerification, r.SkipVerification)
	assign(&c.UseAutomaticSenderSecurity, r.UseAutomaticSenderSecurity)
	assign(&c.WebScheme, r.WebScheme)
	assign(&c.WebPrefix, r.WebPrefix)
	assign(&c.ArchiveTo, r.ArchiveTo)
	assign(&c.MailFromHost, r.MailFromHost)
	assign(&c.MessageTTL, r.MessageTTL)
}

func assign[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

// switchKeys makes the keys that automatic sender security, or signing without
// it, needs and the domain does not have; making keys is too slow for a
// transaction.
func (s *Service) switchKeys(ctx context.Context, d *Domain, on bool) ([]*Key, error) {
	if on {
		return s.delegatedKeys(d.ID)
	}
	keys, err := s.Keys(ctx, d)
	if err != nil || countOwn(keys) > 0 {
		return nil, err
	}
	k, err := s.generate(d.ID, d.Settings.DKIMSelector, s.opt.KeyBits)
	return []*Key{k}, err
}

// switchSecurity turns automatic sender security on or off: on, only the
// delegated keys sign; off, only the domain's other ones. Mailgun: the domain
// must be verified again.
func (s *Service) switchSecurity(tx *db.Tx, d *Domain, fresh []*Key) error {
	on := d.Settings.UseAutomaticSenderSecurity
	keys, err := selectKeys(tx, d.ID)
	if err != nil {
		return err
	}
	for _, k := range fresh {
		if o, _ := pick(keys, k.Selector); o != nil {
			continue
		}
		if err := insertKey(tx, k); err != nil {
			return err
		}
		keys = append(keys, k)
	}
	if !slices.ContainsFunc(keys, func(k *Key) bool { return isDelegated(k.Selector) == on }) {
		return errs.New(errs.Conflict, "The domain was changed at the same time, try again")
	}
	for _, k := range keys {
		if err := updateKeyActive(tx, k.ID, isDelegated(k.Selector) == on); err != nil {
			return err
		}
	}
	if d.State == Active && d.Type == Custom && !s.assumed() {
		d.State = Unverified
	}
	return nil
}

// SetTracking changes what is tracked.
func (s *Service) SetTracking(ctx context.Context, d *Domain, fn func(*Tracking)) (*Domain, error) {
	return s.change(ctx, d.ID, func(_ *db.Tx, d *Domain) error {
		t := &d.Settings.Tracking
		fn(t)
		if len(t.Unsubscribe.HTMLFooter) > maxFooter || len(t.Unsubscribe.TextFooter) > maxFooter {
			return errs.New(errs.Invalid, "a footer has more than %d bytes", maxFooter)
		}
		return nil
	})
}

// maxFooter bounds a footer, which goes into every message.
const maxFooter = 64 << 10

// Delete deletes the domain, its keys and its logins. Domains it signed for sign
// for themselves from then on.
func (s *Service) Delete(ctx context.Context, d *Domain) error {
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := deleteDomain(tx, d)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNotFound
		}
		tx.AfterCommit(s.forgetAll)
		if s.opt.OnDelete != nil {
			return s.opt.OnDelete(tx, d)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete domain: %w", err)
	}
	s.log.Info("domain deleted", "domain", d.Name, "account", d.AccountID)
	return nil
}

func (s *Service) forgetAll() {
	s.names.Clear()
	s.byID.Clear()
	s.hosts.Clear()
	s.signers.Clear()
	s.creds.rows.Clear()
}

// Query selects domains of an account.
type Query struct {
	State     string
	Authority string // ignored if State is given, as Mailgun does
	Search    string // part of the name
	Sort      string // "", name, name:asc or name:desc; "" is newest first
	Skip      int
	Limit     int
}

// List returns a page of the account's domains and how many match in all.
func (s *Service) List(ctx context.Context, accountID string, q Query) (list []*Domain, total int, err error) {
	switch q.Sort {
	case "", "name", "name:asc", "name:desc":
	default:
		return nil, 0, errs.New(errs.Invalid, "sort must be one of name, name:asc, name:desc")
	}
	switch q.State {
	case "", Active, Unverified, Disabled:
	default:
		return nil, 0, errs.New(errs.Invalid, "state must be one of active, unverified, disabled")
	}
	if q.State != "" {
		q.Authority = ""
	}
	q.Search, q.Authority = strings.ToLower(q.Search), strings.ToLower(q.Authority)
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		list, total, err = selectDomains(tx, accountID, q)
		return err
	})
	return list, total, err
}
