package shape

import (
	"context"
	"sync"
	"time"
)

// forgetEvery is how often idle lanes are looked for.
const forgetEvery = 10 * time.Minute

// work is what the loop has to do. It has a mutex of its own because reports
// add to it.
type work struct {
	sync.Mutex
	active  map[*lane]struct{} // suspended or slowed down
	unsaved map[*lane]struct{} // the suspension differs from what is written down
	changed map[string]struct{}
	any     bool      // more changed than changed holds
	back    bool      // our own network is, after an outage
	wake    time.Time // when active lanes are to be looked at, zero for never
	forget  time.Time // when idle lanes are
}

// change remembers that a limit of the lane rose. Called with the mutex held.
func (w *work) change(name string) {
	if w.any {
		return
	}
	if w.changed[name] = struct{}{}; len(w.changed) > maxPending {
		w.any = true
		clear(w.changed)
	}
}

// due moves the next look at active lanes to at, if that is earlier.
func (w *work) due(at time.Time) {
	if w.wake.IsZero() || at.Before(w.wake) {
		w.wake = at
	}
}

// Run is the loop: recovery of lanes, ends of suspensions and rules, writing
// suspensions down, OnChange. It returns nil when ctx ends, after a last attempt
// to write down what is not yet.
func (s *Service) Run(ctx context.Context) error {
	for {
		wait := s.pass(ctx)
		timer, stop := s.clock.After(wait)
		select {
		case <-ctx.Done():
			stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			s.save(last)
			cancel()
			return nil
		case <-s.poke:
		case <-timer:
		}
		stop()
	}
}

// pass does what is due and returns how long nothing will be.
func (s *Service) pass(ctx context.Context) time.Duration {
	now := s.clock.Now()
	if x := s.rules.Load().expires; !x.IsZero() && !now.Before(x) || s.forgetDue(now) {
		s.expire(ctx)
	}
	s.work.Lock()
	back := s.work.back
	s.work.back = false
	s.work.Unlock()
	if back {
		s.revive(now)
	}
	s.visit(now)
	s.save(ctx)
	s.announce()
	s.work.Lock()
	defer s.work.Unlock()
	next := s.work.forget
	if !s.work.wake.IsZero() && s.work.wake.Before(next) {
		next = s.work.wake
	}
	if x := s.rules.Load().expires; !x.IsZero() && x.Before(next) {
		next = x
	}
	return max(next.Sub(now), time.Millisecond)
}

// forgetDue drops idle lanes when it is time and reports whether it was.
func (s *Service) forgetDue(now time.Time) bool {
	s.work.Lock()
	first := s.work.forget.IsZero()
	// A clock that went back must not put this off.
	is := first || !now.Before(s.work.forget) || s.work.forget.Sub(now) > forgetEvery
	if is {
		s.work.forget = now.Add(forgetEvery)
	}
	s.work.Unlock()
	if is && !first {
		s.forgetIdle(now)
	}
	return is
}

func (s *Service) forgetIdle(now time.Time) {
	before := now.Add(-idleLane).Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work.Lock()
	defer s.work.Unlock()
	for name, l := range s.lanes {
		if _, busy := s.work.active[l]; !busy && l.used.Load() <= before {
			delete(s.lanes, name)
		}
	}
}

// visit looks at the lanes that are suspended or slowed down, if it is time.
func (s *Service) visit(now time.Time) {
	w := &s.work
	w.Lock()
	if w.wake.IsZero() || now.Before(w.wake) {
		w.Unlock()
		return
	}
	w.wake = time.Time{}
	list := make([]*lane, 0, len(w.active))
	for l := range w.active {
		list = append(list, l)
	}
	w.Unlock()
	for _, l := range list {
		rose, next := s.look(l, now)
		w.Lock()
		if rose {
			w.change(l.name)
		}
		if next.IsZero() {
			delete(w.active, l)
		} else {
			w.due(next)
		}
		w.Unlock()
	}
}

// look brings one lane up to date. It returns whether others should know and
// when to look again, the zero time for never.
func (s *Service) look(l *lane, now time.Time) (rose bool, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.slowed() // recovery may have come from a question already
	s.refresh(l, now)
	switch {
	case l.resting(now):
		next = l.rest.until
	case l.probing(now):
		rose, l.rest.told = !l.rest.told, true
		next = l.rest.until.Add(staleRest + time.Second)
	case !was && !l.slowed():
		rose = true
	}
	if l.slowed() || was {
		rose = rose || !l.resting(now)
	}
	if l.slowed() {
		if at := l.slow.step.Add(recoverEvery); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return rose, next
}

// announce tells the queue which lanes may do more.
func (s *Service) announce() {
	w := &s.work
	w.Lock()
	names, all := w.changed, w.any
	w.any = false
	if len(names) > 0 {
		w.changed = map[string]struct{}{}
	}
	w.Unlock()
	if s.onChange == nil {
		return
	}
	if all {
		s.onChange("")
		return
	}
	for name := range names {
		s.onChange(name)
	}
}
