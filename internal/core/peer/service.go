package peer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/netx"
	"postroad/internal/base/recent"
	"postroad/internal/mail/tlspolicy"
)

// Options adjusts a Service; zero values give the defaults.
type Options struct {
	// HTTP says which addresses policies may be fetched from and which
	// authorities count; its limits are set by New, its Resolver if it is nil.
	HTTP netx.Config
	// PolicyPort is where policies are fetched; "" means that of https.
	PolicyPort string
	// SMTPPort is the port TLSA records are looked up for; 0 means 25.
	SMTPPort uint16
	// Wait is how long a delivery waits for a policy that is not known; 0 means
	// 10 s.
	Wait time.Duration
	// Domains and Hosts bound how much is remembered; 0 means 10,000 each.
	Domains, Hosts int
	// Results bounds how many different results are counted between two writes;
	// 0 means 20,000.
	Results int
}

func (o *Options) setDefaults() {
	if o.SMTPPort == 0 {
		o.SMTPPort = 25
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	if o.Domains <= 0 {
		o.Domains = 10_000
	}
	if o.Hosts <= 0 {
		o.Hosts = 10_000
	}
	if o.Results <= 0 {
		o.Results = 20_000
	}
}

const (
	// interval is how often results are written and policies looked through.
	interval = time.Minute
	// workers look at policies again in the background.
	workers = 4
	// maxFetches bounds the policies that are being fetched.
	maxFetches = 256
	// flushTimeout bounds writing the last results.
	flushTimeout = 5 * time.Second
)

// Service is what this package keeps. Its methods are safe for concurrent use;
// Run may run once.
type Service struct {
	db       *db.DB
	clock    clock.Clock
	log      *slog.Logger
	resolver dnsx.Prover
	http     *netx.Client
	o        Options

	flight singleflight.Group // by domain
	slots  chan struct{}      // one per fetch under way
	life   context.Context    // of what outlives its caller
	end    context.CancelFunc

	mu      sync.Mutex // held to compare and change known
	known   *recent.Map[string, *known]
	checks  chan check
	waiting map[string]bool  // domains in checks
	used    map[string]int64 // domains whose policy was used, until that is written
	pruned  atomic.Int64     // the day old rows were last removed

	tls     fallback
	results results
}

// New returns a service. Its clock is that of the store, which must be migrated.
func New(d *db.DB, log *slog.Logger, resolver dnsx.Prover, o Options) *Service {
	o.setDefaults()
	h := o.HTTP
	h.Timeout, h.MaxResponseBytes, h.MaxRedirects = fetchTimeout, tlspolicy.MaxPolicyBytes, 0
	if h.Resolver == nil {
		h.Resolver = resolver
	}
	s := &Service{
		db: d, clock: d.Clock(), log: log, resolver: resolver, http: netx.NewClient(h), o: o,
		slots:   make(chan struct{}, maxFetches),
		known:   recent.New[string, *known](o.Domains),
		checks:  make(chan check, 1024),
		waiting: map[string]bool{},
		used:    map[string]int64{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.tls = fallback{clock: s.clock, hosts: recent.New[string, trouble](o.Hosts)}
	s.results = results{max: o.Results, rows: map[row]int64{}, full: make(chan struct{}, 1)}
	return s
}

// Run refreshes policies and writes results until ctx ends, then writes what is
// left. Afterwards policies that are not in memory cannot be had.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { s.work(ctx) })
	}
	for ctx.Err() == nil {
		s.pause(ctx)
		if ctx.Err() == nil {
			s.tick(ctx)
		}
	}
	s.end()
	wg.Wait()
	s.http.CloseIdle()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	return s.flush(last)
}

// pause waits for the next round, which a full table of results brings forward.
func (s *Service) pause(ctx context.Context) {
	timer, stop := s.clock.After(interval)
	defer stop()
	select {
	case <-ctx.Done():
	case <-timer:
	case <-s.results.full:
	}
}

// tick is one round of Run.
func (s *Service) tick(ctx context.Context) {
	if err := s.flush(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("what was learned about other servers is not written", "error", err)
	}
	if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("MTA-STS policies are not refreshed", "error", err)
	}
}
