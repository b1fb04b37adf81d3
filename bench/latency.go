package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// delay measures how long mail to quiet destinations waits while one other
// destination gets all the server can send.
type delay struct {
	target
	connections, size int
	probes            int
	every             time.Duration
	out               string
}

func defineLatency(f *flag.FlagSet) func(context.Context) error {
	var d delay
	d.target.define(f)
	f.IntVar(&d.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&d.size, "size", 10240, "bytes of text in each message of the load")
	f.IntVar(&d.probes, "probes", 500, "messages to other destinations in each phase")
	f.DurationVar(&d.every, "every", 10*time.Millisecond, "time between them")
	f.StringVar(&d.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, d.out, d.run) }
}

const kindLatency = "latency"

// setup is a server of the rig's own with a sink for the load and a prober for
// the rest.
type setup struct {
	server *server
	load   counter
	prober *prober
	dir    string
}

// prepare starts a server whose mail for sink.example goes to smtp-sink, for
// further patterns where they say, and all else to the prober's sink.
func prepare(ctx context.Context, binary, dir, name, retry string, routes ...string) (*setup, error) {
	own := filepath.Join(dir, name)
	if err := os.Mkdir(own, 0o755); err != nil {
		return nil, err
	}
	to, err := freeAddr()
	if err != nil {
		return nil, err
	}
	u := &setup{dir: own}
	if u.load, err = startCounter(ctx, to); err != nil {
		return nil, err
	}
	if u.prober, err = startProber(); err != nil {
		return nil, errors.Join(err, u.end())
	}
	s, err := newServer(binary, own, u.prober.sink.addr())
	if err != nil {
		return nil, errors.Join(err, u.end())
	}
	s.routes = append(routes, "sink.example="+to)
	if retry != "" {
		s.retry = retry
	}
	u.server, u.prober.server = s, s
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, u.end())
	}
	if err := s.createDomain(ctx); err != nil {
		return nil, errors.Join(err, u.end())
	}
	return u, nil
}

func (u *setup) end() error {
	var err error
	if u.server != nil {
		err = u.server.stop()
	}
	if u.prober != nil {
		u.prober.sink.close()
	}
	u.load.stop()
	return errors.Join(err, os.RemoveAll(u.dir))
}

func (d *delay) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := d.resolve(ctx, dir)
	if err != nil {
		return err
	}
	u, err := prepare(ctx, binary, dir, kindLatency, "")
	if err != nil {
		return err
	}
	err = d.measure(ctx, r, u)
	if err != nil {
		err = errors.Join(err, u.server.lastLog())
	}
	return errors.Join(err, u.end())
}

func (d *delay) measure(ctx context.Context, r *report, u *setup) error {
	if _, err := u.prober.send(ctx, 2*probeDomains, d.every); err != nil { // connections and caches
		return err
	}
	idle, err := u.prober.send(ctx, d.probes, d.every)
	if err != nil {
		return err
	}
	busy, accepted, perSecond, err := d.underLoad(ctx, u)
	if err != nil {
		return err
	}
	if _, err := u.load.await(ctx, accepted); err != nil {
		return err
	}
	figures := append(idle.figures("idle"), busy.figures("under load")...)
	figures = append(figures, figure{"load while probing", perSecond, "messages/s"})
	return r.add(result{Kind: kindLatency, System: "Postroad, other destinations", Messages: d.probes, Connections: d.connections, Size: d.size, Figures: figures})
}

// underLoad sends the probes while the load tool keeps one destination full
// over HTTP, and returns how much of the load was accepted and delivered a
// second meanwhile.
func (d *delay) underLoad(ctx context.Context, u *setup) (w waits, accepted int, perSecond float64, err error) {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	n := make(chan int, 1)
	var enough atomic.Bool
	l := load{addr: u.server.http, domain: sender, key: adminKey, messages: 1 << 30, connections: d.connections, size: d.size,
		fields: dkimField(false), enough: &enough}
	go func() {
		seen := l.run(loading)
		n <- seen.Accepted
		if seen.Failed > 0 {
			fmt.Fprintf(os.Stderr, "bench: %d requests of the load failed: %s\n", seen.Failed, seen.Error)
		}
	}()
	// The load has to fill the queue first.
	if err := pause(ctx, time.Second); err != nil {
		return w, 0, 0, err
	}
	start, before := time.Now(), u.load.taken()
	w, err = u.prober.send(ctx, d.probes, d.every)
	perSecond = float64(u.load.taken()-before) / time.Since(start).Seconds()
	enough.Store(true)
	return w, <-n, perSecond, err
}
