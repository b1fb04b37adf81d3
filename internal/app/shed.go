package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/internal/base/clock"
	"postroad/internal/base/disk"
	"postroad/internal/base/errs"
)

// New mail is refused before it is accepted when memory, disk or queue are near
// their limits, and taken again by itself when there is room: what is already
// here must be delivered with what is left. Readings are taken by a loop; on the
// path of a message there is one atomic load.

// Limits of disk space and inodes, and the room there must be again.
const (
	minFree    = 256 << 20
	freeAgain  = 320 << 20
	minFiles   = 1000
	filesAgain = 2000
)

const (
	memoryEvery = 250 * time.Millisecond // a burst fills the last tenth in about that time
	otherEvery  = 5 * time.Second
	// collectEvery is the least time between two collections forced to find out
	// how much memory is needed and how much is garbage.
	collectEvery = 2 * time.Second
	// goShare is the part of the limit, in percent, at which Go collects harder:
	// below the point of refusing, so that garbage alone does not get there.
	goShare = 85
)

// Readings are how the state of the machine is found out. Tests put others in
// their place; what is nil is the real one.
type Readings struct {
	Memory func() (int64, error)      // bytes the process takes
	Disk   func() (disk.Space, error) // of the data directory
	Queue  func(context.Context) (int64, error)
	// Collect gives back what memory is not needed.
	Collect func()
}

// A resource is what there may be too little of.
type resource int

const (
	memory resource = iota
	space
	depth
	resources
)

func (r resource) String() string { return [...]string{"memory", "disk", "queue"}[r] }

// shedder decides whether mail is taken.
type shedder struct {
	log    *slog.Logger
	clock  clock.Clock
	read   Readings
	memory int64 // limit in bytes; 0: none
	queue  int64 // limit in deliveries
	dir    string

	state   atomic.Pointer[pressure] // never nil
	refused atomic.Int64             // messages

	mu        sync.Mutex // held by a round of readings
	collected time.Time  // last forced collection
}

// pressure is what the last readings said.
type pressure struct {
	why  [resources]string // "" where there is enough
	used [resources]int64
	// any is set if one of why is.
	any bool
}

func newShedder(log *slog.Logger, c clock.Clock, dir string, memoryLimit, queueLimit int64, r Readings) *shedder {
	m := machine{"/"}
	if r.Memory == nil {
		r.Memory = m.used
	}
	if r.Disk == nil {
		r.Disk = func() (disk.Space, error) { return disk.Of(dir) }
	}
	if r.Collect == nil {
		r.Collect = debug.FreeOSMemory
	}
	s := &shedder{log: log, clock: c, read: r, memory: memoryLimit, queue: queueLimit, dir: dir}
	from := "memory_limit"
	if s.memory == 0 {
		s.memory, from = m.limit()
	}
	s.state.Store(&pressure{})
	log.Info("limits", "memory_mb", s.memory>>20, "from", from, "queue", queueLimit)
	return s
}

// makeShedder makes it before anything it watches is there.
func (a *App) makeShedder() {
	r := a.opt.Readings
	if r.Queue == nil {
		r.Queue = func(ctx context.Context) (int64, error) {
			c, err := a.queue.Counts(ctx)
			return c.Waiting + c.Due + c.Held, err
		}
	}
	a.shed = newShedder(a.log, a.clock, a.cfg.Data, int64(a.cfg.MemoryLimit), int64(a.cfg.QueueLimit), r)
	a.registry.MustRegister(a.shed.collector())
}

// limitGo has the Go runtime collect harder before the limit is reached. A lower
// limit that the environment has set (GOMEMLIMIT) stays. restore undoes it.
func (s *shedder) limitGo() (restore func()) {
	before := debug.SetMemoryLimit(-1)
	if s.memory == 0 || s.memory/100*goShare >= before {
		return func() {}
	}
	debug.SetMemoryLimit(s.memory / 100 * goShare)
	return func() { debug.SetMemoryLimit(before) }
}

// refuse says why no mail is taken at this moment, nil if it is.
func (s *shedder) refuse() error {
	p := s.state.Load()
	if !p.any {
		return nil
	}
	s.refused.Add(1)
	for r, why := range p.why {
		if why != "" {
			return &errs.Error{Kind: errs.Unavailable, Public: p.text(resource(r)), RetryAfter: retryAfter(resource(r))}
		}
	}
	return nil
}

// text is what clients read: the reason without figures.
func (p *pressure) text(r resource) string {
	return [...]string{
		"the server is short of memory, try again later",
		"the server is short of disk space, try again later",
		"too much mail is waiting for delivery, try again later",
	}[r]
}

// retryAfter is how long the shortage lasts at least, as a rule.
func retryAfter(r resource) time.Duration {
	return [...]time.Duration{10 * time.Second, time.Minute, 30 * time.Second}[r]
}

// run keeps the state up to date until ctx ends.
func (s *shedder) run(ctx context.Context) error {
	defer s.limitGo()()
	var other, count time.Time // when to look again
	for {
		now := s.clock.Now()
		if !now.Before(count) {
			s.lookQueue(ctx)
			// Counting may be slow where the queue is deep: not more than a twentieth
			// of the time.
			done := s.clock.Now()
			count = done.Add(max(otherEvery, 20*done.Sub(now)))
		}
		if !now.Before(other) {
			s.lookDisk()
			other = now.Add(otherEvery)
		}
		s.lookMemory()
		c, stop := s.clock.After(memoryEvery)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
		}
	}
}

// look takes all readings once.
func (s *shedder) look(ctx context.Context) {
	s.lookQueue(ctx)
	s.lookDisk()
	s.lookMemory()
}

// lookMemory refuses above 90 % of the limit until below 80 %. Near the limit,
// and as long as mail is refused, garbage is collected first: what counts is
// what is needed.
func (s *shedder) lookMemory() {
	if s.memory == 0 {
		return
	}
	used, err := s.read.Memory()
	if err != nil {
		s.log.Error("memory", "error", err)
		return
	}
	full := s.state.Load().why[memory] != ""
	if now := s.clock.Now(); (full || percent(used, s.memory) > 90) && now.Sub(s.collected) >= collectEvery {
		s.collected = now
		s.read.Collect()
		if used, err = s.read.Memory(); err != nil {
			s.log.Error("memory", "error", err)
			return
		}
	}
	part := percent(used, s.memory)
	if full {
		full = part >= 80
	} else {
		full = part > 90
	}
	s.set(memory, full, used, fmt.Sprintf("%d MB of %d MB", used>>20, s.memory>>20))
}

func percent(n, of int64) float64 { return float64(n) / float64(of) * 100 }

func (s *shedder) lookDisk() {
	d, err := s.read.Disk()
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		s.log.Error("disk space", "error", err)
		return
	}
	free, files := int64(minFree), int64(minFiles)
	if s.state.Load().why[space] != "" {
		free, files = freeAgain, filesAgain
	}
	few := d.Files > 0 && d.FreeFiles < files
	reason := fmt.Sprintf("%d MB left in the data directory", d.Free>>20)
	if few && d.Free >= free {
		reason = fmt.Sprintf("room for %d more files (inodes) in the data directory", d.FreeFiles)
	}
	s.set(space, few || d.Free < free, d.Free, reason)
}

func (s *shedder) lookQueue(ctx context.Context) {
	if s.read.Queue == nil {
		return
	}
	n, err := s.read.Queue(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("queue depth", "error", err)
		}
		return
	}
	limit := s.queue
	if s.state.Load().why[depth] != "" {
		limit = s.queue / 10 * 9
	}
	s.set(depth, n >= max(limit, 1), n, fmt.Sprintf("%d deliveries of %d", n, s.queue))
}

// set notes a reading and logs a change.
func (s *shedder) set(r resource, full bool, used int64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := *s.state.Load()
	before := p.why[r] != ""
	p.used[r], p.why[r] = used, ""
	if full {
		p.why[r] = reason
	}
	p.any = p.why != [resources]string{}
	s.state.Store(&p)
	if full != before {
		s.log.Warn("load shedding", "resource", r.String(), "reading", reason, "short", full, "taking_mail", !p.any)
	}
}

// receiving bounds the bytes of messages that are being received at one time: a
// message is copied a few times until it is stored, so an eighth of the memory,
// but no more than 512 MB.
func (s *shedder) receiving() int64 {
	if s.memory == 0 {
		return 512 << 20
	}
	return min(512<<20, max(s.memory/8, 1<<20))
}

// shedding is the collector of the shedder's metrics.
type shedding struct {
	s                        *shedder
	state, used, limit, refs *prometheus.Desc
}

func (s *shedder) collector() prometheus.Collector {
	by := []string{"resource"}
	return &shedding{s,
		prometheus.NewDesc("postroad_shedding", "1 while new mail is refused for lack of the resource", by, nil),
		prometheus.NewDesc("postroad_shedding_reading", "Last reading: memory in bytes, free disk space in bytes, deliveries in the queue", by, nil),
		prometheus.NewDesc("postroad_shedding_limit", "Where new mail is refused, in the same units", by, nil),
		desc("postroad_shedding_refused_total", "Messages refused by load shedding"),
	}
}

// Describe implements prometheus.Collector.
func (c *shedding) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.used, c.limit, c.refs} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *shedding) Collect(ch chan<- prometheus.Metric) {
	p := c.s.state.Load()
	limits := [resources]float64{math.Floor(float64(c.s.memory) * 0.9), minFree, float64(c.s.queue)}
	for r := range resources {
		on := 0.0
		if p.why[r] != "" {
			on = 1
		}
		ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, on, r.String())
		ch <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(p.used[r]), r.String())
		ch <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, limits[r], r.String())
	}
	ch <- prometheus.MustNewConstMetric(c.refs, prometheus.CounterValue, float64(c.s.refused.Load()))
}
