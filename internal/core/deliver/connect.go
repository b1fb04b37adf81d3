package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/core/ippool"
	"postroad/internal/core/peer"
	"postroad/internal/mail/smtp"
)

const (
	maxHosts = 5 // MX hosts tried in one attempt
	maxAddrs = 4 // addresses of one host tried in one attempt
)

// connect opens a connection for mail to a site: to its relay, or to the first
// MX host that answers, leaving out those in avoid. Without a host left it
// returns neither a connection nor a failure.
//
// A lane that lets us wait in vain is left alone for a while: what is queued for
// it is deferred without holding up a session each time.
func (t *wire) connect(ctx context.Context, site *Site, src ippool.Source, p policy, avoid []string) (*conn, *failure) {
	began := t.e.clock.Now()
	if fail := t.e.silent(t.lane); fail != nil {
		return nil, fail
	}
	if len(avoid) == 0 {
		t.patience = began.Add(3 * t.e.Connect)
	}
	t.source = src
	c, fail := t.reach(ctx, site, p, avoid)
	if fail != nil {
		t.e.noteSilence(ctx, t.lane, began, fail)
		return nil, fail
	}
	if c != nil {
		c.site, c.source = site.Name, src.Name
		t.e.dead.Drop(t.lane)
	}
	return c, nil
}

// noteSilence remembers for a while that a lane let us wait in vain.
func (e *Engine) noteSilence(ctx context.Context, lane string, began time.Time, fail *failure) {
	if fail.silent && e.clock.Now().Sub(began) >= e.Connect/2 && ctx.Err() == nil {
		e.leaveAlone(lane, fail)
	}
}

// leaveAlone has what is queued for a lane fail the same way for a while.
func (e *Engine) leaveAlone(lane string, fail *failure) {
	again := *fail
	again.again = true
	e.dead.Put(lane, &outage{e.clock.Now().Add(e.Connect), &again})
}

// silent returns how a lane failed if it let us wait lately.
func (e *Engine) silent(lane string) *failure {
	out, ok := e.dead.Get(lane)
	if !ok || !e.clock.Now().Before(out.until) {
		return nil
	}
	return out.fail
}

// outage is a destination that did not answer.
type outage struct {
	until time.Time
	fail  *failure
}

// tired reports whether no further host or address is to be tried.
func (t *wire) tired(ctx context.Context) bool {
	return ctx.Err() != nil || t.e.clock.Now().After(t.patience)
}

func (t *wire) reach(ctx context.Context, site *Site, p policy, avoid []string) (*conn, *failure) {
	switch {
	case site.fail != nil:
		return nil, site.fail
	case site.Relay != nil && len(avoid) > 0:
		return nil, nil
	case site.Relay != nil:
		return t.toRelay(ctx, site.Relay, p)
	}
	list := t.e.hosts.order(site.Hosts, t.source.Name, t.e.Shuffle)
	list = slices.DeleteFunc(slices.Clone(list), func(h dnsx.Host) bool { return slices.Contains(avoid, h.Name) })
	list = list[:min(len(list), max(0, maxHosts-len(avoid)))]
	var worst *failure
	for i, h := range list {
		c, fail := t.host(ctx, site, h, p, i < len(list)-1)
		if fail == nil {
			return c, nil
		}
		if worst = later(worst, fail); t.tired(ctx) || fail.everywhere {
			break
		}
	}
	return nil, worst
}

// host opens a connection to one MX host. With others after it, it is not waited
// for as long.
func (t *wire) host(ctx context.Context, site *Site, h dnsx.Host, p policy, others bool) (*conn, *failure) {
	name := strings.TrimSuffix(h.Name, ".")
	addrs, fail := t.addresses(ctx, h, name)
	if fail != nil {
		return nil, fail
	}
	o := opening{name: name, connect: t.e.Connect, banner: t.e.Timeouts.Banner}
	if others {
		o.connect = max(t.e.Connect/3, min(t.e.Connect, time.Second))
		if o.banner == 0 || o.banner > 2*t.e.Connect {
			o.banner = 2 * t.e.Connect
		}
	}
	if o.ask, fail = t.ask(ctx, site, h, t.job.list[0].d.Destination, p); fail != nil {
		return nil, fail
	}
	o.plain = !o.ask.Require && t.e.Peer.AvoidTLS(name)
	var worst *failure
	for len(addrs) > 0 {
		c, addr, fail := t.try(ctx, &o, addrs)
		if fail == nil {
			t.e.hosts.well(h.Name, t.source.Name)
			t.e.hosts.well(addr.String(), t.source.Name)
			return c, nil
		}
		if worst = later(worst, fail); fail.everywhere || !addr.IsValid() || t.tired(ctx) {
			break
		}
		t.e.hosts.failed(addr.String(), t.source.Name)
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a == addr })
	}
	if ctx.Err() == nil && !worst.ours {
		t.e.hosts.failed(h.Name, t.source.Name)
	}
	return nil, worst
}

// addresses returns those of the host that the source can reach, in the order to
// try.
func (t *wire) addresses(ctx context.Context, h dnsx.Host, name string) ([]netip.Addr, *failure) {
	if h.Addr.IsValid() {
		return []netip.Addr{h.Addr}, nil
	}
	v4, v6, err := t.e.Resolver.Addrs(ctx, h.Name)
	if err != nil {
		return nil, &failure{code: 450, enhanced: "4.4.3", text: "no address for " + name + ": " + clip(err.Error()), mx: name}
	}
	all := t.e.hosts.addrs(h.Name, t.source.Name, v4, v6)
	if t.source.Name == "" && len(all) > 0 {
		return all, nil
	}
	all = slices.DeleteFunc(all, func(a netip.Addr) bool { _, ok := t.source.Local(a); return !ok })
	if len(all) == 0 {
		return nil, &failure{code: 450, enhanced: "4.4.4", mx: name, ours: true,
			text: "no address of " + name + " can be reached from source \"" + t.source.Name + "\""}
	}
	return all, nil
}

// later keeps the failure that says more: a refusal that another host did not
// share stays temporary.
func later(a, b *failure) *failure {
	if a == nil || a.perm && !b.perm {
		return b
	}
	if b.perm && !a.perm {
		return a
	}
	return b
}

// noRoute turns a look-up without result into a failure. Mailgun: code 498 for
// no MX.
func noRoute(domain string, err error) *failure {
	text := fmt.Sprintf("No MX for [%s]", domain)
	switch {
	case errors.Is(err, dnsx.ErrNullMX):
		return &failure{perm: true, bounce: true, unreached: true, code: 556, enhanced: "5.1.10", text: "domain " + domain + " does not accept mail (null MX)"}
	case errors.Is(err, dnsx.ErrNoMailHost), errors.Is(err, dnsx.ErrBadMX), errors.Is(err, dnsx.ErrBadLiteral), dnsx.IsNotFound(err):
		// A name that does not exist today may be a typing error or a broken
		// delegation; Mailgun retries, so that a repaired zone loses nothing.
		return &failure{unreached: true, code: 498, enhanced: "4.4.4", text: text}
	}
	return &failure{unreached: true, code: 451, enhanced: "4.4.3", text: text + ": " + clip(err.Error())}
}

// opening is how a connection to a host is opened.
type opening struct {
	name    string
	connect time.Duration // per address
	banner  time.Duration
	ask     ask
	plain   bool   // without STARTTLS although it is offered
	relay   *Relay // nil for an MX host
}

// try opens a connection to one of the addresses; addr is the one that answered,
// invalid when none did. Opportunistic TLS that fails is followed by one
// connection in the clear, as mail is not to wait for a certificate nobody asked
// for.
func (t *wire) try(ctx context.Context, o *opening, addrs []netip.Addr) (*conn, netip.Addr, *failure) {
	nc, addr, err := t.race(ctx, o.name, addrs, o.connect)
	if err != nil {
		return nil, netip.Addr{}, o.unreachable(err)
	}
	c, fail := t.open(ctx, nc, *o)
	if fail == nil || !fail.tls || o.ask.Require || t.tired(ctx) {
		return c, addr, fail
	}
	if nc, err = t.dial(ctx, addr, o.connect); err != nil {
		return nil, addr, o.unreachable(err)
	}
	again := *o
	again.plain = true
	c, fail = t.open(ctx, nc, again)
	return c, addr, fail
}

func (o *opening) unreachable(err error) *failure {
	return &failure{code: 421, enhanced: "4.4.1", text: "connecting to " + o.name + ": " + clip(err.Error()), mx: o.name, silent: true}
}

func (t *wire) toRelay(ctx context.Context, r *Relay, p policy) (*conn, *failure) {
	if !t.e.PlainRelay && !isLoopback(r.Host) {
		p.require = true
		p.verify = p.verify || r.User != "" // a password goes to nobody else
	}
	o := opening{name: r.Host, connect: t.e.Connect, banner: t.e.Timeouts.Banner, relay: r}
	o.ask.Demand = peer.Demand{Require: p.require, Verify: p.verify, Source: peer.FromMessage}
	dctx, cancel := context.WithTimeout(ctx, o.connect)
	nc, err := t.e.Dial(dctx, "tcp", net.JoinHostPort(r.Host, r.Port), netip.Addr{})
	cancel()
	if err != nil {
		return nil, o.unreachable(err)
	}
	c, fail := t.open(ctx, nc, o)
	if fail != nil {
		fail.perm = false // a relay that refuses us says nothing about the message
	}
	return c, fail
}

// isLoopback reports whether traffic to host stays on the machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// open greets, encrypts and logs in on a new connection, which it closes on
// failure.
func (t *wire) open(ctx context.Context, nc net.Conn, o opening) (*conn, *failure) {
	t.e.Stats.Connections.Add(1)
	c := &conn{mx: o.name, opened: t.e.clock.Now(), ask: o.ask, facts: &facts{}}
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		c.local = a.AddrPort().Addr().Unmap().String()
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.remote = a.AddrPort().Addr().Unmap().String()
	}
	if o.relay != nil && o.relay.TLS {
		tc := tls.Client(nc, t.tlsConfig(c))
		hctx, cancel := context.WithTimeout(ctx, t.e.Connect)
		err := tc.HandshakeContext(hctx)
		cancel()
		if err != nil {
			nc.Close()
			return nil, &failure{code: 421, enhanced: "4.7.5", text: errTLS + " with " + o.name + ": " + clip(err.Error()), mx: o.name}
		}
		nc, c.tls = tc, true
	}
	cl, err := smtp.NewClient(ctx, nc, t.clientOptions(nc, &o))
	if err != nil {
		return nil, t.refusal(c, err)
	}
	c.Client = cl
	if fail := t.secure(ctx, c, &o); fail != nil {
		fail.log = smtp.EncodeTranscript(cl.Transcript())
		cl.Close()
		return nil, fail
	}
	if o.relay != nil && o.relay.User != "" {
		if err := cl.Auth(ctx, o.relay.User, o.relay.Pass); err != nil {
			fail := t.refusal(c, err)
			fail.code, fail.enhanced = 454, "4.7.0"
			cl.Close()
			return nil, fail
		}
	}
	c.utf8 = c.Extensions().SMTPUTF8
	return c, nil
}

func (t *wire) clientOptions(nc net.Conn, o *opening) smtp.ClientOptions {
	opt := smtp.ClientOptions{HELO: t.e.Hostname, ServerName: nc.RemoteAddr().String(), Timeouts: t.e.Timeouts, Transcript: true,
		AllowPlainAuth: t.e.PlainRelay || o.relay != nil && isLoopback(o.relay.Host), Now: t.e.clock.Now, Buffers: t.e.buffers,
		OnLine: t.line}
	opt.Timeouts.Banner = o.banner
	if t.source.HELO != "" {
		opt.HELO = t.source.HELO
	}
	return opt
}

// refusal turns the end of a greeting into a failure. A host that refuses to
// talk may be alone in that: the message waits.
func (t *wire) refusal(c *conn, err error) *failure {
	f := &failure{code: 421, enhanced: "4.4.2", text: clip(err.Error()), mx: c.mx, silent: true}
	var r *smtp.ReplyError
	if errors.As(err, &r) {
		f.code, f.enhanced, f.text = r.Reply.Code, r.Reply.Enhanced, clip(r.Reply.Text)
		f.perm, f.silent, f.said = r.Reply.Permanent(), false, true
		t.said(f)
	}
	if c.Client != nil {
		f.log = smtp.EncodeTranscript(c.Transcript())
	}
	return f
}
