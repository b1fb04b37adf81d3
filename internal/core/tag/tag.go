package tag

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/event"
)

// Options adjusts a Service; zero values give the defaults.
type Options struct {
	// Limits of the number of tags. Beyond them a new tag is ignored: the message
	// is sent, and its events have the tag. Mailgun: the numbers.
	PerDomain  int // 20,000
	PerAccount int // different tags of all its domains, 100,000
}

// Service keeps tags. Its methods are safe for concurrent use; Run may run once.
type Service struct {
	db  *db.DB
	ids *ids.Source
	log *slog.Logger
	o   Options

	folding sync.Mutex
	dirty   atomic.Bool // there may be events that are not counted
	gone    atomic.Bool // there may be counters of deleted tags
	staged  func()
}

// New returns the service.
func New(d *db.DB, source *ids.Source, log *slog.Logger, o Options) *Service {
	if o.PerDomain == 0 {
		o.PerDomain = 20_000
	}
	if o.PerAccount == 0 {
		o.PerAccount = 100_000
	}
	s := &Service{db: d, ids: source, log: log, o: o}
	s.staged = func() { s.dirty.Store(true) } // one for all events
	s.dirty.Store(true)                       // what an earlier run left
	s.gone.Store(true)
	return s
}

// Tag is a tag of one domain, or of an account's domains together.
type Tag struct {
	ID          int64 // 0 of an account's
	Name        string
	Description string
	FirstSeen   int64 // microseconds
	LastSeen    int64
}

func errNotFound() error { return errs.New(errs.NotFound, "Tag not found") }

// key is the form tags are compared in. Mailgun: they are the same in any case.
func key(tag string) string { return strings.ToLower(tag) }

// Event implements event.Sink. It stages a row, never reads: thousands of events
// per second pass here.
func (s *Service) Event(tx *db.Tx, e *event.Event) error {
	if len(e.Doc.Tags) == 0 || e.DomainID == 0 {
		return nil
	}
	k := kindOf(e)
	if k == 0 {
		return nil
	}
	country, device := placeOf(&e.Doc)
	tx.Stage(insertDelta, e.ID, e.AccountID, e.DomainID, int64(e.Doc.Timestamp), int64(k), providerOf(&e.Doc), country, device,
		strings.Join(e.Doc.Tags, separator))
	tx.AfterCommit(s.staged)
	return nil
}

// Get returns a tag of a domain, NotFound without it.
func (s *Service) Get(ctx context.Context, domainID int64, tag string) (t Tag, err error) {
	err = s.read(ctx, func(tx *db.Tx) error {
		t, err = selectTag(tx, domainID, tag)
		return err
	})
	return t, err
}

// Describe sets a tag's description.
func (s *Service) Describe(ctx context.Context, domainID int64, tag, description string) error {
	return s.change(ctx, func(tx *db.Tx) (int64, error) {
		return updateDescription(tx, ofDomain(domainID).is(tag), description)
	})
}

// DescribeAll is Describe for a tag in all domains of an account.
func (s *Service) DescribeAll(ctx context.Context, accountID, tag, description string) error {
	return s.change(ctx, func(tx *db.Tx) (int64, error) {
		return updateDescription(tx, ofAccount(accountID).is(tag), description)
	})
}

// Delete removes a tag and its counters. When it is used again, or something
// more happens to a message that has it, it is a new one.
func (s *Service) Delete(ctx context.Context, domainID int64, tag string) error {
	return s.change(ctx, func(tx *db.Tx) (int64, error) { return s.retire(tx, ofDomain(domainID).is(tag)) })
}

// DeleteAll is Delete for a tag in all domains of an account.
func (s *Service) DeleteAll(ctx context.Context, accountID, tag string) error {
	return s.change(ctx, func(tx *db.Tx) (int64, error) { return s.retire(tx, ofAccount(accountID).is(tag)) })
}

// DeleteDomain removes the tags of a domain that is being deleted. Events of it
// that are not counted yet will not be.
func (s *Service) DeleteDomain(tx *db.Tx, domainID int64) error {
	_, err := s.retire(tx, ofDomain(domainID))
	return err
}

// retire takes tags away at once; Run removes their counters.
func (s *Service) retire(tx *db.Tx, c condition) (int64, error) {
	tx.AfterCommit(func() { s.gone.Store(true) })
	return retireTags(tx, c)
}

// read runs fn after all events up to now are counted.
func (s *Service) read(ctx context.Context, fn func(tx *db.Tx) error) error {
	if err := s.count(ctx); err != nil {
		return err
	}
	return s.db.Read(ctx, fn)
}

// change is read for what writes; that nothing was changed is NotFound.
func (s *Service) change(ctx context.Context, fn func(tx *db.Tx) (int64, error)) error {
	if err := s.count(ctx); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := fn(tx)
		if err == nil && n == 0 {
			err = errNotFound()
		}
		return err
	})
}

// Run counts events every second and removes what is past its time, until ctx
// ends.
func (s *Service) Run(ctx context.Context) error {
	var tidied time.Time
	for {
		if err := s.count(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("events of tags stay to be counted", "error", err)
		}
		if now := s.db.Clock().Now(); s.gone.Load() || now.Sub(tidied) >= time.Hour {
			if err := s.Tidy(ctx); err == nil {
				tidied = now
			} else if ctx.Err() == nil {
				s.log.Error("old counters of tags", "error", err)
			}
		}
		c, stop := s.db.Clock().After(time.Second)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
		}
	}
}
