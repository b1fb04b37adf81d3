package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"postroad/internal/base/dnsx"
	"postroad/internal/core/peer"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/smtp"
	"postroad/internal/mail/tlspolicy"
)

const errTLS = "TLS handshake failed"

// ask is what the message and the policies of its destination ask of TLS with
// one host.
type ask struct {
	peer.Demand
	domain string       // whose mail it is
	policy *peer.Policy // nil without one; it may be one that is only tested
	secure bool         // the hosts were proven, so that DANE was asked for
}

// ask finds out what is asked of a host.
func (t *wire) ask(ctx context.Context, site *Site, h dnsx.Host, domain string, p policy) (ask, *failure) {
	a := ask{domain: domain, secure: site.Secure}
	name := strings.TrimSuffix(h.Name, ".")
	var err error
	if a.policy, err = t.e.Peer.Policy(ctx, domain); err != nil && !errors.Is(err, peer.ErrNoPolicy) {
		return a, &failure{code: 451, enhanced: "4.7.5", text: "the TLS policy of " + domain + " could not be read: " + clip(err.Error()), mx: name, ours: true}
	}
	a.Demand, err = t.e.Peer.Check(ctx, peer.Site{Domain: domain, Policy: a.policy, Secure: site.Secure}, h, peer.Wish{Require: p.require, Verify: p.verify})
	if err == nil {
		return a, nil
	}
	fail := &failure{code: 451, enhanced: "4.7.5", text: clip(err.Error()), mx: name, ours: true}
	var bad *peer.HostError
	if errors.As(err, &bad) {
		t.recordTLS(&conn{mx: name, ask: a, facts: &facts{}}, bad.Result, bad.Err)
		if errors.Is(err, peer.ErrNotInPolicy) {
			t.e.Peer.Recheck(domain)
		}
	}
	return a, fail
}

// recordTLS counts how TLS went, for the reports of RFC 8460.
func (t *wire) recordTLS(c *conn, result tlspolicy.ResultType, cause error) {
	if c.ask.domain == "" {
		return // a relay
	}
	r := peer.Result{PolicyDomain: c.ask.domain, PolicyType: c.ask.PolicyType(c.ask.policy), Success: result == tlspolicy.Success,
		ResultType: result, SendingIP: c.local, MX: c.mx, ReceivingIP: c.remote}
	switch r.PolicyType {
	case tlspolicy.PolicyTLSA:
		for _, rec := range c.ask.TLSA {
			r.PolicyStrings = append(r.PolicyStrings, rec.String())
		}
	case tlspolicy.PolicySTS:
		r.PolicyStrings = c.ask.policy.Lines()
	}
	if cause != nil {
		r.Reason = cause.Error()
	}
	t.e.Peer.Record(r)
}

// secure starts TLS as what is asked for and the server allow.
func (t *wire) secure(ctx context.Context, c *conn, o *opening) *failure {
	if c.tls {
		return nil
	}
	if !c.Extensions().StartTLS {
		t.recordTLS(c, tlspolicy.StartTLSNotSupported, nil)
	} else if !o.plain {
		if fail, over := t.handshake(ctx, c, o); over {
			return fail
		}
	}
	if o.ask.Require && !c.tls {
		return &failure{code: 450, enhanced: "4.7.4", text: c.mx + " does not offer TLS, which is required" + o.ask.by(), mx: c.mx}
	}
	return nil
}

// by names who requires TLS if it is not the message.
func (a *ask) by() string {
	switch a.Source {
	case peer.FromSTS:
		return " by the domain's MTA-STS policy"
	case peer.FromDANE:
		return " by DANE"
	}
	return ""
}

// handshake upgrades the connection. over is false when the session may go on in
// the clear.
func (t *wire) handshake(ctx context.Context, c *conn, o *opening) (fail *failure, over bool) {
	err := c.StartTLS(ctx, t.tlsConfig(c))
	if err == nil {
		c.tls = true
		t.verified(c)
		return nil, true
	}
	result := tlspolicy.CertificateResult(c.unverified)
	if result == tlspolicy.Success {
		result = tlspolicy.ValidationFailure
	}
	t.recordTLS(c, result, err)
	if o.ask.Source == peer.FromSTS {
		t.e.Peer.Recheck(c.ask.domain)
	}
	var refused *smtp.ReplyError
	if errors.As(err, &refused) && refused.Stage == smtp.StageStartTLS && !o.ask.Require {
		return nil, false // the plaintext session goes on
	}
	if !o.ask.Require && ctx.Err() == nil {
		t.e.Peer.NoteTLSFailure(c.mx)
	}
	return &failure{code: 421, enhanced: "4.7.5", text: errTLS + " with " + c.mx + o.ask.wanted() + ": " + clip(err.Error()), mx: c.mx, tls: true}, true
}

// wanted names what asks for a certificate if it is not the message.
func (a *ask) wanted() string {
	switch a.Source {
	case peer.FromSTS:
		return " (MTA-STS)"
	case peer.FromDANE:
		return " (DANE)"
	}
	return ""
}

// verified notes a handshake that succeeded.
func (t *wire) verified(c *conn) {
	t.e.Peer.NoteTLSSuccess(c.mx)
	if p := c.ask.policy; p != nil && p.Mode == tlspolicy.Testing {
		switch { // how it would have gone
		case !p.Match(c.mx):
			t.recordTLS(c, tlspolicy.ValidationFailure, peer.ErrNotInPolicy)
			return
		case c.unverified != nil:
			t.recordTLS(c, tlspolicy.CertificateResult(c.unverified), c.unverified)
			return
		}
	}
	t.recordTLS(c, tlspolicy.Success, nil)
}

// tlsConfig verifies the certificate itself: required verification fails the
// handshake, otherwise the result is only recorded. A resumed session is verified
// in the same way, with the certificates of its first handshake.
func (t *wire) tlsConfig(c *conn) *tls.Config {
	name := strings.TrimSuffix(c.mx, ".")
	cfg := &tls.Config{ServerName: c.ask.ServerName(name), MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		ClientSessionCache: tickets{t.e.tickets, key(t.lane, name)}}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		var err error
		c.verified, _, err = peer.VerifyConnection(s, t.e.Roots, name, t.e.clock.Now(), c.ask.Demand)
		c.unverified = err
		if err == nil && !c.verified && c.ask.policy != nil { // for the report only
			c.unverified = tlspolicy.VerifyPKIX(s.PeerCertificates, t.e.Roots, name, t.e.clock.Now())
		}
		return err
	}
	return cfg
}

// ticketsKept bounds the TLS sessions kept for resumption.
const ticketsKept = 4096

// tickets keeps the TLS sessions of a lane apart from those of others.
type tickets struct {
	tls.ClientSessionCache
	prefix string
}

// Get implements tls.ClientSessionCache.
func (c tickets) Get(key string) (*tls.ClientSessionState, bool) {
	return c.ClientSessionCache.Get(c.prefix + " " + key)
}

// Put implements tls.ClientSessionCache.
func (c tickets) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(c.prefix+" "+key, s)
}

// sevenBit re-encodes the message for a server without 8BITMIME and signs the
// result (RFC 6152: an 8-bit body may not be sent to it).
func (t *wire) sevenBit(j *job) (smtp.Message, error) {
	raw := mime.Join(j.body)
	converted, err := mime.SevenBit(raw)
	if err != nil {
		return nil, err
	}
	return t.e.resign(j, converted)
}
