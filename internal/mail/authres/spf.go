package authres

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"

	"postroad/internal/base/dnsx"
)

// checkIPRev looks for a name of the address that has this address (RFC 8601,
// section 2.7.3).
func checkIPRev(ctx context.Context, r Resolver, ip netip.Addr) IPRev {
	names, err := r.PTR(ctx, ip)
	switch {
	case dnsx.IsNotFound(err):
		return IPRev{Result: PermError}
	case err != nil:
		return IPRev{Result: TempError}
	}
	result := IPRev{Result: Fail, Name: names[0]}
	for _, name := range names[:min(len(names), maxNames)] {
		v4, v6, err := r.Addrs(ctx, name)
		if err != nil && !dnsx.IsNotFound(err) {
			result.Result = TempError
		}
		if slices.Contains(v4, ip) || slices.Contains(v6, ip) {
			return IPRev{Result: Pass, Name: name}
		}
	}
	return result
}

// checkHELO is SPF for the HELO name. One that is no domain name of several
// labels, such as an address literal, has none (RFC 7208, section 2.3).
func checkHELO(ctx context.Context, r Resolver, ip netip.Addr, helo string) SPF {
	domain, ok := spfDomain(helo)
	if !ok {
		return SPF{Result: None, Identity: helo}
	}
	s := checkHost(ctx, r, ip, domain, "postmaster", domain)
	s.Identity = helo
	return s
}

// checkMailFrom is SPF for an address of MAIL FROM that is not null.
func checkMailFrom(ctx context.Context, r Resolver, ip netip.Addr, helo, from string) SPF {
	at := strings.LastIndexByte(from, '@')
	domain, ok := spfDomain(from[at+1:])
	if at < 0 || !ok {
		return SPF{Result: None, Identity: from}
	}
	if name, ok := spfDomain(helo); ok {
		helo = name
	}
	local := from[:at]
	if local == "" {
		local = "postmaster" // RFC 7208, section 4.3
	}
	s := checkHost(ctx, r, ip, helo, local, domain)
	s.Identity = from
	return s
}

// spfDomain returns a name in A-labels if check_host can be asked about it (RFC
// 7208, section 4.3).
func spfDomain(name string) (string, bool) {
	ascii, err := dnsx.ASCIIName(name)
	if err != nil || !strings.Contains(ascii, ".") {
		return "", false
	}
	_, err = netip.ParseAddr(ascii)
	return ascii, err != nil
}

// checkHost is check_host of RFC 7208, section 4, with its limits: the library
// counts to ten look-ups and two void ones, the caller's context bounds time.
func checkHost(ctx context.Context, r Resolver, ip netip.Addr, helo, local, domain string) SPF {
	// The library cuts at the first "@", which a quoted local part may hold.
	sender := strings.ReplaceAll(local, "@", ".") + "@" + domain
	result, err := spf.CheckHostWithSender(net.IP(ip.AsSlice()), helo, sender,
		spf.WithContext(ctx), spf.WithResolver(standard{r}))
	s := SPF{Result: Result(result), Domain: domain}
	if s.Result == TempError || s.Result == PermError {
		s.Reason = spfReason(err)
	}
	return s
}

// spfReason is what went wrong, as far as it holds nothing that strangers wrote.
func spfReason(err error) string {
	var dnsErr *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &dnsErr):
		return "DNS did not answer"
	}
	for _, known := range []error{
		errLongRecord, spf.ErrUnknownField, spf.ErrInvalidIP, spf.ErrInvalidMask, spf.ErrInvalidMacro, spf.ErrInvalidDomain,
		spf.ErrNoResult, spf.ErrLookupLimitReached, spf.ErrVoidLookupLimitReached, spf.ErrTooManyMXRecords, spf.ErrMultipleRecords,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ""
}
