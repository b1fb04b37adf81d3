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

// Limits of reusing a connection. Time bounds it as well as count: by count
// alone the slowest host of a destination would collect all connections.
const (
	maxPerConn  = 500
	maxConnAge  = 5 * time.Minute
	maxHosts    = 5 // MX hosts tried in one attempt
	maxAddrs    = 4 // addresses of one host tried in one attempt
	errTextSize = 500
)

// wire delivers by SMTP to the MX hosts of a domain or to a relay. It belongs
// to one session and keeps at most one connection.
type wire struct {
	e    *Engine
	lane string
	conn *conn
}

// conn is an open connection and what was learned while opening it.
type conn struct {
	*smtp.Client
	mx       string // host name as the MX record gives it
	local    string // our address
	tls      bool
	verified bool // certificate valid for the host
	opened   time.Time
	sent     int
	plain    bool // STARTTLS failed on an earlier connection of this attempt
}

// policy is what a message asks of the connection.
type policy struct {
	require bool // no delivery without TLS
	verify  bool // and the certificate must be valid
}

func (t *wire) close() {
	if t.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if t.conn.Usable() {
			t.conn.Quit(ctx) // politeness; the connection ends either way
		}
		t.conn.Close()
		t.conn = nil
	}
}

// policyOf reads the message's wishes, then the domain's. Mailgun: the message
// level wins.
func policyOf(j *job) policy {
	req, skip := j.dom.Settings.RequireTLS, j.dom.Settings.SkipVerification
	if v := j.msg.Meta.Options.RequireTLS; v != nil {
		req = *v
	}
	if v := j.msg.Meta.Options.SkipVerification; v != nil {
		skip = *v
	}
	return policy{require: req, verify: req && !skip}
}

func (c *conn) fits(p policy) bool { return (!p.require || c.tls) && (!p.verify || c.verified) }

// send hands the job over, on the open connection if it will do. A reused
// connection that turns out to be closed says nothing about the message: one
// fresh connection is tried.
func (t *wire) send(ctx context.Context, j *job) {
	p := policyOf(j)
	if c := t.conn; c != nil {
		if c.Usable() && c.fits(p) && c.sent < maxPerConn && t.e.clock.Now().Sub(c.opened) < maxConnAge {
			t.e.Stats.Reused.Add(1)
			c.StartTranscript()
			if t.transact(ctx, j, c) {
				return
			}
		}
		t.close()
	}
	c, fail := t.connect(ctx, domainOf(j.list[0].d.Recipient), p)
	if fail != nil {
		fail.apply(j.list)
		return
	}
	t.conn = c
	if !t.transact(ctx, j, c) {
		for _, o := range j.list {
			if o.verdict == undecided {
				o.tempfail(421, "4.4.2", "connection lost before the message was handed over")
				t.note(o, c)
			}
		}
	}
	if !c.Usable() {
		t.close()
	}
}

// transact runs one transaction and decides the outcomes. It reports false,
// deciding nothing, when the connection broke before the other side can have
// taken responsibility.
func (t *wire) transact(ctx context.Context, j *job, c *conn) bool {
	env := smtp.Envelope{From: j.msg.Sender, EightBit: j.msg.Meta.EightBit, UTF8: j.msg.Meta.UTF8, To: make([]string, len(j.list))}
	for i, o := range j.list {
		env.To[i] = o.d.Recipient
	}
	c.sent++
	res, err := c.Send(ctx, env, j.body)
	if errors.Is(err, smtp.ErrNoEightBit) {
		var body smtp.Message
		if body, err = t.sevenBit(j); err == nil {
			env.EightBit = false
			res, err = c.Send(ctx, env, body)
		}
	}
	var broken *smtp.StageError
	if errors.As(err, &broken) && broken.Stage != smtp.StageBody || errors.Is(err, smtp.ErrUnusable) {
		return false
	}
	var refused *smtp.ReplyError
	errors.As(err, &refused)
	for i, o := range j.list {
		r := res.Outcome(i)
		rcpt := !res.Recipients[i].Positive() && (refused == nil || refused.Stage == smtp.StageRcpt)
		switch {
		case r.Code != 0:
			o.classify(r.Code, r.Enhanced, clip(r.Text), rcpt)
		case err != nil:
			o.tempfail(451, "4.4.2", clip(err.Error()))
		default:
			o.tempfail(451, "4.4.2", "the server gave no answer for this recipient")
		}
		t.note(o, c)
	}
	return true
}

// note records how the message travelled.
func (t *wire) note(o *outcome, c *conn) {
	isTLS, verified, utf8 := c.tls, c.verified, c.Extensions().SMTPUTF8
	o.status.TLS, o.status.CertificateVerified, o.status.UTF8 = &isTLS, &verified, &utf8
	o.status.MXHost = c.mx
	o.ip = c.local
	o.detail = smtp.EncodeTranscript(c.Transcript())
}

// failure is an attempt that ended before a transaction.
type failure struct {
	perm     bool
	code     int
	enhanced string
	text     string
	bounce   bool
	mx, log  string
}

func (f *failure) apply(list []*outcome) {
	for _, o := range list {
		switch {
		case f.perm && f.bounce:
			o.permfail(f.code, f.enhanced, f.text, "bounce")
		case f.perm:
			o.permfail(f.code, f.enhanced, f.text, "generic")
		default:
			o.tempfail(f.code, f.enhanced, f.text)
		}
		o.status.Description = f.text
		o.status.MXHost = f.mx
		o.detail = f.log
	}
}

func clip(s string) string {
	if len(s) > errTextSize {
		return strings.ToValidUTF8(s[:errTextSize], "") + "..."
	}
	return s
}

// connect opens a connection for mail to domain: to its relay, or to the first
// MX host that answers.
func (t *wire) connect(ctx context.Context, domain string, p policy) (*conn, *failure) {
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
	for _, h := range hosts[:min(len(hosts), maxHosts)] {
		addrs, err := t.addresses(ctx, h)
		if err != nil {
			worst = later(worst, &failure{code: 450, enhanced: "4.4.3", text: "no address for " + h.Name + ": " + clip(err.Error()), mx: h.Name})
			continue
		}
		c, fail := t.toHost(ctx, strings.TrimSuffix(h.Name, "."), t.e.Port, addrs, p)
		if fail == nil {
			return c, nil
		}
		if worst = later(worst, fail); ctx.Err() != nil {
			break
		}
	}
	return nil, worst
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

// toHost opens a connection to one host. Opportunistic TLS that fails is
// followed by one connection in the clear, as mail is not to wait for a
// certificate nobody asked for.
func (t *wire) toHost(ctx context.Context, name, port string, addrs []netip.Addr, p policy) (*conn, *failure) {
	var worst *failure
	for _, a := range addrs {
		for _, plain := range []bool{false, true} {
			c, fail := t.open(ctx, name, net.JoinHostPort(a.String(), port), p, plain, nil)
			if fail == nil {
				return c, nil
			}
			worst = later(worst, fail)
			if !fail.tlsFailed() || p.require || ctx.Err() != nil {
				break
			}
		}
	}
	return nil, worst
}

const errTLS = "TLS handshake failed"

func (f *failure) tlsFailed() bool { return strings.HasPrefix(f.text, errTLS) }

func (t *wire) toRelay(ctx context.Context, r *Relay, p policy) (*conn, *failure) {
	if !t.e.PlainRelay && !isLoopback(r.Host) {
		p.require = true
	}
	return t.open(ctx, r.Host, net.JoinHostPort(r.Host, r.Port), p, false, r)
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
	dial := net.Dialer{Timeout: t.e.Connect}
	nc, err := dial.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &failure{code: 421, enhanced: "4.4.1", text: "connecting to " + name + ": " + clip(err.Error()), mx: name}
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
			fail.perm = false // a wrong relay password is ours to repair, not the message's fault
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
			if errors.As(err, &refused) && !p.require {
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
		err := verify(s, cfg.ServerName, t.e.clock.Now())
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
	f := &failure{code: 421, enhanced: "4.4.2", text: clip(err.Error()), mx: c.mx}
	var r *smtp.ReplyError
	if errors.As(err, &r) {
		f.code, f.enhanced, f.text = r.Reply.Code, r.Reply.Enhanced, clip(r.Reply.Text)
		f.perm = r.Reply.Permanent()
	}
	if c.Client != nil {
		f.log = smtp.EncodeTranscript(c.Transcript())
	}
	return f
}
