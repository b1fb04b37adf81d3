package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/netx"
	"postroad/internal/mail/tlspolicy"
)

// fetchTimeout bounds fetching one policy (RFC 8461, section 3.3).
const fetchTimeout = time.Minute

// fetch asks DNS for the id of a domain's policy, and fetches the policy if that
// is not the id of old or if again says so. While old is valid it stays, whatever
// fails. The error is one of our own.
func (s *Service) fetch(ctx context.Context, name string, old *Policy, again bool) (*known, error) {
	id, fail := s.policyID(ctx, name)
	if fail == nil && old != nil && id == old.ID && !again {
		return s.keep(name, checkedAt(old, s.clock.Now())), nil
	}
	var p *Policy
	if fail == nil {
		p, fail = s.download(ctx, name, id)
	}
	if ctx.Err() != nil { // our end explains the failure
		return nil, ctx.Err()
	}
	if fail != nil {
		return s.without(name, old, fail), nil
	}
	if err := s.save(ctx, p); err != nil {
		s.log.Error("an MTA-STS policy is not stored", "domain", name, "error", err)
	}
	return s.keep(name, checkedAt(p, s.clock.Now())), nil
}

func checkedAt(p *Policy, t time.Time) *known {
	k := &known{policy: p}
	k.checked.Store(clock.Micro(t))
	return k
}

// without is what is known after a failure.
func (s *Service) without(name string, old *Policy, fail *NoPolicyError) *known {
	now := s.clock.Now()
	if old != nil && now.Before(old.Expires) {
		if fail.Err != nil {
			s.log.Warn("MTA-STS policy kept: it cannot be fetched anew", "domain", name, "error", fail.Err)
		}
		return s.keep(name, checkedAt(old, now.Add(failedFor-checkEvery)))
	}
	wait := failedFor
	if fail.Err == nil {
		wait = absentFor
	}
	return s.keep(name, &known{none: fail, until: now.Add(wait)})
}

// policyID returns the id in the TXT record of a domain.
func (s *Service) policyID(ctx context.Context, name string) (string, *NoPolicyError) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	texts, err := s.resolver.TXT(ctx, "_mta-sts."+name)
	switch {
	case dnsx.IsNotFound(err):
		return "", &NoPolicyError{Domain: name}
	case err != nil: // nothing shows that there is a policy to fetch
		return "", &NoPolicyError{Domain: name, Err: err}
	}
	id, err := tlspolicy.ParseSTSRecord(texts)
	switch {
	case errors.Is(err, tlspolicy.ErrNoRecord):
		return "", &NoPolicyError{Domain: name}
	case err != nil:
		return "", &NoPolicyError{Domain: name, Result: tlspolicy.STSPolicyInvalid, Err: fmt.Errorf("record of _mta-sts.%s: %w", name, err)}
	}
	return id, nil
}

// download fetches the policy over HTTPS (RFC 8461, section 3.3): the certificate
// must be valid for the policy host, redirects are not followed, nothing but 200
// counts. What type the server calls the text is left open: many serve it as
// something else than text/plain.
func (s *Service) download(ctx context.Context, name, id string) (*Policy, *NoPolicyError) {
	host := "mta-sts." + name
	if s.o.PolicyPort != "" {
		host = net.JoinHostPort(host, s.o.PolicyPort)
	}
	// Domains without a policy, which are most, never come here, so that slow
	// policy hosts hold up none but one another.
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, fetchFailed(name, ctx.Err())
	}
	r, err := s.http.Do(ctx, netx.Request{URL: "https://" + host + "/.well-known/mta-sts.txt"})
	switch {
	case err != nil:
		return nil, fetchFailed(name, err)
	case r.Status != 200:
		return nil, fetchFailed(name, fmt.Errorf("%s answers with status %d", host, r.Status))
	case r.BodyErr != nil:
		return nil, fetchFailed(name, r.BodyErr)
	case r.Truncated:
		return nil, invalid(name, fmt.Errorf("policy of %s is longer than %d bytes", host, tlspolicy.MaxPolicyBytes))
	}
	sts, err := tlspolicy.ParseSTS(r.Body)
	if err != nil {
		return nil, invalid(name, err)
	}
	now := s.clock.Now().UTC().Truncate(time.Microsecond)
	return &Policy{Domain: name, ID: id, STS: sts, Fetched: now, Expires: now.Add(max(sts.MaxAge, minAge))}, nil
}

func fetchFailed(name string, err error) *NoPolicyError {
	result := tlspolicy.STSPolicyFetchError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		result = tlspolicy.STSWebPKIInvalid
	}
	return &NoPolicyError{Domain: name, Result: result, Err: err}
}

func invalid(name string, err error) *NoPolicyError {
	return &NoPolicyError{Domain: name, Result: tlspolicy.STSPolicyInvalid, Err: err}
}
