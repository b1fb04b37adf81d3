package peer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/mail/tlspolicy"
)

const (
	// absentFor is how long a domain without a policy is not asked again.
	absentFor = 30 * time.Minute
	// failedFor is that time after a failure (RFC 8461, section 3.3: five minutes
	// or longer).
	failedFor = 5 * time.Minute
	// checkEvery is how old the word of DNS that a policy has not changed may be.
	checkEvery = 15 * time.Minute
	// minAge is how long a policy is kept at least, that a domain cannot have us
	// fetch it for every message.
	minAge = failedFor
)

// ErrNoPolicy: a domain has no MTA-STS policy, or none that can be had. Errors that
// match it with errors.Is hold a *NoPolicyError.
var ErrNoPolicy = errors.New("no MTA-STS policy")

// NoPolicyError says why there is no policy.
type NoPolicyError struct {
	Domain string
	// Result is what a TLS report says of it, tlspolicy.Success where there is
	// nothing to say: the domain has no policy.
	Result tlspolicy.ResultType
	Err    error // nil if the domain has none
}

// Error implements error.
func (e *NoPolicyError) Error() string {
	if e.Err == nil {
		return e.Domain + ": " + ErrNoPolicy.Error()
	}
	return e.Domain + ": " + ErrNoPolicy.Error() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *NoPolicyError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrNoPolicy) true.
func (e *NoPolicyError) Is(target error) bool { return target == ErrNoPolicy }

// Policy is the MTA-STS policy of a domain. It is not changed once made.
type Policy struct {
	Domain string
	ID     string // of the TXT record, changes with the policy
	tlspolicy.STS
	Fetched time.Time
	Expires time.Time
}

// Enforced reports whether the policy forbids deliveries. That of nil is false.
func (p *Policy) Enforced() bool { return p != nil && p.Mode == tlspolicy.Enforce }

// Identity is what a lane's name says of the policy, so that mail of domains with
// different policies never shares a connection: 16 characters for one that is
// enforced, the same for domains that name the same hosts, and "" for none, also
// in mode "testing", which must not change how mail is delivered. It outlives a
// refresh and a new id as long as the hosts are the same.
func (p *Policy) Identity() string {
	if !p.Enforced() {
		return ""
	}
	hosts := slices.Compact(slices.Sorted(slices.Values(p.MX)))
	sum := sha256.Sum256([]byte(strings.Join(hosts, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// known is what memory holds of a domain.
type known struct {
	policy *Policy
	none   *NoPolicyError // why there is no policy
	until  time.Time      // and how long that is believed

	checked atomic.Int64 // when DNS was last asked whether the policy changed
	day     atomic.Int64 // the day it was last noted as used
}

func (k *known) fresh(now time.Time) bool {
	if k.policy != nil {
		return now.Before(k.policy.Expires)
	}
	return now.Before(k.until)
}

// Policy returns the MTA-STS policy of a recipient's domain. The first time it may
// have to be fetched, which takes Options.Wait at most; what takes longer counts as
// absent until it is there. A policy with a cached answer returns at once and is
// checked in the background.
//
// Errors: ErrNoPolicy, on which mail goes on without one. Any other error, that
// of ctx, the store or after the end of Run, says nothing about the policy: the
// mail has to wait.
func (s *Service) Policy(ctx context.Context, domain string) (*Policy, error) {
	name, err := dnsx.ASCIIName(domain)
	if err != nil { // an address literal, or no domain at all
		return nil, &NoPolicyError{Domain: domain}
	}
	k, ok := s.known.Get(name)
	if !ok || !k.fresh(s.clock.Now()) {
		if k, err = s.await(ctx, name); err != nil {
			return nil, err
		}
	}
	if k.policy == nil {
		return nil, k.none
	}
	s.use(name, k)
	return k.policy, nil
}

// Recheck has a policy that did not fit compared with DNS at its next use: it may
// have changed, and no message may be given up because of an old one (RFC 8461,
// section 5.1).
func (s *Service) Recheck(domain string) {
	name, err := dnsx.ASCIIName(domain)
	if err != nil {
		return
	}
	k, ok := s.known.Get(name)
	if !ok {
		return
	}
	now := s.clock.Now()
	if last := k.checked.Load(); now.UnixMicro()-last > failedFor.Microseconds() {
		k.checked.CompareAndSwap(last, now.Add(-checkEvery).UnixMicro())
	}
}

var errSlow = errors.New("the policy takes too long to fetch")

// await looks for a policy and waits for it, but not for long. Callers that ask
// about the same domain wait for the same search, which goes on without them.
func (s *Service) await(ctx context.Context, name string) (*known, error) {
	found := s.flight.DoChan(name, func() (any, error) { return s.learn(s.life, name) })
	timer, stop := s.clock.After(s.o.Wait)
	defer stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer:
		none := &NoPolicyError{Domain: name, Result: tlspolicy.STSPolicyFetchError, Err: errSlow}
		return s.keepUnless(name, &known{none: none, until: s.clock.Now().Add(failedFor)}), nil
	case r := <-found:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*known), nil
	}
}

// keepUnless keeps k unless something fresh is known by now, and returns what is
// kept.
func (s *Service) keepUnless(name string, k *known) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.known.Get(name); ok && old.fresh(s.clock.Now()) {
		return old
	}
	s.known.Put(name, k)
	return k
}

func (s *Service) keep(name string, k *known) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Put(name, k)
	return k
}

// use notes that a policy is in use, and asks for a check when it is time.
func (s *Service) use(name string, k *known) {
	now := s.clock.Now()
	if day := dayOf(now); k.day.Swap(day) != day {
		s.mu.Lock()
		s.used[name] = clock.Micro(now)
		s.mu.Unlock()
	}
	if now.UnixMicro()-k.checked.Load() >= checkEvery.Microseconds() {
		s.ask(check{name: name})
	}
}

// learn finds what is not in memory: in the store, or else on the network. Its
// errors are our own troubles.
func (s *Service) learn(ctx context.Context, name string) (*known, error) {
	if k, ok := s.known.Get(name); ok && k.policy != nil && k.fresh(s.clock.Now()) {
		return k, nil // another search has just ended
	}
	stored, err := s.stored(ctx, name)
	if errors.Is(err, ErrNoPolicy) {
		return s.fetch(ctx, name, nil, false)
	}
	if err != nil {
		return nil, err
	}
	return s.keep(name, &known{policy: stored}), nil // not checked: use will ask
}
