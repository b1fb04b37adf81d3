package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/secret"
	"postroad/internal/base/svix"
	"postroad/internal/core/replay"
	"postroad/internal/core/webhook"
)

// Retention is how long events are kept.
const Retention = 30 * 24 * time.Hour

// Config is what a Service works with.
type Config struct {
	DB       *db.DB
	IDs      *ids.Source
	Logger   *slog.Logger
	Clock    clock.Clock
	Webhooks *webhook.Service
	// Secret is the installation's master secret; it seals those of subscriptions.
	Secret []byte
	// First returns the id of the installation's first account, whose administrators
	// read events and subscribe.
	First func(ctx context.Context) (string, error)

	// MailgunKeys are the signing keys Mailgun's webhooks may be signed with. Without
	// one, LocalKey is asked for the key of a sending domain of this program, which is
	// Mailgun then; "" if there is none. It may be nil.
	MailgunKeys []string
	LocalKey    func(ctx context.Context, domain string) (string, error)
	// ResendSecrets are the secrets Resend's webhooks may be signed with.
	ResendSecrets []svix.Secret

	// Known returns what was sent to a recipient in the message a provider ("mailgun"
	// or "resend") knows by externalID, which has no angle brackets. It may be nil.
	Known func(ctx context.Context, provider, externalID, recipient string) (k Known, ok bool, err error)
}

// Service takes, keeps and forwards events. Its methods are safe for concurrent use.
type Service struct {
	Config
	box *secret.Box

	subscriptions atomic.Pointer[[]*subscription]
	reloading     sync.Mutex
}

// New returns the service with the subscriptions read. The store must be migrated.
func New(ctx context.Context, c Config) (*Service, error) {
	box, err := secret.New(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("feedback: %w", err)
	}
	s := &Service{Config: c, box: box}
	if err := s.reload(ctx); err != nil {
		return nil, fmt.Errorf("subscriptions to events: %w", err)
	}
	return s, nil
}

// Texts of refusals.
const (
	textSignature = "Invalid webhook signature"
	textPayload   = "Invalid webhook payload"
)

func errSignature(why error) error { return errs.Wrap(errs.Unauthorized, why, textSignature) }

var errReplayed = errors.New("this signed request was taken before")

// signed names a request whose signature was checked.
type signed struct {
	provider string
	id       string    // unique among its requests
	until    time.Time // when its signature is too old anyway
}

// take keeps what a verified webhook says and returns how many events are new. A
// request taken before is Unauthorized: whoever makes a signature makes another one
// for another try.
func (s *Service) take(ctx context.Context, r signed, list []*incoming) (stored int, err error) {
	if err := s.prepare(ctx, list); err != nil {
		return 0, err
	}
	replayed := false
	err = s.DB.Group(ctx, func(tx *db.Tx) error {
		stored, replayed = 0, false
		first, err := replay.Take(tx, "feedback "+r.provider, r.id, r.until)
		if err != nil {
			return err
		}
		if !first { // no error: that would undo the work of those who share the transaction
			replayed = true
			return nil
		}
		for _, e := range list {
			fresh, err := insertEvent(tx, e)
			if err != nil {
				return fmt.Errorf("store event: %w", err)
			}
			if !fresh {
				continue
			}
			stored++
			if err := s.forward(tx, e); err != nil {
				return fmt.Errorf("forward event: %w", err)
			}
		}
		return nil
	})
	if err == nil && replayed {
		err = errSignature(errReplayed)
	}
	return stored, err
}

// prepare completes events by what is known of their messages and encodes them.
func (s *Service) prepare(ctx context.Context, list []*incoming) error {
	for _, e := range list {
		if s.Known != nil && e.MessageID != "" && e.incomplete() {
			k, ok, err := s.Known(ctx, e.provider, e.MessageID, e.Recipient)
			if err != nil {
				return fmt.Errorf("what was sent: %w", err)
			}
			if ok {
				e.complete(&k)
			}
		}
		if err := e.seal(s.IDs.Next()); err != nil {
			return err
		}
	}
	return nil
}

// verifyMailgun checks a webhook's signature with the keys it may be made with.
func (s *Service) verifyMailgun(ctx context.Context, c *mailgunCall, domain string) error {
	now, keys := s.Clock.Now(), s.MailgunKeys
	if len(keys) == 0 && s.LocalKey != nil {
		key, err := s.LocalKey(ctx, domain)
		if err != nil {
			return fmt.Errorf("signing key: %w", err)
		}
		keys = []string{key}
	}
	for _, key := range keys {
		if c.Signature.Verify(key, now) {
			return nil
		}
	}
	return errSignature(nil)
}

// decode reads what it can of a JSON object: a member of another type than expected
// is as if it were not there.
func decode(raw []byte, v any) error {
	err := json.Unmarshal(raw, v)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return nil
	}
	return err
}

// Clean deletes events older than Retention.
func (s *Service) Clean(ctx context.Context) error {
	const batch = 500
	floor := ids.Floor(s.Clock.Now().Add(-Retention))
	for n := int64(batch); n == batch; {
		err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = deleteEvents(tx, floor, batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
