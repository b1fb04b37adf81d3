package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// Config of a Client. The zero value asks the servers of /etc/resolv.conf.
type Config struct {
	// Servers are recursive resolvers as HOST:PORT, HOST being an address. They are
	// asked in this order; empty means those of /etc/resolv.conf.
	Servers []string
	// Timeout of one try with one server; 0 means 3 s.
	Timeout time.Duration
	// Attempts is how often the list of servers is gone through; 0 means 2.
	Attempts int
	// CacheSize is the number of answers kept; 0 means 10,000, less than 0 none.
	CacheSize int
	// Clock gives the time for the age of answers; nil means time.Now.
	Clock func() time.Time
	// TrustAD says whose word that an answer was validated by DNSSEC is taken:
	// "auto" or "" that of servers on loopback, "always" that of every server,
	// "never" nobody's. The word travels unprotected, so a server elsewhere may
	// be trusted only if the path to it is (RFC 6840, section 5.8).
	TrustAD string
}

// Values of Config.TrustAD.
const (
	TrustAuto   = "auto"
	TrustAlways = "always"
	TrustNever  = "never"
)

const (
	defaultTimeout   = 3 * time.Second
	defaultAttempts  = 2
	defaultCacheSize = 10_000

	// maxTTL and maxNegativeTTL bound how long an answer is believed.
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = time.Hour
	// maxAliases is how many CNAMEs are followed.
	maxAliases = 8
	// udpBytes avoids fragments on every usual path (DNS flag day 2020).
	udpBytes = 1232
)

// Client is a Resolver that asks recursive DNS servers. It is safe for concurrent
// use.
type Client struct {
	servers  []string
	trusted  []bool // by server: its AD bit counts
	timeout  time.Duration
	attempts int
	cache    *cache
	flight   singleflight.Group
}

var _ Resolver = (*Client)(nil)

// New returns a Client. It fails if a server is not an address with a port, or
// if /etc/resolv.conf is needed and cannot be read.
func New(c Config) (*Client, error) {
	servers := slices.Clone(c.Servers)
	if len(servers) == 0 {
		var err error
		if servers, err = SystemServers("/etc/resolv.conf"); err != nil {
			return nil, err
		}
	}
	trusted := make([]bool, len(servers))
	for i, s := range servers {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("dns server %q: %w", s, err)
		}
		if trusted[i], err = trust(c.TrustAD, ap.Addr()); err != nil {
			return nil, err
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Client{
		servers:  servers,
		trusted:  trusted,
		timeout:  defaulted(c.Timeout, defaultTimeout),
		attempts: defaulted(c.Attempts, defaultAttempts),
		cache:    newCache(defaulted(c.CacheSize, defaultCacheSize), c.Clock),
	}, nil
}

func trust(mode string, server netip.Addr) (bool, error) {
	switch mode {
	case "", TrustAuto:
		return server.Unmap().IsLoopback(), nil
	case TrustAlways, TrustNever:
		return mode == TrustAlways, nil
	}
	return false, fmt.Errorf("dns trust %q: must be %s, %s or %s", mode, TrustAuto, TrustAlways, TrustNever)
}

func defaulted[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// SystemServers reads the name servers of a file in the form of resolv.conf.
func SystemServers(file string) ([]string, error) {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read name servers: %w", err)
	}
	if len(c.Servers) == 0 {
		return nil, fmt.Errorf("no name server in %s", file)
	}
	servers := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		servers = append(servers, net.JoinHostPort(s, c.Port))
	}
	return servers, nil
}

// Flush forgets all answers, so that a check sees what the servers say now.
func (c *Client) Flush() { c.cache.clear() }

// MX implements Resolver.
func (c *Client) MX(ctx context.Context, domain string) ([]MX, error) {
	hosts, _, err := c.LookupMX(ctx, domain)
	return hosts, err
}

// Addrs implements Resolver. Both types are asked for at the same time. Without an
// address there is always an error.
func (c *Client) Addrs(ctx context.Context, host string) (v4, v6 []netip.Addr, err error) {
	found, err := c.LookupAddrs(ctx, host)
	return found.V4, found.V6, err
}

// worse picks the error that says most about a host without addresses: what may
// get better first, then that it exists at all.
func worse(a, b error) error {
	rank := func(err error) int {
		kind, ok := kindOf(err)
		switch {
		case !ok:
			return 3
		case kind == Temporary:
			return 2
		case kind == NoData:
			return 1
		default:
			return 0
		}
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// TXT implements Resolver.
func (c *Client) TXT(ctx context.Context, name string) ([]string, error) {
	a, err := c.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(a.records))
	for _, rr := range a.records {
		texts = append(texts, unescape(strings.Join(rr.(*dns.TXT).Txt, "")))
	}
	return texts, nil
}

// CNAME implements Resolver.
func (c *Client) CNAME(ctx context.Context, name string) (string, error) {
	target, _, err := c.LookupCNAME(ctx, name)
	return target, err
}

// PTR returns the names an address has in its reverse zone. Those that cannot be
// names of hosts are left out.
func (c *Client) PTR(ctx context.Context, addr netip.Addr) ([]string, error) {
	reverse, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, &Error{Kind: BadName, Name: addr.String(), Type: "PTR", Err: err}
	}
	a, err := c.lookup(ctx, reverse, dns.TypePTR)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(a.records))
	for _, rr := range a.records {
		if name, err := asciiName(rr.(*dns.PTR).Ptr); err == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, &Error{Kind: NoData, Name: canonicalName(reverse), Type: "PTR"}
	}
	return names, nil
}

// lookup returns the records of a type, at least one, from the cache or a server.
// With an error of kind NotFound or NoData it returns what is known about the
// absence, too. Callers with the same question share one exchange, which goes on
// when one of them gives up.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) (answer, error) {
	ascii, err := asciiName(name)
	if err != nil {
		return answer{}, &Error{Kind: BadName, Name: shorten(name), Type: dns.TypeToString[qtype], Err: err}
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	q := question{ascii, qtype}
	if a, ok := c.cache.get(q); ok {
		return a.result()
	}
	shared := c.flight.DoChan(fmt.Sprintf("%d %s", qtype, ascii), func() (any, error) {
		a, err := c.resolve(context.WithoutCancel(ctx), q)
		if err == nil {
			c.cache.put(q, a)
		}
		return a, err
	})
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case r := <-shared:
		if r.Err != nil {
			return answer{}, r.Err
		}
		return r.Val.(answer).result()
	}
}

func (a answer) result() (answer, error) {
	if a.err != nil {
		return a, a.err
	}
	return a, nil
}

// resolve asks, and asks again for the target if a server returns an alias only.
func (c *Client) resolve(ctx context.Context, q question) (answer, error) {
	target, ttl, secure := q.name, maxTTL, true
	for range maxAliases {
		reply, server, err := c.ask(ctx, question{target, q.qtype})
		if err != nil {
			return answer{}, &Error{Kind: Temporary, Name: q.name, Type: dns.TypeToString[q.qtype], Server: server, Err: err}
		}
		secure = secure && reply.AuthenticatedData
		a, next := readReply(reply, question{target, q.qtype}, ttl)
		a.secure = secure
		if next == "" {
			if a.err != nil {
				a.err.Name, a.err.Server = q.name, server
			}
			return a, nil
		}
		target, ttl = next, a.ttl
	}
	return answer{}, &Error{Kind: Temporary, Name: q.name, Type: dns.TypeToString[q.qtype], Err: errAliases}
}

var errAliases = errors.New("too many aliases")

// readReply takes from a reply what answers q. If that is an alias whose target
// the server did not look up, it is returned as next.
func readReply(reply *dns.Msg, q question, ttl time.Duration) (a answer, next string) {
	name := q.name
	for range maxAliases {
		a = answer{name: name, ttl: ttl}
		var alias *dns.CNAME
		for _, rr := range reply.Answer {
			if canonicalName(rr.Header().Name) != name || rr.Header().Class != dns.ClassINET {
				continue
			}
			if rr.Header().Rrtype == q.qtype {
				a.records = append(a.records, rr)
				a.ttl = min(a.ttl, seconds(rr.Header().Ttl))
			} else if cname, ok := rr.(*dns.CNAME); ok {
				alias = cname
			}
		}
		if len(a.records) > 0 {
			return a, ""
		}
		if alias == nil {
			break
		}
		name, ttl = canonicalName(alias.Target), min(ttl, seconds(alias.Hdr.Ttl))
	}
	negativeTTL, authoritative := soaTTL(reply)
	if name != q.name && reply.Rcode == dns.RcodeSuccess && !authoritative {
		return answer{ttl: ttl}, name
	}
	kind := NoData
	if reply.Rcode == dns.RcodeNameError {
		kind = NotFound
	}
	e := &Error{Kind: kind, Name: q.name, Type: dns.TypeToString[q.qtype]}
	return answer{name: name, err: e, ttl: min(ttl, negativeTTL)}, ""
}

// soaTTL is how long absence may be believed, RFC 2308, section 5; without an SOA
// record it may not.
func soaTTL(reply *dns.Msg) (time.Duration, bool) {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(maxNegativeTTL, seconds(min(soa.Hdr.Ttl, soa.Minttl))), true
		}
	}
	return 0, false
}

// seconds converts a TTL; with the top bit set it counts as zero (RFC 2181,
// section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// unescape undoes the presentation form in which the wire library hands over
// character strings: \DDD and \X (RFC 1035, section 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			b = append(b, byte(int(s[i]-'0')*100+int(s[i+1]-'0')*10+int(s[i+2]-'0')))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
