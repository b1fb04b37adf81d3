package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
)

// The kinds of keys. Mailgun: a web key lives at most one day. KindPublic is the
// validation key, which no list shows and which has no role.
const (
	KindUser   = "user"
	KindDomain = "domain"
	KindWeb    = "web"
	KindPublic = "public"
)

// webLifetime is the longest and the usual life of a web key in seconds.
const webLifetime = 24 * 60 * 60

// maxLifetime bounds an expiration to a hundred years, so that no sum overflows.
const maxLifetime = 100 * 365 * 24 * 60 * 60

// maxText bounds the texts of a key in bytes.
const maxText = 1024

var (
	errLimit   = errs.New(errs.Forbidden, "could not create key, account limit reached")
	errNoKey   = errs.New(errs.NotFound, "no key matching id")
	errBadKind = errs.New(errs.Invalid, "expected `kind` param to be one of [domain user web] or absent")
	errBadRole = errs.New(errs.Invalid, "expected `role` param to be one of [admin basic sending developer support]")
)

// Key is an API key without its secret. Times are microseconds UTC.
type Key struct {
	ID          string
	AccountID   string
	Tail        string
	Kind        string
	Role        string
	Domain      string // of a key of kind domain
	Description string
	Requestor   string // email address of the person it was made for
	UserID      string
	UserName    string
	Disabled    bool
	ExpiresAt   int64 // 0 for never
	CreatedAt   int64
	UpdatedAt   int64

	hash []byte
}

// KeyRequest describes a key to make.
type KeyRequest struct {
	Kind        string // "" means user
	Role        string
	Domain      string
	Description string
	Email       string
	UserID      string
	UserName    string
	Lifetime    *int64 // seconds; nil means for ever (a web key: one day)
}

func newKey(accountID, secret string) *Key {
	hash := sha256.Sum256([]byte(secret))
	id := ids.Hex(4) + "-" + ids.Hex(4)
	return &Key{ID: id, AccountID: accountID, Tail: tail(secret), hash: hash[:]}
}

// tail is what may be shown of a secret. A short one shows nothing: the rest
// could be guessed.
func tail(secret string) string {
	if len(secret) < 16 {
		return ""
	}
	return secret[len(secret)-4:]
}

func (k *Key) known() *known {
	return &known{
		caller: Caller{AccountID: k.AccountID, KeyID: k.ID, KeyTail: k.Tail, Role: k.Role,
			Domain: k.Domain, UserName: k.UserName},
		hash: k.hash, disabled: k.Disabled, expires: k.ExpiresAt,
	}
}

// check fills in the defaults and refuses what does not fit together.
func (r *KeyRequest) check() error {
	if r.Kind == "" {
		r.Kind = KindUser
	}
	if r.Role == "analyst" {
		r.Role = Basic
	}
	if ascii, err := dnsx.ASCIIName(r.Domain); err == nil && r.Domain != "" {
		r.Domain = ascii // domains are stored in this form
	}
	r.Domain = strings.ToLower(r.Domain)
	switch {
	case !slices.Contains([]string{KindDomain, KindUser, KindWeb}, r.Kind):
		return errBadKind
	case !slices.Contains([]string{Admin, Basic, Sending, Developer, Support}, r.Role):
		return errBadRole
	case (r.Kind == KindDomain) != (r.Role == Sending):
		return errs.New(errs.Invalid, "the role `sending` is for keys of kind `domain`, which have no other role")
	case (r.Kind == KindDomain) != (r.Domain != ""):
		return errs.New(errs.Invalid, "`domain_name` is required for keys of kind `domain` and for no others")
	}
	for _, s := range []string{r.Description, r.Email, r.UserID, r.UserName, r.Domain} {
		if len(s) > maxText {
			return errs.New(errs.Invalid, "a text of a key has more than %d bytes", maxText)
		}
	}
	return r.checkLifetime()
}

func (r *KeyRequest) checkLifetime() error {
	if r.Lifetime != nil && (*r.Lifetime <= 0 || *r.Lifetime > maxLifetime) {
		return errs.New(errs.Invalid, "`expiration` must be greater than 0 and at most %d seconds", int64(maxLifetime))
	}
	if r.Kind != KindWeb {
		return nil
	}
	day := int64(webLifetime)
	if r.Lifetime == nil {
		r.Lifetime = &day
	}
	if *r.Lifetime > day {
		return errs.New(errs.Invalid, "`expiration` of a key of kind `web` is at most %d seconds", day)
	}
	return nil
}

// CreateKey makes a key and returns it with its secret, which is not kept.
// Invalid if the request does not fit together, NotFound if the domain is not
// the account's, Forbidden if the account has too many keys.
func (s *Service) CreateKey(ctx context.Context, accountID string, r KeyRequest) (*Key, string, error) {
	if err := r.check(); err != nil {
		return nil, "", err
	}
	if err := s.checkDomain(ctx, accountID, r.Domain); err != nil {
		return nil, "", err
	}
	// Mailgun: a secret ends in the id of its key.
	id := ids.Hex(4) + "-" + ids.Hex(4)
	secret := ids.Hex(16) + "-" + id
	k := newKey(accountID, secret)
	k.ID, k.Kind, k.Role, k.Domain = id, r.Kind, r.Role, r.Domain
	k.Description, k.Requestor, k.UserID, k.UserName = r.Description, r.Email, r.UserID, r.UserName
	if r.Lifetime != nil {
		k.ExpiresAt = s.clock.Now().UnixMicro() + *r.Lifetime*1e6
	}
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := countKeys(tx, accountID)
		if err != nil {
			return err
		}
		if n >= s.opt.MaxKeys {
			return errLimit
		}
		return insertKey(tx, k)
	})
	if err != nil {
		return nil, "", fmt.Errorf("create key: %w", err)
	}
	return k, secret, nil
}

func (s *Service) checkDomain(ctx context.Context, accountID, name string) error {
	if name == "" || s.opt.OwnsDomain == nil {
		return nil
	}
	ok, err := s.opt.OwnsDomain(ctx, accountID, name)
	if err != nil {
		return err
	}
	if !ok {
		return errs.New(errs.NotFound, "Domain not found")
	}
	return nil
}

// Keys returns the account's keys, oldest first, of one kind and domain if those
// are not "".
func (s *Service) Keys(ctx context.Context, accountID, kind, domain string) (list []*Key, err error) {
	if !slices.Contains([]string{"", KindDomain, KindUser, KindWeb}, kind) {
		return nil, errBadKind
	}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		list, err = selectKeys(tx, accountID, kind, strings.ToLower(domain))
		return err
	})
	return list, err
}

// DeleteKey deletes a key; from then on it is refused. NotFound if the account
// has none with that id.
func (s *Service) DeleteKey(ctx context.Context, accountID, id string) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := deleteKey(tx, accountID, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoKey
		}
		tx.AfterCommit(s.keys.Clear)
		return nil
	})
}

// RevokeDomain deletes the sending keys of a domain that goes away, within the
// transaction that deletes it: who registers the name later must not inherit
// them.
func (s *Service) RevokeDomain(tx *db.Tx, name string) error {
	if err := deleteDomainKeys(tx, name); err != nil {
		return err
	}
	tx.AfterCommit(s.keys.Clear)
	return nil
}

// RegeneratePublicKey replaces the account's public validation key and returns
// the new one.
func (s *Service) RegeneratePublicKey(ctx context.Context, accountID string) (string, error) {
	secret := "pubkey-" + ids.Hex(16)
	k := newKey(accountID, secret)
	k.Kind, k.Description = KindPublic, "public validation key"
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if err := deletePublicKeys(tx, accountID); err != nil {
			return err
		}
		tx.AfterCommit(s.keys.Clear)
		return insertKey(tx, k)
	})
	return secret, err
}

// orMissing turns the driver's "no rows" into the given error.
func orMissing(err error, as error) error {
	if errors.Is(err, db.ErrNoRows) {
		return as
	}
	return err
}
