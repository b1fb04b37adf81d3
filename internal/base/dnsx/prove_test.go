package dnsx_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
)

func signedZone(t *testing.T) *dnstest.Zone {
	z := dnstest.New()
	z.SetTTL(300)
	z.Set(t, "signed.example", "MX", "10 mx.signed.example.", "20 mx.plain.example.")
	z.Set(t, "mx.signed.example", "A", "192.0.2.1")
	z.Set(t, "_25._tcp.mx.signed.example", "TLSA", "3 1 1 "+strings.Repeat("ab", 32), "2 0 2 00ff", "1 0 0 dead")
	z.Set(t, "alias.signed.example", "CNAME", "mx.signed.example.")
	z.Set(t, "outward.signed.example", "CNAME", "mx.plain.example.")
	z.Set(t, "plain.example", "MX", "10 mx.signed.example.")
	z.Set(t, "mx.plain.example", "A", "192.0.2.2")
	z.Set(t, "_25._tcp.mx.plain.example", "TLSA", "3 1 1 "+strings.Repeat("cd", 32))
	z.Set(t, "inward.plain.example", "CNAME", "mx.signed.example.")
	z.Sign("signed.example")
	return z
}

// TestSecure: an answer is secure if all of its way is, also from the cache, and
// however the server returns aliases.
func TestSecure(t *testing.T) {
	z := signedZone(t)
	c := newClient(t, z)
	for _, bare := range []bool{false, true} {
		z.Bare(bare)
		c.Flush()
		for round := range 2 {
			for host, want := range map[string]struct {
				name   string
				secure bool
			}{
				"mx.signed.example":      {"mx.signed.example", true},
				"alias.signed.example":   {"mx.signed.example", true},
				"outward.signed.example": {"mx.plain.example", false},
				"inward.plain.example":   {"mx.signed.example", false},
				"mx.plain.example":       {"mx.plain.example", false},
			} {
				found, err := c.LookupAddrs(t.Context(), host)
				if err != nil || found.Name != want.name || found.Secure != want.secure || len(found.V4) != 1 {
					t.Errorf("bare=%v round %d: %s: %+v, %v", bare, round, host, found, err)
				}
			}
			for name, secure := range map[string]bool{"alias.signed.example": true, "outward.signed.example": true, "inward.plain.example": false} {
				if _, meta, err := c.LookupCNAME(t.Context(), name); err != nil || meta.Secure != secure {
					t.Errorf("bare=%v round %d: CNAME of %s: %+v, %v", bare, round, name, meta, err)
				}
			}
			for domain, secure := range map[string]bool{"signed.example": true, "plain.example": false} {
				if _, meta, err := c.LookupMX(t.Context(), domain); err != nil || meta.Secure != secure {
					t.Errorf("bare=%v round %d: MX of %s: %+v, %v", bare, round, domain, meta, err)
				}
			}
		}
	}
}

func TestTLSA(t *testing.T) {
	z := signedZone(t)
	z.Fail("_25._tcp.bogus.signed.example", dns.RcodeServerFailure)
	z.Set(t, "_26._tcp.alias.signed.example", "CNAME", "_25._tcp.mx.signed.example.")
	c := newClient(t, z)
	for range 2 {
		records, secure, err := c.TLSA(t.Context(), 25, "MX.signed.example.")
		if err != nil || !secure {
			t.Fatalf("secure=%v, %v", secure, err)
		}
		var texts []string
		for _, r := range records {
			texts = append(texts, r.String())
		}
		if diff := cmp.Diff([]string{"3 1 1 " + strings.Repeat("ab", 32), "2 0 2 00ff", "1 0 0 dead"}, texts); diff != "" {
			t.Error(diff)
		}
	}
	if records, secure, err := c.TLSA(t.Context(), 26, "alias.signed.example"); err != nil || !secure || len(records) != 3 {
		t.Errorf("through an alias: %v, secure=%v, %v", records, secure, err)
	}
	if records, secure, err := c.TLSA(t.Context(), 25, "mx.plain.example"); err != nil || secure || len(records) != 1 {
		t.Errorf("unsigned: %v, secure=%v, %v", records, secure, err)
	}
	if records, secure, err := c.TLSA(t.Context(), 25, "none.signed.example"); !dnsx.IsNotFound(err) || !secure || records != nil {
		t.Errorf("absent: %v, secure=%v, %v", records, secure, err)
	}
	if records, secure, err := c.TLSA(t.Context(), 25, "none.plain.example"); !dnsx.IsNotFound(err) || secure || records != nil {
		t.Errorf("absent, unsigned: %v, secure=%v, %v", records, secure, err)
	}
	if _, secure, err := c.TLSA(t.Context(), 25, "bogus.signed.example"); err == nil || dnsx.IsNotFound(err) || secure {
		t.Errorf("bogus: secure=%v, %v", secure, err)
	}
	if _, _, err := c.TLSA(t.Context(), 25, "a b"); !dnsx.IsNotFound(err) {
		t.Errorf("bad name: %v", err)
	}
}

func TestManyTLSA(t *testing.T) {
	z := dnstest.New()
	var values []string
	for i := range 200 {
		values = append(values, fmt.Sprintf("3 1 1 %064x", i))
	}
	z.Set(t, "_25._tcp.many.example", "TLSA", values...)
	records, _, err := newClient(t, z).TLSA(t.Context(), 25, "many.example")
	if err != nil || len(records) != 64 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// adServer says of every answer that it was validated, and counts the queries that
// asked for it.
func adServer(t *testing.T) (server string, asked chan bool) {
	asked = make(chan bool, 10)
	return serveRaw(t, func(q *dns.Msg) []*dns.Msg {
		m := replyTo(q, "x")
		m.AuthenticatedData = true
		m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: "y.example."}}
		asked <- q.AuthenticatedData
		return []*dns.Msg{m}
	}), asked
}

// TestTrustAD: the word of a server counts as the configuration says. A server of
// the Internet cannot be had in a test; trust itself is tested within the package.
func TestTrustAD(t *testing.T) {
	server, asked := adServer(t)
	for mode, want := range map[string]bool{"": true, dnsx.TrustAuto: true, dnsx.TrustAlways: true, dnsx.TrustNever: false} {
		c, err := dnsx.New(dnsx.Config{Servers: []string{server}, TrustAD: mode})
		if err != nil {
			t.Fatal(err)
		}
		_, meta, err := c.LookupCNAME(t.Context(), "x.example")
		if err != nil || meta.Secure != want {
			t.Errorf("%q: %+v, %v", mode, meta, err)
		}
		if got := <-asked; got != want {
			t.Errorf("%q: the query asked for it: %v", mode, got)
		}
	}
	if _, err := dnsx.New(dnsx.Config{Servers: []string{server}, TrustAD: "sometimes"}); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}

// TestTrustIsPerServer: an answer of a second server that says nothing of
// validation is not secure although the first would have.
func TestTrustIsPerServer(t *testing.T) {
	first, second := signedZone(t), signedZone(t)
	first.Fail("mx.signed.example", dns.RcodeServerFailure)
	second.Unsign("signed.example")
	c, err := dnsx.New(dnsx.Config{Servers: []string{first.Start(t), second.Start(t)}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := c.LookupAddrs(t.Context(), "mx.signed.example"); err != nil || found.Secure {
		t.Errorf("%+v, %v", found, err)
	}
	if _, meta, err := c.LookupMX(t.Context(), "signed.example"); err != nil || !meta.Secure {
		t.Errorf("%+v, %v", meta, err)
	}
}

func TestTTLShrinks(t *testing.T) {
	z := signedZone(t)
	var clock fakeClock
	c := newClient(t, z, func(c *dnsx.Config) { c.Clock = clock.Now })
	for _, want := range []time.Duration{300, 299, 1} {
		_, meta, err := c.LookupMX(t.Context(), "signed.example")
		if err != nil || meta.TTL != want*time.Second {
			t.Errorf("got %v, %v; want %v s", meta.TTL, err, want)
		}
		if want == 300 {
			clock.Advance(time.Second)
		} else {
			clock.Advance(298 * time.Second)
		}
	}
	if n := z.Queries(t, "signed.example", "MX"); n != 1 {
		t.Errorf("%d queries", n)
	}
	clock.Advance(-1000 * time.Second) // a clock set back
	if _, meta, err := c.LookupMX(t.Context(), "signed.example"); err != nil || meta.TTL > 300*time.Second {
		t.Errorf("after the clock was set back: %v, %v", meta.TTL, err)
	}
}

func TestMailRoute(t *testing.T) {
	z := signedZone(t)
	z.Set(t, "implicit.signed.example", "A", "192.0.2.7")
	z.SetTTL(40)
	z.Set(t, "short.example", "A", "192.0.2.8")
	z.Set(t, "null.signed.example", "MX", "0 .")
	c := newClient(t, z)
	for domain, want := range map[string]dnsx.Route{
		"signed.example": {Hosts: []dnsx.Host{{Name: "mx.signed.example", Preference: 10}, {Name: "mx.plain.example", Preference: 20}},
			TTL: 300 * time.Second, Secure: true},
		"plain.example":           {Hosts: []dnsx.Host{{Name: "mx.signed.example", Preference: 10}}, TTL: 300 * time.Second},
		"implicit.signed.example": {Hosts: []dnsx.Host{{Name: "implicit.signed.example", Implicit: true}}, TTL: 40 * time.Second, Secure: true},
		"short.example":           {Hosts: []dnsx.Host{{Name: "short.example", Implicit: true}}, TTL: 40 * time.Second},
	} {
		got, err := dnsx.MailRoute(t.Context(), c, domain, unshuffled)
		if err != nil {
			t.Errorf("%s: %v", domain, err)
		} else if diff := cmp.Diff(want, got, compareAddr); diff != "" {
			t.Errorf("%s: %s", domain, diff)
		}
	}
	literal, err := dnsx.MailRoute(t.Context(), c, "[192.0.2.1]", nil)
	if err != nil || literal.Secure || literal.TTL == 0 || len(literal.Hosts) != 1 {
		t.Errorf("literal: %+v, %v", literal, err)
	}
	if route, err := dnsx.MailRoute(t.Context(), c, "null.signed.example", nil); !errors.Is(err, dnsx.ErrNullMX) || route.Hosts != nil {
		t.Errorf("null MX: %+v, %v", route, err)
	}
}
