package smtp

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// writeChunk bounds one write to the connection, so that the write timeout
// measures progress and not the size of the message.
const writeChunk = 64 * 1024

// wire is a connection whose deadlines can be overruled for good: once
// interrupted, every read and write fails at once, also those that begin later.
// Deadlines go to the raw connection and hold for TLS above it too.
type wire struct {
	raw   net.Conn // as dialled or accepted
	conn  net.Conn // raw, or TLS on it
	write time.Duration
	now   func() time.Time // what deadlines are reckoned by; nil means time.Now

	mu    sync.Mutex
	cut   bool
	block time.Duration // when set, each read gets a deadline of its own
	until time.Time     // latest deadline of any read
	total time.Time     // latest deadline of any write, if set

	first [1]byte // what wait read, if ahead
	ahead bool
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// interrupt makes reads and writes fail from now on. It may be called from any
// goroutine.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	_ = w.raw.SetDeadline(past) // fails only on a closed connection, which is as good
}

func (w *wire) interrupted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) time() time.Time {
	if w.now != nil {
		return w.now()
	}
	return time.Now()
}

// armRead bounds everything read until the next call by one deadline.
func (w *wire) armRead(d time.Duration) { w.setRead(0, w.time().Add(d)) }

// armReads bounds each read by block and all of them by total.
func (w *wire) armReads(block, total time.Duration) {
	w.setRead(block, w.time().Add(total))
}

func (w *wire) setRead(block time.Duration, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block, w.until = block, until
	if !w.cut {
		_ = w.raw.SetReadDeadline(until) // a broken connection shows at the read
	}
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	if w.ahead && len(p) > 0 {
		p[0], w.ahead = w.first[0], false
		w.mu.Unlock()
		return 1, nil
	}
	if w.block > 0 && !w.cut {
		t := w.time().Add(w.block)
		if w.until.Before(t) {
			t = w.until
		}
		_ = w.raw.SetReadDeadline(t) // a broken connection shows at the read
	}
	w.mu.Unlock()
	return w.conn.Read(p)
}

// wait reads until there is an octet, which the next Read returns. It needs no
// buffer.
func (w *wire) wait() error {
	n, err := w.Read(w.first[:])
	if n == 0 {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead = true
	return nil
}

// limitWrites bounds all writes together until it is called again, 0 by nothing:
// a peer that takes a little of each block in time must not hold a message for
// days.
func (w *wire) limitWrites(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total = time.Time{}
	if d > 0 {
		w.total = w.time().Add(d)
	}
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n := 0
	for {
		w.mu.Lock()
		if !w.cut {
			until := w.time().Add(w.write)
			if !w.total.IsZero() && w.total.Before(until) {
				until = w.total
			}
			_ = w.raw.SetWriteDeadline(until) // as above
		}
		w.mu.Unlock()
		part := p[n:min(len(p), n+writeChunk)]
		m, err := w.conn.Write(part)
		n += m
		if err != nil || n >= len(p) {
			return n, err
		}
	}
}

// Buffers holds message write buffers that clients share. The zero value is
// ready to use, from any number of goroutines.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get(w *wire) *bufio.Writer {
	if bw, ok := b.pool.Get().(*bufio.Writer); ok {
		bw.Reset(w)
		return bw
	}
	return bufio.NewWriterSize(w, writeChunk)
}

func (b *Buffers) put(bw *bufio.Writer) {
	bw.Reset(nil)
	b.pool.Put(bw)
}
