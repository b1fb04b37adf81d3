package deliver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/netx"
	"postroad/internal/base/recent"
	"postroad/internal/core/ippool"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
)

// Bounds of what the router keeps.
const (
	minFresh   = time.Minute // whatever the TTL says
	maxFresh   = time.Hour
	staleFor   = 5 * time.Minute // used that long after its time while it is looked up again
	staleFail  = time.Hour       // and that long when it cannot be looked up
	failFresh  = time.Minute     // before a look-up that failed is repeated
	routesKept = 10_000          // of each of two generations
	refreshers = 16              // look-ups in the background
	lookupTime = time.Minute     // of one destination
)

// RouterConfig is what a router is made of.
type RouterConfig struct {
	Resolver dnsx.Prover
	Clock    clock.Clock
	Logger   *slog.Logger
	Pool     *ippool.Service // nil: the system chooses the source
	// Relay returns the site of the relay for a recipient domain, nil when there
	// is none; nil: there are none at all.
	Relay func(domain string) *Site
	// RelayAt returns the site of the configured relay with the address HOST:PORT,
	// for rules that name one; nil when there is none.
	RelayAt func(addr string) *Site
	// Reroute applies an operator's rule: "relay:HOST:PORT", "source:NAME" or
	// "pool:NAME". site is "" as long as it is not known. nil: there are none.
	Reroute func(domain, site string) (target string, ok bool)
	// Separate reports whether a destination must have a lane of its own, named
	// by itself, whatever its hosts; nil: none must.
	Separate func(domain string) bool
	// Policy returns the TLS policy of a recipient domain, an error that is
	// peer.ErrNoPolicy when it has none. It takes seconds at most. nil: there are
	// none.
	Policy func(ctx context.Context, domain string) (*peer.Policy, error)
}

// Router finds the sites of destinations and so the lanes of deliveries. Routes
// are kept for the TTL of the records within bounds; one that is out of date is
// used for some minutes while it is looked up again, and for an hour when that
// fails.
type Router struct {
	RouterConfig
	routes *recent.Map[string, *route]
	flight singleflight.Group
	slots  chan struct{} // of look-ups in the background
}

// route is what is known of a destination.
type route struct {
	site  *Site
	until time.Time // in use without a new look-up
	end   time.Time // of what the DNS said
	again atomic.Bool
}

// NewRouter returns a router that knows nothing yet.
func NewRouter(c RouterConfig) *Router {
	if c.Pool == nil {
		c.Pool, _ = ippool.New(ippool.Config{Clock: c.Clock}) // without sources it does not fail
	}
	return &Router{RouterConfig: c, routes: recent.New[string, *route](routesKept), slots: make(chan struct{}, refreshers)}
}

// Route names the lane of a delivery as far as it is known without a look-up;
// see queue.Options.
func (r *Router) Route(d *queue.Delivery) (lane string, ok bool) {
	t, ok := r.target(d.Destination)
	if !ok {
		return "", false
	}
	return laneName(t.site.Name, r.source(d, &t).Name), true
}

// Resolve looks a destination up, so that Route knows it; see queue.Options.
func (r *Router) Resolve(ctx context.Context, d *queue.Delivery) {
	if _, ok := r.target(d.Destination); !ok {
		r.look(ctx, d.Destination)
	}
}

// target is a site and what rules say about the way there.
type target struct {
	site         *Site
	pool, source string // asked for by a rule
}

// target is nil, false when the destination has to be looked up.
func (r *Router) target(destination string) (t target, ok bool) {
	if netx.IsURL(destination) {
		return target{site: &Site{Name: destination}}, true
	}
	if t, ok = r.rule(destination, ""); ok && t.site != nil {
		return t, true
	}
	if r.Relay != nil {
		if t.site = r.Relay(destination); t.site != nil {
			return t, true
		}
	}
	site := r.known(destination)
	if site == nil {
		return target{}, false
	}
	if ruled, ok := r.rule(destination, site.Name); ok {
		t = ruled
	}
	if t.site != nil {
		return t, true
	}
	if t.site = site; r.Separate != nil && site.Name != destination && r.Separate(destination) {
		own := *site
		own.Name = destination
		t.site = &own
	}
	return t, true
}

// rule reads what a rule says about a destination. The site of the result is nil
// unless the rule names a relay.
func (r *Router) rule(destination, site string) (t target, ok bool) {
	if r.Reroute == nil {
		return target{}, false
	}
	text, ok := r.Reroute(destination, site)
	if !ok {
		return target{}, false
	}
	kind, value, _ := strings.Cut(text, ":")
	switch kind {
	case "pool":
		t.pool = value
	case "source":
		t.source = value
	case "relay":
		t.site = r.relayAt(value)
	default:
		return target{}, false
	}
	return t, true
}

func (r *Router) relayAt(addr string) *Site {
	if r.RelayAt != nil {
		if site := r.RelayAt(addr); site != nil {
			return site
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, "25"
	}
	return RelaySite("relay:"+net.JoinHostPort(host, port), &Relay{Host: host, Port: port})
}

// source chooses what a delivery leaves from. A relay is reached as the system
// sees fit: what the world sees is the relay's address. So is a URL: sources are
// for mail.
func (r *Router) source(d *queue.Delivery, t *target) ippool.Source {
	if t.site.Relay != nil || netx.IsURL(t.site.Name) {
		return ippool.Source{}
	}
	if t.source != "" {
		return r.Pool.Named(t.source, d.AccountID, d.DomainID, t.site.Name)
	}
	pool := d.Pool
	if t.pool != "" {
		pool = t.pool
	}
	src, _ := r.Pool.Pick(d.AccountID, d.DomainID, pool, t.site.Name)
	return src
}

// For returns where a delivery goes and what it leaves from, looking it up if
// need be.
func (r *Router) For(ctx context.Context, d *queue.Delivery) (*Site, ippool.Source) {
	t, ok := r.target(d.Destination)
	if !ok {
		site := r.look(ctx, d.Destination)
		if t, ok = r.target(d.Destination); !ok { // not kept: the context ended
			t = target{site: site}
		}
	}
	return t.site, r.source(d, &t)
}

// Source chooses what a delivery leaves from as far as its site is known, the
// zero Source otherwise.
func (r *Router) Source(d *queue.Delivery) ippool.Source {
	t, ok := r.target(d.Destination)
	if !ok {
		return ippool.Source{}
	}
	return r.source(d, &t)
}

// Blocked reports whether the source of a lane is blocked at its site while
// another of its pool is not: what waits there shall move.
func (r *Router) Blocked(lane string) bool {
	if r.Pool.Single() {
		return false
	}
	site, source, has := strings.Cut(lane, "@")
	return has && r.Pool.Replaced(source, site)
}

// moved reports whether a delivery belongs to another lane than the one it is in.
func (r *Router) moved(lane string, d *queue.Delivery) bool {
	now, ok := r.Route(d)
	return ok && now != lane
}

// known returns the site of a destination if it can still be used, and has it
// looked up again when it is out of date.
func (r *Router) known(destination string) *Site {
	e, ok := r.routes.Get(destination)
	if !ok {
		return nil
	}
	now := r.Clock.Now()
	if now.Before(e.until) {
		return e.site
	}
	if e.site.fail != nil || !now.Before(e.until.Add(staleFor)) {
		return nil
	}
	if e.again.CompareAndSwap(false, true) {
		select {
		case r.slots <- struct{}{}:
			go func() {
				defer func() { <-r.slots }()
				r.look(context.Background(), destination)
			}()
		default: // all busy: the next one asks again
			e.again.Store(false)
		}
	}
	return e.site
}

// look asks the DNS for the site of a destination and keeps what it says. At the
// same time there is one look-up of a destination, which does not end with its
// first caller.
func (r *Router) look(ctx context.Context, destination string) *Site {
	c := r.flight.DoChan(destination, func() (any, error) {
		lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTime)
		defer cancel()
		e := r.ask(lctx, destination)
		r.routes.Put(destination, e)
		return e.site, nil
	})
	select {
	case res := <-c:
		return res.Val.(*Site)
	case <-ctx.Done():
		return lost(destination, &failure{code: 451, enhanced: "4.4.3", text: "looking up " + destination + ": " + context.Cause(ctx).Error()})
	}
}

func (r *Router) ask(ctx context.Context, destination string) *route {
	found, err := dnsx.MailRoute(ctx, r.Resolver, destination, noShuffle)
	now := r.Clock.Now()
	if err != nil {
		fail := noRoute(destination, err)
		if old, ok := r.routes.Get(destination); ok && fail.code == 451 && old.site.fail == nil && now.Before(old.end.Add(staleFail)) {
			r.Logger.Warn("a route is used beyond its time because its look-up failed", "destination", destination, "site", old.site.Name, "error", err)
			return &route{site: old.site, until: now.Add(failFresh), end: old.end}
		}
		return &route{site: lost(destination, fail), until: now.Add(failFresh), end: now}
	}
	var tls string
	if r.Policy != nil {
		p, err := r.Policy(ctx, destination)
		if err != nil && !errors.Is(err, peer.ErrNoPolicy) {
			fail := &failure{unreached: true, code: 451, enhanced: "4.7.5", text: "the TLS policy of " + destination + " could not be read: " + clip(err.Error())}
			return &route{site: lost(destination, fail), until: now.Add(failFresh), end: now}
		}
		tls = p.Identity()
	}
	site := &Site{Name: siteName(found.Hosts, tls), Hosts: found.Hosts, Secure: found.Secure}
	end := now.Add(min(max(found.TTL, minFresh), maxFresh))
	return &route{site: site, until: end, end: end}
}

func noShuffle(int, func(i, j int)) {} // every connection shuffles anew

// lost is the site of a destination without a host: the delivery's attempt
// reports why.
func lost(destination string, fail *failure) *Site { return &Site{Name: destination, fail: fail} }

// laneName is the name of a site's lane for a source.
func laneName(site, source string) string {
	if source == "" {
		return site
	}
	return site + "@" + source
}
