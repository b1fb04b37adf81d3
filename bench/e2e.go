package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// e2e measures the whole way: from the first message submitted to the last
// received. Every system takes the same messages from the same load tool,
// smtp-source, and hands them to the same sink, smtp-sink; Postroad takes them
// over HTTP as well, in a row of its own.
type e2e struct {
	target
	choice
	messages, connections, size, runs int
	tmp, out, dkim                    string
}

func (e *e2e) define(f *flag.FlagSet) {
	e.target.define(f)
	e.choice.define(f)
	f.IntVar(&e.messages, "messages", 10000, "messages per run")
	f.IntVar(&e.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&e.size, "size", 10240, "bytes of text in each message")
	f.IntVar(&e.runs, "runs", 1, "runs of each system; medians are reported")
	f.StringVar(&e.dkim, "dkim", "both", "on, off or both")
	f.StringVar(&e.tmp, "tmp", "", "directory for queues and data (default the system's); must not be in memory")
	f.StringVar(&e.out, "out", "", "file JSON lines are appended to")
}

func defineE2E(f *flag.FlagSet) func(context.Context) error {
	var e e2e
	e.define(f)
	return func(ctx context.Context) error { return single(ctx, e.out, e.run) }
}

// single runs one measurement and prints its table.
func single(ctx context.Context, out string, run func(context.Context, *report) error) error {
	r := newReport(out)
	err := run(ctx, r)
	if len(r.results) == 0 {
		return err
	}
	return errors.Join(err, r.finish(os.Stdout))
}

// run takes the systems in turn, so that a machine that slows down slows all.
func (e *e2e) run(ctx context.Context, r *report) error {
	signs, ok := map[string][]bool{"both": {false, true}, "on": {true}, "off": {false}}[e.dkim]
	if !ok {
		return errors.New("--dkim must be on, off or both")
	}
	dir, remove, err := workDir(e.tmp)
	if err != nil {
		return err
	}
	defer remove()
	binary, err := e.resolve(ctx, dir)
	if err != nil {
		return err
	}
	all, err := e.pick(binary)
	if err != nil {
		return err
	}
	here, failed := all.present(ctx, r, "e2e")
	for range e.runs {
		for _, sign := range signs {
			for _, p := range here.list {
				if ctx.Err() != nil {
					return errors.Join(failed, ctx.Err())
				}
				if sign && p.signs == "" {
					continue
				}
				if err := e.again(ctx, r, p, dir, sign); err != nil {
					failed = errors.Join(failed, here.missed(r, "e2e", p, p.title(sign), err))
				}
			}
		}
	}
	return errors.Join(failed, ctx.Err())
}

// again repeats, once, a peer's run that stalled: now and then Postfix leaves
// part of the mail in its queue for minutes, and a rate of that says nothing.
func (e *e2e) again(ctx context.Context, r *report, p product, dir string, sign bool) error {
	err := e.one(ctx, r, p, dir, sign)
	if p.own() || !errors.Is(err, errStalled) {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: THIS RUN OF %s DOES NOT COUNT AND IS REPEATED: %v\n", p.title(sign), err)
	return e.one(ctx, r, p, dir, sign)
}

func (e *e2e) one(ctx context.Context, r *report, p product, dir string, sign bool) error {
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	w, err := launch(ctx, p, dir, relay, sign, false)
	if err != nil {
		return err
	}
	send, err := e.load(p, w, sign)
	if err == nil {
		err = w.explain(e.measure(ctx, r, p.title(sign), relay, sign, w.group, send))
	}
	return errors.Join(err, w.end(ctx))
}

func (e *e2e) load(p product, w *running, sign bool) (submit, error) {
	file, err := writeMessage(w.dir, e.size, sign)
	if err != nil {
		return nil, err
	}
	if p.load != nil {
		return p.load(w.peer, file, sign, e.connections, e.size), nil
	}
	return smtpLoad(w.addr(), file, e.connections), nil
}

// settle is how long a system is left alone after the last message, so that
// work it put off is counted too.
const settle = time.Second

// measure sends one message to see that the system signs or does not as it
// should, and then the load.
func (e *e2e) measure(ctx context.Context, r *report, name, relay string, sign bool, g *group, send submit) error {
	if err := probe(ctx, relay, sign, send); err != nil {
		return err
	}
	out, err := startCounter(ctx, relay)
	if err != nil {
		return err
	}
	defer out.stop()
	m, err := begin(ctx, g)
	if err != nil {
		return err
	}
	defer m.stop()
	seen, err := send(ctx, e.messages)
	if err != nil {
		return err
	}
	end, err := out.await(ctx, e.messages)
	if err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	if n := out.taken(); n != e.messages {
		return fmt.Errorf("%d messages were sent, %d arrived", e.messages, n)
	}
	one, err := m.result(end, e.messages)
	if err != nil {
		return err
	}
	one.Kind, one.System, one.Signed, one.Connections, one.Size, one.Load = "e2e", name, sign, e.connections, e.size, seen
	return r.add(one)
}

// pause waits, or returns why it could not.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// meter follows what a group of processes uses while it is loaded.
type meter struct {
	group  *group
	start  time.Time
	before time.Duration
	memory <-chan peak
	stop   context.CancelFunc
}

func begin(ctx context.Context, g *group) (*meter, error) {
	before, err := g.cpu()
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	return &meter{group: g, before: before, memory: watchMemory(watching, g.list), stop: stop, start: time.Now()}, nil
}

// result is what n messages came to whose last was through at end.
func (m *meter) result(end time.Time, n int) (result, error) {
	m.stop()
	p := <-m.memory
	after, err := m.group.cpu()
	if err != nil {
		return result{}, err
	}
	took := end.Sub(m.start).Seconds()
	return result{Messages: n, Seconds: took, PerSecond: float64(n) / took, CPUPer1000: perThousand(after-m.before, n),
		CPUAtLeast: !m.group.exact(), PeakRSS: p.resident, PeakPSS: p.proportional, Processes: p.processes}, nil
}

// probe sends one message to a sink of the rig and looks at it.
func probe(ctx context.Context, relay string, sign bool, send submit) error {
	got := make(chan received, 16)
	s, err := startSink(relay, func(m received) { got <- m })
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := send(ctx, 1); err != nil {
		return fmt.Errorf("the probe message: %w", err)
	}
	select {
	case m := <-got:
		if m.Signed != sign {
			return fmt.Errorf("the probe message was signed: %t, wanted: %t", m.Signed, sign)
		}
		leaving, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return s.leave(leaving)
	case <-time.After(20 * time.Second):
		return errors.New("the probe message did not arrive")
	case <-ctx.Done():
		return ctx.Err()
	}
}
