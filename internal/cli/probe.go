package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postroad/internal/base/disk"
	"postroad/internal/base/dnsx"
	"postroad/internal/config"
)

// probe is what the checks are made with. Its functions are those of the
// machine, and of test servers in tests.
type probe struct {
	e        *Env
	cfg      *config.Config
	warnings []string
	client   *client
	hasKey   bool

	resolver dnsx.Resolver
	targets  []string // domains whose mail hosts are dialled
	port     string   // 25
	patience time.Duration
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	reverse  func(ctx context.Context, ip string) ([]string, error)
	source   func(v6 bool) (netip.Addr, error) // address the machine would send from
	synced   func() (synced, known bool)
	disk     func(dir string) (disk.Space, error)
}

// portTimeout is how long a mail host may take to connect and greet.
const portTimeout = 5 * time.Second

func newProbe(e *Env, cfg *config.Config, o *clientFlags) (*probe, error) {
	base, err := baseURL(firstSet(o.url, e.variable(envURL), listenURL(cfg)))
	if err != nil {
		return nil, err
	}
	key := firstSet(o.key, e.variable(envKey))
	p := &probe{e: e, cfg: cfg, client: newClient(base, firstSet(key, defaultKey)), hasKey: key != "" || cfg.Mode == config.Dev && !cfg.Strict,
		targets: []string{"gmail.com", "outlook.com", "yahoo.com"}, port: "25", patience: portTimeout,
		dial: (&net.Dialer{}).DialContext, source: sourceAddr, synced: clockSynced, disk: disk.Of}
	var servers []string
	var custom func(context.Context, string, string) (net.Conn, error)
	if cfg.DNS != "" {
		servers = []string{string(cfg.DNS)}
		custom = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return p.dial(ctx, network, string(cfg.DNS))
		}
	}
	p.reverse = (&net.Resolver{PreferGo: true, Dial: custom}).LookupAddr
	r, err := dnsx.New(dnsx.Config{Servers: servers, Timeout: 2 * time.Second, CacheSize: 100, Clock: e.clock().Now})
	if err != nil {
		p.resolver = noResolver{err}
		return p, nil
	}
	p.resolver = r
	return p, nil
}

// listenURL is where a server with these settings is found on this machine.
func listenURL(cfg *config.Config) string {
	scheme, l := "http", cfg.HTTP
	if l == "" {
		scheme, l = "https", cfg.HTTPS
	}
	if l == "" {
		return defaultURL
	}
	host := l.Host()
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(l.Port()))
}

// noResolver stands in for a resolver that cannot be set up.
type noResolver struct{ err error }

func (n noResolver) MX(context.Context, string) ([]dnsx.MX, error) { return nil, n.err }
func (n noResolver) Addrs(context.Context, string) (v4, v6 []netip.Addr, err error) {
	return nil, nil, n.err
}
func (n noResolver) TXT(context.Context, string) ([]string, error) { return nil, n.err }
func (n noResolver) CNAME(context.Context, string) (string, error) { return "", n.err }

// sourceAddr is the address the machine would send from, found by routing to a
// public address. Connecting a UDP socket sends nothing.
func sourceAddr(v6 bool) (netip.Addr, error) {
	network, far := "udp4", "192.0.2.1:25"
	if v6 {
		network, far = "udp6", "[2001:db8::1]:25"
	}
	conn, err := net.Dial(network, far)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return at.Addr().Unmap(), err
}

// captures reports whether mail never leaves, so that sending needs no checks.
func (p *probe) captures() bool { return p.cfg.Mode == config.Dev }

const captureNote = "capture mode sends nothing"

// relaysAll reports whether no mail goes to the mail hosts of recipients.
func (p *probe) relaysAll() bool {
	return slices.ContainsFunc(p.cfg.Relay, func(r config.Relay) bool { return r.Pattern == "*" })
}

func (p *probe) relays() []string {
	var out []string
	for _, r := range p.cfg.Relay {
		if !slices.Contains(out, r.Addr()) && !p.captures() {
			out = append(out, r.Addr())
		}
	}
	return out
}

func (p *probe) checkResolver(ctx context.Context) finding {
	const fix = "name a resolver that works in /etc/resolv.conf, or with --dns HOST:PORT"
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	// Capture mode and a relay inside do all they are for without the network.
	fail := broken
	if p.captures() || p.relaysAll() {
		fail = warned
	}
	for i, t := range p.targets {
		began := p.e.clock().Now()
		hosts, err := p.resolver.MX(ctx, t)
		took := p.e.clock().Now().Sub(began).Round(time.Millisecond)
		if err == nil {
			return good("%s has %s, answered in %s", t, count(len(hosts), "mail host", "mail hosts"), took)
		}
		if !dnsx.IsNotFound(err) {
			return fail(fix, "%s", shortReason(err))
		}
		if i == len(p.targets)-1 {
			return fail(fix, "it answers, but knows none of %s: %s", strings.Join(p.targets, ", "), shortReason(err))
		}
	}
	return skipped("no name to ask for")
}

// errLookup says that no mail host could be found to be dialled.
var errLookup = errors.New("not tried, no mail host can be looked up")

const portFix = "ask your provider to open outgoing port 25, or send through a relay: --relay '*=smtp://USER:PASSWORD@HOST:587'"

func (p *probe) checkPort(ctx context.Context, v6 bool) finding {
	switch {
	case p.captures():
		return skipped(captureNote)
	case p.relaysAll():
		return skipped("all mail goes through a relay")
	}
	if _, err := p.source(v6); err != nil && v6 {
		return skipped("this machine has no IPv6 connection; mail goes out over IPv4")
	}
	greeting, err := p.greetAny(ctx, v6)
	if err == nil {
		return good("%s", greeting)
	}
	if v6 {
		if _, err4 := p.greetAny(ctx, false); err4 == nil {
			return warned("open port 25 for IPv6 too, or take the IPv6 route away: each delivery tries it first", "%v", err)
		}
	}
	if errors.Is(err, errLookup) {
		return broken("put the DNS resolver right first", "%v", err)
	}
	return broken(portFix, "%v", err)
}

// greetAny asks the mail hosts of all targets at once; one that greets is enough,
// because the others' troubles are not ours.
func (p *probe) greetAny(ctx context.Context, v6 bool) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		text string
		err  error
	}
	results := make([]result, len(p.targets))
	var wg sync.WaitGroup
	for i, t := range p.targets {
		wg.Go(func() {
			text, err := p.greetDomain(ctx, t, v6)
			results[i] = result{text, err}
			if err == nil {
				cancel()
			}
		})
	}
	wg.Wait()
	var dialled, looked []string
	for _, r := range results {
		switch {
		case r.err == nil:
			return r.text, nil
		case errors.Is(r.err, errLookup):
			looked = append(looked, r.err.Error())
		default:
			dialled = append(dialled, r.err.Error())
		}
	}
	if len(dialled) == 0 {
		return "", fmt.Errorf("%w%s", errLookup, strings.TrimPrefix(looked[0], errLookup.Error()))
	}
	return "", errors.New(strings.Join(dialled, "; "))
}

// greetDomain dials the first mail host of a domain that has an address of the
// family.
func (p *probe) greetDomain(ctx context.Context, domain string, v6 bool) (string, error) {
	lookup, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	hosts, err := dnsx.MailHosts(lookup, p.resolver, domain, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %s", errLookup, shortReason(err))
	}
	for _, h := range hosts[:min(len(hosts), 3)] {
		v4s, v6s, err := p.resolver.Addrs(lookup, h.Name)
		if err != nil {
			return "", fmt.Errorf("%w: %s", errLookup, shortReason(err))
		}
		if v6 {
			v4s = v6s
		}
		if len(v4s) > 0 {
			return p.greet(ctx, h.Name, net.JoinHostPort(v4s[0].String(), p.port), false)
		}
	}
	return "", fmt.Errorf("%w: those of %s have no such address", errLookup, domain)
}

// greet connects and reads the first line: a port that opens without a greeting
// is some other device's answer.
func (p *probe) greet(ctx context.Context, name, address string, withTLS bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	raw, err := p.dial(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("%s (%s): %s", name, address, dialReason(err, p.patience))
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn := raw
	if withTLS {
		conn = tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) // only whether it answers; deliveries verify
	}
	line, err := bufio.NewReaderSize(conn, 1024).ReadSlice('\n')
	text := cut(clean(strings.TrimSpace(string(line))), 80)
	if err != nil {
		return "", fmt.Errorf("%s (%s): connected, but no greeting came: something in between may answer in its place", name, address)
	}
	if !strings.HasPrefix(text, "220") {
		return "", fmt.Errorf("%s (%s): %s", name, address, text)
	}
	return name + ": " + text, nil
}

// dialReason is why a connection was not made, without the addresses.
func dialReason(err error, patience time.Duration) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", patience)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	}
	return err.Error()
}

func (p *probe) checkRelay(ctx context.Context, address string) finding {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return broken("correct --relay", "%v", err)
	}
	smtps := slices.ContainsFunc(p.cfg.Relay, func(r config.Relay) bool { return r.Addr() == address && r.Scheme == "smtps" })
	greeting, err := p.greet(ctx, host, address, smtps)
	if err != nil {
		return broken("check host and port of --relay, and that this machine may reach them", "%v", err)
	}
	return good("%s", greeting)
}

// checkPTR compares the name of the public address with the host name: many
// receivers refuse mail from addresses whose name does not lead back.
func (p *probe) checkPTR(ctx context.Context) finding {
	switch {
	case p.captures():
		return skipped(captureNote)
	case p.relaysAll():
		return skipped("all mail goes through a relay")
	}
	ip, how, err := p.publicAddr(ctx)
	if err != nil {
		return skipped("the public address cannot be told from here: %v", err)
	}
	name := p.cfg.Hostname
	if badHostname(name) != "" {
		name = "a name like mail.YOUR-DOMAIN, and give the same as --hostname"
	}
	fix := fmt.Sprintf("have your provider set the PTR record of %s to %s", ip, name)
	names, err := p.reverse(ctx, ip.String())
	var dns *net.DNSError
	switch {
	case err == nil && len(names) == 0, errors.As(err, &dns) && dns.IsNotFound:
		return broken(fix, "%s (%s) has no name", ip, how)
	case err != nil:
		return skipped("the name of %s (%s) cannot be looked up: %s", ip, how, shortReason(err))
	}
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSuffix(names[i], "."))
	}
	v4, v6, err := p.resolver.Addrs(ctx, names[0])
	switch {
	case err != nil || !slices.Contains(append(v4, v6...), ip):
		return broken(fix+", and an address record of that name to the address", "%s (%s) is named %s, which does not lead back to it", ip, how, names[0])
	case !slices.Contains(names, strings.ToLower(p.cfg.Hostname)):
		return warned("--hostname "+names[0]+", or "+fix, "%s (%s) is named %s, the host name in HELO is %s", ip, how, names[0], p.cfg.Hostname)
	}
	return good("%s (%s) is named %s, which leads back to it", ip, how, names[0])
}

// publicAddr is the address others see mail come from: the machine's own if it
// is public, else, behind address translation, that of the host name.
func (p *probe) publicAddr(ctx context.Context) (ip netip.Addr, how string, err error) {
	own, err := p.source(false)
	if err == nil && isPublic(own) {
		return own, "address of this machine", nil
	}
	v4, _, nameErr := p.resolver.Addrs(ctx, p.cfg.Hostname)
	for _, a := range v4 {
		if isPublic(a) {
			return a, "address of " + p.cfg.Hostname, nil
		}
	}
	if nameErr != nil {
		return ip, "", fmt.Errorf("%s has no public address that could be found", p.cfg.Hostname)
	}
	return ip, "", errors.New("this machine and its host name have private addresses only")
}

// isPublic reports whether an address can be that of a server on the Internet.
func isPublic(a netip.Addr) bool {
	for _, text := range []string{"100.64.0.0/10", "198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "2001:db8::/32"} {
		if netip.MustParsePrefix(text).Contains(a) { // shared, for measurements, for documents, reserved (RFC 6890)
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
