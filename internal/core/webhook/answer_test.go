package webhook

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
	"postroad/internal/core/coretest"
)

// A receiver that sent a status has answered, even if its body breaks off.
func TestBrokenBody(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, func(_ int, w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "part")
		})
		f.register(to.URL, "delivered")
		f.happen()
		round(f.t, f.begin(f.Service))
		c := f.only()
		if c.State != Delivered || len(c.Attempts) != 1 || c.Attempts[0].Status != 200 || c.Attempts[0].Response != "part" {
			f.t.Errorf("call %+v", c)
		}
	})
}

// A call that is answered when Run breaks it off is not given back: it would be
// made twice.
func TestDrainKeepsAnswer(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		const more = 32 << 20 // more than sockets hold: once written, the client has read the status
		client := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: time.Minute, MaxResponseBytes: 2 * more})
		f.t.Cleanup(client.CloseIdle)
		s, err := New(f.ctx, f.d, f.ids, quiet(), client, f.accounts, ownDomain, Options{})
		must(f.t, err)
		answered, release := make(chan struct{}), make(chan struct{})
		to := newReceiver(f.t, func(n int, w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.Itoa(2*more))
			w.Write(make([]byte, more))
			close(answered)
			<-release
		})
		f.t.Cleanup(func() { close(release) }) // before the receiver is closed
		f.register(to.URL, "delivered")
		f.happen()
		must(f.t, s.Reload(f.ctx))
		r := f.begin(s)
		r.cycle(f.ctx)
		wait(f.t, answered, "answer")
		r.cancel()
		r.drain()
		if c := f.only(); c.State != Delivered || len(c.Attempts) != 1 || c.Attempts[0].Status != 200 {
			f.t.Errorf("after the drain: %s, %d attempts", c.State, len(c.Attempts))
		}
	})
}

// setBack is a clock that is set back after it was read a number of times.
type setBack struct {
	*clock.Fake
	reads atomic.Int64
	by    time.Duration
}

func (c *setBack) Now() time.Time {
	if c.reads.Add(-1) >= 0 {
		return c.Fake.Now().Add(c.by)
	}
	return c.Fake.Now()
}

// A clock that is set back between picking and claiming does not keep the
// scheduler busy until the time has come again.
func TestClockSetBack(t *testing.T) {
	for reads := range int64(4) {
		t.Run(strconv.FormatInt(reads, 10), func(t *testing.T) {
			fake := clock.NewFake(epoch)
			c := &setBack{Fake: fake, by: 3 * time.Second}
			f := newFixture(t, coretest.SQLite(t, c), fake, setup{Options: Options{Plan: []time.Duration{2 * time.Second}}})
			to := newReceiver(t, status(500))
			f.register(to.URL, "delivered")
			f.happen()
			r := f.begin(f.Service)
			if n := round(t, r); n != 1 {
				t.Fatalf("%d requests", n)
			}
			c.reads.Store(reads)
			ended := make(chan struct{})
			go func() { r.cycle(t.Context()); close(ended) }()
			wait(t, ended, "end of the cycle")
		})
	}
}
