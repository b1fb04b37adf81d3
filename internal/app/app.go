// Package app wires the program: it opens the stores, makes the services in
// their order, starts the listeners and the loops, and stops them in two
// phases. Nothing else knows how the parts fit together.
package app

import (
	"context"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/internal/base/blob"
	"postroad/internal/base/certs"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/disk"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/geo"
	"postroad/internal/base/ids"
	"postroad/internal/config"
	"postroad/internal/core/account"
	"postroad/internal/core/deliver"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/feedback"
	"postroad/internal/core/gateway"
	"postroad/internal/core/inbound"
	"postroad/internal/core/ippool"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
	"postroad/internal/core/resend"
	"postroad/internal/core/route"
	"postroad/internal/core/schema"
	"postroad/internal/core/shape"
	"postroad/internal/core/spam"
	"postroad/internal/core/suppress"
	"postroad/internal/core/tag"
	"postroad/internal/core/template"
	"postroad/internal/core/timing"
	"postroad/internal/core/track"
	"postroad/internal/core/trackhost"
	"postroad/internal/core/webhook"
	"postroad/internal/core/workspace"
	"postroad/internal/edge/smtpd"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
	"postroad/internal/mail/smtp"
)

// Options are what the configuration does not say.
type Options struct {
	Version string
	Logger  *slog.Logger
	Clock   clock.Clock // nil: the system's
	Wire    Wire
	// GenerateKey makes the DKIM keys of domains; nil: fresh ones.
	GenerateKey func(bits int) (*rsa.PrivateKey, error)
	// Readings are how load shedding looks at the machine; zero: really.
	Readings Readings
}

// Wire is how the program reaches other mail servers. Tests put a world of
// their own in its place.
type Wire struct {
	// Dial connects from a local address, the system's choice if it is invalid;
	// nil: the operating system's TCP.
	Dial       func(ctx context.Context, network, addr string, local netip.Addr) (net.Conn, error)
	Shuffle    dnsx.Shuffle        // of hosts of equal preference; nil: at random
	Roots      *x509.CertPool      // of other servers' certificates; nil: the system's
	Timeouts   smtp.ClientTimeouts // zero: those of RFC 5321
	Connect    time.Duration       // per address; zero: 30 s
	Jitter     func() float64      // of retries, in [0,1); nil: random
	Linger     time.Duration       // of idle connections; zero: 2 s
	PolicyPort string              // of HTTPS servers of MTA-STS policies; "": 443
	Limit      time.Duration       // of one attempt in all; zero: 30 min
	Post       time.Duration       // that the receiver of a route's POST has; zero: 30 s
	Renewal    certs.Renewal       // of certificates from an ACME authority
}

// App is the program, its stores open and its listeners bound.
type App struct {
	cfg     *config.Config
	opt     Options
	log     *slog.Logger
	clock   clock.Clock
	started time.Time

	db       *db.DB
	blobs    *blob.Store
	resolver *dnsx.Client

	accounts *account.Service
	domains  *domain.Service
	hosts    *trackhost.Service
	events   *event.Service
	suppress *suppress.Service
	tags     *tag.Service
	timing   *timing.Service
	webhooks *webhook.Service
	routes   *route.Service
	peers    *peer.Service
	shape    *shape.Service
	pool     *ippool.Service
	trace    deliver.Trace
	router   *deliver.Router
	queue    *queue.Queue
	messages *message.Service
	optout   *optout.Service
	lists    *list.Service
	template *template.Service
	engine   *deliver.Engine
	inbound  *inbound.Service
	track    *track.Service
	places   *geo.DB // nil: no file
	feedback *feedback.Service
	hooks    *resend.Hooks
	resend   *resend.Service
	spam     *spam.Filter // nil: none
	gateway  *gateway.Service

	workspaces *workspace.Service
	first      string // the first account

	signing  signing
	registry *prometheus.Registry
	handler  http.Handler
	ca       *certs.Authority // dev mode
	certs    *certs.Source

	http, https net.Listener
	mail        []*mailListener
	smtpTrusted []netip.Prefix
	smtpProxies []netip.Prefix
	smtpXClient []netip.Prefix
	httpServer  *http.Server
	logins      *smtpd.Logins
	stopping    chan struct{}
	shed        *shedder // refuses mail when there is too little of something

	// AdminKey is the key made at the first start, to be shown once.
	AdminKey string
}

// dev reports whether mail is captured.
func (a *App) dev() bool { return a.cfg.Mode == config.Dev }

// open reports whether any key and domain work.
func (a *App) open() bool { return a.dev() && !a.cfg.Strict }

// New opens everything and binds the listeners; Run serves. On error nothing
// stays open.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	a := &App{cfg: cfg, opt: o, log: o.Logger, clock: o.Clock, started: o.Clock.Now(), registry: prometheus.NewRegistry(), stopping: make(chan struct{}), logins: smtpd.NewLogins(o.Clock)}
	a.makeShedder()
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, step := range []func(context.Context) error{a.openStores, a.makeServices, a.makeHTTP, a.bind, a.makeTLS} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// exclusivePatience is how long the database server may take to notice that a
// program killed before this one is gone.
const exclusivePatience = 15 * time.Second

func (a *App) openStores(ctx context.Context) error {
	if err := disk.MkdirAll(a.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var err error
	// The blob store's lock says that no other program uses the directory.
	if a.blobs, err = blob.Open(filepath.Join(a.cfg.Data, blobsName), blob.Options{Logger: a.log, Now: a.clock.Now, After: a.clock.After}); err != nil {
		return fmt.Errorf("message store: %w", err)
	}
	url := string(a.cfg.Database)
	if url == "" {
		url = filepath.Join(a.cfg.Data, databaseName)
	}
	if a.db, err = db.Open(ctx, db.Config{URL: url, Journal: filepath.Join(a.cfg.Data, "journal"), Clock: a.clock, Logger: a.log}); err != nil {
		return err
	}
	if err := a.db.Exclusive(ctx, exclusivePatience); err != nil {
		return fmt.Errorf("database %s: %w", db.Redact(url), err)
	}
	steps, err := schema.Steps()
	if err != nil {
		return err
	}
	return a.db.Migrate(ctx, steps)
}

func (a *App) makeServices(ctx context.Context) error {
	a.chooseSigning()
	source := ids.NewSource(a.clock)
	if err := a.seedIDs(ctx, source); err != nil {
		return err
	}
	master, err := masterSecret(a.cfg.Data)
	if err != nil {
		return err
	}
	if err := a.bindDatabase(ctx, master); err != nil {
		return err
	}
	var servers []string
	if a.cfg.DNS != "" {
		servers = []string{string(a.cfg.DNS)}
	}
	if a.resolver, err = newResolver(servers, 0, a.clock); err != nil {
		return err
	}
	fresh, err := newResolver(servers, -1, a.clock)
	if err != nil {
		return err
	}
	if a.accounts, err = account.New(a.db, source, a.clock, a.log, account.Options{Dev: a.dev(), Strict: a.cfg.Strict, Secret: master,
		OwnsDomain: a.ownsDomain}); err != nil {
		return err
	}
	bits := 2048
	if a.dev() {
		bits = 1024 // captured mail is not signed: the key is for show, and a first message should not wait for it
	}
	if a.domains, err = domain.New(a.db, source, a.clock, a.log, domain.Options{Resolver: fresh, Hostname: a.cfg.Hostname,
		AssumeVerified: a.cfg.AssumeVerified, Dev: a.open(), Secret: master, KeyBits: bits, GenerateKey: a.opt.GenerateKey, Signer: a.signing.signer, DefaultAccount: a.accounts.First, LinkHint: a.linkHint, OnDelete: a.domainDeleted}); err != nil {
		return err
	}
	a.makeTrackHosts()
	a.suppress = suppress.New(a.db, source, a.log)
	a.tags = tag.New(a.db, source, a.log, tag.Options{})
	a.timing = timing.New(a.db, a.log, master)
	if a.spam, err = SpamFilter(a.cfg, a.clock, a.log); err != nil {
		return err
	}
	if a.webhooks, err = webhook.New(ctx, a.db, source, a.log, a.newClient(webhook.Timeout), a.accounts, a.webhookDomain, webhook.Options{
		UserAgent: "Postroad/" + a.opt.Version, CheckHosts: !a.cfg.AllowPrivateURLs, Secret: master}); err != nil {
		return err
	}
	a.routes = route.New(a.db, source, a.log, route.Options{MaxRoutes: a.cfg.MaxRoutes, SandboxRoutes: a.cfg.SandboxRoutes,
		Sandbox: a.isSandbox, CheckURL: a.webhooks.CheckURL})
	if a.hooks, err = resend.NewHooks(ctx, a.db, a.webhooks, master); err != nil {
		return err
	}
	if a.workspaces, err = a.makeWorkspaces(source); err != nil {
		return err
	}
	arrivals := track.NewArrivals()
	if a.events, err = event.New(a.db, source, a.log, a.suppress, a.tags, a.timing, a.webhooks, arrivals, a.workspaces, a.hooks); err != nil {
		return err
	}
	a.template = template.New(a.db, source)
	links, err := linktoken.NewKey(master)
	if err != nil {
		return err
	}
	returns := report.NewSecret(master)
	if err := a.makeQueue(ctx, source, returns, links); err != nil {
		return err
	}
	if err := a.makeTracking(ctx, links, arrivals); err != nil {
		return err
	}
	a.makeOptOut(links, returns)
	if a.lists, err = list.New(ctx, list.Config{DB: a.db, IDs: source, Logger: a.log, Events: a.events, Messages: a.messages, Domains: a.domains,
		Owned: a.ownDomain, BaseURL: a.apiBase(), Secret: master}); err != nil {
		return fmt.Errorf("mailing lists: %w", err)
	}
	a.resend = resend.New(resend.Config{DB: a.db, IDs: source, Clock: a.clock, Logger: a.log, Messages: a.messages, Events: a.events,
		Queue: a.queue, Hooks: a.hooks, Client: a.newFetcher(), CheckURL: a.webhooks.CheckURL})
	a.inbound = a.makeInbound(returns)
	if a.feedback, err = a.makeFeedback(ctx, source, master); err != nil {
		return err
	}
	if err := a.makeGateway(ctx, master); err != nil {
		return err
	}
	if a.AdminKey, err = a.accounts.Bootstrap(ctx, string(a.cfg.AdminKey)); err != nil {
		return fmt.Errorf("first account: %w", err)
	}
	if a.first, err = a.accounts.First(ctx); err != nil {
		return fmt.Errorf("first account: %w", err)
	}
	return a.bootstrapSandbox(ctx)
}

// bootstrapSandbox gives the first account its sandbox domain. In dev mode any
// domain exists, and making a key would delay the start.
func (a *App) bootstrapSandbox(ctx context.Context) error {
	if a.open() {
		return nil
	}
	first, err := a.accounts.First(ctx)
	if err == nil {
		_, err = a.domains.EnsureSandbox(ctx, first)
	}
	if err != nil {
		return fmt.Errorf("sandbox domain: %w", err)
	}
	return nil
}

// giveUp is when a delivery ends whatever the schedule says: the schedule with
// its jitter, and room for waiting in the queue.
func giveUp(retry []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range retry {
		sum += d
	}
	return sum*6/5 + time.Hour
}

func newResolver(servers []string, cache int, c clock.Clock) (*dnsx.Client, error) {
	r, err := dnsx.New(dnsx.Config{Servers: servers, CacheSize: cache, Clock: c.Now})
	if err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	return r, nil
}

// nodeName is the name of this installation among nodes on one database, made
// at the first start. It lies in the data directory because the lock there is
// what makes sure that no two programs use it.
func nodeName(dir string) (string, error) {
	b, err := readOrMake(filepath.Join(dir, "node"), func() []byte { return []byte(ids.Hex(8)) })
	if err != nil {
		return "", fmt.Errorf("node name: %w", err)
	}
	return string(b), nil
}

// seedIDs continues above the ids in use, in case the clock was set back.
func (a *App) seedIDs(ctx context.Context, source *ids.Source) error {
	return a.db.Read(ctx, func(tx *db.Tx) error {
		row, err := schema.LastID(tx)
		if err != nil {
			return err
		}
		source.Seed(row)
		row, err = event.Last(tx)
		source.Seed(row)
		return err
	})
}

// bindDatabase ties the database to the data directory: bodies and the master
// secret are in one, what refers to them in the other. Started with a directory
// that is not its own, the program would find no body and open no key.
func (a *App) bindDatabase(ctx context.Context, master []byte) error {
	mac := hmac.New(sha256.New, master)
	mac.Write([]byte("postroad installation"))
	want := hex.EncodeToString(mac.Sum(nil))
	return a.db.Write(ctx, func(tx *db.Tx) error {
		have, err := schema.Bind(tx, want)
		if err != nil {
			return err
		}
		if have != want {
			return fmt.Errorf("the database belongs to another data directory than %s: use the directory it was made with, or restore its files \"secret\" and \"blobs\"", a.cfg.Data)
		}
		return nil
	})
}

// masterSecret reads the secret that seals keys in the database, making it at
// the first start.
func masterSecret(dir string) ([]byte, error) {
	name := filepath.Join(dir, secretName)
	b, err := readOrMake(name, func() []byte { return ids.Bytes(secretBytes) })
	if err != nil {
		return nil, fmt.Errorf("master secret: %w", err)
	}
	if len(b) != secretBytes {
		return nil, fmt.Errorf("master secret: %s has %d bytes, want %d", name, len(b), secretBytes)
	}
	return b, nil
}

// readOrMake reads a file, writing it first if there is none.
func readOrMake(name string, content func() []byte) ([]byte, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		b = content()
		err = disk.CreateFile(name, b, 0o600)
	}
	return b, err
}

// close ends what New opened.
func (a *App) close() {
	if a.certs != nil {
		a.certs.Close()
	}
	for _, l := range []net.Listener{a.http, a.https} {
		if l != nil {
			l.Close()
		}
	}
	for _, m := range a.mail {
		m.ln.Close()
	}
	if a.track != nil {
		if err := a.track.Close(); err != nil {
			a.log.Error("closing the spool of opens and clicks", "error", err)
		}
	}
	if a.db != nil {
		if err := a.db.Close(); err != nil {
			a.log.Error("closing the database", "error", err)
		}
	}
	if a.blobs != nil {
		if err := a.blobs.Close(); err != nil {
			a.log.Error("closing the message store", "error", err)
		}
	}
}

// loops are the background activities, each until its context ends.
type loops struct {
	wg   sync.WaitGroup
	errs chan error
}

func (l *loops) run(name string, fn func() error) {
	l.wg.Go(func() {
		if err := fn(); err != nil {
			select {
			case l.errs <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	})
}
