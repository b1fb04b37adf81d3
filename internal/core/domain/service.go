package domain

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postroad/internal/base/cache"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/secret"
	"postroad/internal/core/account"
	"postroad/internal/mail/dkim"
)

const (
	// cacheTTL is how long a change made by another node can go unseen.
	cacheTTL = 10 * time.Second
	// cacheSize bounds the domains held in memory, a few kilobytes each.
	cacheSize = 10_000
)

// Options of a service.
type Options struct {
	// Resolver answers the checks of Verify. Give it one without a cache, so that
	// a record published a minute ago is seen. Nil: nothing is looked up and
	// records stay unknown.
	Resolver dnsx.Resolver
	// Hostname is the public name of this server: what MX, SPF and CNAME records
	// point to.
	Hostname string
	// AssumeVerified makes domains active when they are created.
	AssumeVerified bool
	// Dev lets Ensure create domains on first use and takes any SMTP login of a
	// domain; domains are active when they are created.
	Dev bool
	// Secret is the installation's master secret, 32 bytes.
	Secret []byte
	// KeyBits is the size of new RSA keys unless asked otherwise; 0 means 2048.
	KeyBits int
	// GenerateKey makes RSA keys; nil means dkim.GenerateRSA.
	GenerateKey func(bits int) (*rsa.PrivateKey, error)
	// Signer makes what signs with an RSA key; nil means the key itself.
	Signer func(*rsa.PrivateKey) crypto.Signer
	// DefaultAccount names the account of domains that an unknown SMTP login
	// creates in development mode; nil means that none are created so.
	DefaultAccount func(ctx context.Context) (string, error)
	// LinkHint says why tracking links of a domain do not have its own host, "" if
	// they have; nil says nothing.
	LinkHint func(*Domain) string
	// OnDelete is called in the transaction that deletes a domain, for what
	// others keep by its id or name; may be nil.
	OnDelete func(tx *db.Tx, d *Domain) error
}

// Service keeps domains. Its methods are safe for concurrent use.
type Service struct {
	db    *db.DB
	ids   *ids.Source
	clock clock.Clock
	log   *slog.Logger
	opt   Options
	box   *secret.Box

	names   *cache.Cache[string, *Domain]
	byID    *cache.Cache[int64, *Domain]
	hosts   *cache.Cache[string, Host]
	signers *cache.Cache[int64, []dkim.Key]
	creds   *credentials

	ensuring sync.Mutex // one creation by Ensure at a time: it makes a key
}

// New returns the service; the error says that the options are unusable.
func New(d *db.DB, source *ids.Source, c clock.Clock, log *slog.Logger, o Options) (*Service, error) {
	box, err := secret.New(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("domain: %w", err)
	}
	if o.Hostname, err = NormalizeName(o.Hostname, true); err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	if o.KeyBits == 0 {
		o.KeyBits = 2048
	}
	if o.KeyBits != 1024 && o.KeyBits != 2048 {
		return nil, fmt.Errorf("DKIM keys have 1024 or 2048 bits, not %d", o.KeyBits)
	}
	if o.GenerateKey == nil {
		o.GenerateKey = dkim.GenerateRSA
	}
	return &Service{
		db: d, ids: source, clock: c, log: log, opt: o, box: box,
		names:   cache.New[string, *Domain](c, cacheTTL, cacheSize),
		byID:    cache.New[int64, *Domain](c, cacheTTL, cacheSize),
		hosts:   cache.New[string, Host](c, cacheTTL, cacheSize),
		signers: cache.New[int64, []dkim.Key](c, cacheTTL, cacheSize),
		creds:   newCredentials(c),
	}, nil
}

var (
	errNotFound = errs.New(errs.NotFound, "Domain not found")
	errTaken    = errs.New(errs.Invalid, "This domain name is already taken")
)

// assumed reports whether domains are active without proof.
func (s *Service) assumed() bool { return s.opt.Dev || s.opt.AssumeVerified }

// ByName returns a domain by its name in any spelling; NotFound if there is
// none. A recently used domain asked for in lower case costs no allocation.
func (s *Service) ByName(ctx context.Context, name string) (*Domain, error) {
	if d, ok := s.names.Get(name); ok {
		return d, nil
	}
	key, reason := normalize(name)
	if reason != "" {
		return nil, errNotFound
	}
	return s.names.Load(key, func() (*Domain, error) {
		return s.read(ctx, func(tx *db.Tx) (*Domain, error) { return selectByName(tx, key) })
	})
}

// ByID returns a domain by its row id; NotFound if there is none.
func (s *Service) ByID(ctx context.Context, id int64) (*Domain, error) {
	if d, ok := s.byID.Get(id); ok {
		return d, nil
	}
	return s.byID.Load(id, func() (*Domain, error) {
		return s.read(ctx, func(tx *db.Tx) (*Domain, error) { return selectByID(tx, id) })
	})
}

func (s *Service) read(ctx context.Context, fn func(*db.Tx) (*Domain, error)) (d *Domain, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		d, err = fn(tx)
		return err
	})
	return d, err
}

// Owned returns the caller's domain of that name. A domain of another account,
// or one the caller's sending key is not for, is NotFound like one that does not
// exist.
func (s *Service) Owned(ctx context.Context, c *account.Caller, name string) (*Domain, error) {
	d, err := s.ByName(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.AccountID == "" || d.AccountID != c.AccountID || !c.MayUse(d.Name) {
		return nil, errNotFound
	}
	return d, nil
}

// Ensure returns the account's domain of that name and, in development mode,
// creates it if there is none. Otherwise, and if the domain is another
// account's, NotFound.
func (s *Service) Ensure(ctx context.Context, accountID, name string) (*Domain, error) {
	d, err := s.ByName(ctx, name)
	if errs.Is(err, errs.NotFound) && s.opt.Dev {
		d, err = s.ensure(ctx, accountID, name)
	}
	if err != nil {
		return nil, err
	}
	if d.AccountID != accountID {
		return nil, errNotFound
	}
	return d, nil
}

func (s *Service) ensure(ctx context.Context, accountID, name string) (*Domain, error) {
	s.ensuring.Lock()
	defer s.ensuring.Unlock()
	if d, err := s.ByName(ctx, name); err == nil {
		return d, nil
	}
	d, err := s.Create(ctx, accountID, CreateRequest{Name: name})
	if errors.Is(err, errTaken) { // by another node
		return s.ByName(ctx, name)
	}
	return d, err
}

// EnsureSandbox returns the account's sandbox domain, sandbox<32 hex>.<hostname>,
// creating it on first use. It is active and needs no DNS.
func (s *Service) EnsureSandbox(ctx context.Context, accountID string) (*Domain, error) {
	name := "sandbox" + ids.Hex(16) + "." + s.opt.Hostname
	err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
		name, err = claimSandbox(tx, accountID, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	d, err := s.ByName(ctx, name)
	if !errs.Is(err, errs.NotFound) {
		return d, err
	}
	d, err = s.create(ctx, accountID, CreateRequest{Name: name, ForceDKIMAuthority: true}, Sandbox)
	if errors.Is(err, errTaken) {
		return s.ByName(ctx, name)
	}
	return d, err
}

// forget drops what the caches have of a domain. Authorities make the signers
// of several domains depend on one.
func (s *Service) forget(d *Domain) {
	s.names.Drop(d.Name)
	s.byID.Drop(d.ID)
	s.hosts.Clear() // those it had are not known here
	s.signers.Clear()
}

// newPublicID returns an identifier in the form the API shows: 24 hexadecimal digits
// that grow with time.
func newPublicID(id int64) string { return fmt.Sprintf("%016x%s", id, ids.Hex(4)) }
