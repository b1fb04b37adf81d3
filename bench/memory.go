package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// memory watches the resident memory of postroad over many messages: it must
// not grow with their number.
type memory struct {
	target
	messages, connections, size int
	out                         string
}

// growth is how much more the last quarter of a run may hold than the first.
// Memory that grows raises the low points and the medians alike; the garbage
// collector's cycles, in which memory is given back to the system, move one or
// the other by a third.
const growth = 1.25

func (m *memory) define(f *flag.FlagSet) {
	m.target.define(f)
	f.IntVar(&m.messages, "messages", 100000, "messages")
	f.IntVar(&m.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&m.size, "size", 10240, "bytes of text in each message")
	f.StringVar(&m.out, "out", "", "file JSON lines are appended to")
}

func defineMemory(f *flag.FlagSet) func(context.Context) error {
	var m memory
	m.define(f)
	return func(ctx context.Context) error { return m.run(ctx, newReport(m.out)) }
}

func (m *memory) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := m.resolve(ctx, dir)
	if err != nil {
		return err
	}
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	out, err := startCounter(ctx, relay)
	if err != nil {
		return err
	}
	defer out.stop()
	data := filepath.Join(dir, "memory")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	s, err := newServer(binary, data, relay)
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	err = s.createDomain(ctx)
	if err == nil {
		err = m.measure(ctx, r, s, out)
	}
	return errors.Join(err, s.stop())
}

// measure samples every thousand messages accepted.
func (m *memory) measure(ctx context.Context, r *report, s *server, out counter) error {
	const every = 1000
	samples := make(chan float64, m.messages/every+1)
	var accepted atomic.Int64
	l := load{addr: s.http, domain: sender, key: adminKey, messages: m.messages, connections: m.connections, size: m.size}
	l.acked = func(string, string) {
		if accepted.Add(1)%every != 0 {
			return
		}
		if st, err := readStat(s.pid()); err == nil {
			samples <- float64(st.resident)
		}
	}
	start := time.Now()
	before, err := cpu(s.pid())
	if err != nil {
		return err
	}
	seen := l.run(ctx)
	close(samples)
	if seen.Accepted != m.messages {
		return errors.Join(fmt.Errorf("only %d of %d messages were accepted: %s", seen.Accepted, m.messages, seen.Error), s.lastLog())
	}
	end, err := out.await(ctx, m.messages)
	if err != nil {
		return err
	}
	after, err := cpu(s.pid())
	if err != nil {
		return err
	}
	var all []float64
	for v := range samples {
		all = append(all, v)
	}
	return m.judge(r, all, end.Sub(start), after-before, &seen)
}

// warmUp is how many samples at the start are not judged: caches fill and the
// heap finds its size. It is never more than a third of the run.
const warmUp = 20

func (m *memory) judge(r *report, all []float64, took, used time.Duration, seen *loadResult) error {
	all = all[min(warmUp, len(all)/3):]
	quarter := len(all) / 4
	if quarter == 0 {
		return errors.New("too few messages to tell: at least 6,000 are needed")
	}
	first, last := median(all[:quarter]), median(all[len(all)-quarter:])
	top := all[0]
	var samples []int64
	for _, v := range all {
		top = max(top, v)
		samples = append(samples, int64(v)>>20)
	}
	if err := r.add(result{Kind: "memory", System: "Postroad, HTTP, DKIM", Messages: m.messages, Connections: m.connections, Size: m.size, Signed: true,
		Seconds: took.Seconds(), PerSecond: float64(m.messages) / took.Seconds(), CPUPer1000: perThousand(used, m.messages),
		PeakRSS: int64(top), Processes: 1, Load: seen, FirstRSS: int64(first), LastRSS: int64(last), Samples: samples}); err != nil {
		return err
	}
	low, lowLast := tenth(all[:quarter]), tenth(all[len(all)-quarter:])
	fmt.Printf("resident memory over %d messages: median of the first quarter %s, of the last %s; low points %s and %s; most %s\n", m.messages,
		megabytes(int64(first)), megabytes(int64(last)), megabytes(int64(low)), megabytes(int64(lowLast)), megabytes(int64(top)))
	if lowLast > low*growth && last > first*growth {
		return fmt.Errorf("memory grew by %.0f%%", (lowLast/low-1)*100)
	}
	return nil
}

// tenth is the value a tenth of the list lies below.
func tenth(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/10]
}
