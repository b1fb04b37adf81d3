package smtpd

import (
	"net/netip"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/pace"
	"postroad/internal/base/recent"
)

// What is remembered, a few hundred bytes for each entry at most.
const (
	maxAddresses = 50_000
	maxLogins    = 20_000
	maxKnown     = 10_000
)

// LoginStats counts logins.
type LoginStats struct {
	Succeeded atomic.Int64
	Failed    atomic.Int64
	Blocked   atomic.Int64 // refused unseen, for failures before
}

// Logins bounds failed logins. All listeners share one.
type Logins struct {
	Stats LoginStats

	clock     clock.Clock
	addresses *pace.Pacer[netip.Prefix]
	logins    *pace.Pacer[string]
	// known are the addresses from which a login succeeded lately. They are not
	// held to what others do to the login: nobody shall lock its owner out.
	known *recent.Map[knownKey, struct{}]
}

type knownKey struct {
	login string
	ip    netip.Prefix
}

// NewLogins returns limits that let twenty failures pass at once and then one each
// half minute of an address, one each minute of a login. A program with a wrong
// password gets by with that, and who guesses has 2,880 guesses a day.
func NewLogins(c clock.Clock) *Logins {
	return &Logins{
		clock:     c,
		addresses: pace.New[netip.Prefix](pace.Limit{Burst: 20, Every: 30 * time.Second}, maxAddresses),
		logins:    pace.New[string](pace.Limit{Burst: 20, Every: time.Minute}, maxLogins),
		known:     recent.New[knownKey, struct{}](maxKnown),
	}
}

// allow reports whether a login may be tried.
func (l *Logins) allow(login string, ip netip.Prefix) bool {
	now := l.clock.Now()
	blocked := l.addresses.Blocked(ip, now)
	if !blocked && l.logins.Blocked(login, now) {
		_, known := l.known.Get(knownKey{login, ip})
		blocked = !known
	}
	if blocked {
		l.Stats.Blocked.Add(1)
	}
	return !blocked
}

// failed takes note of a wrong password. Those that were tried at the same time
// are counted too, and delay the next the more.
func (l *Logins) failed(login string, ip netip.Prefix) {
	now := l.clock.Now()
	l.addresses.Charge(ip, now)
	l.logins.Charge(login, now)
	l.Stats.Failed.Add(1)
}

func (l *Logins) succeeded(login string, ip netip.Prefix) {
	l.known.Put(knownKey{login, ip}, struct{}{})
	l.Stats.Succeeded.Add(1)
}
