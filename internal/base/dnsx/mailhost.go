package dnsx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxMailHosts is how many hosts of a domain are considered at most; a domain
// with more would only make a sender try for ever.
const MaxMailHosts = 50

// Reasons why a domain takes no mail, apart from those of *Error.
var (
	// ErrNullMX: the domain says that it takes no mail (RFC 7505).
	ErrNullMX = errors.New("domain does not accept mail (null MX)")
	// ErrNoMailHost: the domain exists, but has neither an MX nor an address.
	ErrNoMailHost = errors.New("domain has no mail host")
	// ErrBadMX: the domain has MX records, none of which names a host.
	ErrBadMX = errors.New("domain has no usable MX record")
	// ErrBadLiteral: an address in brackets that is none.
	ErrBadLiteral = errors.New("malformed address literal")
)

// Host is a host to which mail for a domain may be delivered.
type Host struct {
	// Name is the host's name, or the literal with its brackets.
	Name string
	// Preference of the MX record, 0 if there is none.
	Preference uint16
	// Implicit: there is no MX record, the host is the domain itself.
	Implicit bool
	// Addr is the address of an address literal, else the zero Addr.
	Addr netip.Addr
}

// Shuffle puts n elements in random order, as rand.Shuffle does.
type Shuffle func(n int, swap func(i, j int))

// MailHosts returns the hosts to try for a domain, in order (RFC 5321, section
// 5.1): by preference, those of equal preference in random order. Without MX
// records it is the domain itself, if it has an address. An address literal such
// as [192.0.2.1] or [IPv6:2001:db8::1] stands for itself. shuffle may be nil for
// the default; it must be safe for concurrent use if MailHosts is used so.
//
// Errors: ErrNullMX, ErrNoMailHost, ErrBadMX, ErrBadLiteral, *Error, the error of
// ctx. Those for which IsNotFound is false and *Error is found are temporary.
func MailHosts(ctx context.Context, r Resolver, domain string, shuffle Shuffle) ([]Host, error) {
	route, err := mailRoute(ctx, plain{r}, domain, shuffle)
	return route.Hosts, err
}

// Route is where mail for a domain goes.
type Route struct {
	// Hosts in the order to try, at least one.
	Hosts []Host
	// TTL is how long the list may be kept, 0 for not at all. The order is to be
	// shuffled anew for every use that shall spread the load.
	TTL time.Duration
	// Secure: that these are the hosts was validated by DNSSEC; it says nothing
	// about their addresses.
	Secure bool
}

// literalTTL is how long an address literal, which nothing was asked about, may be
// kept.
const literalTTL = maxTTL

// MailRoute is MailHosts for a sender that keeps what it learns.
func MailRoute(ctx context.Context, r Prover, domain string, shuffle Shuffle) (Route, error) {
	return mailRoute(ctx, r, domain, shuffle)
}

// router is what a route is made from.
type router interface {
	LookupMX(ctx context.Context, domain string) ([]MX, Meta, error)
	LookupAddrs(ctx context.Context, host string) (Addrs, error)
}

// plain lets a Resolver stand where nobody looks at the Meta.
type plain struct{ r Resolver }

func (p plain) LookupMX(ctx context.Context, domain string) ([]MX, Meta, error) {
	records, err := p.r.MX(ctx, domain)
	return records, Meta{}, err
}

func (p plain) LookupAddrs(ctx context.Context, host string) (found Addrs, err error) {
	found.V4, found.V6, err = p.r.Addrs(ctx, host)
	return found, err
}

func mailRoute(ctx context.Context, r router, domain string, shuffle Shuffle) (Route, error) {
	if strings.HasPrefix(domain, "[") {
		hosts, err := literalHost(domain)
		return Route{Hosts: hosts, TTL: literalTTL}, err
	}
	name, err := ASCIIName(domain)
	if err != nil {
		return Route{}, err
	}
	if isAddress(name) { // an address without brackets is not a domain, and must not become a host
		return Route{}, &Error{Kind: BadName, Name: name, Type: "MX", Err: errNameSyntax}
	}
	records, meta, err := r.LookupMX(ctx, name)
	if kind, ok := kindOf(err); ok && kind == NoData {
		return implicitRoute(ctx, r, name, meta)
	}
	if err != nil {
		return Route{}, err
	}
	hosts, err := explicitHosts(name, records, shuffle)
	return Route{Hosts: hosts, TTL: meta.TTL, Secure: meta.Secure}, err
}

// implicitRoute is the domain itself. Whether its addresses are secure is asked
// when they are used; here counts only that there is no MX.
func implicitRoute(ctx context.Context, r router, domain string, absence Meta) (Route, error) {
	found, err := r.LookupAddrs(ctx, domain)
	if IsNotFound(err) {
		return Route{}, fmt.Errorf("%s: %w", domain, ErrNoMailHost)
	}
	if err != nil {
		return Route{}, err
	}
	hosts := []Host{{Name: domain, Implicit: true}}
	return Route{Hosts: hosts, TTL: min(absence.TTL, found.TTL), Secure: absence.Secure}, nil
}

func literalHost(domain string) ([]Host, error) {
	text, closed := strings.CutSuffix(domain[1:], "]")
	const tag = "IPv6:"
	v6 := len(text) > len(tag) && strings.EqualFold(text[:len(tag)], tag)
	if v6 {
		text = text[len(tag):]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !closed || addr.Zone() != "" || addr.Is4() == v6 {
		return nil, fmt.Errorf("%w: %q", ErrBadLiteral, shorten(domain))
	}
	return []Host{{Name: domain, Addr: addr}}, nil
}

func explicitHosts(domain string, records []MX, shuffle Shuffle) ([]Host, error) {
	if len(records) == 1 && records[0].Name == "" {
		return nil, fmt.Errorf("%s: %w", domain, ErrNullMX)
	}
	best := make(map[string]uint16, len(records))
	for _, mx := range records {
		// A root beside other records is an error of the zone (RFC 7505, section 3),
		// an address as a name one of its owner; neither can be delivered to.
		name, err := asciiName(mx.Name)
		if err != nil || isAddress(name) {
			continue
		}
		if p, ok := best[name]; !ok || mx.Preference < p {
			best[name] = mx.Preference
		}
	}
	if len(best) == 0 {
		return nil, fmt.Errorf("%s: %w", domain, ErrBadMX)
	}
	hosts := make([]Host, 0, len(best))
	for name, preference := range best {
		hosts = append(hosts, Host{Name: name, Preference: preference})
	}
	order(hosts, shuffle)
	return hosts[:min(len(hosts), MaxMailHosts)], nil
}

// order sorts by preference. It sorts by name before the shuffle, so that the
// result depends on nothing but the hosts and the shuffle.
func order(hosts []Host, shuffle Shuffle) {
	if shuffle == nil {
		shuffle = rand.Shuffle
	}
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Preference, b.Preference) })
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
