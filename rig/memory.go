//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cage is a control group with a memory limit.
type cage struct {
	dir        string
	peak, ooms string // files
}

// newCage makes a control group, version 1 or 2, as the system has it.
func newCage(limit int64) (*cage, error) {
	name := fmt.Sprintf("postroad-rig-%d", os.Getpid())
	for _, v := range []struct {
		root, limit string
		cage        cage
	}{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", cage{peak: "memory.max_usage_in_bytes", ooms: "memory.oom_control"}},
		{"/sys/fs/cgroup", "memory.max", cage{peak: "memory.peak", ooms: "memory.events"}},
	} {
		c := v.cage
		c.dir = filepath.Join(v.root, name)
		if os.Mkdir(c.dir, 0o755) != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(c.dir, v.limit), []byte(strconv.FormatInt(limit, 10)), 0); err == nil {
			return &c, nil
		}
		os.Remove(c.dir)
	}
	return nil, skip("no control group for memory can be made")
}

// command runs a program in the cage.
func (c *cage) command() []string {
	return []string{"/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, c.dir}
}

// killed is how many processes the kernel ended for want of memory.
func (c *cage) killed() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, c.ooms))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("%s has no oom_kill", c.ooms)
}

// remove removes the cage once its processes are gone.
func (c *cage) remove() error {
	var err error
	for range 50 {
		if err = os.Remove(c.dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

const cageSize = 512 << 20

// memory is R8: in 512 MB of memory, with a receiver that takes nothing, the
// server is given mail until it refuses, then large messages from many
// connections. It must neither be killed nor end, and take mail again when the
// receiver does.
func (r *rig) memory(ctx context.Context, res *result) error {
	c, err := newCage(cageSize)
	if err != nil {
		return err
	}
	defer c.remove()
	limit := r.rounds(5000, 100_000)
	t, err := r.newSite("memory", r.binary, "", script{at: atMail, stall: true}, "--retry", "5s,5s,5s,5s,5s,5s,5s,5s,5s,5s,5s,5s", "--queue-limit", strconv.Itoa(limit))
	if err != nil {
		return err
	}
	defer t.close()
	t.before = c.command()
	if err := t.open(ctx); err != nil {
		return err
	}
	if err := t.untilRefused(ctx, res, limit); err != nil {
		return errors.Join(err, t.lastLog())
	}
	for _, size := range []int{1 << 20, 8 << 20} {
		if err := t.large(ctx, res, size, time.Duration(r.rounds(4, 60))*time.Second); err != nil {
			return errors.Join(err, t.lastLog())
		}
	}
	if !t.alive() {
		res.wrong("the server ended: %s", t.lastLog())
		return t.figures(ctx, res, c)
	}
	t.sink.set(script{})
	if err := t.drain(ctx, 60*time.Second, t.book.quiet); err != nil {
		return err
	}
	if err := t.resumes(ctx, 20*time.Second); err != nil {
		res.wrong("%s", err)
	}
	return t.figures(ctx, res, c)
}

// untilRefused gives small messages until the queue is full.
func (t *site) untilRefused(ctx context.Context, res *result, limit int) error {
	l := newLoad(t.server, t.book.ack, t.next)
	l.http, l.size, l.interval = 8, 16<<10, 5*time.Millisecond
	began := time.Now()
	if err := t.during(ctx, l, func() error {
		return until(ctx, 5*time.Minute, "mail is refused", func() (bool, error) { return l.count(503) > 100, nil })
	}); err != nil {
		return err
	}
	res.Rounds++
	res.note("receiver silent, queue_limit %d: refused after %d messages of 16 KB", limit, t.book.ackedCount())
	// The server looks at its queue every 5 s.
	if n := float64(t.book.ackedCount()); n > float64(limit)+7*n/time.Since(began).Seconds() {
		res.wrong("%.0f messages were taken, queue_limit is %d", n, limit)
	}
	if strange := l.other(200, 503); len(strange) > 0 {
		res.wrong("answers: %s", few(strange))
	}
	return nil
}

// large sends large messages on many connections for a while, with the queue
// below its limit: what is refused is refused for memory.
func (t *site) large(ctx context.Context, res *result, size int, d time.Duration) error {
	t.sink.set(script{})
	if err := t.drain(ctx, 60*time.Second, t.book.quiet); err != nil {
		return err
	}
	t.sink.set(script{at: atMail, stall: true})
	l := newLoad(t.server, t.book.ack, t.next)
	l.http, l.size = 32, size
	if err := t.during(ctx, l, func() error { return pause(ctx, d) }); err != nil {
		return err
	}
	res.Rounds++
	res.note("32 connections with messages of %d MB: answers %v", size>>20, l.answers)
	if strange := l.other(200, 503, 429); len(strange) > 0 {
		res.wrong("answers to messages of %d MB: %s", size>>20, few(strange))
	}
	return nil
}

// figures reads the cage's figures.
func (t *site) figures(ctx context.Context, res *result, c *cage) error {
	killed, err := c.killed()
	if err != nil {
		return err
	}
	if killed > 0 {
		res.wrong("the kernel killed the server for want of memory")
	}
	if text, err := os.ReadFile(filepath.Join(c.dir, c.peak)); err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil {
			res.note("most memory, with the system's cache of its files: %d of %d MB", n>>20, cageSize>>20)
		}
	}
	if !t.alive() {
		res.count(t.book)
		return nil
	}
	return t.finish(ctx, res)
}
