// Package timing knows when recipients engage with mail and where they are, and
// says when a message should leave for each of them: at the hour they open and
// click most, or at a time of day where they are.
//
// It is a sink of events: a human's open or click leaves a row in the event's
// transaction, which Run folds into one row per account and recipient: the hours
// in which they engaged in half a year, and the zone of the latest click whose
// place is known. Rows are found by a keyed hash of account and canonical address;
// the address itself is nowhere. What was not touched for 13 months goes, and so
// does what an account without domains left.
//
// Tables: timing_note, timing.
package timing

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
)

// Times of the work in the background.
const (
	foldBatch  = 500
	foldPause  = 5 * time.Second // between foldings: rows of a while are folded together
	sweepEvery = time.Hour
	sweepBatch = 500
	keepHours  = 396 * 24 // what was not touched for so long goes
)

// Service keeps what is known of recipients and chooses times.
type Service struct {
	db    *db.DB
	log   *slog.Logger
	clock clock.Clock
	key   []byte
	wake  chan struct{}
}

// New returns the service. secret is the installation's.
func New(d *db.DB, log *slog.Logger, secret []byte) *Service {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("timing of recipients"))
	return &Service{db: d, log: log, clock: d.Clock(), key: mac.Sum(nil), wake: make(chan struct{}, 1)}
}

// hash is what stands for a recipient of an account.
func (s *Service) hash(accountID, address string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(accountID))
	mac.Write([]byte{0})
	mac.Write([]byte(addr.Canonical(address)))
	return string(mac.Sum(nil)[:16])
}

// Event implements event.Sink. What a program did says nothing about the person.
func (s *Service) Event(tx *db.Tx, e *event.Event) error {
	d := &e.Doc
	if d.Event != event.Opened && d.Event != event.Clicked || d.Recipient == "" || d.ClientInfo != nil && d.ClientInfo.Bot != "" {
		return nil
	}
	n := note{id: e.ID, account: e.AccountID, address: s.hash(e.AccountID, d.Recipient), hour: hourOf(d.Timestamp.Time())}
	if d.Event == event.Clicked {
		n.clicked = true
		if zone(e.TimeZone) != nil {
			n.zone = e.TimeZone
		}
	}
	stageNote(tx, &n)
	tx.AfterCommit(s.poke)
	return nil
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Choose returns when each of the recipients, given as addresses, gets a message.
func (s *Service) Choose(ctx context.Context, w *Wish, recipients []string) (map[string]Choice, error) {
	var c Clock
	if w.Local != "" {
		var ok bool
		if c, ok = ParseClock(w.Local); !ok {
			return nil, fmt.Errorf("timing: %q is no time of day", w.Local)
		}
	}
	known, err := s.known(ctx, w.AccountID, recipients)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Choice, len(recipients))
	for i, r := range recipients {
		out[r] = w.choose(known[i], c, spreadOf(w.Message, r))
	}
	return out, nil
}

// known returns the profiles of recipients in their order, empty ones of those
// nothing is known about.
func (s *Service) known(ctx context.Context, accountID string, recipients []string) ([]*profile, error) {
	hashes := make([]string, len(recipients))
	for i, r := range recipients {
		hashes[i] = s.hash(accountID, r)
	}
	var found map[string]*profile
	// Peek: profiles are written in SQL, never staged.
	err := s.db.Peek(ctx, func(tx *db.Tx) (err error) {
		found, err = selectProfiles(tx, hashes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("timing: %w", err)
	}
	out := make([]*profile, len(recipients))
	for i, h := range hashes {
		if out[i] = found[h]; out[i] == nil {
			out[i] = &profile{}
		}
	}
	return out, nil
}

// Forget removes everything known of a recipient of the account.
func (s *Service) Forget(ctx context.Context, accountID, address string) error {
	return s.db.Write(ctx, func(tx *db.Tx) error { return deleteAddress(tx, s.hash(accountID, address)) })
}

// Run folds what comes in and removes what is old, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var swept time.Time
	for ctx.Err() == nil {
		err := s.Fold(ctx)
		if now := s.clock.Now(); now.Sub(swept) >= sweepEvery {
			err = errors.Join(err, s.sweep(ctx))
			swept = now
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("timing", "error", err)
		}
		s.pause(ctx, foldPause, nil)
		s.pause(ctx, sweepEvery, s.wake)
	}
	return nil
}

func (s *Service) pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	c, stop := s.clock.After(d)
	defer stop()
	select {
	case <-ctx.Done():
	case <-c:
	case <-wake:
	}
}

// Fold takes what opens and clicks left into what is known of their recipients.
func (s *Service) Fold(ctx context.Context) error {
	for more := true; more; {
		err := s.db.Write(ctx, func(tx *db.Tx) error {
			notes, err := selectNotes(tx, foldBatch)
			more = len(notes) == foldBatch
			if err != nil || len(notes) == 0 {
				return err
			}
			return fold(tx, notes)
		})
		if err != nil {
			return fmt.Errorf("folding opens and clicks: %w", err)
		}
	}
	return nil
}

func fold(tx *db.Tx, notes []note) error {
	accounts := map[string]string{}
	var order []string
	for _, n := range notes {
		if _, ok := accounts[n.address]; !ok {
			order = append(order, n.address)
		}
		accounts[n.address] = n.account
	}
	known, err := selectProfiles(tx, order)
	if err != nil {
		return err
	}
	for i := range notes {
		p := known[notes[i].address]
		if p == nil {
			p = &profile{}
			known[notes[i].address] = p
		}
		p.add(&notes[i])
	}
	for _, address := range order {
		if err := upsertProfile(tx, address, accounts[address], known[address]); err != nil {
			return err
		}
	}
	return deleteNotes(tx, notes)
}

// sweep removes profiles that are old or whose account has no domains any more.
func (s *Service) sweep(ctx context.Context) error {
	oldest := hourOf(s.clock.Now()) - keepHours
	if err := s.inBatches(ctx, func(tx *db.Tx) (int64, error) { return deleteBefore(tx, oldest, sweepBatch) }); err != nil {
		return err
	}
	for account := ""; ; {
		var left bool
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			account, left, err = nextAccount(tx, account)
			return err
		})
		if err != nil || account == "" {
			return err
		}
		if left {
			err = s.inBatches(ctx, func(tx *db.Tx) (int64, error) { return deleteAccount(tx, account, sweepBatch) })
		}
		if err != nil {
			return err
		}
	}
}

// inBatches repeats a deletion of up to sweepBatch rows until nothing is left.
func (s *Service) inBatches(ctx context.Context, del func(*db.Tx) (int64, error)) error {
	for n := int64(sweepBatch); n == sweepBatch; {
		if err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = del(tx)
			return err
		}); err != nil {
			return fmt.Errorf("removing what is known of recipients: %w", err)
		}
	}
	return nil
}
