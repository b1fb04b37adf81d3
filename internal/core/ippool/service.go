package ippool

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/recent"
)

// Config is what the service is made of.
type Config struct {
	Sources []Source // none: one without a name, the system's choice
	// Usable says until when and why a source must not be used at a site; the
	// reason is "" when it may. nil means always. It is called often and must be
	// quick.
	Usable  func(site, source string) (until time.Time, reason string)
	Limiter Limiter // nil: no limits
	Clock   clock.Clock
	Logger  *slog.Logger
}

// Limiter bounds what a source sends to a site in a day, to warm it up.
type Limiter interface {
	// Left is how many more deliveries the source may make to the site today,
	// negative for any number.
	Left(source, site string) int
	// Count counts deliveries made.
	Count(source, site string, n int)
}

// Service chooses sources.
type Service struct {
	Config
	pools  map[string][]*Source
	names  map[string]*Source
	warned *recent.Map[string, time.Time] // by pool and source: when its absence was last logged
}

// New returns a service. Errors: two sources of one name, a source without an
// address, or a name that would not stand in a lane's.
func New(c Config) (*Service, error) {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	s := &Service{Config: c, pools: map[string][]*Source{}, names: map[string]*Source{}, warned: recent.New[string, time.Time](256)}
	for i := range c.Sources {
		src := c.Sources[i] // a copy
		if src.Pool == "" {
			src.Pool = Default
		}
		if src.Weight <= 0 {
			src.Weight = 1
		}
		if err := src.check(s.names); err != nil {
			return nil, err
		}
		s.names[src.Name] = &src
		s.pools[src.Pool] = append(s.pools[src.Pool], &src)
		for _, a := range src.addrs() {
			s.pools[Address(a.String())] = append(s.pools[Address(a.String())], &src)
		}
	}
	if len(s.names) == 0 {
		s.names[""] = &Source{Weight: 1}
	}
	if len(s.pools[Default]) == 0 { // all stand in named pools: together they are the default
		for i := range c.Sources {
			s.pools[Default] = append(s.pools[Default], s.names[c.Sources[i].Name])
		}
	}
	if len(s.pools[Default]) == 0 {
		s.pools[Default] = []*Source{s.names[""]}
	}
	return s, nil
}

func (s *Source) check(seen map[string]*Source) error {
	switch {
	case strings.HasPrefix(s.Pool, addressPool):
		return fmt.Errorf("source %q: a pool's name must not begin with %q", s.Name, addressPool)
	case s.Name == "" || strings.ContainsAny(s.Name, "@ \t\r\n"):
		return fmt.Errorf("source %q: a name without spaces and @ is needed", s.Name)
	case seen[s.Name] != nil:
		return fmt.Errorf("two sources have the name %q", s.Name)
	case len(s.addrs()) == 0:
		return errors.New("source " + s.Name + " has no address")
	}
	return nil
}

// Single reports whether there is nothing to choose from: the only source is
// the system's choice.
func (s *Service) Single() bool { return s.names[""] != nil }

// Source returns a source by its name; false when there is none any more.
func (s *Service) Source(name string) (Source, bool) {
	src, ok := s.names[name]
	if !ok {
		return Source{}, false
	}
	return *src, true
}

// rank orders what may be used of a pool.
type rank uint8

const (
	blocked rank = iota // the site refuses it
	spent               // its share of the day is used up
	fit
)

// Pick chooses the source for mail of a sending domain to a site: of the pool,
// or of the default pool when there is no such pool. Sources that the site has
// blocked are left out, and those at their limit of the day give way to the
// others, as long as there are others. ok is false when all are blocked: the
// source is then the one to wait for.
func (s *Service) Pick(accountID string, domainID int64, pool, site string) (src Source, ok bool) {
	p := s.pick(accountID, domainID, s.pool(pool), site)
	if p.rank == blocked {
		return *p.src, false
	}
	return *p.src, true
}

// Address is the name of the pool that consists of the sources with one
// address, for mail that asks for the address itself.
func Address(ip string) string { return addressPool + ip }

const addressPool = "ip:"

// pool returns the sources of a pool.
func (s *Service) pool(name string) []*Source {
	if name == "" {
		return s.pools[Default]
	}
	if list := s.pools[name]; len(list) > 0 {
		return list
	}
	if s.Single() { // pools mean nothing here
		return s.pools[Default]
	}
	s.warn("pool "+name, "the pool has no sources, the default pool takes over", "pool", name)
	return s.pools[Default]
}

// HasPool reports whether a pool has sources.
func (s *Service) HasPool(name string) bool { return len(s.pools[name]) > 0 }

// Named returns the source a rule asks for by name, or a Pick from the default
// pool when it is gone.
func (s *Service) Named(name, accountID string, domainID int64, site string) Source {
	if src := s.names[name]; src != nil {
		return *src
	}
	s.warn("source "+name, "the source does not exist any more, the default pool takes over", "source", name)
	src, _ := s.Pick(accountID, domainID, "", site)
	return src
}

// Others reports whether the pool of a source has another one.
func (s *Service) Others(source string) bool {
	src := s.names[source]
	return src != nil && len(s.pools[src.Pool]) > 1
}

// Replaced reports whether a source is blocked at a site, or gone, while another
// of its pool may be used there.
func (s *Service) Replaced(source, site string) bool {
	src := s.names[source]
	if src == nil {
		return true
	}
	if s.rank(src, site) != blocked {
		return false
	}
	for _, other := range s.pools[src.Pool] {
		if other != src && s.rank(other, site) != blocked {
			return true
		}
	}
	return false
}

type choice struct {
	src   *Source
	rank  rank
	score float64
}

// pick is weighted rendezvous hashing among the best of the list.
func (s *Service) pick(accountID string, domainID int64, list []*Source, site string) (best choice) {
	if len(list) == 1 {
		return choice{list[0], s.rank(list[0], site), 0}
	}
	base := mix(hash(hash(14695981039346656037, accountID), site) ^ uint64(domainID))
	best.score = math.Inf(-1)
	for _, src := range list {
		c := choice{src, s.rank(src, site), 0}
		u := (float64(mix(hash(base, src.Name))>>11) + 0.5) / (1 << 53) // in (0,1)
		c.score = float64(src.Weight) / -math.Log(u)
		if best.src == nil || c.rank > best.rank || c.rank == best.rank && c.score > best.score {
			best = c
		}
	}
	return best
}

func (s *Service) rank(src *Source, site string) rank {
	if s.Usable != nil {
		if _, reason := s.Usable(site, src.Name); reason != "" {
			return blocked
		}
	}
	if s.Limiter != nil && s.Limiter.Left(src.Name, site) == 0 {
		return spent
	}
	return fit
}

// Count tells the limiter about deliveries made.
func (s *Service) Count(source, site string, n int) {
	if s.Limiter != nil && n > 0 {
		s.Limiter.Count(source, site, n)
	}
}

// warnEvery is how often one absence is logged.
const warnEvery = time.Hour

func (s *Service) warn(key, text string, args ...any) {
	now := s.Clock.Now()
	if at, ok := s.warned.Get(key); ok && now.Sub(at) < warnEvery {
		return
	}
	s.warned.Put(key, now)
	if s.Logger != nil {
		s.Logger.Warn(text, args...)
	}
}

// hash is FNV-1a from a state: the choice must be the same after a restart, so
// no random seed will do.
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return (h ^ 0xff) * 1099511628211
}

// mix spreads the bits (the end of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
