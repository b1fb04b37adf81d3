package blob

import (
	"context"
	"errors"
	"time"
)

// first is when a segment got its first record, as far as is known: for a
// segment of an earlier run when it was begun.
type first struct {
	segment uint64
	at      time.Time
}

// sealOld seals the newest segment when its first record is Options.SealAfter
// old, until ctx ends.
func (s *Store) sealOld(ctx context.Context) {
	for {
		c, stop := s.opt.After(max(s.opt.SealAfter/8, time.Millisecond))
		select {
		case <-ctx.Done():
			stop()
			return
		case <-c:
		}
		if !s.old() {
			continue
		}
		if err := s.Rotate(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			s.log.Warn("blob segment could not be sealed", "error", err)
		}
	}
}

// old reports whether the newest segment is due to be sealed.
func (s *Store) old() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest != 0 && s.first.segment == s.newest && s.opt.Now().Sub(s.first.at) >= s.opt.SealAfter
}

// after is the runtime's timer in the form of clock.Clock.
func after(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
