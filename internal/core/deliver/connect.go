package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/mail/smtp"
)

const (
	maxHosts = 5 // MX hosts tried in one attempt
	maxAddrs = 4 // addresses of one host tried in one attempt
)

// connect opens a connection for mail to domain: to its relay, or to the first
// MX host that answers.
//
// A destination that lets us wait in vain is left alone for a while: what is
// queued for it is deferred without holding up a session each time.
func (t *wire) connect(ctx context.Context, domain string, p policy) (*conn, *failure) {
	began := t.e.clock.Now()
	if fail := t.e.silent(t.lane); fail != nil {
		return nil, fail
	}
	t.patience = began.Add(3 * t.e.Connect)
	c, fail := t.reach(ctx, domain, p)
	if fail != nil {
		t.e.noteSilence(ctx, t.lane, began, t.e.Connect, fail)
		return nil, fail
	}
	t.e.dead.Drop(t.lane)
	return c, nil
}

// noteSilence remembers for a while that a lane or an address let us wait in
// vain.
func (e *Engine) noteSilence(ctx context.Context, what string, began time.Time, d time.Duration, fail *failure) {
	if now := e.clock.Now(); fail.silent && now.Sub(began) >= e.Connect/2 && ctx.Err() == nil {
		e.dead.Put(what, &outage{now.Add(d), fail})
	}
}

// silent returns how a lane or address failed if it let us wait lately.
func (e *Engine) silent(what string) *failure {
	out, ok := e.dead.Get(what)
	if !ok || !e.clock.Now().Before(out.until) {
		return nil
	}
	return out.fail
}

// tired reports whether no further host or address is to be tried.
func (t *wire) tired(ctx context.Context) bool {
	return ctx.Err() != nil || t.e.clock.Now().After(t.patience)
}

// outage is a destination that did not answer.
type outage struct {
	until time.Time
	fail  *failure
}

func (t *wire) reach(ctx context.Context, domain string, p policy) (*conn, *failure) {
	if t.e.Relay != nil {
		if r := t.e.Relay(domain); r != nil {
			return t.toRelay(ctx, r, p)
		}
	}
	hosts, err := dnsx.MailHosts(ctx, t.e.Resolver, domain, nil)
	if err != nil {
		return nil, noRoute(domain, err)
	}
	var worst *failure
	var last []target // addresses that let us wait lately
	for _, h := range hosts[:min(len(hosts), maxHosts)] {
		addrs, err := t.addresses(ctx, h)
		if err != nil {
			worst = later(worst, &failure{code: 450, enhanced: "4.4.3", text: "no address for " + h.Name + ": " + clip(err.Error()), mx: h.Name})
			continue
		}
		for _, a := range addrs {
			to := target{strings.TrimSuffix(h.Name, "."), a}
			if t.e.silent(a.String()) != nil {
				last = append(last, to)
			} else if c, fail := t.try(ctx, to, p); fail == nil {
				return c, nil
			} else if worst = later(worst, fail); t.tired(ctx) {
				return nil, worst
			}
		}
	}
	for _, to := range last {
		c, fail := t.try(ctx, to, p)
		if fail == nil {
			return c, nil
		}
		if worst = later(worst, fail); t.tired(ctx) {
			break
		}
	}
	return nil, worst
}

// target is an address of an MX host.
type target struct {
	name string
	addr netip.Addr
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
		return &failure{perm: true, bounce: true, code: 556, enhanced: "5.1.10", text: "domain " + domain + " does not accept mail (null MX)"}
	case errors.Is(err, dnsx.ErrNoMailHost), errors.Is(err, dnsx.ErrBadMX), errors.Is(err, dnsx.ErrBadLiteral), dnsx.IsNotFound(err):
		// A name that does not exist today may be a typing error or a broken
		// delegation; Mailgun retries, so that a repaired zone loses nothing.
		return &failure{code: 498, enhanced: "4.4.4", text: text}
	}
	return &failure{code: 451, enhanced: "4.4.3", text: text + ": " + clip(err.Error())}
}

func (t *wire) addresses(ctx context.Context, h dnsx.Host) ([]netip.Addr, error) {
	if h.Addr.IsValid() {
		return []netip.Addr{h.Addr}, nil
	}
	v4, v6, err := t.e.Resolver.Addrs(ctx, h.Name)
	if err != nil {
		return nil, err
	}
	return interleave(v4, v6), nil
}

// interleave orders addresses so that a broken family costs one attempt.
func interleave(v4, v6 []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for i := 0; i < len(v4) || i < len(v6); i++ {
		if i < len(v4) {
			out = append(out, v4[i])
		}
		if i < len(v6) {
			out = append(out, v6[i])
		}
	}
	return out[:min(len(out), maxAddrs)]
}

// try opens a connection to one address. Opportunistic TLS that fails is
// followed by one connection in the clear, as mail is not to wait for a
// certificate nobody asked for.
func (t *wire) try(ctx context.Context, to target, p policy) (*conn, *failure) {
	began, addr := t.e.clock.Now(), net.JoinHostPort(to.addr.String(), t.e.Port)
	c, fail := t.open(ctx, to.name, addr, p, false, nil)
	if fail != nil && fail.tlsFailed() && !p.require && !t.tired(ctx) {
		c, fail = t.open(ctx, to.name, addr, p, true, nil)
	}
	if fail != nil {
		t.e.noteSilence(ctx, to.addr.String(), began, 10*t.e.Connect, fail)
	}
	return c, fail
}

const errTLS = "TLS handshake failed"

func (f *failure) tlsFailed() bool { return strings.HasPrefix(f.text, errTLS) }

func (t *wire) toRelay(ctx context.Context, r *Relay, p policy) (*conn, *failure) {
	if !t.e.PlainRelay && !isLoopback(r.Host) {
		p.require = true
		p.verify = p.verify || r.User != "" // a password goes to nobody else
	}
	c, fail := t.open(ctx, r.Host, net.JoinHostPort(r.Host, r.Port), p, false, r)
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

// open dials, greets and encrypts.
func (t *wire) open(ctx context.Context, name, addr string, p policy, plain bool, r *Relay) (*conn, *failure) {
	dctx, cancel := context.WithTimeout(ctx, t.e.Connect)
	nc, err := t.e.Dial(dctx, "tcp", addr)
	cancel()
	if err != nil {
		return nil, &failure{code: 421, enhanced: "4.4.1", text: "connecting to " + name + ": " + clip(err.Error()), mx: name, silent: true}
	}
	t.e.Stats.Connections.Add(1)
	c := &conn{mx: name, opened: t.e.clock.Now()}
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		c.local = a.AddrPort().Addr().Unmap().String()
	}
	if r != nil && r.TLS {
		tc := tls.Client(nc, t.tlsConfig(name, p, c))
		hctx, cancel := context.WithTimeout(ctx, t.e.Connect)
		err := tc.HandshakeContext(hctx)
		cancel()
		if err != nil {
			nc.Close()
			return nil, &failure{code: 421, enhanced: "4.7.5", text: errTLS + " with " + name + ": " + clip(err.Error()), mx: name}
		}
		nc, c.tls = tc, true
	}
	cl, err := smtp.NewClient(ctx, nc, smtp.ClientOptions{HELO: t.e.Hostname, ServerName: addr, Timeouts: t.e.Timeouts, Transcript: true,
		AllowPlainAuth: t.e.PlainRelay || r != nil && isLoopback(r.Host), Now: t.e.clock.Now, Buffers: t.e.buffers})
	if err != nil {
		return nil, c.refusal(err)
	}
	c.Client = cl
	if fail := t.secure(ctx, c, p, plain); fail != nil {
		fail.log = smtp.EncodeTranscript(cl.Transcript())
		cl.Close()
		return nil, fail
	}
	if r != nil && r.User != "" {
		if err := cl.Auth(ctx, r.User, r.Pass); err != nil {
			fail := c.refusal(err)
			fail.code, fail.enhanced = 454, "4.7.0"
			cl.Close()
			return nil, fail
		}
	}
	return c, nil
}

// secure starts TLS as the policy and the server allow.
func (t *wire) secure(ctx context.Context, c *conn, p policy, plain bool) *failure {
	if !c.tls && c.Extensions().StartTLS && !plain {
		if err := c.StartTLS(ctx, t.tlsConfig(c.mx, p, c)); err != nil {
			var refused *smtp.ReplyError
			if errors.As(err, &refused) && refused.Stage == smtp.StageStartTLS && !p.require {
				return nil // the plaintext session goes on
			}
			return &failure{code: 421, enhanced: "4.7.5", text: errTLS + " with " + c.mx + ": " + clip(err.Error()), mx: c.mx}
		}
		c.tls = true
	}
	if p.require && !c.tls {
		return &failure{code: 450, enhanced: "4.7.4", text: c.mx + " does not offer TLS, which is required", mx: c.mx}
	}
	return nil
}

// tlsConfig verifies the certificate itself: required verification fails the
// handshake, otherwise the result is only recorded.
func (t *wire) tlsConfig(name string, p policy, c *conn) *tls.Config {
	cfg := &tls.Config{ServerName: strings.TrimSuffix(name, "."), MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		err := verify(s, t.e.Roots, cfg.ServerName, t.e.clock.Now())
		c.verified = err == nil
		if p.verify {
			return err
		}
		return nil
	}
	return cfg
}

// refusal turns the end of a greeting into a failure. A host that refuses to
// talk may be alone in that: the message waits.
func (c *conn) refusal(err error) *failure {
	f := &failure{code: 421, enhanced: "4.4.2", text: clip(err.Error()), mx: c.mx, silent: true}
	var r *smtp.ReplyError
	if errors.As(err, &r) {
		f.code, f.enhanced, f.text = r.Reply.Code, r.Reply.Enhanced, clip(r.Reply.Text)
		f.perm, f.silent = r.Reply.Permanent(), false
	}
	if c.Client != nil {
		f.log = smtp.EncodeTranscript(c.Transcript())
	}
	return f
}
