package shape

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
)

// Config is what the service is made of.
type Config struct {
	DB     *db.DB
	IDs    *ids.Source
	Logger *slog.Logger

	Start int // sessions a lane begins with; 0 means 5
	Max   int // sessions of a lane of no known provider; 0 means 64
	Relay int // sessions of a relay's lane, from the start; 0 means 64
}

// urlSessions are the requests at once to a receiver of HTTP requests at most: a
// slow one shall not have the sessions that mail needs.
const urlSessions = 16

// Bounds of memory.
const (
	maxLanes   = 20_000
	idleLane   = time.Hour
	maxPending = 1000
)

// Service answers the queue and learns from deliveries. Its methods are safe
// for concurrent use.
type Service struct {
	Config
	clock     clock.Clock
	providers providers
	rules     atomic.Pointer[ruleset]
	cap       int // of lanes

	mu    sync.RWMutex
	lanes map[string]*lane

	work     work
	poke     chan struct{}
	onChange func(lane string)

	flow flows

	// book is every rule, automatic ones included, as the table has it.
	// Changing it and the table is one step under bookMu.
	bookMu sync.Mutex
	book   map[int64]Rule
	auto   map[string]int64 // the automatic ones by lane
	gen    uint64

	heard  atomic.Int64 // seconds since 1970 when any server last answered
	missed atomic.Int64 // attempts since then that found nobody
}

// New returns the service with the rules the database holds.
func New(ctx context.Context, c Config) (*Service, error) {
	p, err := parseProviders(providersText)
	if err != nil {
		return nil, fmt.Errorf("providers.txt: %w", err)
	}
	s := &Service{Config: c, clock: c.DB.Clock(), providers: p, cap: maxLanes, lanes: map[string]*lane{}, poke: make(chan struct{}, 1), book: map[int64]Rule{}, auto: map[string]int64{}}
	s.Start, s.Max, s.Relay = or(c.Start, 5), or(c.Max, 64), or(c.Relay, 64)
	s.work.active, s.work.unsaved, s.work.changed = map[*lane]struct{}{}, map[*lane]struct{}{}, map[string]struct{}{}
	s.rules.Store(newRuleset(0, nil, s.clock.Now()))
	s.flow.buckets = map[flowKey]*bucket{}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s, s.load(ctx)
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// OnChange names the function the loop calls when a limit of the lane has
// risen, its suspension is over or rules changed; "" stands for any lane. Call
// it before Run.
func (s *Service) OnChange(fn func(lane string)) { s.onChange = fn }

// Sessions is how many sessions the lane may have now; 0 while it is suspended
// or paused.
func (s *Service) Sessions(name string) int {
	now := s.clock.Now()
	l := s.lane(name, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.refresh(l, now)
	return l.sessions(now)
}

// Take asks leave for n deliveries on the lane now. 0 means go, and the
// deliveries are counted; otherwise it is how long to wait before asking again,
// at most an hour.
func (s *Service) Take(name string, n int) time.Duration {
	now := s.clock.Now()
	l := s.lane(name, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.refresh(l, now)
	return l.take(now, n)
}

// PerConnection is how many messages one connection of the lane may carry; 0
// means no limit.
func (s *Service) PerConnection(name string) int {
	now := s.clock.Now()
	l := s.lane(name, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.refresh(l, now)
	return l.eff.perConn
}

// Suspended returns until when and why nothing may go over the lane. The reason
// is "" when something may. A pause without an end has no time.
func (s *Service) Suspended(name string) (until time.Time, reason string) {
	now := s.clock.Now()
	l := s.known(name)
	if l == nil {
		key, err := ParseLane(name)
		if err != nil {
			key = Lane{Site: name}
		}
		e := s.rules.Load().resolve(key, limits{}, now)
		if e.pause == nil {
			return time.Time{}, ""
		}
		return e.pause.ExpiresAt, e.pause.Reason
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.refresh(l, now)
	switch {
	case l.eff.pause != nil:
		return l.eff.pause.ExpiresAt, l.eff.pause.Reason
	case l.resting(now):
		return l.rest.until, l.rest.describe()
	}
	return time.Time{}, ""
}

// Usable returns until when and why mail to the site should not leave from the
// source: it is blocked there, or paused. The reason is "" when it may. A site
// that does not answer is no reason: it would not answer another source either.
func (s *Service) Usable(site, source string) (until time.Time, reason string) {
	name := Lane{site, source}.String()
	if l := s.known(name); l != nil {
		now := s.clock.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		s.refresh(l, now)
		if l.eff.pause == nil && l.rest.cause == blocked && l.resting(now) {
			return l.rest.until, l.rest.describe()
		}
		if l.eff.pause == nil {
			return time.Time{}, ""
		}
		return l.eff.pause.ExpiresAt, l.eff.pause.Reason
	}
	return s.Suspended(name)
}

// Reroute returns the way an operator has set for mail to a domain, or to any
// domain of a site ("" while it is not known): "relay:host:port", "source:name"
// or "pool:name". A rule about the domain goes before one about the site.
func (s *Service) Reroute(recipientDomain, site string) (target string, ok bool) {
	rs := s.rules.Load()
	if len(rs.ways) == 0 {
		return "", false
	}
	return rs.reroute(recipientDomain, site, s.clock.Now())
}

// Separate reports whether a recipient domain must be a site of its own, named
// by itself, because a rule pauses or limits it.
func (s *Service) Separate(recipientDomain string) bool {
	rs := s.rules.Load()
	if len(rs.own) == 0 {
		return false
	}
	now := s.clock.Now()
	return slices.ContainsFunc(rs.own, func(r *Rule) bool { return !r.expired(now) && r.coversDomain(recipientDomain) })
}

// Report lets the lane learn how an attempt went. mx is the host it went to, ""
// when none was reached.
func (s *Service) Report(name, mx string, r Report) {
	now := s.clock.Now()
	l := s.lane(name, now)
	l.mu.Lock()
	if l.provider == nil && mx != l.mx {
		s.learn(l, mx)
	}
	s.refresh(l, now)
	l.said = said{now, r.Code, r.Text[:min(len(r.Text), maxSaid)], mx}
	rose, changed := l.report(now, &r)
	active := l.slowed() || l.rest.cause != awake
	due := now.Add(recoverEvery)
	if l.resting(now) {
		due = l.rest.until
	}
	l.mu.Unlock()
	if changed || rose || active {
		s.note(l, rose, changed, active, due)
	}
	if !netx.IsURL(l.key.Site) && s.hear(now, r.meaning() != silence) { // a URL may be on this machine
		s.work.Lock()
		s.work.back = true
		s.work.Unlock()
		s.nudge()
	}
}

// maxSaid bounds what is kept of a reply, in bytes.
const maxSaid = 300

// note leaves word for the loop.
func (s *Service) note(l *lane, rose, changed, active bool, due time.Time) {
	w := &s.work
	w.Lock()
	poke := rose || changed
	if active {
		if _, has := w.active[l]; !has || changed {
			w.active[l] = struct{}{}
			if w.wake.IsZero() || due.Before(w.wake) {
				w.wake, poke = due, true
			}
		}
	}
	if changed {
		w.unsaved[l] = struct{}{}
	}
	if rose {
		w.change(l.name)
	}
	w.Unlock()
	if poke {
		s.nudge()
	}
}

func (s *Service) nudge() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// learn looks a host up among the providers, where the site's name did not
// tell. Called with the lane's mutex held.
func (s *Service) learn(l *lane, mx string) {
	l.mx = mx
	if p := s.providers.find(mx); p != nil && !isRelay(l.key.Site) && !netx.IsURL(l.key.Site) {
		l.provider, l.eff.until = p, time.Unix(0, 0) // resolve again
	}
}

// refresh brings the lane's limits up to date. Called with its mutex held.
func (s *Service) refresh(l *lane, now time.Time) {
	rs := s.rules.Load()
	if l.gen == rs.gen && (l.eff.until.IsZero() || now.Before(l.eff.until)) {
		if l.slowed() || l.rest.cause != awake {
			l.recover(now)
		}
		return
	}
	base, start := limits{sessions: s.Max}, s.Start
	if isRelay(l.key.Site) {
		base.sessions, start = s.Relay, maxSessions
	} else if netx.IsURL(l.key.Site) {
		base.sessions = min(s.Max, urlSessions)
	} else if p := l.provider; p != nil {
		base = p.limits
		base.sessions = or(base.sessions, s.Max)
	}
	l.adopt(rs.resolve(l.key, base, now), start)
	l.gen = rs.gen
	l.recover(now)
}

// known returns a lane that was used lately, nil otherwise.
func (s *Service) known(name string) *lane {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lanes[name]
}

// lane returns the lane of that name, a new one if need be. A name that is none
// is a site.
func (s *Service) lane(name string, now time.Time) *lane {
	s.mu.RLock()
	l := s.lanes[name]
	s.mu.RUnlock()
	if l == nil {
		l = s.begin(name, now)
	}
	if at := now.Unix(); l.used.Load() != at {
		l.used.Store(at)
	}
	return l
}

func (s *Service) begin(name string, now time.Time) *lane {
	key, err := ParseLane(name)
	if err != nil {
		key = Lane{Site: name}
	}
	l := &lane{key: key, name: name, provider: s.providers.of(key.Site)}
	l.used.Store(now.Unix())
	s.mu.Lock()
	defer s.mu.Unlock()
	if has := s.lanes[name]; has != nil {
		return has
	}
	if len(s.lanes) >= s.cap {
		s.makeRoom()
	}
	s.lanes[name] = l
	return l
}

// makeRoom drops the twentieth of the lanes that was not used for longest,
// suspended and slowed ones last. Called with mu held, once in a thousand new
// lanes at the worst.
func (s *Service) makeRoom() {
	s.work.Lock()
	defer s.work.Unlock()
	type entry struct {
		l    *lane
		busy bool
		used int64
	}
	all := make([]entry, 0, len(s.lanes))
	for _, l := range s.lanes {
		_, busy := s.work.active[l]
		all = append(all, entry{l, busy, l.used.Load()})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.busy != b.busy {
			if a.busy {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.used, b.used)
	})
	for _, e := range all[:max(1, len(all)/20)] {
		delete(s.lanes, e.l.name)
		delete(s.work.active, e.l)
	}
}
