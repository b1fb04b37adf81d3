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
	"golang.org/x/sync/errgroup"
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
}

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
	for _, s := range servers {
		if _, err := netip.ParseAddrPort(s); err != nil {
			return nil, fmt.Errorf("dns server %q: %w", s, err)
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Client{
		servers:  servers,
		timeout:  defaulted(c.Timeout, defaultTimeout),
		attempts: defaulted(c.Attempts, defaultAttempts),
		cache:    newCache(defaulted(c.CacheSize, defaultCacheSize), c.Clock),
	}, nil
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
	records, err := c.lookup(ctx, domain, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	hosts := make([]MX, 0, len(records))
	for _, rr := range records {
		mx := rr.(*dns.MX)
		hosts = append(hosts, MX{Name: canonicalName(mx.Mx), Preference: mx.Preference})
	}
	return hosts, nil
}

// Addrs implements Resolver. Both types are asked for at the same time. Without an
// address there is always an error.
func (c *Client) Addrs(ctx context.Context, host string) (v4, v6 []netip.Addr, err error) {
	var errA, errAAAA error
	var g errgroup.Group
	g.Go(func() error {
		v4, errA = c.addrs(ctx, host, dns.TypeA)
		return nil
	})
	v6, errAAAA = c.addrs(ctx, host, dns.TypeAAAA)
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	if len(v4)+len(v6) > 0 {
		return v4, v6, nil
	}
	return nil, nil, worse(errA, errAAAA)
}

// addrs returns the addresses of one type, at least one. A record may be there
// and hold none: the wire library lets one without data through.
func (c *Client) addrs(ctx context.Context, host string, qtype uint16) ([]netip.Addr, error) {
	records, err := c.lookup(ctx, host, qtype)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(records))
	for _, rr := range records {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA.To16()
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, &Error{Kind: NoData, Name: canonicalName(host), Type: dns.TypeToString[qtype]}
	}
	return addrs, nil
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
	records, err := c.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(records))
	for _, rr := range records {
		texts = append(texts, unescape(strings.Join(rr.(*dns.TXT).Txt, "")))
	}
	return texts, nil
}

// CNAME implements Resolver.
func (c *Client) CNAME(ctx context.Context, name string) (string, error) {
	records, err := c.lookup(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", err
	}
	return canonicalName(records[0].(*dns.CNAME).Target), nil
}

// lookup returns the records of a type, at least one, from the cache or a server.
// Callers with the same question share one exchange, which goes on when one of
// them gives up.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	ascii, err := asciiName(name)
	if err != nil {
		return nil, &Error{Kind: BadName, Name: shorten(name), Type: dns.TypeToString[qtype], Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
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
		return nil, ctx.Err()
	case r := <-shared:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(answer).result()
	}
}

func (a answer) result() ([]dns.RR, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.records, nil
}

// resolve asks, and asks again for the target if a server returns an alias only.
func (c *Client) resolve(ctx context.Context, q question) (answer, error) {
	target, ttl := q.name, maxTTL
	for range maxAliases {
		reply, server, err := c.ask(ctx, question{target, q.qtype})
		if err != nil {
			return answer{}, &Error{Kind: Temporary, Name: q.name, Type: dns.TypeToString[q.qtype], Server: server, Err: err}
		}
		a, next := readReply(reply, question{target, q.qtype}, ttl)
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
		a = answer{ttl: ttl}
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
	return answer{err: e, ttl: min(ttl, negativeTTL)}, ""
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
