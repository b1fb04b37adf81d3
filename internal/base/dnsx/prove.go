package dnsx

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

var _ Prover = (*Client)(nil)

func (a answer) meta() Meta { return Meta{TTL: a.ttl, Secure: a.secure} }

// LookupMX implements Prover.
func (c *Client) LookupMX(ctx context.Context, domain string) ([]MX, Meta, error) {
	a, err := c.lookup(ctx, domain, dns.TypeMX)
	if err != nil {
		return nil, a.meta(), err
	}
	hosts := make([]MX, 0, len(a.records))
	for _, rr := range a.records {
		mx := rr.(*dns.MX)
		hosts = append(hosts, MX{Name: canonicalName(mx.Mx), Preference: mx.Preference})
	}
	return hosts, a.meta(), nil
}

// LookupCNAME implements Prover.
func (c *Client) LookupCNAME(ctx context.Context, name string) (string, Meta, error) {
	a, err := c.lookup(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", a.meta(), err
	}
	return canonicalName(a.records[0].(*dns.CNAME).Target), a.meta(), nil
}

// LookupAddrs implements Prover. Both types are asked for at the same time.
// Without an address there is always an error.
func (c *Client) LookupAddrs(ctx context.Context, host string) (Addrs, error) {
	var four, six answer
	var found Addrs
	var errA, errAAAA error
	var g errgroup.Group
	g.Go(func() error {
		found.V4, four, errA = c.addrs(ctx, host, dns.TypeA)
		return nil
	})
	found.V6, six, errAAAA = c.addrs(ctx, host, dns.TypeAAAA)
	if err := g.Wait(); err != nil {
		return Addrs{}, err
	}
	found.Name, found.Meta = four.name, combine(four, six)
	if len(found.V4) == 0 {
		found.Name = six.name
	}
	if len(found.V4)+len(found.V6) > 0 {
		return found, nil
	}
	return found, worse(errA, errAAAA)
}

// combine is what holds for two answers together. One that failed for a time has
// no TTL and is not secure, so neither is the whole.
func combine(a, b answer) Meta {
	return Meta{TTL: min(a.ttl, b.ttl), Secure: a.secure && b.secure}
}

// addrs returns the addresses of one type, at least one. A record may be there
// and hold none: the wire library lets one without data through.
func (c *Client) addrs(ctx context.Context, host string, qtype uint16) ([]netip.Addr, answer, error) {
	a, err := c.lookup(ctx, host, qtype)
	if err != nil {
		return nil, a, err
	}
	addrs := make([]netip.Addr, 0, len(a.records))
	for _, rr := range a.records {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA.To16()
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		return nil, a, &Error{Kind: NoData, Name: canonicalName(host), Type: dns.TypeToString[qtype]}
	}
	return addrs, a, nil
}

// maxTLSA bounds the records of one name that are looked at.
const maxTLSA = 64

// TLSA implements Prover (RFC 6698, section 3).
func (c *Client) TLSA(ctx context.Context, port uint16, host string) (records []TLSA, secure bool, err error) {
	a, err := c.lookup(ctx, fmt.Sprintf("_%d._tcp.%s", port, host), dns.TypeTLSA)
	if err != nil {
		return nil, a.secure, err
	}
	for _, rr := range a.records[:min(len(a.records), maxTLSA)] {
		r := rr.(*dns.TLSA)
		data, err := hex.DecodeString(r.Certificate)
		if err != nil { // the wire library writes nothing else
			data = nil // stays a record, and an unusable one
		}
		records = append(records, TLSA{Usage: r.Usage, Selector: r.Selector, Matching: r.MatchingType, Data: data})
	}
	return records, a.secure, nil
}
