package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measurement is one part of bench all.
type measurement struct {
	name string
	run  func(context.Context, *report) error
	runs int // how often all repeats it; those that take turns repeat themselves
}

// plan holds every measurement with its numbers for the short or the long form.
func plan(t target, c choice, long bool) []measurement {
	straight := loopback{messages: 10000, connections: 64, size: 10240}
	signatures := sign{target: t}
	through := e2e{target: t, choice: c, messages: 2000, connections: 64, size: 10240, runs: 1, dkim: "both"}
	taking := acceptSMTP{target: t, choice: c, messages: 2000, connections: 64, size: 10240, runs: 1}
	outside := inbound{target: t, choice: c, messages: 2000, connections: 64, size: 10240, runs: 1, idle: 1000, busy: 500}
	http := bare{target: t, messages: 5000, connections: 64, size: 10240, runs: 1}
	many := batch{target: t, posts: 20, recipients: 1000, singles: 4000, size: 10240, dkim: "both"}
	crowd := bulk{target: t, posts: 5, recipients: 10_000}
	others := delay{target: t, connections: 64, size: 10240, probes: 500, every: 10 * time.Millisecond}
	waiting := deep{target: t, probes: 200, every: 10 * time.Millisecond, more: long}
	links := follow{target: t, singly: 2000, hits: 20_000, connections: 64}
	fill := render{}
	lists := suppressed{entries: suppressShort, checks: 100_000, listed: 0.05}
	held := memory{target: t, messages: 30000, connections: 64, size: 10240}
	runs := 1
	if long {
		runs = 3
		lists.entries = suppressLong
		straight.messages, through.messages, taking.messages, outside.messages, http.messages = 20000, 10000, 10000, 10000, 20000
		through.runs, taking.runs, outside.runs, http.runs = runs, runs, runs, runs
		many.singles, others.probes, held.messages = 20000, 1000, 100000
	}
	return []measurement{{kindLoopback, straight.run, runs}, {kindSign, signatures.run, runs}, {"e2e", through.run, 1}, {kindAccept, taking.run, 1}, {kindInbound, outside.run, 1},
		{kindBare, http.run, 1}, {kindBatch, many.run, runs}, {kindBulk, crowd.run, runs}, {kindLatency, others.run, runs}, {kindDeep, waiting.run, 1}, {kindSuppress, lists.run, 1}, {kindFollow, links.run, runs}, {kindRender, fill.run, runs}, {"memory", held.run, 1}}
}

// chosen leaves the parts named, all without a name.
func chosen(parts []measurement, only string) ([]measurement, error) {
	if only == "" {
		return parts, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p measurement) bool { return p.name == name }) {
			return nil, fmt.Errorf("--only: there is no measurement %q", name)
		}
	}
	return slices.DeleteFunc(parts, func(p measurement) bool { return !slices.Contains(wanted, p.name) }), nil
}

// defineAll runs the measurements whose figures docs/benchmarks.md reports.
func defineAll(f *flag.FlagSet) func(context.Context) error {
	var t target
	var c choice
	t.define(f)
	c.define(f)
	long := f.Bool("long", false, "more messages, medians of 3, a queue of 1,000,000; about 30 minutes")
	only := f.String("only", "", "measurements to run, separated by commas (default all): loopback,sign,e2e,accept-smtp,inbound,bare,batch,bulk,latency,deep,suppress,follow,render,memory")
	out := f.String("out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error {
		dir, remove, err := workDir("")
		if err != nil {
			return err
		}
		defer remove()
		if t.binary, err = t.resolve(ctx, dir); err != nil {
			return err
		}
		parts, err := chosen(plan(t, c, *long), *only)
		if err != nil {
			return err
		}
		return runParts(ctx, parts, newReport(*out))
	}
}

// runParts runs one part after the other; one that fails does not keep the
// rest from being run.
func runParts(ctx context.Context, parts []measurement, r *report) error {
	fmt.Fprintf(os.Stderr, "%d processors, %s, messages of 10 KB\n", runtime.NumCPU(), runtime.Version())
	var failed error
	for _, p := range parts {
		began := time.Now()
		for range p.runs {
			if err := p.run(ctx, r); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
				break
			}
		}
		fmt.Fprintf(os.Stderr, "-- %s took %.0f s\n", p.name, time.Since(began).Seconds())
		if ctx.Err() != nil {
			break
		}
	}
	if len(r.results) == 0 {
		return failed
	}
	return errors.Join(failed, r.finish(os.Stdout))
}

// defineFetch gets what the other products need, so that a later run needs no
// network.
func defineFetch(*flag.FlagSet) func(context.Context) error {
	return func(ctx context.Context) error {
		var failed error
		for _, p := range products("") {
			if p.own() {
				continue
			}
			if err := p.find(ctx); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
			}
		}
		return failed
	}
}
