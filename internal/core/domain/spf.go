package domain

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"postroad/internal/base/dnsx"
)

// The limits of RFC 7208, section 4.6.4.
const (
	maxSPFLookups = 10
	maxSPFVoids   = 2
	maxSPFHosts   = 10 // MX hosts of one "mx"
)

// spfResult is the result of check_host, RFC 7208, section 2.6.
type spfResult string

const (
	spfNone      spfResult = "none"
	spfPass      spfResult = "pass"
	spfNeutral   spfResult = "neutral"
	spfSoftFail  spfResult = "softfail"
	spfFail      spfResult = "fail"
	spfTempError spfResult = "temperror"
	spfPermError spfResult = "permerror"
)

var (
	errSPFPerm = errors.New("SPF record cannot be evaluated")
	errSPFTemp = errors.New("DNS did not answer")
)

// spfCheck evaluates SPF for mail from one address of ours, as a receiver would.
// Two differences: an include of our host passes as soon as our host has an SPF
// record, because only its operator knows all addresses mail leaves from; and
// macros, which depend on the message, never match.
type spfCheck struct {
	r       dnsx.Resolver
	host    string     // our name
	addr    netip.Addr // an address of ours; the zero value matches no network
	lookups int
	voids   int
}

// spfFor evaluates the SPF record of domain for all addresses and returns the
// result that is worst for us, and the records found.
func spfFor(ctx context.Context, r dnsx.Resolver, host string, addrs []netip.Addr, domain string) (spfResult, []string) {
	found, err := spfRecords(ctx, r, domain)
	if err != nil {
		return resultOf(err), nil
	}
	if len(addrs) == 0 {
		addrs = []netip.Addr{{}}
	}
	for _, a := range addrs {
		c := &spfCheck{r: r, host: host, addr: a}
		res, err := c.checkHost(ctx, domain)
		if err != nil {
			return resultOf(err), found
		}
		if res != spfPass {
			return res, found
		}
	}
	return spfPass, found
}

func resultOf(err error) spfResult {
	if errors.Is(err, errSPFPerm) {
		return spfPermError
	}
	return spfTempError
}

// spfRecords returns the TXT records of a name that are SPF records.
func spfRecords(ctx context.Context, r dnsx.Resolver, name string) ([]string, error) {
	texts, err := r.TXT(ctx, name)
	if err != nil && !dnsx.IsNotFound(err) {
		return nil, errSPFTemp
	}
	found := []string{}
	for _, t := range texts {
		if version, _, _ := strings.Cut(t, " "); strings.EqualFold(version, "v=spf1") {
			found = append(found, t)
		}
	}
	return found, nil
}

// checkHost is check_host of RFC 7208, section 4. The errors are errSPFPerm and
// errSPFTemp.
func (c *spfCheck) checkHost(ctx context.Context, domain string) (spfResult, error) {
	found, err := spfRecords(ctx, c.r, domain)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return spfNone, nil
	}
	if len(found) > 1 {
		return "", errSPFPerm
	}
	terms := strings.Fields(found[0])[1:]
	redirect := ""
	for _, t := range terms {
		if name, value, ok := strings.Cut(t, "="); ok && !strings.ContainsAny(name, ":/") {
			if strings.EqualFold(name, "redirect") {
				redirect = value
			}
			continue
		}
		res, err := c.directive(ctx, domain, t)
		if err != nil || res != "" {
			return res, err
		}
	}
	if redirect == "" {
		return spfNeutral, nil
	}
	return c.redirect(ctx, redirect)
}

func (c *spfCheck) redirect(ctx context.Context, domain string) (spfResult, error) {
	if err := c.count(); err != nil {
		return "", err
	}
	if strings.Contains(domain, "%") {
		return spfNeutral, nil
	}
	if strings.EqualFold(domain, c.host) {
		return c.ours(ctx)
	}
	res, err := c.checkHost(ctx, domain)
	if res == spfNone {
		return "", errSPFPerm
	}
	return res, err
}

// ours is the result for a record that hands over to our host's own: that
// record is ours to keep right, so it only has to be there.
func (c *spfCheck) ours(ctx context.Context) (spfResult, error) {
	found, err := spfRecords(ctx, c.r, c.host)
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", errSPFPerm
	}
	return spfPass, nil
}

// directive returns the result of a mechanism that matches and "" otherwise.
func (c *spfCheck) directive(ctx context.Context, domain, term string) (spfResult, error) {
	res := spfPass
	switch term[0] {
	case '+':
		term = term[1:]
	case '-':
		term, res = term[1:], spfFail
	case '~':
		term, res = term[1:], spfSoftFail
	case '?':
		term, res = term[1:], spfNeutral
	}
	ok, err := c.mechanism(ctx, domain, term)
	if err != nil || !ok {
		return "", err
	}
	return res, nil
}

func (c *spfCheck) mechanism(ctx context.Context, domain, term string) (bool, error) {
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	name, arg := strings.ToLower(term[:end]), term[end:]
	value, hasValue := strings.CutPrefix(arg, ":")
	switch name {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return c.network(value)
	case "include":
		if !hasValue || value == "" {
			return false, errSPFPerm
		}
		return c.include(ctx, value)
	case "a", "mx":
		target, v4, v6, err := splitTarget(arg, domain)
		if err != nil {
			return false, err
		}
		if err := c.count(); err != nil || strings.Contains(target, "%") {
			return false, err
		}
		if name == "a" {
			return c.matchHost(ctx, target, v4, v6)
		}
		return c.matchMX(ctx, target, v4, v6)
	case "ptr", "exists":
		return false, c.count()
	}
	return false, errSPFPerm
}

func (c *spfCheck) count() error {
	if c.lookups++; c.lookups > maxSPFLookups {
		return errSPFPerm
	}
	return nil
}

func (c *spfCheck) network(value string) (bool, error) {
	if a, err := netip.ParseAddr(value); err == nil {
		return a == c.addr.Unmap(), nil
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return false, errSPFPerm
	}
	return p.Contains(c.addr.Unmap()), nil
}

func (c *spfCheck) include(ctx context.Context, target string) (bool, error) {
	if err := c.count(); err != nil || strings.Contains(target, "%") {
		return false, err
	}
	check := func() (spfResult, error) { return c.checkHost(ctx, target) }
	if strings.EqualFold(strings.TrimSuffix(target, "."), c.host) {
		check = func() (spfResult, error) { return c.ours(ctx) }
	}
	res, err := check()
	if err != nil {
		return false, err
	}
	if res == spfNone {
		return false, errSPFPerm
	}
	return res == spfPass, nil
}

// splitTarget reads what follows "a" and "mx": [":" domain] ["/" n] ["//" n].
func splitTarget(arg, domain string) (target string, v4, v6 int, err error) {
	v4, v6 = 32, 128
	spec, cidr6, has6 := strings.Cut(arg, "//")
	target, cidr4, has4 := strings.Cut(spec, "/")
	if has6 {
		if v6, err = prefixLen(cidr6, 128); err != nil {
			return "", 0, 0, err
		}
	}
	if has4 {
		if v4, err = prefixLen(cidr4, 32); err != nil {
			return "", 0, 0, err
		}
	}
	if target == "" {
		return domain, v4, v6, nil
	}
	target, ok := strings.CutPrefix(target, ":")
	if !ok || target == "" {
		return "", 0, 0, errSPFPerm
	}
	return strings.TrimSuffix(target, "."), v4, v6, nil
}

func prefixLen(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, errSPFPerm
	}
	return n, nil
}

func (c *spfCheck) matchHost(ctx context.Context, host string, v4, v6 int) (bool, error) {
	if strings.EqualFold(host, c.host) {
		return c.addr.IsValid(), nil
	}
	a4, a6, err := c.r.Addrs(ctx, host)
	if err != nil {
		return false, c.void(err)
	}
	for _, a := range append(a4, a6...) {
		bits := v6
		if a.Is4() {
			bits = v4
		}
		if p, err := a.Prefix(bits); err == nil && p.Contains(c.addr.Unmap()) {
			return true, nil
		}
	}
	return false, nil
}

func (c *spfCheck) matchMX(ctx context.Context, domain string, v4, v6 int) (bool, error) {
	hosts, err := c.r.MX(ctx, domain)
	if err != nil {
		return false, c.void(err)
	}
	if len(hosts) > maxSPFHosts {
		return false, errSPFPerm
	}
	for _, h := range hosts {
		if h.Name == "" {
			continue
		}
		if ok, err := c.matchHost(ctx, h.Name, v4, v6); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// void counts a look-up that found nothing; other failures are temporary.
func (c *spfCheck) void(err error) error {
	if !dnsx.IsNotFound(err) {
		return errSPFTemp
	}
	if c.voids++; c.voids > maxSPFVoids {
		return errSPFPerm
	}
	return nil
}
