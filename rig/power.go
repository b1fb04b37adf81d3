//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postroad/rig/powerfs"
)

// mains is a site whose data lies on a file system that can lose its power.
type mains struct {
	*site
	r     *rig
	fs    *powerfs.FS
	mount string
}

// newMains mounts the file system and prepares the server. Its data directory
// is there, durably, unless fresh.
func (r *rig) newMains(name, binary string, fresh bool, args ...string) (*mains, error) {
	if os.Getuid() != 0 {
		return nil, skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, skip("%s", err)
	}
	mount, err := os.MkdirTemp(r.dir, "mount-")
	if err != nil {
		return nil, err
	}
	m := &mains{r: r, fs: powerfs.New(), mount: mount}
	if err := m.fs.Mount(mount); err != nil {
		return nil, skip("%s", err)
	}
	if !fresh {
		if err := errors.Join(os.Mkdir(filepath.Join(mount, "data"), 0o700), syncDir(mount)); err != nil {
			return nil, errors.Join(err, m.fs.Unmount())
		}
	}
	m.site, err = r.newSite(name, binary, filepath.Join(mount, "data"), script{}, append([]string{"--retry", "1s,5s,5s,5s"}, args...)...)
	if err != nil {
		return nil, errors.Join(err, m.fs.Unmount())
	}
	return m, nil
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *mains) close() {
	m.fs.Cut()
	m.site.close()
	m.unmount()
}

// unmount waits until the dead process has left the file system.
func (m *mains) unmount() error {
	var err error
	for range 100 {
		if err = m.fs.Unmount(); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// fail cuts the power: what the kernel and the process had not made durable is
// gone, all of it or, with some, a random part.
func (m *mains) fail(res *result, some powerfs.Some) (powerfs.Loss, error) {
	m.fs.Cut()
	if err := m.crash(res); err != nil {
		return powerfs.Loss{}, err
	}
	m.fs.SetFault(nil)
	if err := m.unmount(); err != nil {
		return powerfs.Loss{}, err
	}
	loss := m.fs.Crash(some)
	return loss, m.fs.Mount(m.mount)
}

// power is R2.
func (r *rig) power(ctx context.Context, res *result) error {
	loss, err := r.outages(ctx, res, r.binary, r.rounds(8, 100), false, 0)
	res.note("forgotten: %d KB of dirty pages, %d directory changes", loss.Bytes>>10, loss.Steps)
	return err
}

// firstStart is R2d: the same with a data directory that the server made.
func (r *rig) firstStart(ctx context.Context, res *result) error {
	for range r.rounds(2, 10) {
		if _, err := r.outages(ctx, res, r.binary, 1, true, 0); err != nil {
			return err
		}
	}
	return nil
}

// outages loads a server, cuts its power at random moments, and counts. In
// every second outage a part of what was not synced survives; in every fourth
// the power fails again while the server starts. patience, unless 0, bounds the
// wait for what may never arrive.
func (r *rig) outages(ctx context.Context, res *result, binary string, rounds int, fresh bool, patience time.Duration) (total powerfs.Loss, err error) {
	m, err := r.newMains("power", binary, fresh)
	if err != nil {
		return total, err
	}
	defer m.close()
	if err := errors.Join(m.withSMTP(m.dir), m.open(ctx)); err != nil {
		return total, err
	}
	if err := m.createLogin(ctx); err != nil {
		return total, err
	}
	for i := range rounds {
		loss, err := m.outage(ctx, res, i)
		total.Bytes, total.Steps = total.Bytes+loss.Bytes, total.Steps+loss.Steps
		if err != nil {
			return total, err
		}
	}
	if patience > 0 {
		err = m.drain(ctx, patience, m.book.quiet)
		res.count(m.book)
		return total, errors.Join(err, m.kill())
	}
	return total, m.finish(ctx, res)
}

func (m *mains) outage(ctx context.Context, res *result, round int) (loss powerfs.Loss, err error) {
	var some powerfs.Some
	if round%2 == 1 {
		some = func() bool { return m.r.random.IntN(2) == 0 }
	}
	l := newLoad(m.server, m.book.ack, m.next)
	l.smtp = 4
	if err := m.during(ctx, l, func() (err error) {
		if err := pause(ctx, m.r.moment(50*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
		loss, err = m.fail(res, some)
		return err
	}); err != nil {
		return loss, err
	}
	res.Rounds++
	if strange := l.other(0, 503, 451, 452, 421); len(strange) > 0 {
		res.wrong("answers: %s", few(strange))
	}
	if round%4 == 3 {
		if err := m.launch(); err != nil {
			return loss, err
		}
		if err := pause(ctx, m.r.moment(0, 400*time.Millisecond)); err != nil {
			return loss, err
		}
		again, err := m.fail(res, some)
		loss.Bytes, loss.Steps = loss.Bytes+again.Bytes, loss.Steps+again.Steps
		if err != nil {
			return loss, err
		}
	}
	return loss, m.start(ctx)
}

// broken is a way to break the program that R2 has to notice.
type broken struct {
	name, file, from, to string
}

func brokenBuilds() []broken {
	return []broken{
		{"bodies are not synced", "internal/base/disk/sync_linux.go", "failed = syscall.Fdatasync(int(fd))", "failed = nil"},
		{"the journal is not synced", "internal/base/db/journal.go", "err = j.file.Sync()", "err = nil"},
		{"the database is not synced", "internal/base/db/db.go", "synchronous(FULL)", "synchronous(OFF)"},
	}
}

// controls is the negative control of R2: builds without fsync have to lose
// mail.
func (r *rig) controls(ctx context.Context, res *result) error {
	for i, b := range brokenBuilds() {
		dir, err := os.MkdirTemp(r.dir, "broken-")
		if err != nil {
			return err
		}
		if err := r.breakBuild(ctx, b, dir); err != nil {
			return err
		}
		lost, err := r.control(ctx, filepath.Join(dir, "postroad"))
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if lost == "" {
			res.wrong("%s, and nothing was lost: the test sees nothing", b.name)
		}
		res.Rounds = i + 1
		res.note("%s: %s", b.name, lost)
	}
	return nil
}

// breakBuild builds the program with one text replaced.
func (r *rig) breakBuild(ctx context.Context, b broken, dir string) error {
	name, err := filepath.Abs(filepath.Join(r.source, b.file))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return skip("no source to break: %s", err)
	}
	if !strings.Contains(string(text), b.from) {
		return fmt.Errorf("%s has no %q to break any more", b.file, b.from)
	}
	replaced := filepath.Join(dir, "replaced.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {name: replaced}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(replaced, []byte(strings.ReplaceAll(string(text), b.from, b.to)), 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)); err != nil {
		return err
	}
	return r.build(ctx, filepath.Join(dir, "postroad"), "-overlay", filepath.Join(dir, "overlay.json"))
}

// control runs a broken build until it has lost something, and says what.
func (r *rig) control(ctx context.Context, binary string) (string, error) {
	var res result
	for range 3 {
		_, err := r.outages(ctx, &res, binary, 3, false, 3*time.Second)
		if errors.Is(err, errSkip) || ctx.Err() != nil {
			return "", errors.Join(err, ctx.Err())
		}
		switch {
		case errors.Is(err, errEnded):
			return "does not start any more after the outage", nil
		case res.Lost > 0:
			return fmt.Sprintf("%d of %d lost", res.Lost, res.Acknowledged), nil
		case err != nil:
			return "after the outage: " + strings.SplitN(err.Error(), "\n", 2)[0], nil
		}
	}
	return "", nil
}
