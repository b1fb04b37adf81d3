package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// command is one subcommand: it declares its flags and returns what runs once
// they are read.
type command struct {
	name, about string
	define      func(*flag.FlagSet) func(context.Context) error
}

func commands() []command {
	return []command{
		{"all", "everything one after the other", defineAll},
		{kindBare, "acceptance over HTTP against a bare handler", defineBare},
		{"e2e", "load through Postroad and its peers to a sink", defineE2E},
		{kindLoopback, "load tool to sink, and syncs of the disk: what bounds the rest", defineLoopback},
		{kindSign, "RSA signatures per core", defineSign},
		{kindAccept, "taking mail over SMTP without delivering it", defineAcceptSMTP},
		{kindInbound, "mail from outside that a route stores, and 1,500 connections", defineInbound},
		{kindBatch, "one request for 1,000 recipients with variables", defineBatch},
		{kindBulk, "one request of the multi-provider API for 10,000 recipients", defineBulk},
		{kindDeep, "a queue of many deferred deliveries", defineDeep},
		{kindLatency, "waiting of mail to other destinations under full load", defineLatency},
		{kindSuppress, "look-ups of suppressed addresses", defineSuppress},
		{kindFollow, "links and pixels of delivered mail: answers and events", defineFollow},
		{kindRender, "filling a stored template", defineRender},
		{"memory", "resident memory over many messages", defineMemory},
		{"fetch", "get the products to compare with", defineFetch},
		{"load", "load on a server that runs already", defineLoad},
		{"sink", "an SMTP sink that counts", defineSink},
		{bareServerName, "the bare handler (used by bare)", defineBareServer},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		usage()
		return flag.ErrHelp
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet("bench "+c.name, flag.ContinueOnError)
		do := c.define(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return flag.ErrHelp
		}
		if flags.NArg() > 0 {
			return fmt.Errorf("%s takes no arguments: %q", c.name, flags.Args())
		}
		return do(ctx)
	}
	usage()
	return fmt.Errorf("there is no subcommand %q", args[0])
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: bench SUBCOMMAND [flags]; flags of each: bench SUBCOMMAND --help")
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", c.name, c.about)
	}
}

// target names the program under test: a path, or "" to build it.
type target struct{ binary string }

func (t *target) define(f *flag.FlagSet) {
	f.StringVar(&t.binary, "binary", "", "postroad program to measure (built from ./cmd/postroad if empty)")
}

// resolve returns the path of the program, building it into dir if none was
// named.
func (t *target) resolve(ctx context.Context, dir string) (string, error) {
	if t.binary != "" {
		return filepath.Abs(t.binary)
	}
	out := filepath.Join(dir, "postroad")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, "./cmd/postroad")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("go build ./cmd/postroad: %w", err)
	}
	return out, nil
}

// workDir makes a directory that other users of the machine may enter, as
// Postfix and opendkim need. The returned function removes it.
func workDir(parent string) (string, func(), error) {
	dir, err := os.MkdirTemp(parent, "postroad-bench-")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, err
	}
	return dir, func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench: could not remove", dir+":", err)
		}
	}, nil
}
