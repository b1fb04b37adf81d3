package netx

import (
	"errors"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrForbiddenAddress: the host is, or has only, addresses that must not be
// called. Errors that match it with errors.Is hold a *ForbiddenAddressError.
var ErrForbiddenAddress = errors.New("address is not allowed")

// ForbiddenAddressError names the address that was not called.
type ForbiddenAddressError struct {
	// Host is the name it was found under, or the address as given.
	Host string
	// Addr is the address.
	Addr netip.Addr
}

// Error returns a text with host and address.
func (e *ForbiddenAddressError) Error() string {
	if e.Host == "" || e.Host == e.Addr.String() {
		return "address " + e.Addr.String() + " is not allowed"
	}
	return "host " + e.Host + " has address " + e.Addr.String() + ", which is not allowed"
}

// Is makes errors.Is(err, ErrForbiddenAddress) true.
func (e *ForbiddenAddressError) Is(target error) bool { return target == ErrForbiddenAddress }

// guard decides which addresses may be dialled.
type guard struct {
	guardian *ssrf.Guardian // nil: all
	allow    []netip.Prefix
}

func newGuard(allowPrivate bool, allow []netip.Prefix) guard {
	if allowPrivate {
		return guard{}
	}
	return guard{
		guardian: ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(
			// The metadata service of a large cloud has a public address.
			netip.PrefixFrom(netip.AddrFrom4([4]byte{168, 63, 129, 16}), 32),
		)),
		allow: allow,
	}
}

// check refuses everything that is not of the public Internet: the special
// purpose registries of IANA for IPv4, and for IPv6 all outside 2000::/3 and the
// special parts within it. So IPv4 in any IPv6 disguise (mapped, compatible,
// NAT64, 6to4, Teredo) is refused, whatever address it stands for.
func (g guard) check(host string, addr netip.Addr) error {
	if g.guardian == nil {
		return nil
	}
	for _, p := range g.allow {
		if p.Contains(addr) {
			return nil
		}
	}
	if addr.Zone() != "" || g.guardian.SafeAddr(addr) != nil {
		return &ForbiddenAddressError{Host: host, Addr: addr}
	}
	return nil
}

// control is the last check, made on the very address the socket is about to
// connect to.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return g.check("", ap.Addr())
}
