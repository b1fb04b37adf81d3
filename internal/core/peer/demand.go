package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"postroad/internal/base/dnsx"
	"postroad/internal/mail/tlspolicy"
)

// Wish is what a message, or the settings of its domain, ask of the connection.
type Wish struct {
	Require bool // no delivery without TLS
	Verify  bool // nor without a certificate valid for the host; implies Require
}

// Site is where mail for a domain goes.
type Site struct {
	Domain string
	Policy *Policy // of the domain, nil without one
	Secure bool    // the list of hosts was validated: dnsx.Route.Secure
}

// Sources of a Demand.
const (
	FromNobody  = ""
	FromMessage = "message"
	FromSTS     = "sts"
	FromDANE    = "dane"
)

// Demand is what a connection to one host must have.
type Demand struct {
	// Require: no delivery without TLS.
	Require bool
	// Verify: the certificate must be valid for the host, or match TLSA.
	Verify bool
	// TLSA are the usable records of DANE; if there are any, one must match.
	TLSA []dnsx.TLSA
	// Names are those a certificate under an authority of DANE may have, the one
	// the records stand under first. It is the name to tell the server, too
	// (RFC 7672, section 8.1): see ServerName.
	Names []string
	// Source is the strictest party that demands something.
	Source string
}

// ServerName is the name to ask the host's certificate for (SNI).
func (d *Demand) ServerName(host string) string {
	if len(d.Names) > 0 {
		return d.Names[0]
	}
	return host
}

// Covers reports whether a connection to the same host that met d also meets o,
// that of another message or domain: secured says whether it is encrypted, how by
// what its server was authenticated.
func (d *Demand) Covers(o *Demand, secured bool, how string) bool {
	switch {
	case len(o.TLSA) > 0:
		return secured && how == ByDANE && sameRecords(d, o)
	case o.Verify:
		return secured && how == ByPKIX
	}
	return secured || !o.Require
}

// sameRecords compares the names, too, where they count: under an authority.
func sameRecords(d, o *Demand) bool {
	named := false
	same := slices.EqualFunc(d.TLSA, o.TLSA, func(a, b dnsx.TLSA) bool {
		named = named || a.Usage != 3
		return a.Usage == b.Usage && a.Selector == b.Selector && a.Matching == b.Matching && bytes.Equal(a.Data, b.Data)
	})
	return same && (!named || slices.Equal(d.Names, o.Names))
}

// PolicyType is what a result under this demand is reported as, for a site with
// the given policy. One that is only tested is reported, too.
func (d *Demand) PolicyType(p *Policy) tlspolicy.PolicyType {
	switch {
	case d.Source == FromDANE:
		return tlspolicy.PolicyTLSA
	case p != nil && p.Mode != tlspolicy.None:
		return tlspolicy.PolicySTS
	}
	return tlspolicy.PolicyNone
}

// ErrNotInPolicy: the host is not named in the domain's MTA-STS policy.
var ErrNotInPolicy = errors.New("the host is not in the domain's MTA-STS policy")

// HostError: a host may not be delivered to now. Another of the domain may, and
// this one perhaps later.
type HostError struct {
	Host   string
	Result tlspolicy.ResultType // for the TLS report
	Err    error
}

// Error implements error.
func (e *HostError) Error() string { return e.Host + ": " + e.Err.Error() }

// Unwrap returns the cause, such as ErrNotInPolicy.
func (e *HostError) Unwrap() error { return e.Err }

// Check decides what a connection to a host of the site must have; see the
// package's comment. It looks up TLSA records, which are then in the resolver's
// cache. Errors: *HostError, the error of ctx.
func (s *Service) Check(ctx context.Context, site Site, host dnsx.Host, w Wish) (Demand, error) {
	d := Demand{Require: w.Require || w.Verify, Verify: w.Verify}
	if d.Require {
		d.Source = FromMessage
	}
	if site.Policy.Enforced() {
		if !site.Policy.Match(host.Name) {
			return Demand{}, &HostError{Host: host.Name, Result: tlspolicy.ValidationFailure, Err: ErrNotInPolicy}
		}
		d = Demand{Require: true, Verify: true, Source: FromSTS}
	}
	// Records of a host that somebody else may have named protect nobody (RFC
	// 7672, section 2.2.1 leaves them to the sender), so they are not looked up.
	if !site.Secure || isLiteral(host) {
		return d, nil
	}
	records, base, err := s.tlsa(ctx, host.Name)
	if err != nil || len(records) == 0 {
		return d, err
	}
	d.Require = true
	if d.TLSA = tlspolicy.UsableTLSA(records); len(d.TLSA) > 0 {
		d.Verify, d.Names, d.Source = true, []string{base, site.Domain}, FromDANE
	} else if d.Source != FromSTS { // which wants more than TLS
		d.Source = FromDANE
	}
	return d, nil
}

// tlsa returns the secure records of a host, none if DANE does not apply to it,
// and the name they stand under (RFC 7672, section 2.2.2).
func (s *Service) tlsa(ctx context.Context, host string) ([]dnsx.TLSA, string, error) {
	names, err := s.tlsaNames(ctx, host)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names {
		records, secure, err := s.resolver.TLSA(ctx, s.o.SMTPPort, name)
		switch {
		case err != nil && !dnsx.IsNotFound(err):
			return nil, "", unproven(ctx, host, "TLSA records", err)
		case err == nil && secure:
			return records, name, nil
		}
	}
	return nil, "", nil
}

// tlsaNames returns the names under which a host may have records: what it is a
// secure alias of, then itself. The address comes first, because name servers
// that fail on TLSA questions are found where nothing is signed (RFC 7672,
// section 2.1.3 and 2.2.2).
func (s *Service) tlsaNames(ctx context.Context, host string) ([]string, error) {
	found, err := s.resolver.LookupAddrs(ctx, host)
	switch {
	case dnsx.IsNotFound(err):
		return nil, nil // whoever dials it will say so
	case err != nil:
		return nil, unproven(ctx, host, "address", err)
	}
	self, err := dnsx.ASCIIName(host)
	if err != nil {
		return nil, nil
	}
	switch {
	case found.Secure && found.Name != self:
		return []string{found.Name, self}, nil
	case found.Secure:
		return []string{self}, nil
	}
	// An alias that is secure itself, into a zone that is not.
	_, meta, err := s.resolver.LookupCNAME(ctx, self)
	switch {
	case err == nil && meta.Secure:
		return []string{self}, nil
	case err != nil && !dnsx.IsNotFound(err):
		return nil, unproven(ctx, host, "alias", err)
	}
	return nil, nil
}

// unproven: where a look-up fails the records may have been kept from us, so the
// host is left alone (RFC 7672, section 2.1.2).
func unproven(ctx context.Context, host, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &HostError{Host: host, Result: tlspolicy.DNSSECInvalid, Err: fmt.Errorf("%s cannot be looked up: %w", what, err)}
}

// isLiteral reports whether a name stands for an address.
func isLiteral(h dnsx.Host) bool {
	_, err := netip.ParseAddr(h.Name)
	return h.Addr.IsValid() || err == nil
}
