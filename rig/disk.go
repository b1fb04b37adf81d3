//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"postroad/rig/powerfs"
)

// refusals are the answers that ask a client to come back.
func refusals() []int { return []int{503, 421, 450, 451, 452, 454} }

// full is R3a: a small file system is filled to the last byte under load, the
// server is killed in every second round while it is full, and room is made
// again.
func (r *rig) full(ctx context.Context, res *result) error {
	if os.Getuid() != 0 {
		return skip("mounting needs root")
	}
	mount, err := os.MkdirTemp(r.dir, "small-")
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=600m"); err != nil {
		return skip("tmpfs: %s", err)
	}
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	t, err := r.newSite("full", r.binary, filepath.Join(mount, "data"), script{}, "--retry", "1s,5s,5s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := errors.Join(t.withSMTP(t.dir), t.open(ctx)); err != nil {
		return err
	}
	if err := t.createLogin(ctx); err != nil {
		return err
	}
	for i := range r.rounds(2, 10) {
		if err := t.fill(ctx, res, filepath.Join(mount, "filler"), i%2 == 1); err != nil {
			return errors.Join(err, t.lastLog())
		}
		res.Rounds++
	}
	return t.finish(ctx, res)
}

// fill is one round of full.
func (t *site) fill(ctx context.Context, res *result, filler string, kill bool) error {
	l := newLoad(t.server, t.book.ack, t.next)
	l.http, l.smtp, l.interval = 8, 2, 5*time.Millisecond
	err := t.during(ctx, l, func() error {
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		if err := fillUp(filler); err != nil {
			return err
		}
		if err := pause(ctx, 6*time.Second); err != nil { // longer than the server's own look at the disk takes
			return err
		}
		if kill {
			return t.crash(res)
		}
		return nil
	})
	refused := l.count(refusals()...)
	res.note("while full: %d refused, answers %v", refused, l.answers)
	if refused == 0 {
		res.wrong("nothing was refused on a full disk")
	}
	expected := append(refusals(), 200, 250)
	if kill {
		expected = append(expected, 0)
	}
	if strange := l.other(expected...); len(strange) > 0 {
		res.wrong("answers on a full disk: %s", few(strange))
	}
	if err != nil {
		return err
	}
	if !kill && !t.alive() {
		res.wrong("the server ended on a full disk")
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if !t.alive() {
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	return t.resumes(ctx, 20*time.Second)
}

// fillUp writes a file until there is no space at all.
func fillUp(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	end, err := f.Seek(0, 2)
	for err == nil { // what the load freed or took meanwhile
		var n int
		n, err = f.WriteAt(make([]byte, 4096), end)
		end += int64(n)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// resumes waits until a message is taken again.
func (t *site) resumes(ctx context.Context, limit time.Duration) error {
	l := newLoad(t.server, t.book.ack, t.next)
	client := &http.Client{Timeout: 10 * time.Second}
	var last string
	err := until(ctx, limit, "mail is taken again", func() (bool, error) {
		code, text := l.post(ctx, client, t.next.Add(1), "again\r\n")
		last = fmt.Sprint(code, " ", text)
		return code == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("%w: last answer %s", err, last)
	}
	return nil
}

// trouble is an operation that fails on some file.
type trouble struct {
	name  string
	fault powerfs.Fault
}

func troubles() []trouble {
	eio, full := syscall.EIO, syscall.ENOSPC
	return []trouble{
		{"EIO writing a body", powerfs.Match(powerfs.Write, ".seg", eio)},
		{"EIO syncing a body", powerfs.Match(powerfs.Sync, ".seg", eio)},
		{"EIO writing the database's log", powerfs.Match(powerfs.Write, ".db-wal", eio)},
		{"EIO syncing the database's log", powerfs.Match(powerfs.Sync, ".db-wal", eio)},
		{"EIO writing the journal", powerfs.Match(powerfs.Write, ".log", eio)},
		{"EIO syncing the journal", powerfs.Match(powerfs.Sync, ".log", eio)},
		{"ENOSPC writing the journal", powerfs.Match(powerfs.Write, ".log", full)},
		{"EIO writing the database", powerfs.Match(powerfs.Write, "postroad.db", eio)}, // its log included
		{"ENOSPC writing a body", powerfs.Match(powerfs.Write, ".seg", full)},
		{"ENOSPC writing the database's log", powerfs.Match(powerfs.Write, ".db-wal", full)},
		{"EIO creating files", powerfs.Match(powerfs.Create, "", eio)},
		{"EIO syncing directories", powerfs.Match(powerfs.SyncDir, "", eio)},
		{"EIO on every sync", func(op powerfs.Op, _ string) syscall.Errno {
			if op == powerfs.Sync {
				return eio
			}
			return 0
		}},
		{"EIO on everything", func(powerfs.Op, string) syscall.Errno { return eio }},
	}
}

// faulty is R3b: reads go on, but writing or syncing fails for a while. What was
// acknowledged, also meanwhile, has to survive a power loss afterwards.
func (r *rig) faulty(ctx context.Context, res *result) error {
	m, err := r.newMains("faulty", r.binary, false)
	if err != nil {
		return err
	}
	defer m.close()
	if err := errors.Join(m.withSMTP(m.dir), m.open(ctx)); err != nil {
		return err
	}
	if err := m.createLogin(ctx); err != nil {
		return err
	}
	for range r.rounds(1, 10) {
		for _, f := range troubles() {
			if err := m.suffer(ctx, res, f); err != nil {
				return fmt.Errorf("%s: %w", f.name, errors.Join(err, m.lastLog()))
			}
			res.Rounds++
		}
	}
	return m.finish(ctx, res)
}

func (m *mains) suffer(ctx context.Context, res *result, f trouble) error {
	l := newLoad(m.server, m.book.ack, m.next)
	l.http, l.smtp = 8, 2
	if err := m.during(ctx, l, func() error {
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		m.fs.SetFault(f.fault)
		return pause(ctx, 800*time.Millisecond)
	}); err != nil {
		return err
	}
	expected := append(refusals(), 200, 250)
	if !m.alive() {
		expected = append(expected, 0) // it stopped itself: an honest answer as well
	}
	res.note("%s: answers %v, alive %t", f.name, l.answers, m.alive())
	if strange := l.other(expected...); len(strange) > 0 {
		res.wrong("%s: answers %s", f.name, few(strange))
	}
	m.fs.SetFault(nil)
	if !m.alive() {
		if err := m.start(ctx); err != nil {
			return err
		}
	}
	if err := m.resumes(ctx, 20*time.Second); err != nil {
		res.wrong("%s: %s", f.name, err)
	}
	if _, err := m.fail(res, nil); err != nil {
		return err
	}
	return m.start(ctx)
}
