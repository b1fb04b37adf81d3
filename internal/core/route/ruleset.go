package route

import (
	"context"
	"sync/atomic"
	"time"

	"postroad/internal/base/db"
)

const (
	// cacheTTL is how long a change made by another node can go unseen.
	cacheTTL = 10 * time.Second
	// keepFor and cacheSize bound how long and of how many accounts compiled
	// routes are kept: some kilobytes a route, maxPrograms instructions at most.
	keepFor   = time.Hour
	cacheSize = 1000
)

// ruleset is the routes of an account, compiled, in the order they are looked
// at. It is never changed.
type ruleset struct {
	version version
	rules   []*rule
	checked atomic.Int64 // when version was last compared, in microseconds
}

// rulesOf returns the routes of an account: from memory if they were read or
// compared with the database a short time ago.
func (s *Service) rulesOf(ctx context.Context, account string) (*ruleset, error) {
	old, ok := s.sets.Get(account)
	now := s.db.Clock().Now().UnixMicro()
	if ok && now-old.checked.Load() < cacheTTL.Microseconds() {
		return old, nil
	}
	gen := s.sets.Generation()
	set := &ruleset{}
	var list []*Route
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		u, err := usageOf(tx, account)
		if err != nil {
			return err
		}
		if set.version = u.version; ok && old.version == u.version {
			return nil
		}
		list, err = routesOf(tx, account, 0, -1)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case ok && old.version == set.version:
		old.checked.Store(now)
		return old, nil
	}
	set.rules = s.compileAll(list)
	set.checked.Store(now)
	s.sets.Put(account, set, gen)
	return set, nil
}

// compileAll leaves out what does not compile: a program that takes less than
// the one that stored it must not lose the other routes.
func (s *Service) compileAll(list []*Route) []*rule {
	out := make([]*rule, 0, len(list))
	for _, r := range list {
		compiled, err := makeRule(r)
		if err != nil {
			s.log.Error("route is not usable and left out", "route", r.ID, "account", r.AccountID, "error", err)
			continue
		}
		out = append(out, compiled)
	}
	return out
}
