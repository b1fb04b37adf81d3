package deliver

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// attemptLimit is how long one attempt may take in all, whatever the timeouts of
// its steps add up to.
const attemptLimit = 30 * time.Minute

// errStuck is why the context of a session ends that took too long.
var errStuck = errors.New("the attempt took too long and was cut")

// watch knows the sessions, so that none can hang for ever.
type watch struct {
	mu   sync.Mutex
	m    map[*session]struct{}
	last atomic.Int64 // number of the latest session
}

// session is one run of Work.
type session struct {
	id      int64
	lane    string
	ctx     context.Context // of its attempts; ends with errStuck when one is cut
	cut     context.CancelCauseFunc
	began   atomic.Int64 // nanoseconds; of the attempt under way, 0 between attempts
	message atomic.Int64
	said    time.Time // when it was last complained about, the watchdog's own
}

func (w *watch) enter(ctx context.Context, lane string) *session {
	s := &session{id: w.last.Add(1), lane: lane}
	s.ctx, s.cut = context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[*session]struct{}{}
	}
	w.m[s] = struct{}{}
	return s
}

func (w *watch) leave(s *session) {
	w.mu.Lock()
	delete(w.m, s)
	w.mu.Unlock()
	s.cut(nil)
}

// Run cuts sessions whose attempt takes too long, until ctx ends. What they were
// delivering is deferred.
func (e *Engine) Run(ctx context.Context) error {
	every := max(e.Limit/30, 10*time.Millisecond)
	for {
		c, stop := e.clock.After(every)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
			e.cutStuck()
		}
	}
}

func (e *Engine) cutStuck() {
	now := e.clock.Now()
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	for s := range e.watch.m {
		began := s.began.Load()
		took := now.Sub(time.Unix(0, began))
		if began == 0 || took < e.Limit {
			continue
		}
		s.cut(errStuck)
		if now.Sub(s.said) >= time.Minute { // once a minute while it does not end
			e.Logger.Error("a delivery session was cut: its attempt took too long", "session", s.id, "lane", s.lane, "message", s.message.Load(), "minutes", int(took/time.Minute))
			s.said = now
		}
	}
}
