package spam

import (
	"log/slog"
	"sync"
	"time"

	"postroad/internal/base/clock"
)

const (
	tolerated = 3                // failures in a row after which the filter is left alone
	pause     = 15 * time.Second // between attempts with one message while it is
	quiet     = time.Minute      // between lines that it fails, for one that comes and goes
)

// breaker keeps mail from waiting for a filter that is gone. It logs when the
// filter's state changes, not for each message.
type breaker struct {
	clock clock.Clock
	log   *slog.Logger

	mu       sync.Mutex
	failures int       // in a row
	next     time.Time // of the next attempt, while the filter is left alone
	warned   bool      // the log says that it fails
	warnedAt time.Time
}

// allow reports whether the filter may be asked now.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < tolerated {
		return true
	}
	now := b.clock.Now()
	if now.Before(b.next) {
		return false
	}
	b.next = now.Add(pause)
	return true
}

func (b *breaker) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if b.failures++; b.failures >= tolerated {
		b.next = now.Add(pause)
	}
	if !b.warned && (b.warnedAt.IsZero() || now.Sub(b.warnedAt) >= quiet) {
		b.warned, b.warnedAt = true, now
		b.log.Warn("spam filter is not available, mail passes unchecked", "error", err)
	}
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	if b.warned {
		b.warned = false
		b.log.Info("spam filter is available again")
	}
}
