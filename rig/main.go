//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// rig is what the tests share.
type rig struct {
	binary  string
	source  string // directory of the module, for broken builds
	dir     string // everything is kept under it
	long    bool
	keep    bool
	require bool
	seed    uint64
	random  *rand.Rand
}

// test is one row of the table.
type test struct {
	id, name string
	run      func(*rig, context.Context, *result) error
}

func tests() []test {
	return []test{
		{"R1", "kill -9 under load", (*rig).kills},
		{"R2", "power loss under load", (*rig).power},
		{"R2c", "power loss: broken builds are caught", (*rig).controls},
		{"R2d", "power loss after the first start", (*rig).firstStart},
		{"R3a", "disk full", (*rig).full},
		{"R3b", "disk errors", (*rig).faulty},
		{"R4", "damaged files at start", (*rig).damage},
		{"R5", "hostile receivers", (*rig).hostile},
		{"R5s", "stalling receivers", (*rig).stalling},
		{"R6", "silent and slow receivers among good ones", (*rig).silent},
		{"R7", "storm of retries", (*rig).storm},
		{"R8", "memory limit, nothing leaves", (*rig).memory},
		{"R9", "clock steps (in-process)", (*rig).clock},
		{"R10", "idempotency, concurrent and over a kill", (*rig).idempotency},
		{"R11", "batch of 1,000 killed half-way", (*rig).batch},
		{"R14", "domain deleted with queued mail", (*rig).deleted},
		{"R14s", "source address removed with queued mail", (*rig).removed},
		{"R15", "retention and unsent mail", (*rig).retention},
		{"R16", "kill -9 under mail from outside", (*rig).inbound},
	}
}

// errSkip begins the error of a test that cannot run here.
var errSkip = errors.New("skipped")

func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkip, fmt.Sprintf(format, args...))
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var r rig
	f := flag.NewFlagSet("rig", flag.ContinueOnError)
	f.StringVar(&r.binary, "binary", "", "program to try (default: build it)")
	f.StringVar(&r.source, "source", ".", "directory of the module, for builds")
	only := f.String("only", "", "tests to run, separated by commas (default: all)")
	out := f.String("out", "", "file for the table as JSON lines")
	f.BoolVar(&r.long, "long", false, "many rounds and real time-outs")
	f.BoolVar(&r.keep, "keep", false, "keep data directories and logs")
	f.BoolVar(&r.require, "require", false, "a test that cannot run here is a failure")
	f.Uint64Var(&r.seed, "seed", 0, "seed of the moments and losses (0 takes one from the clock)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if r.seed == 0 {
		r.seed = uint64(time.Now().UnixNano())
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "postroad-rig-"); err != nil {
		return err
	}
	if r.keep {
		fmt.Println("kept in", r.dir)
	} else {
		defer os.RemoveAll(r.dir)
	}
	if err := r.resolve(ctx); err != nil {
		return err
	}
	return r.runAll(ctx, chosen, *out)
}

func choose(only string) ([]test, error) {
	if only == "" {
		return tests(), nil
	}
	var out []test
	for id := range strings.SplitSeq(only, ",") {
		found := false
		for _, t := range tests() {
			if strings.EqualFold(t.id, strings.TrimSpace(id)) {
				out, found = append(out, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no test %q", id)
		}
	}
	return out, nil
}

// resolve finds or builds the program.
func (r *rig) resolve(ctx context.Context) (err error) {
	if r.binary == "" {
		r.binary = filepath.Join(r.dir, "postroad")
		return r.build(ctx, r.binary)
	}
	r.binary, err = filepath.Abs(r.binary)
	return err
}

func (r *rig) build(ctx context.Context, to string, flags ...string) error {
	out, err := goCommand(ctx, r.source, append(append([]string{"build", "-o", to}, flags...), "./cmd/postroad")...)
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// rounds is n, or many in a long run.
func (r *rig) rounds(n, many int) int {
	if r.long {
		return many
	}
	return n
}

func (r *rig) runAll(ctx context.Context, chosen []test, out string) error {
	var all []*result
	for i, t := range chosen {
		r.random = rand.New(rand.NewPCG(r.seed, uint64(i)))
		fmt.Printf("%s %s ...\n", t.id, t.name)
		all = append(all, r.one(ctx, t))
		fmt.Println("   ", all[i].line())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Printf("\nseed %d\n%s", r.seed, table(all))
	if out != "" {
		if err := writeLines(out, all); err != nil {
			return err
		}
	}
	return verdict(all, r.require)
}

// one runs a test; what it cannot do is its result.
func (r *rig) one(ctx context.Context, t test) *result {
	res := &result{Test: t.id, Name: t.name, Seed: r.seed}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Minute)
	defer cancel()
	err := t.run(r, ctx, res)
	res.Seconds = time.Since(began).Seconds()
	res.finish(err)
	return res
}
