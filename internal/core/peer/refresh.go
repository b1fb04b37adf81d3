package peer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"postroad/internal/base/db"
)

const (
	// refreshEvery is how often a policy in use is fetched anew, so that it is
	// extended long before it ends and an attacker would have to keep a domain's
	// policy host away for all of that time (RFC 8461, section 10.2).
	refreshEvery = 24 * time.Hour
	// refreshAfter is the shortest time to the next fetch, also after a failure.
	refreshAfter = time.Hour
	// inUse is how long after its last use a policy is kept fresh.
	inUse = 30 * 24 * time.Hour
	// maxDue bounds the policies that one round begins to refresh.
	maxDue = 200
)

// refreshAt is when a policy is to be fetched anew.
func (p *Policy) refreshAt() time.Time {
	return p.Fetched.Add(max(refreshAfter, min(p.Expires.Sub(p.Fetched)/2, refreshEvery)))
}

// check is a policy to look at again in the background.
type check struct {
	name  string
	again bool // fetch it even if its id is the same
}

// ask queues a check unless one waits already. A check that finds no room is asked
// for again at the next use, or the next round.
func (s *Service) ask(c check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[c.name] {
		return
	}
	select {
	case s.checks <- c:
		s.waiting[c.name] = true
	default:
	}
}

// work makes checks until ctx ends.
func (s *Service) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-s.checks:
			s.check(c)
		}
	}
}

func (s *Service) check(c check) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, c.name)
	}()
	_, err, _ := s.flight.Do(c.name, func() (any, error) {
		old, err := s.current(s.life, c.name)
		if err != nil && !errors.Is(err, ErrNoPolicy) {
			return nil, err
		}
		k, err := s.fetch(s.life, c.name, old, c.again)
		if err == nil && c.again && k.policy != nil && k.policy == old {
			err = s.postpone(s.life, c.name)
		}
		return k, err
	})
	if err != nil && s.life.Err() == nil {
		s.log.Error("an MTA-STS policy is not checked", "domain", c.name, "error", err)
	}
}

// current returns the valid policy of a domain, or ErrNoPolicy.
func (s *Service) current(ctx context.Context, name string) (*Policy, error) {
	if k, ok := s.known.Get(name); ok && k.policy != nil && k.fresh(s.clock.Now()) {
		return k.policy, nil
	}
	return s.stored(ctx, name)
}

// refresh asks for a fetch of the policies in use that are due.
func (s *Service) refresh(ctx context.Context) error {
	var names []string
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		names, err = selectDue(tx, tx.Now, tx.Now-inUse.Microseconds(), maxDue)
		return err
	})
	for _, name := range names {
		s.ask(check{name: name, again: true})
	}
	return err
}

// stored reads a policy that is still valid, or gives ErrNoPolicy.
func (s *Service) stored(ctx context.Context, name string) (p *Policy, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		p, err = selectPolicy(tx, name, tx.Now)
		return err
	})
	return p, err
}

func (s *Service) save(ctx context.Context, p *Policy) error {
	return s.db.Write(ctx, func(tx *db.Tx) error { return upsertPolicy(tx, p) })
}

// postpone puts off the next fetch of a policy that could not be fetched.
func (s *Service) postpone(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		return updateRefresh(tx, name, tx.Now+refreshAfter.Microseconds())
	})
}

// flush writes which policies were used and how TLS went, and once a day removes
// what is old. It writes nothing where nothing happened.
func (s *Service) flush(ctx context.Context) error {
	s.mu.Lock()
	used := s.used
	s.used = map[string]int64{}
	s.mu.Unlock()
	rows := s.results.take()
	today := dayOf(s.clock.Now())
	if len(used)+len(rows) == 0 && s.pruned.Load() == today {
		return nil
	}
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if err := updateUsed(tx, name, used[name]); err != nil {
				return err
			}
		}
		stageResults(tx, rows)
		if err := deleteResults(tx, today-keepResults.Microseconds()); err != nil {
			return err
		}
		return deleteExpired(tx, tx.Now)
	})
	if err == nil {
		s.pruned.Store(today)
		return nil
	}
	s.results.giveBack(rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, at := range used {
		s.used[name] = max(at, s.used[name])
	}
	return err
}
