package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// dialer connects to hosts by name, to permitted addresses only.
type dialer struct {
	guard  guard
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	net    net.Dialer
}

// maxDials is how many addresses of one host are tried.
const maxDials = 4

// dialTimeout is the most time for one address, so that one that is silent leaves
// time for the next.
const dialTimeout = 10 * time.Second

func newDialer(c Config) *dialer {
	g := newGuard(c.AllowPrivate, c.Allow)
	return &dialer{
		guard:  g,
		lookup: lookupWith(c),
		net:    net.Dialer{Timeout: dialTimeout, Control: g.control},
	}
}

func lookupWith(c Config) func(context.Context, string) ([]netip.Addr, error) {
	if c.Resolver == nil {
		return func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		v4, v6, err := c.Resolver.Addrs(ctx, host)
		if err != nil {
			return nil, err
		}
		return append(v6, v4...), nil
	}
}

// addrs returns the permitted addresses of a host, at least one.
func (d *dialer) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, d.guard.check(host, addr)
	}
	if !validHost(host) {
		return nil, &URLError{URL: shorten(host), Reason: "invalid host"}
	}
	found, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var permitted []netip.Addr
	var refused error
	for _, addr := range found {
		// The system resolver hands IPv4 addresses over in IPv6 form.
		addr = addr.Unmap()
		if err := d.guard.check(host, addr); err != nil {
			refused = err
			continue
		}
		permitted = append(permitted, addr)
	}
	if len(permitted) == 0 && refused != nil {
		return nil, refused
	}
	if len(permitted) == 0 {
		return nil, fmt.Errorf("host %s has no address", host)
	}
	return permitted[:min(len(permitted), maxDials)], nil
}

// dial is for http.Transport.DialContext.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, addr := range addrs {
		conn, err := d.net.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}
