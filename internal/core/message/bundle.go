package message

import (
	"context"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// Bundle is submissions that are stored together or not at all, so that whoever
// has to try again makes no second copies of some. Bodies are on disk when Add
// returns and not kept in memory. It is not safe for concurrent use.
type Bundle struct {
	s     *Service
	ready []*pending
}

// Bundle returns an empty bundle.
func (s *Service) Bundle() *Bundle { return &Bundle{s: s} }

// Add takes a submission for which nobody is to be diverted and that has no
// idempotency key: a message from outside, or a post. The errors are those of
// Submit.
func (b *Bundle) Add(ctx context.Context, sub *Submission) error {
	if len(sub.Recipients) == 0 && sub.Audience == 0 && !sub.Store {
		return errs.New(errs.Invalid, "to parameter is missing")
	}
	if b.s.Refuse != nil {
		if err := b.s.Refuse(); err != nil {
			return err
		}
	}
	if err := b.s.check(ctx, sub); err != nil {
		return err
	}
	p, err := b.s.ready(ctx, sub)
	if err != nil {
		return err
	}
	b.ready = append(b.ready, p)
	return nil
}

// Commit stores what was added. When it returns without error all of it is on
// disk; with an error nothing is that anybody will ever see.
func (b *Bundle) Commit(ctx context.Context) error {
	if len(b.ready) == 0 {
		return nil
	}
	return storageError(b.s.DB.Group(ctx, func(tx *db.Tx) error { return b.s.stageAll(tx, b.ready) }))
}

func (s *Service) stageAll(tx *db.Tx, list []*pending) error {
	for _, p := range list {
		if err := s.stage(tx, p); err != nil {
			return err
		}
	}
	return nil
}
