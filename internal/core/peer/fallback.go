package peer

import (
	"strings"
	"sync"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/recent"
)

const (
	// troubleAt is how many failures in a row make a host one to avoid.
	troubleAt = 3
	// troubleSpan is the time they must lie within.
	troubleSpan = time.Hour
	// avoidFor is how long TLS is not tried; after that one failure is enough.
	avoidFor = 6 * time.Hour
)

// fallback remembers hosts whose TLS does not work.
type fallback struct {
	clock clock.Clock
	mu    sync.Mutex
	hosts *recent.Map[string, trouble]
}

// trouble is a host's failed handshakes in a row.
type trouble struct {
	count int
	first time.Time
	until time.Time // TLS is avoided so long
}

func hostKey(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// NoteTLSFailure notes that a handshake with a host failed that nobody demanded.
func (s *Service) NoteTLSFailure(host string) {
	f, now := &s.tls, s.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.hosts.Get(hostKey(host))
	switch {
	case ok && now.Before(t.until):
		return
	case !ok || t.until.IsZero() && now.Sub(t.first) >= troubleSpan:
		t = trouble{first: now}
	}
	if t.count++; t.count >= troubleAt {
		t.until = now.Add(avoidFor)
	}
	f.hosts.Put(hostKey(host), t)
}

// NoteTLSSuccess notes that a handshake with a host succeeded.
func (s *Service) NoteTLSSuccess(host string) {
	f := &s.tls
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.hosts.Get(hostKey(host)); ok {
		f.hosts.Drop(hostKey(host))
	}
}

// AvoidTLS reports whether opportunistic TLS with a host failed so often lately
// that it is not worth a connection of its own. It says nothing where TLS is
// demanded (Demand.Require), which must then be tried all the same.
func (s *Service) AvoidTLS(host string) bool {
	t, ok := s.tls.hosts.Get(hostKey(host))
	return ok && s.clock.Now().Before(t.until)
}
