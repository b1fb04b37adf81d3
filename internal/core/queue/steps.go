package queue

import (
	"sync"
	"time"
)

// Deadlines and due times are stored, so they are wall-clock times. When the
// clock is set forward much of what is stored becomes overdue at once although
// its time has not passed. steps notices that by comparing the wall clock with
// the monotonic one: deadlines are then taken as later by the step, for as long
// as the step was. A clock set back makes waiting rows late by the step; what is
// in memory goes by the monotonic clock and does not notice either.
type steps struct {
	mu    sync.Mutex
	last  time.Time
	size  time.Duration
	until time.Time
}

const (
	smallStep = 30 * time.Second // below this a clock is being adjusted, not set
	bigStep   = 24 * time.Hour   // of longer ones this much is made up for
)

// lenience returns by how much deadlines are to be taken as later.
func (s *steps) lenience(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall := time.Duration(0)
	if !s.last.IsZero() {
		wall = now.Round(0).Sub(s.last.Round(0))
	}
	return s.observe(now, wall, now.Sub(s.last))
}

// observe is told by how much both clocks went on.
func (s *steps) observe(now time.Time, wall, mono time.Duration) time.Duration {
	first := s.last.IsZero()
	s.last = now
	if s.size > 0 && !now.Before(s.until) {
		s.size = 0
	}
	step := wall - mono
	if first || step > -smallStep && step < smallStep {
		return s.size
	}
	s.size = min(max(s.size+step, 0), bigStep)
	s.until = now.Add(s.size)
	return s.size
}
