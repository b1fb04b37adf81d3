package peer_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
	"postroad/internal/core/peer"
	"postroad/internal/mail/tlspolicy"
)

// handshake has a real TLS server show a certificate to a client that judges it by
// the demand, and returns what became of it and the name the server was asked for.
func handshake(t *testing.T, w *world, cert tls.Certificate, host string, d peer.Demand) (verified bool, how, asked string, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sni := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		tc := tls.Server(conn, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			sni <- h.ServerName
			return &cert, nil
		}})
		_ = tc.HandshakeContext(w.ctx()) // the client says how it went
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tc := tls.Client(conn, &tls.Config{ServerName: d.ServerName(host), InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) (err error) {
		verified, how, err = peer.VerifyConnection(s, w.ca.pool, host, time.Now(), d)
		return err
	}})
	err = tc.HandshakeContext(w.ctx())
	<-done
	return verified, how, <-sni, err
}

// TestSTSTruthTable has every mode against hosts that match or not and certificates
// that are valid or not.
func TestSTSTruthTable(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const host = "mx.site.example"
		good := w.ca.issue(t, names(host))
		bad := map[string]tls.Certificate{
			"of another": w.ca.issue(t, names("other.example")),
			"of nobody":  newAuthority(t).issue(t, names(host)),
			"expired": w.ca.issue(t, func(c *x509.Certificate) {
				c.DNSNames, c.NotBefore, c.NotAfter = []string{host}, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}),
		}
		for _, mode := range []string{"enforce", "testing", "none", ""} {
			for _, pattern := range []string{host, "*.site.example", "other.example", "*.mx.site.example"} {
				domain := fmt.Sprintf("d%d.%s.example", len(pattern), map[string]string{"": "without"}[mode]+mode)
				if mode != "" {
					w.publish(domain, "1", text(mode, week, pattern))
				}
				p, err := w.Policy(w.ctx(), domain)
				if err != nil && (mode != "" || !errors.Is(err, peer.ErrNoPolicy)) {
					t.Fatal(err)
				}
				matches := pattern == host || pattern == "*.site.example"
				d, err := w.Check(w.ctx(), peer.Site{Domain: domain, Policy: p}, dnsx.Host{Name: host}, peer.Wish{})
				if mode == "enforce" && !matches {
					var refused *peer.HostError
					if !errors.As(err, &refused) || !errors.Is(err, peer.ErrNotInPolicy) || refused.Host != host {
						t.Errorf("%s %s: %+v, %v", mode, pattern, d, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s %s: %v", mode, pattern, err)
					continue
				}
				if enforced := mode == "enforce"; d.Require != enforced || d.Verify != enforced || (d.Source == peer.FromSTS) != enforced {
					t.Errorf("%s %s: %+v", mode, pattern, d)
				}
				if verified, how, _, err := handshake(t, w, good, host, d); err != nil || !verified || how != peer.ByPKIX {
					t.Errorf("%s %s, good certificate: %v %q %v", mode, pattern, verified, how, err)
				}
				for name, cert := range bad {
					verified, how, _, err := handshake(t, w, cert, host, d)
					if verified || how != peer.ByNothing || (err != nil) != (mode == "enforce") {
						t.Errorf("%s %s, certificate %s: %v %q %v", mode, pattern, name, verified, how, err)
					}
				}
			}
		}
	})
}

// TestSharedMX: domains on the same host share a connection only if their policies
// ask for the same.
func TestSharedMX(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("a.example", "1", text("enforce", week, "mx.host.example", "*.host.example"))
		w.publish("b.example", "77", text("enforce", "86400", "*.host.example", "mx.host.example"))
		w.publish("c.example", "1", text("enforce", week, "mx.elsewhere.example"))
		w.publish("d.example", "1", text("testing", week, "mx.elsewhere.example"))
		a, b, c, d := w.policy("a.example"), w.policy("b.example"), w.policy("c.example"), w.policy("d.example")
		if a.Identity() == "" || a.Identity() != b.Identity() || a.Identity() == c.Identity() || d.Identity() != "" {
			t.Errorf("identities %q %q %q %q", a.Identity(), b.Identity(), c.Identity(), d.Identity())
		}
		host := dnsx.Host{Name: "mx.host.example"}
		for p, want := range map[*peer.Policy]error{a: nil, b: nil, c: peer.ErrNotInPolicy, d: nil} {
			if _, err := w.Check(w.ctx(), peer.Site{Domain: p.Domain, Policy: p}, host, peer.Wish{}); !errors.Is(err, want) {
				t.Errorf("%s: %v", p.Domain, err)
			}
		}
	})
}

// TestSTSNames: a host is judged by the name in the MX record, not by what that is
// an alias of, in A- and U-labels alike.
func TestSTSNames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.zone.Set(t, "mx.site.example", "CNAME", "real.host.example.")
		w.zone.Set(t, "real.host.example", "A", "192.0.2.1")
		w.publish("site.example", "1", text("enforce", week, "mx.site.example"))
		site := peer.Site{Domain: "site.example", Policy: w.policy("site.example")}
		d, err := w.Check(w.ctx(), site, dnsx.Host{Name: "mx.site.example"}, peer.Wish{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := handshake(t, w, w.ca.issue(t, names("mx.site.example")), "mx.site.example", d); err != nil {
			t.Errorf("certificate of the MX: %v", err)
		}
		if _, _, _, err := handshake(t, w, w.ca.issue(t, names("real.host.example")), "mx.site.example", d); tlspolicy.CertificateResult(err) != tlspolicy.CertificateHostMismatch {
			t.Errorf("certificate of the alias's target: %v", err)
		}
		if _, err := w.Check(w.ctx(), site, dnsx.Host{Name: "real.host.example"}, peer.Wish{}); !errors.Is(err, peer.ErrNotInPolicy) {
			t.Errorf("the target is not in the policy: %v", err)
		}
		if _, err := w.Check(w.ctx(), site, dnsx.Host{Name: "[192.0.2.1]"}, peer.Wish{}); !errors.Is(err, peer.ErrNotInPolicy) {
			t.Errorf("an address: %v", err)
		}

		w.publish("xn--bcher-kva.example", "1", text("enforce", week, "mx.b\u00fccher.example"))
		site = peer.Site{Domain: "b\u00fccher.example", Policy: w.policy("b\u00fccher.example")}
		for _, host := range []string{"mx.xn--bcher-kva.example", "MX.b\u00fccher.example."} {
			d, err := w.Check(w.ctx(), site, dnsx.Host{Name: host}, peer.Wish{})
			if err != nil {
				t.Errorf("%s: %v", host, err)
				continue
			}
			state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{w.ca.issue(t, names("mx.xn--bcher-kva.example")).Leaf}}
			if ok, how, err := peer.VerifyConnection(state, w.ca.pool, host, time.Now(), d); !ok || how != peer.ByPKIX || err != nil {
				t.Errorf("%s: %v %q %v", host, ok, how, err)
			}
		}
	})
}

// TestWishes has what the message wants, alone and with a policy.
func TestWishes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("site.example", "1", text("enforce", week, "mx.site.example"))
		enforced := w.policy("site.example")
		host := dnsx.Host{Name: "mx.site.example"}
		for _, tt := range []struct {
			policy  *peer.Policy
			wish    peer.Wish
			want    peer.Demand
			good    bool // a certificate of another is
			reports tlspolicy.PolicyType
		}{
			{nil, peer.Wish{}, peer.Demand{}, true, tlspolicy.PolicyNone},
			{nil, peer.Wish{Require: true}, peer.Demand{Require: true, Source: peer.FromMessage}, true, tlspolicy.PolicyNone},
			{nil, peer.Wish{Verify: true}, peer.Demand{Require: true, Verify: true, Source: peer.FromMessage}, false, tlspolicy.PolicyNone},
			{enforced, peer.Wish{}, peer.Demand{Require: true, Verify: true, Source: peer.FromSTS}, false, tlspolicy.PolicySTS},
			{enforced, peer.Wish{Require: true}, peer.Demand{Require: true, Verify: true, Source: peer.FromSTS}, false, tlspolicy.PolicySTS},
		} {
			d, err := w.Check(w.ctx(), peer.Site{Domain: "site.example", Policy: tt.policy}, host, tt.wish)
			if err != nil || fmt.Sprint(d) != fmt.Sprint(tt.want) || d.PolicyType(tt.policy) != tt.reports {
				t.Errorf("%+v: %+v, %v", tt.wish, d, err)
			}
			ok, _, _, err := handshake(t, w, w.ca.issue(t, names("other.example")), host.Name, d)
			if ok || (err == nil) != tt.good {
				t.Errorf("%+v: certificate of another: %v %v", tt.wish, ok, err)
			}
		}
		tested := &peer.Policy{STS: tlspolicy.STS{Mode: tlspolicy.Testing}}
		if got := (&peer.Demand{}).PolicyType(tested); got != tlspolicy.PolicySTS {
			t.Errorf("a tested policy is reported as %q", got)
		}
	})
}

// spki is the usual record of a certificate.
func spki(c tls.Certificate) string {
	return fmt.Sprintf("3 1 1 %x", sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo))
}

func TestDANE(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const host, domain = "mx.site.example", "site.example"
		own := newAuthority(t) // known to nobody
		private := own.issue(t, names("what.ever"))
		underTA := own.issue(t, names(host))
		forDomain := own.issue(t, names(domain))
		valid := w.ca.issue(t, names(host))
		anchor := fmt.Sprintf("2 0 1 %x", sha256.Sum256(own.cert.Raw))
		w.publish(domain, "1", text("enforce", week, host))
		enforced := w.policy(domain)
		w.publish("away."+domain, "1", text("enforce", week, "mx.away.example"))
		away := w.policy("away." + domain)
		zone := func() {
			for _, n := range []string{host, "_25._tcp." + host, "real.host.example", "_25._tcp.real.host.example"} {
				w.zone.Fail(n, dns.RcodeSuccess)
				for _, kind := range []string{"A", "TLSA", "CNAME"} {
					w.zone.Delete(t, n, kind)
				}
			}
			w.zone.Unsign("host.example")
			w.zone.Sign(domain)
			w.zone.Set(t, host, "A", "192.0.2.1")
		}
		tlsa := func(name string, values ...string) { w.zone.Set(t, "_25._tcp."+name, "TLSA", values...) }
		for name, tt := range map[string]struct {
			arrange func()
			policy  *peer.Policy
			plain   bool // the MX records are not secure
			wish    peer.Wish
			source  string
			require bool
			usable  int
			sni     string
			certs   map[*tls.Certificate]string // how each is authenticated, "-" if it is refused
		}{
			"no records": {arrange: func() {}, certs: map[*tls.Certificate]string{&private: "", &valid: peer.ByPKIX}},
			"its certificate": {arrange: func() { tlsa(host, spki(private)) }, source: peer.FromDANE, require: true, usable: 1,
				certs: map[*tls.Certificate]string{&private: peer.ByDANE, &underTA: "-", &valid: "-"}},
			"its authority": {arrange: func() { tlsa(host, anchor) }, source: peer.FromDANE, require: true, usable: 1,
				certs: map[*tls.Certificate]string{&private: "-", &underTA: peer.ByDANE, &forDomain: peer.ByDANE, &valid: "-"}},
			"either": {arrange: func() { tlsa(host, anchor, spki(valid), "1 1 1 ab") }, source: peer.FromDANE, require: true, usable: 2,
				certs: map[*tls.Certificate]string{&private: "-", &underTA: peer.ByDANE, &valid: peer.ByDANE}},
			"none usable": {arrange: func() { tlsa(host, "1 1 1 "+spki(valid)[6:], "3 1 1 abcd") }, source: peer.FromDANE, require: true,
				certs: map[*tls.Certificate]string{&private: "", &valid: peer.ByPKIX}},
			"none usable, message wants verification": {arrange: func() { tlsa(host, "3 1 1 abcd") }, wish: peer.Wish{Verify: true}, source: peer.FromDANE, require: true,
				certs: map[*tls.Certificate]string{&private: "-", &valid: peer.ByPKIX}},
			"none usable, MTA-STS": {arrange: func() { tlsa(host, "3 1 1 abcd") }, policy: enforced, source: peer.FromSTS, require: true,
				certs: map[*tls.Certificate]string{&private: "-", &valid: peer.ByPKIX}},
			"message wants verification": {arrange: func() { tlsa(host, spki(private)) }, wish: peer.Wish{Verify: true}, source: peer.FromDANE, require: true, usable: 1,
				certs: map[*tls.Certificate]string{&private: peer.ByDANE, &valid: "-"}},
			"with MTA-STS": {arrange: func() { tlsa(host, spki(private)) }, policy: enforced, source: peer.FromDANE, require: true, usable: 1,
				certs: map[*tls.Certificate]string{&private: peer.ByDANE, &valid: "-"}},
			"MX records not secure": {arrange: func() { tlsa(host, spki(private)) }, plain: true,
				certs: map[*tls.Certificate]string{&underTA: "", &valid: peer.ByPKIX}},
			"host not secure": {arrange: func() { w.zone.Unsign(domain); tlsa(host, spki(private)) },
				certs: map[*tls.Certificate]string{&underTA: "", &valid: peer.ByPKIX}},
			"host not secure, TLSA fails": {arrange: func() { w.zone.Unsign(domain); w.zone.Fail("_25._tcp."+host, dns.RcodeServerFailure) },
				certs: map[*tls.Certificate]string{&valid: peer.ByPKIX}},
			"alias, records at its target": {arrange: func() {
				w.zone.Delete(t, host, "A")
				w.zone.Set(t, host, "CNAME", "real.host.example.")
				w.zone.Set(t, "real.host.example", "A", "192.0.2.1")
				w.zone.Sign("host.example")
				tlsa("real.host.example", spki(private))
				tlsa(host, spki(valid)) // not looked at
			}, source: peer.FromDANE, require: true, usable: 1, sni: "real.host.example", certs: map[*tls.Certificate]string{&private: peer.ByDANE, &valid: "-"}},
			"alias, records at itself": {arrange: func() {
				w.zone.Delete(t, host, "A")
				w.zone.Set(t, host, "CNAME", "real.host.example.")
				w.zone.Set(t, "real.host.example", "A", "192.0.2.1")
				w.zone.Sign("host.example")
				tlsa(host, spki(private))
			}, source: peer.FromDANE, require: true, usable: 1, certs: map[*tls.Certificate]string{&private: peer.ByDANE, &valid: "-"}},
			"alias into a zone that is not signed": {arrange: func() {
				w.zone.Delete(t, host, "A")
				w.zone.Set(t, host, "CNAME", "real.host.example.")
				w.zone.Set(t, "real.host.example", "A", "192.0.2.1")
				tlsa("real.host.example", spki(valid)) // not secure
				tlsa(host, spki(private))
			}, source: peer.FromDANE, require: true, usable: 1, certs: map[*tls.Certificate]string{&private: peer.ByDANE, &valid: "-"}},
			"alias into a zone that is not signed, where TLSA fails": {arrange: func() {
				w.zone.Delete(t, host, "A")
				w.zone.Set(t, host, "CNAME", "real.host.example.")
				w.zone.Set(t, "real.host.example", "A", "192.0.2.1")
				w.zone.Fail("_25._tcp.real.host.example", dns.RcodeServerFailure)
			}, certs: map[*tls.Certificate]string{&valid: peer.ByPKIX}},
			"no address": {arrange: func() { w.zone.Delete(t, host, "A"); tlsa(host, spki(private)) },
				certs: map[*tls.Certificate]string{&valid: peer.ByPKIX}},
		} {
			zone()
			tt.arrange()
			d, err := w.Check(w.ctx(), peer.Site{Domain: domain, Policy: tt.policy, Secure: !tt.plain}, dnsx.Host{Name: host}, tt.wish)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if d.Source != tt.source || d.Require != tt.require || len(d.TLSA) != tt.usable {
				t.Errorf("%s: %+v", name, d)
			}
			for cert, want := range tt.certs {
				ok, how, asked, err := handshake(t, w, *cert, host, d)
				if want == "-" && (ok || how != "" || err == nil) || want != "-" && (how != want || ok != (want != "") || err != nil) {
					t.Errorf("%s, certificate of %v: %v %q %v; want %q", name, cert.Leaf.DNSNames, ok, how, err, want)
				}
				if sni := tt.sni; asked != sni && !(sni == "" && asked == host) {
					t.Errorf("%s: the server was asked for %q", name, asked)
				}
			}
		}

		// Look-ups that fail are no absence.
		for name, arrange := range map[string]func(){
			"TLSA": func() { w.zone.Fail("_25._tcp."+host, dns.RcodeServerFailure) },
			"host": func() { w.zone.Fail(host, dns.RcodeServerFailure) },
		} {
			zone()
			arrange()
			var refused *peer.HostError
			_, err := w.Check(w.ctx(), peer.Site{Domain: domain, Secure: true}, dnsx.Host{Name: host}, peer.Wish{})
			if !errors.As(err, &refused) || refused.Result != tlspolicy.DNSSECInvalid {
				t.Errorf("%s cannot be looked up: %v", name, err)
			}
		}
		zone()
		tlsa(host, spki(private))
		if _, err := w.Check(w.ctx(), peer.Site{Domain: domain, Policy: away, Secure: true}, dnsx.Host{Name: host}, peer.Wish{}); !errors.Is(err, peer.ErrNotInPolicy) {
			t.Errorf("DANE made up for a host that is not in the policy: %v", err)
		}
		ended := endedContext(t)
		if _, err := w.Check(ended, peer.Site{Domain: domain, Secure: true}, dnsx.Host{Name: host}, peer.Wish{}); !errors.Is(err, context.Canceled) {
			t.Errorf("context ended: %v", err)
		}
		if d, err := w.Check(w.ctx(), peer.Site{Domain: domain, Secure: true}, dnsx.Host{Name: "[192.0.2.1]"}, peer.Wish{}); err != nil || d.Require {
			t.Errorf("an address: %+v, %v", d, err)
		}
	})
}

func TestCovers(t *testing.T) {
	record := func(usage uint8, data string) dnsx.TLSA {
		return dnsx.TLSA{Usage: usage, Selector: 1, Matching: 1, Data: []byte(data)}
	}
	none, tlsOnly, valid := peer.Demand{}, peer.Demand{Require: true}, peer.Demand{Require: true, Verify: true}
	dane := func(domain string, r ...dnsx.TLSA) peer.Demand {
		return peer.Demand{Require: true, Verify: true, TLSA: r, Names: []string{"mx.example", domain}}
	}
	ee, ta := dane("a.example", record(3, "x")), dane("a.example", record(3, "x"), record(2, "y"))
	for i, tt := range []struct {
		open    peer.Demand
		secured bool
		how     string
		next    peer.Demand
		want    bool
	}{
		{none, false, "", none, true},
		{none, true, "", none, true},
		{none, false, "", tlsOnly, false},
		{none, true, "", tlsOnly, true},
		{none, true, "", valid, false},
		{none, true, peer.ByPKIX, valid, true},
		{none, true, peer.ByPKIX, ee, false},
		{valid, true, peer.ByPKIX, none, true},
		{ee, true, peer.ByDANE, none, true},
		{ee, true, peer.ByDANE, tlsOnly, true},
		{ee, true, peer.ByDANE, valid, false},
		{ee, true, peer.ByDANE, ee, true},
		{ee, true, peer.ByDANE, dane("b.example", record(3, "x")), true},
		{ee, true, peer.ByDANE, dane("a.example", record(3, "z")), false},
		{ee, true, peer.ByDANE, ta, false},
		{ta, true, peer.ByDANE, ta, true},
		{ta, true, peer.ByDANE, dane("b.example", record(3, "x"), record(2, "y")), false},
	} {
		if got := tt.open.Covers(&tt.next, tt.secured, tt.how); got != tt.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}
