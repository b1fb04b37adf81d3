package shape

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// load reads the rules and puts suspensions that are still on in force.
func (s *Service) load(ctx context.Context) error {
	now := s.clock.Now()
	var rules []Rule
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		rules, err = selectRules(tx)
		return err
	}); err != nil {
		return fmt.Errorf("shaping rules: %w", err)
	}
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	for _, r := range rules {
		if r.expired(now) {
			continue
		}
		s.book[r.ID] = r
	}
	s.publish()
	for _, r := range s.book {
		if r.Origin == Auto {
			s.auto[r.Match] = r.ID
			s.restore(&r)
		}
	}
	return nil
}

// publish puts the book in force and has everybody told. Called with bookMu held.
func (s *Service) publish() {
	s.gen++
	s.rules.Store(newRuleset(s.gen, s.sorted(), s.clock.Now()))
	s.work.Lock()
	s.work.any = true
	s.work.Unlock()
	s.nudge()
}

// sorted returns the book in the order made. Called with bookMu held.
func (s *Service) sorted() []Rule {
	out := make([]Rule, 0, len(s.book))
	for _, id := range slices.Sorted(maps.Keys(s.book)) {
		out = append(out, s.book[id])
	}
	return out
}

// Rules returns the rules in force, automatic suspensions that are written down
// included, in the order made.
func (s *Service) Rules() []Rule {
	now := s.clock.Now()
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	return slices.DeleteFunc(s.sorted(), func(r Rule) bool { return r.expired(now) })
}

// Rule returns one rule, NotFound when there is none or it has expired.
func (s *Service) Rule(id int64) (Rule, error) {
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	r, ok := s.book[id]
	if !ok || r.expired(s.clock.Now()) {
		return Rule{}, notFound(id)
	}
	return r, nil
}

func notFound(id int64) error { return errs.New(errs.NotFound, "no shaping rule %d", id) }

// Create adds an operator's rule and puts it in force. ID, Origin, Step and
// CreatedAt are set here. The error is Invalid for a rule that makes no sense,
// Conflict when there is one of the same kind for the same thing.
func (s *Service) Create(ctx context.Context, r Rule) (Rule, error) {
	now := s.clock.Now()
	r.ID, r.Origin, r.Step, r.CreatedAt = s.IDs.Next(), Admin, 0, now
	if err := r.check(now); err != nil {
		return Rule{}, err
	}
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	if err := s.room(&r); err != nil {
		return Rule{}, err
	}
	if err := s.DB.Write(ctx, func(tx *db.Tx) error { return insertRule(tx, &r) }); err != nil {
		return Rule{}, fmt.Errorf("create shaping rule: %w", err)
	}
	s.put(r)
	return r, nil
}

// put enters a written rule in the book, in the precision of the table.
func (s *Service) put(r Rule) {
	r.CreatedAt, r.ExpiresAt = clock.FromMicro(clock.Micro(r.CreatedAt)), clock.FromMicro(clock.Micro(r.ExpiresAt))
	s.book[r.ID] = r
	s.publish()
}

// room checks that a rule may stand beside the others. Called with bookMu held.
func (s *Service) room(r *Rule) error {
	now := s.clock.Now()
	n := 0
	for _, x := range s.book {
		if x.Origin == Auto || x.expired(now) {
			continue
		}
		if n++; x.ID != r.ID && x.Scope == r.Scope && x.Match == r.Match && x.Kind == r.Kind {
			return errs.New(errs.Conflict, "there is a %s for %s %s already: rule %d, %q", x.Kind, x.Scope, x.Match, x.ID, x.Reason)
		}
	}
	if _, has := s.book[r.ID]; !has && n >= maxRules {
		return errs.New(errs.Invalid, "there are %d shaping rules, the most there may be", n)
	}
	return nil
}

// Update replaces an operator's rule by its ID and puts it in force. What made
// it and when stays. Errors are those of Create and NotFound; an automatic
// suspension cannot be changed, only deleted.
func (s *Service) Update(ctx context.Context, r Rule) (Rule, error) {
	now := s.clock.Now()
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	was, ok := s.book[r.ID]
	if !ok || was.expired(now) {
		return Rule{}, notFound(r.ID)
	}
	if was.Origin != Admin {
		return Rule{}, errs.New(errs.Invalid, "rule %d is an automatic suspension: delete it to end it", r.ID)
	}
	r.Origin, r.Step, r.CreatedBy, r.CreatedAt = was.Origin, was.Step, was.CreatedBy, was.CreatedAt
	if err := r.check(now); err != nil {
		return Rule{}, err
	}
	if err := s.room(&r); err != nil {
		return Rule{}, err
	}
	if err := s.DB.Write(ctx, func(tx *db.Tx) error { return replace(tx, &r) }); err != nil {
		return Rule{}, fmt.Errorf("update shaping rule: %w", err)
	}
	s.put(r)
	return r, nil
}

// replace writes a rule that must be there.
func replace(tx *db.Tx, r *Rule) error {
	n, err := updateRule(tx, r)
	if err == nil && n == 0 {
		return notFound(r.ID)
	}
	return err
}

// Delete removes a rule. Deleting an automatic suspension ends it.
func (s *Service) Delete(ctx context.Context, id int64) error {
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	r, ok := s.book[id]
	if !ok {
		return notFound(id)
	}
	if err := s.remove(ctx, id); err != nil {
		return err
	}
	if r.Origin == Auto {
		s.rouse(r.Match)
	}
	return nil
}

// remove deletes a rule from table and book. Called with bookMu held.
func (s *Service) remove(ctx context.Context, id int64) error {
	if err := s.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := deleteRule(tx, id)
		return err
	}); err != nil {
		return fmt.Errorf("delete shaping rule: %w", err)
	}
	s.strike(id)
	return nil
}

// strike takes a rule out of the book. An automatic one is the state of its
// lane and in force there only. Called with bookMu held.
func (s *Service) strike(id int64) {
	r := s.book[id]
	delete(s.book, id)
	if r.Origin != Auto {
		s.publish()
	} else if s.auto[r.Match] == id {
		delete(s.auto, r.Match)
	}
}

// Reset makes a lane forget what it was told by the other side: it is no longer
// suspended or slowed down.
func (s *Service) Reset(ctx context.Context, name string) error {
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	if id, ok := s.auto[name]; ok {
		if err := s.remove(ctx, id); err != nil {
			return err
		}
	}
	s.rouse(name)
	return nil
}

// rouse puts a lane in the state it began with.
func (s *Service) rouse(name string) {
	if l := s.known(name); l != nil {
		l.mu.Lock()
		l.rest, l.slow, l.fails, l.accused, l.credit, l.gen = rest{}, slowdown{}, 0, 0, 0, 0
		s.refresh(l, s.clock.Now())
		l.mu.Unlock()
	}
	s.work.Lock()
	s.work.change(name)
	s.work.Unlock()
	s.nudge()
}

// expire removes rules whose time is over.
func (s *Service) expire(ctx context.Context) {
	now := s.clock.Now()
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	if err := s.DB.Write(ctx, func(tx *db.Tx) error { return deleteExpired(tx, clock.Micro(now)) }); err != nil && ctx.Err() == nil {
		s.Logger.Error("expired shaping rules stay in the table", "error", err) // they count for nothing there
	}
	for _, r := range s.sorted() {
		if r.expired(now) {
			s.strike(r.ID)
		}
	}
}
