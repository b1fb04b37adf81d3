package route

import (
	"context"
	"log/slog"

	"postroad/internal/base/cache"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
)

// maxPrograms bounds the instructions of the compiled patterns of an account's
// routes together: some 40 MB of memory, or 25,000 routes for a domain each.
const maxPrograms = 1_000_000

// Options adjusts a Service; the zero value has no limits.
type Options struct {
	// MaxRoutes is how many routes an account may have; 0 means any number.
	MaxRoutes int
	// SandboxRoutes is how many routes are run for a message to a sandbox domain;
	// 0 means all that match. Mailgun: one. Sandbox tells whether a domain is one.
	SandboxRoutes int
	Sandbox       func(ctx context.Context, domain string) (bool, error)
	// CheckURL refuses URLs that actions must not call; nil: only their form is
	// checked.
	CheckURL func(ctx context.Context, url string) error
}

// Service keeps the routes of all accounts. Its methods are safe for concurrent
// use.
type Service struct {
	db   *db.DB
	ids  *ids.Source
	log  *slog.Logger
	o    Options
	sets *cache.Cache[string, *ruleset] // by account
}

// New returns a service. The store must be migrated.
func New(d *db.DB, source *ids.Source, log *slog.Logger, o Options) *Service {
	return &Service{db: d, ids: source, log: log, o: o, sets: cache.New[string, *ruleset](d.Clock(), keepFor, cacheSize)}
}

func errNotFound() error { return errs.New(errs.NotFound, "Route not found") }

// check compiles a route and looks at its URLs.
func (s *Service) check(ctx context.Context, r *Route) (*rule, error) {
	compiled, err := makeRule(r)
	if err != nil || s.o.CheckURL == nil {
		return compiled, err
	}
	for _, u := range compiled.urls() {
		if err := s.o.CheckURL(ctx, u); err != nil {
			return nil, err
		}
	}
	return compiled, nil
}

// change runs fn on an account's routes, alone, and makes the result visible to
// messages before it returns. fn gets a revision for what it writes.
func (s *Service) change(ctx context.Context, account string, fn func(tx *db.Tx, u usage, revision int64) error) error {
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if err := lockAccount(tx, account); err != nil {
			return err
		}
		u, err := usageOf(tx, account)
		if err != nil {
			return err
		}
		// The time, so that a revision that was deleted does not come again; and
		// above all others, whatever the clocks of other nodes say.
		return fn(tx, u, max(s.ids.Next(), u.last+1))
	})
	s.sets.Drop(account)
	return err
}

// create stores a route; ID, row and time are made. Invalid: it does not
// compile, or there is no room.
func (s *Service) create(ctx context.Context, r *Route) error {
	compiled, err := s.check(ctx, r)
	if err != nil {
		return err
	}
	return s.change(ctx, r.AccountID, func(tx *db.Tx, u usage, revision int64) error {
		if s.o.MaxRoutes > 0 && u.count >= int64(s.o.MaxRoutes) {
			// Mailgun: this text, whatever the plan.
			return errs.New(errs.Invalid, "Routes quota (%d) is exceeded for a free plan", s.o.MaxRoutes)
		}
		if err := roomFor(u, compiled, 0); err != nil {
			return err
		}
		r.ID, r.row, r.CreatedAt = ids.Hex(12), s.ids.Next(), s.db.Clock().Now()
		return insertRoute(tx, compiled, revision)
	})
}

func roomFor(u usage, r *rule, before int) error {
	if u.program-int64(before)+int64(r.when.size) > maxPrograms {
		return errs.New(errs.Invalid, "The patterns of this account's routes are too large together")
	}
	return nil
}

// update changes a route with fn and returns it. URLs are looked up before the
// transaction, so the route is read, changed and checked first, and again if
// somebody else has changed it meanwhile.
func (s *Service) update(ctx context.Context, account, id string, fn func(*Route)) (*Route, error) {
	for {
		before, err := s.get(ctx, account, id)
		if err != nil {
			return nil, err
		}
		r := *before
		fn(&r)
		compiled, err := s.check(ctx, &r)
		if err != nil {
			return nil, err
		}
		done := false
		err = s.change(ctx, account, func(tx *db.Tx, u usage, revision int64) error {
			now, err := routeByID(tx, account, id)
			if err != nil || !now.same(before) {
				return err
			}
			done = true
			old, err := makeRule(now)
			if err != nil { // stored by another version: takes no room in memory
				old = &rule{when: &expression{}}
			}
			if err := roomFor(u, compiled, old.when.size); err != nil {
				return err
			}
			return updateRoute(tx, compiled, revision)
		})
		if err != nil || done {
			return &r, err
		}
	}
}

func (s *Service) get(ctx context.Context, account, id string) (r *Route, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		r, err = routeByID(tx, account, id)
		return err
	})
	return r, err
}

func (s *Service) list(ctx context.Context, account string, skip, limit int) (out []*Route, total int64, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		u, err := usageOf(tx, account)
		if err != nil {
			return err
		}
		total = u.count
		out, err = routesOf(tx, account, skip, limit)
		return err
	})
	return out, total, err
}

func (s *Service) remove(ctx context.Context, account, id string) error {
	return s.change(ctx, account, func(tx *db.Tx, _ usage, _ int64) error {
		r, err := routeByID(tx, account, id)
		if err != nil {
			return err
		}
		return deleteRoute(tx, r.row)
	})
}
