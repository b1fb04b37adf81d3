package panel

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of a session: it ends after a time without requests, after a time in
// any case, and when the key behind it stops being accepted.
const (
	sessionIdle    = 2 * time.Hour
	sessionLife    = 12 * time.Hour
	sessionRecheck = time.Minute
	maxSessions    = 10_000
)

// session is one login. The key is kept so that revoking it ends the session.
type session struct {
	who     string
	key     string
	born    time.Time
	seen    time.Time
	checked time.Time
}

// sessions holds the logins of this process, by the hash of their token.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[[32]byte]session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[32]byte]session{}}
}

// token returns 256 random bits as text.
func token() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// open starts a session and returns its token.
func (s *sessions) open(who, key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.all) >= maxSessions {
		s.makeRoom(now)
	}
	t := token()
	s.all[sha256.Sum256([]byte(t))] = session{who: who, key: key, born: now, seen: now, checked: now}
	return t
}

// makeRoom drops what has ended and, if that is nothing, the session unused
// for longest.
func (s *sessions) makeRoom(now time.Time) {
	var oldest [32]byte
	first := true
	for k, v := range s.all {
		if v.ended(now) {
			delete(s.all, k)
			continue
		}
		if first || v.seen.Before(s.all[oldest].seen) {
			oldest, first = k, false
		}
	}
	if len(s.all) >= maxSessions {
		delete(s.all, oldest)
	}
}

func (v session) ended(now time.Time) bool {
	return now.Sub(v.seen) > sessionIdle || now.Sub(v.born) > sessionLife
}

// get returns the live session of a token and notes that it was used. Used
// marks a request of the person, as opposed to one the page makes by itself.
func (s *sessions) get(t string, used bool) (session, bool) {
	if t == "" {
		return session{}, false
	}
	k := sha256.Sum256([]byte(t))
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[k]
	now := s.now()
	if !ok || v.ended(now) {
		delete(s.all, k)
		return session{}, false
	}
	if used {
		v.seen = now
		s.all[k] = v
	}
	return v, true
}

// confirm notes that the key was accepted again.
func (s *sessions) confirm(t string) {
	k := sha256.Sum256([]byte(t))
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.all[k]; ok {
		v.checked = s.now()
		s.all[k] = v
	}
}

func (s *sessions) close(t string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(t)))
}

// Limits on failed logins, per network and for all together.
const (
	loginWindow = time.Minute
	loginPerNet = 5
	loginAll    = 100
	maxNets     = 10_000
)

// limiter counts failed logins in fixed windows.
type limiter struct {
	now   func() time.Time
	mu    sync.Mutex
	began time.Time
	nets  map[netip.Prefix]int
	all   int
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, nets: map[netip.Prefix]int{}}
}

// take counts an attempt in advance and reports whether it may be made and, if
// not, how long to wait. A successful login gives it back.
func (l *limiter) take(addr string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, n := l.now(), network(addr)
	if now.Sub(l.began) >= loginWindow {
		l.began, l.all = now, 0
		clear(l.nets)
	}
	if l.nets[n] >= loginPerNet || l.all >= loginAll || len(l.nets) >= maxNets {
		return l.began.Add(loginWindow).Sub(now), false
	}
	l.nets[n]++
	l.all++
	return 0, true
}

func (l *limiter) giveBack(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := network(addr)
	if l.nets[n] > 0 {
		l.nets[n]--
		l.all--
	}
}

// network is the unit one person controls: an IPv4 address or an IPv6 /64.
func network(remote string) netip.Prefix {
	host := remote
	if h, _, err := net.SplitHostPort(remote); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
