package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// e2e measures the whole way: from the first message submitted to the last
// received. postroad takes its load over HTTP, which costs it more than SMTP
// would; Postfix takes it over SMTP with smtp-source, connections reused by
// both.
type e2e struct {
	target
	messages, connections, size, runs int
	only, tmp, out                    string
	dkim                              string
	keepLog                           string
	postfixLog                        string
}

func (e *e2e) define(f *flag.FlagSet) {
	e.target.define(f)
	f.IntVar(&e.messages, "messages", 10000, "messages per run")
	f.IntVar(&e.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&e.size, "size", 10240, "bytes of text in each message")
	f.IntVar(&e.runs, "runs", 1, "runs of each system; medians are reported")
	f.StringVar(&e.only, "only", "", "measure only postroad or only postfix")
	f.StringVar(&e.dkim, "dkim", "both", "on, off or both")
	f.StringVar(&e.tmp, "tmp", "", "directory for queues and data (default the system's); must not be in memory")
	f.StringVar(&e.out, "out", "", "file JSON lines are appended to")
	f.StringVar(&e.postfixLog, "postfix-log", "", "file Postfix's log is moved to after each run (it does not log otherwise, which spares it the cost)")
	f.StringVar(&e.keepLog, "keep-log", "", "file postroad's log is moved to after each run")
}

func defineE2E(f *flag.FlagSet) func(context.Context) error {
	var e e2e
	e.define(f)
	return func(ctx context.Context) error {
		r := newReport(e.out)
		if err := e.run(ctx, r); err != nil {
			return err
		}
		return r.finish(os.Stdout)
	}
}

// run takes the systems in turn, so that a machine that slows down slows all.
func (e *e2e) run(ctx context.Context, r *report) error {
	withPostfix := e.only != "postroad"
	if err := findPostfix(); withPostfix && err != nil {
		if e.only == "postfix" {
			return err
		}
		fmt.Fprintln(os.Stderr, "bench: WITHOUT COMPARISON:", err)
		withPostfix = false
	}
	dir, remove, err := workDir(e.tmp)
	if err != nil {
		return err
	}
	defer remove()
	binary := ""
	if e.only != "postfix" {
		if binary, err = e.resolve(ctx, dir); err != nil {
			return err
		}
	}
	signs, ok := map[string][]bool{"both": {false, true}, "on": {true}, "off": {false}}[e.dkim]
	if !ok {
		return errors.New("--dkim must be on, off or both")
	}
	for i := range e.runs {
		for _, sign := range signs {
			if binary != "" {
				if err := e.postroad(ctx, r, binary, filepath.Join(dir, fmt.Sprintf("postroad-%d-%t", i, sign)), sign); err != nil {
					return err
				}
			}
			if withPostfix {
				if err := e.postfixAgain(ctx, r, filepath.Join(dir, fmt.Sprintf("postfix-%d-%t", i, sign)), sign); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (e *e2e) postroad(ctx context.Context, r *report, binary, dir string, sign bool) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	s, err := newServer(binary, dir, relay)
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	name := systemName("postroad", sign)
	err = s.createDomain(ctx)
	l := load{addr: s.http, domain: sender, key: adminKey, connections: e.connections, size: e.size, fields: dkimField(sign)}
	submit := func(n int) (*loadResult, error) {
		l.messages = n
		seen := l.run(ctx)
		if seen.Accepted != n {
			return nil, fmt.Errorf("%s: only %d of %d messages were accepted: %s", name, seen.Accepted, n, seen.Error)
		}
		return &seen, nil
	}
	if err == nil {
		err = e.measure(ctx, r, name, relay, sign, []int{s.pid()}, submit)
	}
	if err != nil {
		err = errors.Join(err, s.lastLog())
	}
	err = errors.Join(err, s.stop())
	if e.keepLog != "" {
		err = errors.Join(err, os.Rename(s.log, e.keepLog))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// postfixAgain repeats, once, a run that stalled: now and then Postfix leaves
// part of the mail in its queue for minutes (its warnings name the file system's
// clock), and a rate of that says nothing.
func (e *e2e) postfixAgain(ctx context.Context, r *report, dir string, sign bool) error {
	err := e.postfix(ctx, r, dir, sign)
	if !errors.Is(err, errStalled) {
		return err
	}
	fmt.Fprintln(os.Stderr, "bench: THIS RUN DOES NOT COUNT AND IS REPEATED:", err)
	return e.postfix(ctx, r, dir, sign)
}

func (e *e2e) postfix(ctx context.Context, r *report, dir string, sign bool) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	p, err := startPostfix(ctx, dir, relay, sign, e.postfixLog != "")
	if err != nil {
		return err
	}
	submit := func(n int) (*loadResult, error) { return nil, smtpSource(ctx, p.smtp, n, e.connections, e.size) }
	err = e.measure(ctx, r, systemName("Postfix", sign), relay, sign, p.roots(), submit)
	if errors.Is(err, errStalled) {
		err = fmt.Errorf("%w (in its queue: %s)", err, p.queue())
	}
	err = errors.Join(err, p.stop())
	if e.postfixLog != "" {
		err = errors.Join(err, os.Rename(filepath.Join(dir, "mail.log"), e.postfixLog))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// smtpSource submits with Debian's load tool, many messages per connection.
func smtpSource(ctx context.Context, addr string, messages, connections, size int) error {
	cmd := exec.CommandContext(ctx, "smtp-source", "-d", "-N", "-s", strconv.Itoa(connections), "-m", strconv.Itoa(messages),
		"-l", strconv.Itoa(size), "-f", "rig@"+sender, "-t", "user@sink.example", addr)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}

// settle is how long a system is left alone after the last message, so that
// work it put off is counted too.
const settle = time.Second

// measure sends one message to see that the system signs or does not as it
// should, and then the load.
func (e *e2e) measure(ctx context.Context, r *report, name, relay string, sign bool, roots []int, submit func(int) (*loadResult, error)) error {
	if err := probe(ctx, relay, sign, submit); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	out, err := startCounter(ctx, relay)
	if err != nil {
		return err
	}
	defer out.stop()
	before, err := cpu(roots...)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	memory := watchMemory(watching, roots...)
	start := time.Now()
	seen, err := submit(e.messages)
	if err != nil {
		return err
	}
	end, err := out.await(ctx, e.messages)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settle):
	}
	stop()
	p := <-memory
	after, err := cpu(roots...)
	if err != nil {
		return err
	}
	took := end.Sub(start).Seconds()
	return r.add(result{Kind: "e2e", System: name, Messages: e.messages, Connections: e.connections, Size: e.size, Seconds: took,
		PerSecond: float64(e.messages) / took, CPUPer1000: perThousand(after-before, e.messages),
		PeakRSS: p.resident, PeakPSS: p.proportional, Processes: p.processes, Load: seen})
}

// probe sends one message to a sink of the rig and looks at it.
func probe(ctx context.Context, relay string, sign bool, submit func(int) (*loadResult, error)) error {
	got := make(chan received, 16)
	s, err := startSink(relay, func(m received) { got <- m })
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := submit(1); err != nil {
		return err
	}
	select {
	case m := <-got:
		if m.Signed != sign {
			return fmt.Errorf("the probe message was signed: %t, wanted: %t", m.Signed, sign)
		}
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("the probe message did not arrive")
	case <-ctx.Done():
		return ctx.Err()
	}
}
