package shape

import (
	"context"
	"maps"
	"slices"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

// causes are the names of automatic suspensions in the table (created_by).
var causes = [...]string{awake: "", dead: "silent", loaded: "overloaded", blocked: "blocked"}

// restore puts a suspension from before the start in force again.
func (s *Service) restore(r *Rule) {
	c := cause(max(0, slices.Index(causes[:], r.CreatedBy)))
	if c == awake || r.Scope != ScopeLane {
		s.Logger.Warn("automatic shaping rule of unknown kind is ignored", "id", r.ID, "scope", r.Scope, "cause", r.CreatedBy)
		return
	}
	now := s.clock.Now()
	l := s.lane(r.Match, now)
	l.mu.Lock()
	s.refresh(l, now)
	l.sleep(now, c, r.Reason)
	l.rest.step, l.rest.since, l.rest.until = r.Step, r.CreatedAt, r.ExpiresAt
	l.mu.Unlock()
	s.work.Lock()
	defer s.work.Unlock()
	s.work.active[l] = struct{}{}
	s.work.due(r.ExpiresAt)
}

// saveTogether is how many suspensions are written in one transaction.
const saveTogether = 100

// save writes down the suspensions that are long enough and removes those that
// have ended.
func (s *Service) save(ctx context.Context) {
	w := &s.work
	w.Lock()
	list := slices.Collect(maps.Keys(w.unsaved))
	clear(w.unsaved)
	w.Unlock()
	for part := range slices.Chunk(list, saveTogether) {
		err := s.savePart(ctx, part)
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			s.Logger.Error("suspensions of lanes are not written down", "lanes", len(part), "error", err)
		}
		w.Lock()
		for _, l := range part {
			w.unsaved[l] = struct{}{}
		}
		w.due(s.clock.Now().Add(recoverEvery)) // the next pass tries again
		w.Unlock()
	}
}

// step is one change of the table: a rule written, or removed if del.
type step struct {
	rule Rule
	old  bool // there is a row
	del  bool
}

func (s *Service) savePart(ctx context.Context, part []*lane) error {
	s.bookMu.Lock()
	defer s.bookMu.Unlock()
	steps := make([]step, 0, len(part))
	for _, l := range part {
		if x, ok := s.stepFor(l); ok {
			steps = append(steps, x)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	if err := s.DB.Write(ctx, func(tx *db.Tx) error {
		for i := range steps {
			if err := steps[i].write(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i := range steps {
		x := &steps[i]
		if x.del {
			s.strike(x.rule.ID)
			continue
		}
		s.book[x.rule.ID], s.auto[x.rule.Match] = x.rule, x.rule.ID // in force already: the lane knows
	}
	return nil
}

// stepFor returns what has to be written for a lane. Called with bookMu held.
func (s *Service) stepFor(l *lane) (step, bool) {
	l.mu.Lock()
	at := l.rest
	l.mu.Unlock()
	id, old := s.auto[l.name]
	if at.cause == awake || at.cause.length(at.step) <= longRest {
		return step{rule: Rule{ID: id}, del: true}, old
	}
	r := Rule{ID: id, Scope: ScopeLane, Match: l.name, Kind: Pause, Reason: at.text, Origin: Auto, Step: at.step, CreatedBy: causes[at.cause],
		CreatedAt: precise(at.since), ExpiresAt: precise(at.until)}
	if r.Reason == "" {
		r.Reason = r.CreatedBy
	}
	if !old {
		r.ID = s.IDs.Next()
	}
	return step{rule: r, old: old}, true
}

// precise is a time as the table keeps it.
func precise(t time.Time) time.Time { return clock.FromMicro(clock.Micro(t)) }

func (x *step) write(tx *db.Tx) error {
	switch {
	case x.del:
		_, err := deleteRule(tx, x.rule.ID)
		return err
	case x.old:
		return replace(tx, &x.rule)
	}
	return insertRule(tx, &x.rule)
}

// How an outage of our own network is told from one of theirs: nobody was heard
// for outage while at least misses attempts found nobody.
const (
	outage = 5 * time.Minute
	misses = 10
)

// hear takes note of whether anybody answers at all. It reports that our own
// network is back.
func (s *Service) hear(now time.Time, answered bool) bool {
	if !answered {
		s.missed.Add(1)
		return false
	}
	at := now.Unix()
	if s.heard.Load() == at {
		return false
	}
	before, missed := s.heard.Swap(at), s.missed.Swap(0)
	return before != 0 && at-before > int64(outage/time.Second) && missed >= misses
}

// revive lets every lane that rests because nobody answered be probed now: the
// fault was ours.
func (s *Service) revive(now time.Time) {
	w := &s.work
	w.Lock()
	list := slices.Collect(maps.Keys(w.active))
	w.Unlock()
	for _, l := range list {
		l.mu.Lock()
		ended := l.rest.cause == dead && l.resting(now)
		if ended {
			l.rest.until = now
		}
		l.mu.Unlock()
		if !ended {
			continue
		}
		w.Lock()
		w.unsaved[l] = struct{}{}
		w.due(now)
		w.Unlock()
	}
}
