package authres

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"postroad/internal/base/dnsx"
)

// Resolver is what is asked; *dnsx.Client is one. Failures are *dnsx.Error, or the
// error of the context.
type Resolver interface {
	MX(ctx context.Context, domain string) ([]dnsx.MX, error)
	Addrs(ctx context.Context, host string) (v4, v6 []netip.Addr, err error)
	TXT(ctx context.Context, name string) ([]string, error)
	PTR(ctx context.Context, addr netip.Addr) ([]string, error)
}

const (
	// maxRecord bounds a TXT record that is read, in octets. RFC 7208, section
	// 3.4, wants SPF records below 450; a key of 4096 bits takes 800.
	maxRecord = 8 << 10
	// maxNames is how many names of an address are looked up (RFC 8601, section
	// 2.7.3; RFC 7208, section 4.6.4).
	maxNames = 10
)

var errLongRecord = errors.New("record too long")

// texts returns those texts of a name that keep picks, none if there is no such name.
func texts(ctx context.Context, r Resolver, name string, keep func(string) bool) ([]string, error) {
	all, err := r.TXT(ctx, name)
	if err != nil {
		if dnsx.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var kept []string
	for _, t := range all {
		if keep(t) {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

// standard gives a Resolver the methods of net.Resolver, and its errors, which
// the SPF library tells apart.
type standard struct{ r Resolver }

func (s standard) LookupTXT(ctx context.Context, name string) ([]string, error) {
	texts, err := s.r.TXT(ctx, name)
	for _, t := range texts {
		if len(t) > maxRecord {
			return nil, errLongRecord
		}
	}
	return texts, dnsError(err, name)
}

func (s standard) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := s.r.MX(ctx, name)
	if err != nil {
		return nil, dnsError(err, name)
	}
	list := make([]*net.MX, 0, len(hosts))
	for _, h := range hosts {
		list = append(list, &net.MX{Host: h.Name, Pref: h.Preference})
	}
	return list, nil
}

func (s standard) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	v4, v6, err := s.r.Addrs(ctx, host)
	if err != nil {
		return nil, dnsError(err, host)
	}
	list := make([]net.IPAddr, 0, len(v4)+len(v6))
	for _, a := range append(v4, v6...) {
		list = append(list, net.IPAddr{IP: a.AsSlice()})
	}
	return list, nil
}

func (s standard) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	names, err := s.r.PTR(ctx, a)
	return names[:min(len(names), maxNames)], dnsError(err, addr)
}

func dnsError(err error, name string) error {
	if err == nil {
		return nil
	}
	absent := dnsx.IsNotFound(err)
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: absent, IsTemporary: !absent}
}
