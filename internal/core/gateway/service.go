package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/base/op"
	"postroad/internal/base/secret"
	"postroad/internal/core/account"
	"postroad/internal/core/provider"
)

// Names of drivers.
const (
	mailgun = "mailgun"
	resend  = "resend"
)

// Config is what the gateway is made of.
type Config struct {
	DB       *db.DB
	Logger   *slog.Logger
	Accounts *account.Service
	Secret   []byte // of the installation, seals keys

	Mailgun, Resend provider.Driver
	Local           bool   // Mailgun is this program: its keys are those of our accounts
	Domain          string // that sends through Mailgun, "" for that of the sender

	// MailgunKey and ResendKey are the operator's own: who shows one may name
	// participants, and the second driver sends with it.
	MailgunKey, ResendKey string
	Failover              bool // the other driver takes over, with its key

	Templates *netx.Client // fetches what clients name
	// Participants is the URL that resolves ids, "" for the table; Resolver calls it.
	Participants string
	Resolver     provider.Doer
}

// Service is the gateway.
type Service struct {
	Config
	box      *secret.Box
	wake     chan struct{}
	fetching chan struct{} // templates that are being fetched
}

// maxFetches is how many templates are fetched at a time.
const maxFetches = 16

// New returns the gateway. Batches that a program before this one was sending when
// it ended are free again.
func New(ctx context.Context, c Config) (*Service, error) {
	box, err := secret.New(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Service{Config: c, box: box, wake: make(chan struct{}, 1), fetching: make(chan struct{}, maxFetches)}
	if err := c.DB.Write(ctx, func(tx *db.Tx) error { return freeBatches(tx) }); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return s, nil
}

// keyHash is under what campaigns of a key are listed. Keys are random and long: a
// hash without salt gives none away.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (s *Service) seal(c *campaign, key string) string {
	return base64.StdEncoding.EncodeToString(s.box.Seal([]byte(key), c.sealContext()))
}

// unseal returns the key of a campaign that is not finished.
func (s *Service) unseal(c *campaign) (string, error) {
	b, err := base64.StdEncoding.DecodeString(c.sealed)
	if err != nil {
		return "", err
	}
	plain, err := s.box.Open(b, c.sealContext())
	return string(plain), err
}

// shownKey is the key of the Authorization field, as Basic or Bearer.
func shownKey(ctx context.Context) string {
	scheme, value, _ := strings.Cut(op.RequestFrom(ctx).Header("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return value
	case strings.EqualFold(scheme, "Basic"):
		if b, err := base64.StdEncoding.DecodeString(value); err == nil {
			_, key, _ := strings.Cut(string(b), ":")
			return key
		}
	}
	return ""
}

// owner returns the account whose participants a request may name: that of a key of
// this program, shown beside the provider's or being it, or the first one's for the
// operator's key of the provider. Anybody else could read addresses by sending to
// them through an account of his own.
func (s *Service) owner(ctx context.Context, l *letter) (string, error) {
	if key := shownKey(ctx); key != "" {
		return s.accountOf(ctx, key)
	}
	own := map[string]string{mailgun: s.MailgunKey, resend: s.ResendKey}[l.Driver]
	if own != "" && subtle.ConstantTimeCompare([]byte(own), []byte(l.APIKey)) == 1 {
		return s.Accounts.First(ctx)
	}
	if l.Driver == mailgun && s.Local {
		return s.accountOf(ctx, l.APIKey)
	}
	return "", errs.New(errs.Unauthorized, "recipient_ids need an API key of this server in the Authorization header")
}

func (s *Service) accountOf(ctx context.Context, key string) (string, error) {
	c, err := s.Accounts.Authenticate(ctx, key)
	if err != nil {
		return "", err
	}
	return c.AccountID, account.Authorize(c, op.Messages, op.Send, c.Domain)
}

// RunCleaning forgets what was sent long ago, until ctx ends.
func (s *Service) RunCleaning(ctx context.Context) error {
	for {
		more, err := s.clean(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("cleaning of the gateway", "error", err)
		}
		wait := cleanEvery
		if more {
			wait = time.Second // others write as well
		}
		c, stop := s.DB.Clock().After(wait)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
		}
	}
}

const (
	cleanEvery = 10 * time.Minute
	cleanBatch = 2000
)

func (s *Service) clean(ctx context.Context) (more bool, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := deleteSent(tx, tx.Now, cleanBatch)
		if err != nil {
			return err
		}
		more = n == cleanBatch
		before := tx.Now - keepSent.Microseconds()
		if err := expirePending(tx, before); err != nil {
			return err
		}
		return deleteFinished(tx, before, cleanBatch)
	})
	return more, err
}
