package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/core/ippool"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
	"postroad/internal/mail/tlspolicy"
)

// roads is a router with a name server of its own.
type roads struct {
	*Router
	zone *dnstest.Zone
	now  *clock.Fake
}

func newRoads(t *testing.T, change func(*RouterConfig)) *roads {
	t.Helper()
	zone := dnstest.New()
	addr := zone.Start(t)
	zone.SetTTL(0)
	now := clock.NewFake(time.Unix(1.7e9, 0))
	res, err := dnsx.New(dnsx.Config{Servers: []string{addr}, CacheSize: -1, Clock: now.Now, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := RouterConfig{Resolver: res, Clock: now, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	return &roads{NewRouter(c), zone, now}
}

// lane routes a delivery to a destination, looking it up if need be.
func (r *roads) lane(t *testing.T, destination string) string {
	t.Helper()
	d := &queue.Delivery{Destination: destination, AccountID: "a", DomainID: 7}
	r.Resolve(context.Background(), d)
	lane, ok := r.Route(d)
	if !ok {
		t.Fatalf("%s: no lane after Resolve", destination)
	}
	return lane
}

func TestSiteName(t *testing.T) {
	hosts := func(names ...string) (out []dnsx.Host) {
		for i, n := range names {
			out = append(out, dnsx.Host{Name: n, Preference: uint16(i)})
		}
		return out
	}
	if got := siteName(hosts("MX2.x.test.", "mx1.x.test", "mx2.x.test"), ""); got != "mx:mx1.x.test,mx2.x.test" {
		t.Errorf("%s", got)
	}
	if got := siteName(hosts("mx.x.test"), "abc"); got != "mx:mx.x.test,tls~abc" {
		t.Errorf("%s", got)
	}
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprintf("mx%d.some-provider.example", i))
	}
	a, b := siteName(hosts(many...), ""), siteName(hosts(many[:8]...), "")
	if a == b || len(a) > 70 || !strings.HasPrefix(a, "mx:mx0.some-provider.example,+8~") || strings.Contains(a, "@") {
		t.Errorf("%s and %s", a, b)
	}
}

// TestRollUp: domains with the same hosts share a lane, whatever the preferences.
func TestRollUp(t *testing.T) {
	r := newRoads(t, nil)
	r.zone.Set(t, "one.test", "MX", "10 mx1.p.test.", "20 mx2.p.test.")
	r.zone.Set(t, "two.test", "MX", "5 mx2.p.test.", "5 mx1.p.test.")
	r.zone.Set(t, "three.test", "MX", "5 mx1.p.test.")
	r.zone.Set(t, "own.test", "A", "192.0.2.1")
	if _, ok := r.Route(&queue.Delivery{Destination: "one.test"}); ok {
		t.Error("a lane before the look-up")
	}
	for name, want := range map[string]string{"one.test": "mx:mx1.p.test,mx2.p.test", "two.test": "mx:mx1.p.test,mx2.p.test",
		"three.test": "mx:mx1.p.test", "own.test": "mx:own.test", "gone.test": "gone.test", "[192.0.2.9]": "mx:[192.0.2.9]"} {
		if got := r.lane(t, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestURLRoute: nothing is looked up for a URL, and nothing that is about mail
// leads it elsewhere.
func TestURLRoute(t *testing.T) {
	r := newRoads(t, func(c *RouterConfig) {
		c.Relay = func(string) *Site { return CaptureSite("relay") }
		c.Reroute = func(string, string) (string, bool) { return "relay:x:25", true }
	})
	for _, name := range []string{"https://hooks.test", "http://[::1]:8080"} {
		d := &queue.Delivery{Destination: name, Pool: "p"}
		if lane, ok := r.Route(d); !ok || lane != name || r.moved(name, d) || r.Source(d).Name != "" {
			t.Errorf("%s: %s, %v", name, lane, ok)
		}
	}
}

// settle waits for look-ups in the background.
func (r *roads) settle() {
	for len(r.slots) > 0 {
		runtime.Gosched()
	}
}

// TestRouteAge: a route is used for a minute at least, a little longer while it is
// looked up again, and an hour when that fails.
func TestRouteAge(t *testing.T) {
	r := newRoads(t, nil)
	d := &queue.Delivery{Destination: "x.test"}
	r.zone.Set(t, "x.test", "MX", "1 old.test.")
	r.lane(t, "x.test")
	r.zone.Set(t, "x.test", "MX", "1 new.test.")
	r.now.Advance(minFresh - time.Second)
	if lane, _ := r.Route(d); lane != "mx:old.test" {
		t.Fatalf("within its time: %s", lane)
	}
	r.now.Advance(time.Second)
	if lane, _ := r.Route(d); lane != "mx:old.test" {
		t.Fatalf("while it is looked up: %s", lane)
	}
	r.settle()
	if lane, _ := r.Route(d); lane != "mx:new.test" {
		t.Fatalf("afterwards: %s", lane)
	}
	r.now.Advance(minFresh + staleFor)
	if lane, ok := r.Route(d); ok {
		t.Fatalf("long after its time: %s", lane)
	}
	r.zone.Fail("x.test", dns.RcodeServerFailure)
	for range 10 { // a failing name server: what is known is used, and asked for each minute
		if lane := r.lane(t, "x.test"); lane != "mx:new.test" {
			t.Fatalf("while the look-up fails: %s", lane)
		}
		r.now.Advance(minFresh)
		r.Route(d)
		r.settle()
	}
	r.now.Advance(staleFail)
	if lane := r.lane(t, "x.test"); lane != "x.test" {
		t.Fatalf("after an hour: %s", lane)
	}
	site, _ := r.For(context.Background(), d)
	if site.fail == nil || site.fail.code != 451 {
		t.Errorf("%+v", site.fail)
	}
	r.zone.Set(t, "x.test", "MX", "1 new.test.")
	r.zone.Fail("x.test", dns.RcodeSuccess)
	r.now.Advance(failFresh)
	if lane := r.lane(t, "x.test"); lane != "mx:new.test" {
		t.Errorf("repaired: %s", lane)
	}
}

func TestRules(t *testing.T) {
	rules := map[string]string{}
	relay := RelaySite("relay:in.test:25", &Relay{Host: "in.test", Port: "25"})
	pool, err := ippool.New(ippool.Config{Sources: []ippool.Source{{Name: "a", V4: netip.MustParseAddr("192.0.2.1")},
		{Name: "b", V4: netip.MustParseAddr("192.0.2.2"), Pool: "bulk"}}})
	if err != nil {
		t.Fatal(err)
	}
	own := false
	r := newRoads(t, func(c *RouterConfig) {
		c.Pool = pool
		c.Relay = func(domain string) *Site {
			if domain == "relayed.test" {
				return relay
			}
			return nil
		}
		c.RelayAt = func(addr string) *Site {
			if addr == "in.test:25" {
				return relay
			}
			return nil
		}
		c.Reroute = func(domain, site string) (string, bool) {
			if target, ok := rules[domain]; ok {
				return target, ok
			}
			target, ok := rules[site]
			return target, ok
		}
		c.Separate = func(string) bool { return own }
	})
	r.zone.Set(t, "x.test", "MX", "1 mx.test.")
	for _, c := range []struct{ destination, match, target, want string }{
		{"x.test", "", "", "mx:mx.test@a"},
		{"relayed.test", "", "", "relay:in.test:25"},
		{"x.test", "x.test", "relay:in.test:25", "relay:in.test:25"},
		{"x.test", "mx:mx.test", "relay:other.test:26", "relay:other.test:26"},
		{"x.test", "x.test", "pool:bulk", "mx:mx.test@b"},
		{"x.test", "mx:mx.test", "source:b", "mx:mx.test@b"},
		{"x.test", "x.test", "source:gone", "mx:mx.test@a"},
		{"x.test", "x.test", "pool:gone", "mx:mx.test@a"},
		{"relayed.test", "relayed.test", "pool:bulk", "relay:in.test:25"},
	} {
		clear(rules)
		rules[c.match] = c.target
		if got := r.lane(t, c.destination); got != c.want {
			t.Errorf("%s with %q for %q: %s, want %s", c.destination, c.target, c.match, got, c.want)
		}
	}
	clear(rules)
	own = true
	if got := r.lane(t, "x.test"); got != "x.test@a" {
		t.Errorf("separate: %s", got)
	}
}

// TestPolicyInLane: domains with the same hosts and different TLS policies have
// different lanes; one that cannot be read lets the mail wait.
func TestPolicyInLane(t *testing.T) {
	strict := &peer.Policy{STS: tlspolicy.STS{Mode: tlspolicy.Enforce, MX: []string{"mx.test"}}}
	r := newRoads(t, func(c *RouterConfig) {
		c.Policy = func(_ context.Context, domain string) (*peer.Policy, error) {
			switch domain {
			case "strict.test":
				return strict, nil
			case "trouble.test":
				return nil, context.DeadlineExceeded
			}
			return nil, peer.ErrNoPolicy
		}
	})
	for _, name := range []string{"strict.test", "plain.test", "trouble.test"} {
		r.zone.Set(t, name, "MX", "1 mx.test.")
	}
	if a, b := r.lane(t, "strict.test"), r.lane(t, "plain.test"); a != "mx:mx.test,tls~"+strict.Identity() || b != "mx:mx.test" {
		t.Errorf("%s and %s", a, b)
	}
	if site, _ := r.For(context.Background(), &queue.Delivery{Destination: "trouble.test"}); site.fail == nil || site.fail.enhanced != "4.7.5" {
		t.Errorf("%+v", site)
	}
}

func BenchmarkRoute(b *testing.B) {
	now := clock.System{}
	r := NewRouter(RouterConfig{Clock: now, Reroute: func(string, string) (string, bool) { return "", false }})
	site := &Site{Name: "mx:mx1.example.com,mx2.example.com"}
	r.routes.Put("example.com", &route{site: site, until: now.Now().Add(time.Hour)})
	d := &queue.Delivery{Destination: "example.com", AccountID: "0123456789abcdef", DomainID: 7}
	b.ReportAllocs()
	for range b.N {
		r.Route(d)
	}
}
