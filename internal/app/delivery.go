package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"strconv"
	"time"

	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/config"
	"postroad/internal/core/deliver"
	"postroad/internal/core/domain"
	"postroad/internal/core/ippool"
	"postroad/internal/core/message"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
)

// makeQueue makes what takes accepted mail to its destinations.
func (a *App) makeQueue(ctx context.Context, source *ids.Source, returns report.Secret, links *linktoken.Key) (err error) {
	node, err := nodeName(a.cfg.Data)
	if err != nil {
		return err
	}
	list, err := a.sources()
	if err != nil {
		return err
	}
	if a.shape, err = shape.New(ctx, shape.Config{DB: a.db, IDs: source, Logger: a.log, Start: a.cfg.LaneStart, Max: a.cfg.LaneSessions, Relay: a.cfg.Workers}); err != nil {
		return err
	}
	if a.pool, err = ippool.New(ippool.Config{Sources: list, Usable: a.shape.Usable, Clock: a.clock, Logger: a.log}); err != nil {
		return err
	}
	policies := netx.Config{AllowPrivate: a.cfg.AllowPrivateURLs, UserAgent: "Postroad/" + a.opt.Version}
	if a.opt.Wire.Roots != nil {
		policies.TLS = &tls.Config{RootCAs: a.opt.Wire.Roots, Time: a.clock.Now}
	}
	a.peers = peer.New(a.db, a.log, a.resolver, peer.Options{HTTP: policies, PolicyPort: a.opt.Wire.PolicyPort})
	a.router = a.makeRouter()
	if a.queue, err = queue.New(ctx, a.db, source, a.log, queue.Options{Name: node, Sessions: a.cfg.Workers, Policy: lanes{a},
		Route: a.router.Route, Resolve: a.router.Resolve,
		Settle: func(ctx context.Context, list []*queue.Delivery, o queue.Order) error {
			return a.engine.Settle(ctx, list, o)
		}, Linger: a.opt.Wire.Linger}); err != nil {
		return err
	}
	a.shape.OnChange(a.queue.Changed)
	a.messages = message.New(message.Config{DB: a.db, IDs: source, Blobs: a.blobs, Events: a.events, Queue: a.queue, Domains: a.domains,
		Logger: a.log, MaxBytes: int64(a.cfg.MaxMessage), Retention: a.cfg.Retention, GiveUp: giveUp(a.cfg.Retry), APIBase: a.apiBase(), Hostname: a.cfg.Hostname,
		Dev: a.open(), Capture: a.dev(), Refuse: a.shed.refuse, MaxMemory: a.shed.receiving(), Returns: returns, LinkKey: links, URLs: true, Timing: a.timing,
		TrackBase:          func(d *domain.Domain) string { return a.hosts.Base(d) },
		UnsubscribeAddress: func(m *message.Message, recipient string) string { return a.optout.Address(m, recipient) },
		Divert: func(ctx context.Context, sub *message.Submission) ([]*message.Submission, error) {
			return a.lists.Divert(ctx, sub)
		},
		Template: a.template.Find,
		Members:  func(ctx context.Context, q message.Page) (message.Members, error) { return a.lists.Members(ctx, q) }})
	a.engine = deliver.New(deliver.Config{DB: a.db, Queue: a.queue, Events: a.events, Messages: a.messages, Domains: a.domains,
		Suppress: a.suppress, Resolver: a.resolver, Logger: a.log, Hostname: a.cfg.Hostname, Retry: a.cfg.Retry, Router: a.router, Peer: a.peers, Shape: a.shape, Trace: &a.trace,
		HTTP: a.newClient(cmp.Or(a.opt.Wire.Post, postTimeout)), SigningKey: a.accounts.SigningKey,
		PlainRelay: a.cfg.RelayWithoutTLS, Capture: a.dev(),
		Dial: a.opt.Wire.Dial, Shuffle: a.opt.Wire.Shuffle, Roots: a.opt.Wire.Roots, Timeouts: a.opt.Wire.Timeouts, Connect: a.opt.Wire.Connect, Limit: a.opt.Wire.Limit, Jitter: a.opt.Wire.Jitter})
	return nil
}

// postTimeout is how long the receiver of a route's POST has, which may be 25 MB,
// from looking up its host to the end of its answer.
const postTimeout = 30 * time.Second

// newClient makes what calls the URLs of users.
func (a *App) newClient(timeout time.Duration) *netx.Client {
	return netx.NewClient(netx.Config{AllowPrivate: a.cfg.AllowPrivateURLs, Timeout: timeout, UserAgent: "Postroad/" + a.opt.Version})
}

// newFetcher makes what fetches files that go into a message.
func (a *App) newFetcher() *netx.Client {
	return netx.NewClient(netx.Config{AllowPrivate: a.cfg.AllowPrivateURLs, Timeout: fetchTimeout, UserAgent: "Postroad/" + a.opt.Version,
		MaxResponseBytes: int64(a.cfg.MaxMessage), MaxRedirects: 3})
}

// fetchTimeout bounds how long one file is fetched: a client waits for it.
const fetchTimeout = 20 * time.Second

// makeRouter makes what finds lanes. Captured mail goes nowhere, so nothing is
// looked up for it.
func (a *App) makeRouter() *deliver.Router {
	c := deliver.RouterConfig{Resolver: a.resolver, Clock: a.clock, Logger: a.log, Pool: a.pool}
	if a.dev() {
		c.Relay = func(domain string) *deliver.Site { return deliver.CaptureSite(domain) }
		return deliver.NewRouter(c)
	}
	r := newRelays(a.cfg.Relay)
	c.Relay, c.RelayAt, c.Policy = r.of, r.at, a.peers.Policy
	c.Reroute, c.Separate = a.shape.Reroute, a.shape.Separate
	return deliver.NewRouter(c)
}

// lanes is the queue's policy: that of shape, and a way out of lanes whose source
// is blocked while another of its pool is not. One session empties them: it gives
// what it takes back to the queue, see Engine.Work.
type lanes struct{ a *App }

// captured reports whether nothing is limited on a lane: its mail goes nowhere.
// URLs are called in dev mode as well.
func (p lanes) captured(lane string) bool { return p.a.dev() && !netx.IsURL(lane) }

// Sessions implements queue.Policy.
func (p lanes) Sessions(lane string) int {
	if p.captured(lane) {
		return p.a.cfg.Workers
	}
	n := p.a.shape.Sessions(lane)
	if n == 0 && p.a.router.Blocked(lane) {
		return 1
	}
	return n
}

// Take implements queue.Policy.
func (p lanes) Take(lane string, n int) time.Duration {
	if p.captured(lane) {
		return 0
	}
	wait := p.a.shape.Take(lane, n)
	if wait > 0 && p.a.router.Blocked(lane) {
		return 0
	}
	return wait
}

// TakeFlow implements queue.Policy.
func (p lanes) TakeFlow(accountID string, domainID int64, tag string) time.Duration {
	return p.a.shape.TakeFlow(accountID, domainID, tag)
}

// relays are the sites of the configured relays.
type relays struct {
	list   config.Relays
	sites  []*deliver.Site
	byAddr map[string]*deliver.Site
}

// newRelays names them by their address. Those that share it and differ in
// anything else, such as the login, share no connection.
func newRelays(list config.Relays) *relays {
	r := &relays{list: list, byAddr: map[string]*deliver.Site{}}
	seen := map[config.Relay]*deliver.Site{}
	for _, x := range list {
		same := x
		same.Pattern = ""
		site := seen[same]
		if site == nil {
			name := "relay:" + x.Addr()
			if r.byAddr[x.Addr()] != nil {
				name += "#" + strconv.Itoa(len(seen)+1)
			}
			site = deliver.RelaySite(name, &deliver.Relay{Host: x.Host, Port: strconv.Itoa(x.Port), TLS: x.Scheme == "smtps", User: x.User, Pass: string(x.Pass)})
			seen[same] = site
		}
		if r.byAddr[x.Addr()] == nil {
			r.byAddr[x.Addr()] = site
		}
		r.sites = append(r.sites, site)
	}
	return r
}

// of returns the site of the relay for a recipient domain, nil without one.
func (r *relays) of(domain string) *deliver.Site {
	if i := r.list.Index(domain); i >= 0 {
		return r.sites[i]
	}
	return nil
}

// at returns the site of the relay at HOST:PORT, nil when none is configured.
func (r *relays) at(addr string) *deliver.Site { return r.byAddr[addr] }

// sources are the configured sources, checked to be this machine's.
func (a *App) sources() ([]ippool.Source, error) {
	if a.dev() {
		return nil, nil // nothing leaves
	}
	var out []ippool.Source
	for _, s := range a.cfg.Source {
		out = append(out, ippool.Source{Name: s.Name, V4: s.V4, V6: s.V6, HELO: s.HELO, Pool: s.Pool, Weight: s.Weight})
	}
	return out, ippool.CheckLocal(out)
}
