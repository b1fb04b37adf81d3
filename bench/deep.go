package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// deep measures a server whose queue holds many deferred deliveries: memory,
// disk, how long a start takes, and what new mail feels of it.
//
// The deliveries are deferred for real: each was tried once and its
// destination answered 451. They were submitted as messages to a thousand
// recipients, so that bodies on disk are few; a queue of single messages takes
// a body more for each.
type deep struct {
	target
	messages, probes int
	every            time.Duration
	more             bool // a quarter of it before, and a line through both
	out              string
}

func (d *deep) define(f *flag.FlagSet) {
	d.target.define(f)
	f.IntVar(&d.messages, "messages", 0, "deferred deliveries (default 50,000; 1,000,000 with --long)")
	f.IntVar(&d.probes, "probes", 200, "new messages whose times are taken")
	f.DurationVar(&d.every, "every", 10*time.Millisecond, "time between them")
	f.BoolVar(&d.more, "long", false, "a quarter of the deliveries before, and what both sizes make of 10,000,000")
	f.StringVar(&d.out, "out", "", "file JSON lines are appended to")
}

func defineDeep(f *flag.FlagSet) func(context.Context) error {
	var d deep
	d.define(f)
	return func(ctx context.Context) error { return single(ctx, d.out, d.run) }
}

const (
	kindDeep   = "deep"
	deepShort  = 50000
	deepLong   = 1000000
	deepGoal   = 10000000
	perRequest = 1000 // recipients
	deepSites  = 100  // destinations
)

// depth is what one size came to.
type depth struct {
	held                      int
	memory, memoryStart, disk float64 // bytes above those of the empty server
	ready, first              time.Duration
}

func (d *deep) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := d.resolve(ctx, dir)
	if err != nil {
		return err
	}
	n := d.messages
	switch {
	case n > 0:
	case d.more:
		n = deepLong
	default:
		n = deepShort
	}
	if !d.more {
		_, err := d.one(ctx, r, binary, dir, n)
		return err
	}
	small, err := d.one(ctx, r, binary, dir, max(1, n/4))
	if err != nil {
		return err
	}
	large, err := d.one(ctx, r, binary, dir, n)
	if err != nil {
		return err
	}
	return r.add(result{Kind: kindDeep, System: fmt.Sprintf("Postroad, %d deferred, by a line through both", deepGoal), Figures: []figure{
		{"memory right after filling", line(small, large, func(x depth) float64 { return x.memory }) / 1e6, "MB"},
		{"memory after a start", line(small, large, func(x depth) float64 { return x.memoryStart }) / 1e6, "MB"},
		{"disk", line(small, large, func(x depth) float64 { return x.disk }) / 1e6, "MB"},
		{"start until ready", line(small, large, func(x depth) float64 { return millis(x.ready) }), "ms"}}})
}

// line continues a straight line through two sizes to deepGoal.
func line(a, b depth, value func(depth) float64) float64 {
	slope := (value(b) - value(a)) / float64(b.held-a.held)
	return value(b) + slope*float64(deepGoal-b.held)
}

func (d *deep) one(ctx context.Context, r *report, binary, dir string, n int) (depth, error) {
	full, err := startRefusing("127.0.0.1:0")
	if err != nil {
		return depth{}, err
	}
	defer full.close()
	u, err := prepare(ctx, binary, dir, fmt.Sprint(kindDeep, n), "3h", ".deferred.example="+full.addr())
	if err != nil {
		return depth{}, err
	}
	x, err := d.measure(ctx, r, u, full, n)
	if err != nil && u.server.cmd != nil {
		err = errors.Join(err, u.server.lastLog())
	}
	return x, errors.Join(err, u.end())
}

func (d *deep) measure(ctx context.Context, r *report, u *setup, full *sink, n int) (depth, error) {
	if _, err := u.prober.send(ctx, 2*probeDomains, d.every); err != nil { // connections and caches
		return depth{}, err
	}
	empty, err := u.prober.send(ctx, d.probes, d.every)
	if err != nil {
		return depth{}, err
	}
	memory0, disk0, err := u.size(ctx)
	if err != nil {
		return depth{}, err
	}
	filling := time.Now()
	if err := d.fill(ctx, u, full, n); err != nil {
		return depth{}, err
	}
	filled := time.Since(filling)
	memory1, disk1, err := u.size(ctx)
	if err != nil {
		return depth{}, err
	}
	behind, err := u.prober.send(ctx, d.probes, d.every)
	if err != nil {
		return depth{}, err
	}
	x := depth{held: n, memory: memory1 - memory0, disk: disk1 - disk0}
	figures := []figure{{"deferred a second while filling", float64(n) / filled.Seconds(), "/s"},
		{"memory of the empty server", memory0 / 1e6, "MB"}, {"memory right after filling", memory1 / 1e6, "MB"},
		{"memory right after filling, per delivery", x.memory / float64(n), "bytes"}, {"disk per delivery", x.disk / float64(n), "bytes"}}
	figures = append(append(figures, empty.figures("empty queue")...), behind.figures("deep queue")...)
	again, err := d.restart(ctx, u, n, memory0, &x)
	if err != nil {
		return x, err
	}
	return x, r.add(result{Kind: kindDeep, System: fmt.Sprintf("Postroad, %d deferred", n), Messages: n, Figures: append(figures, again...)})
}

// fill submits until n deliveries wait for their second attempt.
func (d *deep) fill(ctx context.Context, u *setup, full *sink, n int) error {
	const clients = 4
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	client := &http.Client{Timeout: 2 * time.Minute}
	for range clients {
		wg.Go(func() {
			for {
				at := int(next.Add(perRequest)) - perRequest
				if at >= n || ctx.Err() != nil {
					return
				}
				fields := map[string]string{"subject": "A message of the rig", "text": body(10240), "o:dkim": "no"}
				if err := u.server.post(ctx, client, deferred(at, min(perRequest, n-at)), fields); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return awaitDeferred(ctx, u.server, full, n)
}

func deferred(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("user%d@d%d.deferred.example", first+i, (first+i)%deepSites)
	}
	return out
}

// awaitDeferred waits until each delivery was refused once and is back in the
// queue.
func awaitDeferred(ctx context.Context, s *server, full *sink, n int) error {
	var before int64
	moved := time.Now()
	for {
		refused := full.refused.Load()
		if refused >= int64(n) {
			waiting, err := s.gauges(ctx, "postroad_queue_waiting")
			if err != nil {
				return err
			}
			if waiting >= n {
				return nil
			}
		}
		if refused != before {
			before, moved = refused, time.Now()
		}
		if time.Since(moved) > stall {
			return fmt.Errorf("%w: %d of %d deliveries were tried, and nothing more for %s", errStalled, refused, n, stall)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// restart stops the server, starts it and looks at what it still holds.
func (d *deep) restart(ctx context.Context, u *setup, n int, memory0 float64, x *depth) ([]figure, error) {
	at := time.Now()
	if err := u.server.stop(); err != nil {
		return nil, err
	}
	stopped := time.Since(at)
	at = time.Now()
	if err := u.server.start(ctx); err != nil {
		return nil, err
	}
	x.ready = time.Since(at)
	u.prober.client.CloseIdleConnections()
	if _, err := u.prober.send(ctx, 1, time.Millisecond); err != nil {
		return nil, err
	}
	x.first = time.Since(at)
	after, err := u.prober.send(ctx, d.probes, d.every)
	if err != nil {
		return nil, err
	}
	memory, _, err := u.size(ctx)
	if err != nil {
		return nil, err
	}
	x.memoryStart = memory - memory0
	if err := awaitQueued(ctx, u.server, n); err != nil {
		return nil, err
	}
	figures := []figure{{"stop", millis(stopped), "ms"}, {"start until ready", millis(x.ready), "ms"},
		{"start until a new message is tried", millis(x.first), "ms"}, {"memory after a start", memory / 1e6, "MB"},
		{"memory after a start, per delivery", x.memoryStart / float64(n), "bytes"}}
	return append(figures, after.figures("after a start")...), nil
}

// awaitQueued waits until the server counts what it held before it was stopped:
// it need not have counted all of it when it is ready.
func awaitQueued(ctx context.Context, s *server, n int) error {
	for last := time.Now().Add(stall); ; {
		held, err := s.queued(ctx)
		if err != nil || held >= n {
			return err
		}
		if time.Now().After(last) {
			return fmt.Errorf("%d deliveries were deferred; after a start the queue holds %d", n, held)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// size is the server's resident memory and what its directory takes, in bytes,
// once both have settled.
func (u *setup) size(ctx context.Context) (memory, disk float64, err error) {
	if err := pause(ctx, 2*time.Second); err != nil {
		return 0, 0, err
	}
	st, err := readStat(u.server.pid())
	if err != nil {
		return 0, 0, err
	}
	n, err := dirSize(u.server.data)
	return float64(st.resident), float64(n), err
}

func dirSize(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // went meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
