package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// loopback measures what bounds every other figure: the load tool straight to
// the sink, and how often the disk takes a small write for good.
type loopback struct {
	messages, connections, size int
	out                         string
}

func defineLoopback(f *flag.FlagSet) func(context.Context) error {
	var l loopback
	f.IntVar(&l.messages, "messages", 20000, "messages per run")
	f.IntVar(&l.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&l.size, "size", 10240, "bytes of text in each message")
	f.StringVar(&l.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, l.out, l.run) }
}

const kindLoopback = "loopback"

func (l *loopback) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	return errors.Join(l.tools(ctx, r, dir), disk(ctx, r, dir))
}

func (l *loopback) tools(ctx context.Context, r *report, dir string) error {
	for _, name := range []string{"smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			return r.add(result{Kind: kindLoopback, System: "smtp-source to smtp-sink", Missed: err.Error()})
		}
	}
	file, err := writeMessage(dir, l.size, false)
	if err != nil {
		return err
	}
	var out []figure
	for _, way := range []struct {
		name    string
		options []string
	}{{"connections reused", []string{"-d"}}, {"a connection per message", nil}} {
		rate, err := l.straight(ctx, append(way.options, "-N", "-F", file))
		if err != nil {
			return err
		}
		out = append(out, figure{way.name, rate, "messages/s"})
	}
	return r.add(result{Kind: kindLoopback, System: "smtp-source to smtp-sink", Messages: l.messages, Connections: l.connections, Size: l.size, Figures: out})
}

func (l *loopback) straight(ctx context.Context, options []string) (float64, error) {
	addr, err := freeAddr()
	if err != nil {
		return 0, err
	}
	sink, err := startDebSink(ctx, addr)
	if err != nil {
		return 0, err
	}
	defer sink.stop()
	start := time.Now()
	if err := smtpSource(ctx, addr, l.messages, l.connections, options...); err != nil {
		return 0, err
	}
	end, err := sink.await(ctx, l.messages)
	return float64(l.messages) / end.Sub(start).Seconds(), err
}

// disk appends blocks of 4 KB and syncs each, as a program does that answers
// one client at a time. No system that keeps its word does more without
// serving several clients with one sync.
func disk(ctx context.Context, r *report, dir string) error {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return err
	}
	defer f.Close()
	const least, most = 2 * time.Second, 5000
	block := make([]byte, 4096)
	var took []time.Duration
	start := time.Now()
	for len(took) < most && (time.Since(start) < least || len(took) < 10) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		at := time.Now()
		if _, err := f.Write(block); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("fdatasync: %w", err)
		}
		took = append(took, time.Since(at))
	}
	rate := float64(len(took)) / time.Since(start).Seconds()
	p50, p99 := percentiles(took)
	return r.add(result{Kind: kindLoopback, System: "disk", Figures: []figure{{"append of 4 KB and fdatasync", rate, "/s"},
		{"p50", millis(p50), "ms"}, {"p99", millis(p99), "ms"}}})
}
