package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postroad/internal/base/cache"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/secret"
)

const (
	// cacheTTL is how long a change made by another node can go unseen.
	cacheTTL = 10 * time.Second
	// cacheSize bounds the keys held in memory, about 300 bytes each.
	cacheSize = 10_000
	// maxSecret bounds what is hashed: our own secrets have at most 50 bytes.
	maxSecret = 128
	// defaultMaxKeys bounds the keys of an account.
	defaultMaxKeys = 1000
)

// Options of a service.
type Options struct {
	// Dev makes every unknown key an administrator key of the first account
	// when it is first used.
	Dev bool
	// Strict turns that off again, to test how a client handles a refused key.
	Strict bool
	// Secret is the installation's master secret, 32 bytes.
	Secret []byte
	// MaxKeys is the number of keys an account may have; 0 means 1000.
	MaxKeys int
	// OwnsDomain reports whether the account has the domain; nil means that
	// the domain of a sending key is not checked when the key is made.
	OwnsDomain func(ctx context.Context, accountID, name string) (bool, error)
}

// Service keeps accounts and keys. Its methods are safe for concurrent use.
type Service struct {
	db    *db.DB
	ids   *ids.Source
	clock clock.Clock
	log   *slog.Logger
	opt   Options
	box   *secret.Box

	keys    *cache.Cache[[sha256.Size]byte, *known]
	signing *cache.Cache[string, string]
}

// known is a key as the cache holds it.
type known struct {
	caller   Caller
	hash     []byte
	disabled bool
	expires  int64 // microseconds, 0 for never
}

// New returns the service; the error says that the master secret is unusable.
func New(d *db.DB, source *ids.Source, c clock.Clock, log *slog.Logger, o Options) (*Service, error) {
	box, err := secret.New(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = defaultMaxKeys
	}
	return &Service{
		db: d, ids: source, clock: c, log: log, opt: o, box: box,
		keys:    cache.New[[sha256.Size]byte, *known](c, cacheTTL, cacheSize),
		signing: cache.New[string, string](c, cacheTTL, cacheSize),
	}, nil
}

// Account is a customer of the installation.
type Account struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

var (
	errUnknownKey = errs.New(errs.Unauthorized, "Forbidden")
	errNoAccount  = errs.New(errs.NotFound, "account not found")
)

// Account returns the account, or NotFound.
func (s *Service) Account(ctx context.Context, id string) (a *Account, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		a, err = accountByID(tx, id)
		return err
	})
	return a, err
}

// First returns the id of the first account, the one Bootstrap made; NotFound
// before that.
func (s *Service) First(ctx context.Context) (id string, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		id, err = firstAccount(tx)
		return err
	})
	return id, err
}

// Bootstrap makes the first account with its signing key, and its administrator
// key. With adminKey given that key is made sure of: added if unknown, enabled
// if disabled. Without, a key is generated if the account has no administrator
// key that works, and returned in clear to be shown once; otherwise shown is "".
func (s *Service) Bootstrap(ctx context.Context, adminKey string) (shown string, err error) {
	if len(adminKey) > maxSecret {
		return "", errs.New(errs.Invalid, "the admin key is longer than %d bytes", maxSecret)
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		id, err := s.ensureFirst(tx)
		if err != nil {
			return err
		}
		if adminKey != "" {
			return s.ensureAdmin(tx, id, adminKey)
		}
		if ok, err := hasAdmin(tx, id); err != nil || ok {
			return err
		}
		shown = "key-" + ids.Hex(16)
		return s.ensureAdmin(tx, id, shown)
	})
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	s.keys.Clear()
	return shown, nil
}

// ensureFirst returns the first account. The setting's primary key decides
// between nodes that start on an empty database at the same time.
func (s *Service) ensureFirst(tx *db.Tx) (string, error) {
	id := s.newID()
	made, err := claimFirst(tx, id)
	if err != nil {
		return "", err
	}
	if !made {
		return firstAccount(tx)
	}
	return id, insertAccount(tx, id, "Postroad", s.sealSigning(id, "key-"+ids.Hex(16)))
}

func (s *Service) ensureAdmin(tx *db.Tx, accountID, key string) error {
	hash := sha256.Sum256([]byte(key))
	if found, err := enableKey(tx, hash[:]); err != nil || found {
		return err
	}
	k := newKey(accountID, key)
	k.Role, k.Kind, k.Description = Admin, KindUser, "administrator key"
	return insertKey(tx, k)
}

// newID returns an identifier in the form the API shows: 24 hexadecimal digits
// that grow with time.
func (s *Service) newID() string { return fmt.Sprintf("%016x%s", s.ids.Next(), ids.Hex(4)) }

// Authenticate returns the caller a secret belongs to. Unknown, disabled and
// expired keys are Unauthorized.
func (s *Service) Authenticate(ctx context.Context, secret string) (*Caller, error) {
	if secret == "" || len(secret) > maxSecret {
		return nil, errUnknownKey
	}
	hash := hashSecret(secret)
	k, ok := s.keys.Get(hash)
	if !ok {
		var err error
		if k, err = s.loadKey(ctx, hash, secret); err != nil {
			return nil, err
		}
	}
	if subtle.ConstantTimeCompare(k.hash, hash[:]) != 1 || k.disabled {
		return nil, errUnknownKey
	}
	if k.expires != 0 && s.clock.Now().UnixMicro() >= k.expires {
		return nil, errUnknownKey
	}
	return &k.caller, nil
}

// hashSecret hashes without moving the secret to the heap.
func hashSecret(secret string) [sha256.Size]byte {
	var buf [maxSecret]byte
	return sha256.Sum256(buf[:copy(buf[:], secret)])
}

func (s *Service) loadKey(ctx context.Context, hash [sha256.Size]byte, secret string) (*known, error) {
	return s.keys.Load(hash, func() (*known, error) {
		k, err := s.keyByHash(ctx, hash[:])
		if !errors.Is(err, db.ErrNoRows) {
			return k, err
		}
		if !s.opt.Dev || s.opt.Strict {
			return nil, errUnknownKey
		}
		return s.adopt(ctx, hash[:], secret)
	})
}

func (s *Service) keyByHash(ctx context.Context, hash []byte) (k *known, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		key, err := selectKeyByHash(tx, hash)
		if err == nil {
			k = key.known()
		}
		return err
	})
	return k, err
}

// adoptedNote describes keys that development mode made on first use.
const adoptedNote = "made on first use in development mode"

// adopt makes an unknown secret a key of the first account.
func (s *Service) adopt(ctx context.Context, hash []byte, secret string) (*known, error) {
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		id, err := firstAccount(tx)
		if err != nil {
			return err
		}
		n, err := countKeys(tx, id)
		if err != nil {
			return err
		}
		if n >= s.opt.MaxKeys { // tests that make up a key each: the oldest of them goes
			if err := deleteOldestAdopted(tx, id, adoptedNote); err != nil {
				return err
			}
		}
		k := newKey(id, secret)
		k.Role, k.Kind, k.Description = Admin, KindUser, adoptedNote
		return insertKey(tx, k)
	})
	if err != nil && !db.IsConflict(err) { // a conflict: another request was first
		return nil, err
	}
	s.log.Info("development mode: unknown key taken as administrator key", "tail", tail(secret))
	return s.keyByHash(ctx, hash)
}
