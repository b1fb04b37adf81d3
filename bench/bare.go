package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	kindBare       = "bare"
	bareServerName = "bare-server"
)

// bareHandler reads every part of the request and answers like the API. It
// keeps nothing: it is what the HTTP library alone costs.
func bareHandler(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			_, err = io.ReadAll(p)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	io.WriteString(w, `{"id":"<0@example.com>","message":"Queued. Thank you."}`+"\n")
}

func defineBareServer(f *flag.FlagSet) func(context.Context) error {
	listen := f.String("listen", "127.0.0.1:8080", "address")
	return func(ctx context.Context) error {
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			return err
		}
		s := &http.Server{Handler: http.HandlerFunc(bareHandler), ReadHeaderTimeout: 10 * time.Second}
		stop := context.AfterFunc(ctx, func() { s.Close() })
		defer stop()
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// bare compares acceptance by postroad with that of bareHandler.
type bare struct {
	target
	messages, connections, size, runs int
	out                               string
}

func defineBare(f *flag.FlagSet) func(context.Context) error {
	var b bare
	b.target.define(f)
	f.IntVar(&b.messages, "messages", 10000, "messages per run")
	f.IntVar(&b.connections, "connections", 64, "connections")
	f.IntVar(&b.size, "size", 10240, "bytes of text in each message")
	f.IntVar(&b.runs, "runs", 1, "runs of each; medians are reported")
	f.StringVar(&b.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error {
		r := newReport(b.out)
		if err := b.run(ctx, r); err != nil {
			return err
		}
		return r.finish(os.Stdout)
	}
}

// run takes the two in turn, each after a fifth as many messages that are not
// counted: connections are open then, and heaps as large as they stay.
func (b *bare) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := b.resolve(ctx, dir)
	if err != nil {
		return err
	}
	for i := range b.runs {
		if err := b.runBare(ctx, r); err != nil {
			return err
		}
		if err := b.runPostroad(ctx, r, binary, filepath.Join(dir, fmt.Sprint("accept", i))); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) load(addr string) load {
	return load{addr: addr, domain: sender, key: adminKey, messages: b.messages, connections: b.connections, size: b.size}
}

func (b *bare) runBare(ctx context.Context, r *report) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, bareServerName, "--listen", addr)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed: its state is known
	}()
	if err := awaitListen(ctx, addr); err != nil {
		return err
	}
	l := b.load(addr)
	return b.measure(ctx, r, "bare handler", &l, cmd.Process.Pid)
}

func (b *bare) runPostroad(ctx context.Context, r *report, binary, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	s, err := newServer(binary, dir, "127.0.0.1:9") // nothing is delivered: see the delivery time
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	err = s.createDomain(ctx)
	if err == nil {
		l := b.load(s.http)
		l.fields = map[string]string{"o:deliverytime": time.Now().Add(24 * time.Hour).Format(time.RFC1123Z)}
		err = b.measure(ctx, r, "Postroad, HTTP", &l, s.pid())
	}
	return errors.Join(err, s.stop())
}

func (b *bare) measure(ctx context.Context, r *report, name string, l *load, pid int) error {
	warm := *l
	warm.messages = max(1, l.messages/5)
	if seen := warm.run(ctx); seen.Accepted != warm.messages {
		return fmt.Errorf("%s: only %d of %d messages were accepted while warming up: %s", name, seen.Accepted, warm.messages, seen.Error)
	}
	before, err := cpu(pid)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	memory := watchMemory(watching, treeOf(pid))
	seen := l.run(ctx)
	stop()
	p := <-memory
	after, err := cpu(pid)
	if err != nil {
		return err
	}
	if seen.Accepted != b.messages {
		return fmt.Errorf("%s: only %d of %d messages were accepted: %s", name, seen.Accepted, b.messages, seen.Error)
	}
	return r.add(result{Kind: kindBare, System: name, Messages: b.messages, Connections: b.connections, Size: b.size,
		Seconds: seen.Seconds, PerSecond: seen.perSecond(), CPUPer1000: perThousand(after-before, b.messages),
		PeakRSS: p.resident, PeakPSS: p.proportional, Processes: p.processes, Load: &seen})
}

func awaitListen(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
