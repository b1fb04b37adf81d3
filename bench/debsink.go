package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"
)

// counter is a place mail goes to that tells how much arrived.
type counter interface {
	// await returns when n messages arrived, and when the last of them did.
	await(ctx context.Context, n int) (time.Time, error)
	taken() int
	stop()
}

// debSink is smtp-sink of Debian's postfix package: the receiver that costs
// the machine least.
type debSink struct {
	cmd   *exec.Cmd
	count atomic.Int64
	last  atomic.Int64 // time of the latest change, Unix nanoseconds
}

func startDebSink(ctx context.Context, addr string) (*debSink, error) {
	s := &debSink{}
	args := []string{"-c", "-m", "2000"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	s.cmd = exec.Command("smtp-sink", append(args, addr, "1000")...)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.read(out)
	if err := awaitBanner(ctx, addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// read follows the running counters: "sess=1 quit=1 mesg=1\r".
func (s *debSink) read(out io.Reader) {
	in := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := in.ReadSlice('\r')
		if err != nil {
			return
		}
		_, digits, ok := bytes.Cut(line, []byte("mesg="))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 10, 64)
		if err == nil && n > s.count.Load() {
			s.last.Store(time.Now().UnixNano())
			s.count.Store(n)
		}
	}
}

func (s *debSink) await(ctx context.Context, n int) (time.Time, error) {
	return awaitCount(ctx, n, func() (int64, time.Time) {
		return s.count.Load(), time.Unix(0, s.last.Load())
	})
}

func (s *debSink) taken() int { return int(s.count.Load()) }

func (s *debSink) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait() // it was killed: its state is known
}

// stall is how long a sink may stand still before a run is given up.
const stall = 60 * time.Second

var errStalled = errors.New("stalled")

// awaitCount looks at a counter until it reaches n.
func awaitCount(ctx context.Context, n int, read func() (int64, time.Time)) (time.Time, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var before int64
	moved := time.Now()
	for {
		count, last := read()
		if count >= int64(n) {
			return last, nil
		}
		if count != before {
			before, moved = count, time.Now()
		}
		if time.Since(moved) > stall {
			return time.Time{}, fmt.Errorf("%w: only %d of %d messages arrived and nothing more for %s", errStalled, count, n, stall)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, errors.Join(ctx.Err(), fmt.Errorf("%d of %d messages arrived", count, n))
		case <-tick.C:
		}
	}
}

// ownCounter counts with the rig's own sink, where smtp-sink is missing.
type ownCounter struct {
	*sink
	last atomic.Int64
}

func startOwnCounter(addr string) (*ownCounter, error) {
	c := &ownCounter{}
	s, err := startSink(addr, func(received) { c.last.Store(time.Now().UnixNano()) })
	c.sink = s
	return c, err
}

func (c *ownCounter) await(ctx context.Context, n int) (time.Time, error) {
	return awaitCount(ctx, n, func() (int64, time.Time) { return c.count.Load(), time.Unix(0, c.last.Load()) })
}

func (c *ownCounter) taken() int { return int(c.count.Load()) }

func (c *ownCounter) stop() { c.close() }

// startCounter starts smtp-sink if there is one and the rig's own sink if not.
func startCounter(ctx context.Context, addr string) (counter, error) {
	if _, err := exec.LookPath("smtp-sink"); err == nil {
		return startDebSink(ctx, addr)
	}
	return startOwnCounter(addr)
}
