package message

import (
	"context"

	"golang.org/x/sync/errgroup"

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

// atOnce is how many bodies SubmitAll writes at the same time: they share the
// writes and flushes of the blob store.
const atOnce = 32

// SubmitAll stores submissions in one transaction, all or none, after what also
// does in it. also gets a message for each submission, the first where it makes
// several. Where it reports false none is stored: what it found in their place is on
// disk when SubmitAll returns. An error of its undoes everything and is returned as
// it is. Idempotency keys of submissions are not looked at. The other errors are
// those of Submit.
func (s *Service) SubmitAll(ctx context.Context, subs []*Submission, also func(tx *db.Tx, list []*Message) (store bool, err error)) error {
	if s.Refuse != nil {
		if err := s.Refuse(); err != nil {
			return err
		}
	}
	ready := make([][]*pending, len(subs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, sub := range subs {
		g.Go(func() (err error) {
			ready[i], err = s.split(gctx, sub)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	first := make([]*Message, len(subs))
	for i := range ready {
		first[i] = ready[i][0].m
	}
	var refused error
	err := s.DB.Group(ctx, func(tx *db.Tx) error {
		var store bool
		if store, refused = also(tx, first); refused != nil || !store {
			return refused
		}
		for _, list := range ready {
			if err := s.stageAll(tx, list); err != nil {
				return err
			}
		}
		return nil
	})
	if refused != nil {
		return err
	}
	return storageError(err)
}

// split makes what a submission becomes ready to be staged.
func (s *Service) split(ctx context.Context, sub *Submission) ([]*pending, error) {
	if len(sub.Recipients) == 0 {
		return nil, errs.New(errs.Invalid, "to parameter is missing")
	}
	if err := s.check(ctx, sub); err != nil {
		return nil, err
	}
	parts, err := s.parts(ctx, sub)
	if err != nil {
		return nil, err
	}
	out := make([]*pending, len(parts))
	for i, p := range parts {
		if out[i], err = s.ready(ctx, p); err != nil {
			return nil, err
		}
	}
	return out, nil
}
