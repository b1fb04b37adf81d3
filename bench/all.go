package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
)

// defineAll runs the measurements whose figures docs/benchmarks.md reports.
func defineAll(f *flag.FlagSet) func(context.Context) error {
	var t target
	t.define(f)
	long := f.Bool("long", false, "more messages and medians of 3; about half an hour")
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
		accept := bare{target: t, messages: 5000, connections: 64, size: 10240, runs: 1}
		through := e2e{target: t, messages: 4000, connections: 64, size: 10240, runs: 1, dkim: "both"}
		held := memory{target: t, messages: 50000, connections: 64, size: 10240}
		if *long {
			accept.messages, accept.runs = 20000, 3
			through.messages, through.runs = 10000, 3
			held.messages = 100000
		}
		fmt.Fprintf(os.Stderr, "%d processors, %s, messages of 10 KB\n", runtime.NumCPU(), runtime.Version())
		r := newReport(*out)
		err = errors.Join(accept.run(ctx, r), through.run(ctx, r), held.run(ctx, r))
		if len(r.results) == 0 {
			return err
		}
		return errors.Join(err, r.finish(os.Stdout))
	}
}
