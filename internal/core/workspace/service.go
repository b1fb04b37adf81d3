package workspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/provider"
)

// Config of a Service.
type Config struct {
	DB     *db.DB
	IDs    *ids.Source
	Logger *slog.Logger
	Token  TokenConfig

	// Driver sends through Mailgun's API as Account; From is the sender of messages
	// that name none. Without a domain of the account nothing is sent.
	Driver  provider.Driver
	Account provider.Account
	From    string
	// Owner is the account of this program whose events are about our mail; "" if it
	// is sent by a remote account, which calls webhooks.
	Owner func() string
	// SigningKey signs the webhooks and posts we get; "" is never right.
	SigningKey func(context.Context) (string, error)
}

// Service is the email API of workspaces.
type Service struct {
	Config
	db      *db.DB
	clock   clock.Clock
	tokens  *verifier
	columns columns

	mu   sync.Mutex
	busy map[int64]bool // messages that are being sent
}

// New returns the service.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Config: c, db: c.DB, clock: c.DB.Clock(), busy: map[int64]bool{}}
	s.tokens = newVerifier(c.Token, s.clock)
	return s
}

// canSend reports whether there is an account to send by.
func (s *Service) canSend() bool { return s.Driver != nil && s.Account.Domain != "" }

// store keeps a new message. Its workspace is made if it has no mail yet.
func (s *Service) store(tx *db.Tx, w place, m *email) error {
	m.workspace, m.seq, m.created = w.num, w.seq+1, max(tx.Now, w.at)
	if err := insert(tx, m); err != nil {
		return fmt.Errorf("store mail of a workspace: %w", err)
	}
	if err := advance(tx, place{w.num, m.seq, m.created}); err != nil {
		return err
	}
	if err := appendState(tx, m); err != nil {
		return err
	}
	return seal(tx, m)
}

func (s *Service) newEmail(d direction) *email {
	return &email{id: s.IDs.Next(), uuid: ids.UUID(), direction: d}
}

// change applies c to the message that find returns, if it returns one.
func (s *Service) change(tx *db.Tx, c *change, find func(*db.Tx) (*email, error)) error {
	m, err := find(tx)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := relock(tx, m.workspace); err != nil {
		return err
	}
	if m, err = selectByID(tx, m.id); err != nil { // as it is now that nobody else changes it
		return err
	}
	before := m.status
	if !c.apply(m) {
		return nil
	}
	if err := update(tx, m); err != nil {
		return err
	}
	if m.status == before {
		return nil
	}
	return replaceState(tx, m)
}

// Run finishes messages whose sending was cut off, at once and then from time to
// time, until ctx ends. Before that it reads into memory what searches need.
func (s *Service) Run(ctx context.Context) error {
	if s.tokens.configured() {
		if err := s.warm(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("reading what searches in mail of workspaces need", "error", err)
		}
	}
	for {
		if s.canSend() {
			if err := s.finishPending(ctx); err != nil && ctx.Err() == nil {
				s.Logger.Error("finishing mail of workspaces", "error", err)
			}
		}
		wait, stop := s.clock.After(time.Minute)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-wait:
		}
	}
}
