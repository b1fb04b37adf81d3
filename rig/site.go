//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// site is a server with one sink everything goes to, and what both say.
type site struct {
	*server
	dir  string
	sink *sink
	book *ledger
	next *atomic.Int64
}

// newSite prepares a server under a directory of its own whose mail all goes to
// a sink; data is where its data lies, "" for the usual place.
func (r *rig) newSite(name, binary, data string, do script, args ...string) (*site, error) {
	dir, err := os.MkdirTemp(r.dir, name+"-")
	if err != nil {
		return nil, err
	}
	t := &site{dir: dir, book: newLedger(), next: &atomic.Int64{}}
	if t.sink, err = startSink("127.0.0.1:0", do, t.book.arrive); err != nil {
		return nil, err
	}
	args = append([]string{"--relay", "*=smtp://" + t.sink.addr()}, args...)
	if t.server, err = newServer(binary, dir, data, args...); err != nil {
		t.sink.close()
		return nil, err
	}
	return t, nil
}

// open starts the server for the first time and makes the sending domain.
func (t *site) open(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	return t.createDomain(ctx, sender)
}

// close ends everything.
func (t *site) close() {
	t.kill()
	t.sink.close()
}

// finish waits for the queue to empty, stops the server, and adds the figures to
// the result.
func (t *site) finish(ctx context.Context, res *result) error {
	err := t.drain(ctx, 20*time.Second, t.book.quiet)
	if err != nil {
		err = errors.Join(err, t.lastLog())
	} else {
		err = t.stop()
	}
	res.count(t.book)
	return err
}

// during loads the server while fn runs.
func (t *site) during(ctx context.Context, l *load, fn func() error) error {
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(loading)
	}()
	err := fn()
	stop()
	<-done
	return err
}

// crash is kill -9 and what was under way then.
func (t *site) crash(res *result) error {
	before := t.sink.open.Load()
	err := t.kill()
	res.InFlight += int(max(before, t.sink.open.Load()))
	return err
}

// send loads the server until n more messages are acknowledged.
func (t *site) send(ctx context.Context, n int, change func(*load)) error {
	l := newLoad(t.server, t.book.ack, t.next)
	l.http = 8
	if change != nil {
		change(l)
	}
	want := t.book.ackedCount() + n
	return t.during(ctx, l, func() error {
		return until(ctx, time.Minute, "messages accepted", func() (bool, error) {
			return t.book.ackedCount() >= want, nil
		})
	})
}

// copyTo copies the data directory.
func (t *site) copyTo(dir string) error {
	return os.CopyFS(dir, os.DirFS(t.data))
}

// segments lists the segment files, the oldest first.
func segments(data string) ([]string, error) {
	return filepath.Glob(filepath.Join(data, "blobs", "*.seg"))
}
