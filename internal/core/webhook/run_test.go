package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

// each runs fn on both engines with a clock of its own.
func each(t *testing.T, o setup, fn func(f *fixture)) {
	t.Helper()
	c := clock.NewFake(epoch)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(newFixture(t, d, c, o)) })
}

func (f *fixture) begin(s *Service) *runner {
	f.t.Helper()
	r, err := s.start(f.ctx)
	must(f.t, err)
	return r
}

// R12: the plan is kept, with every attempt on record, and then ends.
func TestPlan(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(500))
		f.register(to.URL+"/hook", "delivered")
		f.happen()
		r := f.begin(f.Service)
		begin := f.clock.Now()
		var tokens = map[string]bool{}
		var at time.Duration
		for i, pause := range append(Plan(), 0) {
			if n := round(f.t, r); n != 1 {
				f.t.Fatalf("attempt %d: %d requests", i+1, n)
			}
			tokens[wait(f.t, to.got, "request").doc.Signature.Token] = true
			c := f.only()
			a := c.Attempts[len(c.Attempts)-1]
			if len(c.Attempts) != i+1 || a.Number != i+1 || !a.At.Equal(begin.Add(at)) || a.Status != 500 {
				f.t.Fatalf("attempt %d: %+v", i+1, a)
			}
			if pause == 0 {
				break
			}
			if c.State != Waiting || !c.Due.Equal(f.clock.Now().Add(pause)) || !a.Next.Equal(c.Due) {
				f.t.Fatalf("after attempt %d: %s, due %v, next %v", i+1, c.State, c.Due, a.Next)
			}
			f.clock.Advance(pause - time.Microsecond)
			if n := round(f.t, r); n != 0 {
				f.t.Fatalf("attempt %d came early", i+2)
			}
			f.clock.Advance(time.Microsecond)
			at += pause
		}
		c := f.only()
		if c.State != Failed || !c.Due.IsZero() || len(c.Attempts) != 7 || len(tokens) != 7 {
			f.t.Errorf("end: %s due %v, %d attempts, %d tokens", c.State, c.Due, len(c.Attempts), len(tokens))
		}
		if last := c.Attempts[6].At.Sub(begin); last != 7*time.Hour+30*time.Minute {
			f.t.Errorf("last attempt after %v", last)
		}
		f.clock.Advance(48 * time.Hour)
		if n := round(f.t, r); n != 0 {
			f.t.Errorf("%d requests after the plan", n)
		}
		if s := f.Stats(); s.Staged != 1 || s.Attempts != 7 || s.Retried != 6 || s.Failed != 1 || s.Lanes != 0 {
			f.t.Errorf("stats %+v", s)
		}
	})
}

func TestAnswers(t *testing.T) {
	for _, x := range []struct {
		status int
		want   State
	}{{200, Delivered}, {406, Rejected}, {201, Waiting}, {204, Waiting}, {302, Waiting}, {404, Waiting}, {503, Waiting}} {
		t.Run(strconv.Itoa(x.status), func(t *testing.T) {
			c := clock.NewFake(epoch)
			f := newFixture(t, coretest.SQLite(t, c), c, setup{})
			elsewhere := newReceiver(t, status(200))
			to := newReceiver(t, func(_ int, w http.ResponseWriter) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(x.status)
			})
			f.register(to.URL, "delivered")
			f.happen()
			round(t, f.begin(f.Service))
			got := f.only()
			if got.State != x.want || got.Attempts[0].Status != x.status {
				t.Errorf("state %s, status %d", got.State, got.Attempts[0].Status)
			}
			if len(elsewhere.got) != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestRequest(t *testing.T) {
	each(t, setup{Options: Options{UserAgent: "Postroad/1.2"}}, func(f *fixture) {
		to := newReceiver(f.t, func(_ int, w http.ResponseWriter) { io.WriteString(w, "thanks\x00\xff"+strings.Repeat("x", 9000)) })
		f.register(to.URL+"/a?b=c", "permanent_fail")
		e := f.happened(event.Doc{Event: event.Failed, Severity: event.Permanent})
		round(f.t, f.begin(f.Service))
		got := wait(f.t, to.got, "request")
		key, err := f.accounts.SigningKey(f.ctx, f.account)
		must(f.t, err)
		sig := got.doc.Signature
		if sig.Signature != Sign(key, sig.Timestamp, sig.Token) || len(sig.Token) != 50 || sig.Timestamp != strconv.FormatInt(f.clock.Now().Unix(), 10) {
			f.t.Errorf("signature %+v", sig)
		}
		if h := got.header; h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "Postroad/1.2" {
			f.t.Errorf("header %v", h)
		}
		if want := asJSON(f.t, &e.Doc); string(got.doc.Data) != want {
			f.t.Errorf("event-data %s\nwant %s", got.doc.Data, want)
		}
		c := f.only()
		a := c.Attempts[0]
		if c.EventType != "permanent_fail" || c.EventID != e.ID || c.MessageID != 5 || c.Payload != string(got.doc.Data) {
			f.t.Errorf("call %+v", c)
		}
		if a.Request.Body != string(got.body) || a.Request.URL != to.URL+"/a?b=c" || a.Request.Method != "POST" {
			f.t.Errorf("request on record %+v, sent %s", a.Request, got.body)
		}
		if !strings.HasPrefix(a.Response, "thanks\ufffd\ufffdxxx") || len(a.Response) > MaxResponse+8 || a.Duration <= 0 {
			f.t.Errorf("answer on record %q (%d bytes), %v", a.Response[:20], len(a.Response), a.Duration)
		}
	})
}

// A call whose program died between claim and result is made again.
func TestCrashAfterClaim(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(200))
		f.register(to.URL, "delivered")
		f.happen()
		var list []claimed
		must(f.t, f.d.Group(f.ctx, func(tx *db.Tx) (err error) {
			list, _, err = claimLane(tx, laneOf(to.URL), 10, f.node, lease)
			return err
		}))
		if len(list) != 1 {
			f.t.Fatalf("%d claimed", len(list))
		}
		wantError(f.t, f.Replay(f.ctx, f.account, list[0].id), errs.Conflict, "right now")
		next := f.another(setup{})
		r := f.begin(next)
		if f.d.Dialect == db.Postgres { // another node may be alive: its lease is waited for
			if n := round(f.t, r); n != 0 {
				f.t.Fatalf("%d requests while the lease held", n)
			}
			f.clock.Advance(lease)
		}
		if n := round(f.t, r); n != 1 {
			f.t.Fatalf("%d requests after the restart", n)
		}
		if c := f.only(); c.State != Delivered || len(c.Attempts) != 1 {
			f.t.Errorf("call %+v", c)
		}
		// The dead program's result, had it come late, changes nothing.
		must(f.t, f.d.Group(f.ctx, func(tx *db.Tx) error {
			return finish(tx, &list[0], f.node, f.ids.Next(), &result{request: "{}"}, verdict{state: Waiting, due: tx.Now})
		}))
		if c := f.only(); c.State != Delivered || len(c.Attempts) != 2 {
			f.t.Errorf("after a late result: %s with %d attempts", c.State, len(c.Attempts))
		}
	})
}

// Calls staged while Run sleeps are made without waiting for any timer, and a
// receiver that never answers holds up nobody else.
func TestSlowReceiverDelaysNobody(t *testing.T) {
	each(t, setup{Options: Options{Parallel: 4, PerReceiver: 2}}, func(f *fixture) {
		release := make(chan struct{})
		slow := newReceiver(f.t, func(_ int, w http.ResponseWriter) { <-release })
		quick := newReceiver(f.t, status(200))
		stop := f.run(f.Service)
		f.register(slow.URL, "delivered")
		for range 20 {
			f.happen()
		}
		wait(f.t, slow.got, "request to the slow receiver")
		f.register(quick.URL, "delivered")
		for range 5 {
			f.happen()
			wait(f.t, quick.got, "request to the quick receiver")
		}
		close(release)
		for range 24 {
			wait(f.t, slow.got, "request to the slow receiver")
		}
		stop()
		for _, c := range f.calls() {
			if c.State != Delivered || len(c.Attempts) != 1 {
				f.t.Errorf("call %d: %s, %d attempts", c.ID, c.State, len(c.Attempts))
			}
		}
	})
}

// When it ends, Run breaks off what takes too long and gives the claim back.
func TestDrain(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		release := make(chan struct{})
		to := newReceiver(f.t, func(n int, w http.ResponseWriter) {
			if n == 1 {
				<-release
			}
		})
		f.t.Cleanup(func() { close(release) }) // before the receiver is closed
		f.register(to.URL, "delivered")
		f.happen()
		r := f.begin(f.Service)
		r.cycle(f.ctx)
		wait(f.t, to.got, "request")
		ended := make(chan struct{})
		go func() { r.drain(); close(ended) }()
		f.eventually("drain gives up", func() bool {
			f.clock.Advance(f.o.Drain)
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
		if c := f.only(); c.State != Waiting || len(c.Attempts) != 0 {
			f.t.Fatalf("after the drain: %+v", c)
		}
		if n := round(f.t, f.begin(f.another(setup{}))); n != 1 {
			f.t.Errorf("%d requests after the restart", n)
		}
	})
}

func TestReplay(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		var code atomic.Int64
		code.Store(200)
		to := newReceiver(f.t, func(_ int, w http.ResponseWriter) { w.WriteHeader(int(code.Load())) })
		f.register(to.URL, "delivered")
		f.happen()
		r := f.begin(f.Service)
		round(f.t, r)
		id := f.only().ID
		// A success again, once more.
		must(f.t, f.Replay(f.ctx, f.account, id))
		round(f.t, r)
		if c := f.only(); c.State != Delivered || len(c.Attempts) != 2 || c.Attempts[1].Number != 2 {
			f.t.Errorf("replay: %+v", c)
		}
		// A single attempt: no plan follows.
		code.Store(500)
		must(f.t, f.Replay(f.ctx, f.account, id))
		round(f.t, r)
		if c := f.only(); c.State != Failed || len(c.Attempts) != 3 {
			f.t.Errorf("failed replay: %s, %d attempts", c.State, len(c.Attempts))
		}
		// A waiting call keeps its place in the plan.
		f.clock.Advance(time.Second)
		f.happen()
		round(f.t, r)
		newest := f.calls()[0]
		must(f.t, f.Replay(f.ctx, f.account, newest.ID))
		round(f.t, r)
		newest = f.calls()[0]
		if newest.State != Waiting || len(newest.Attempts) != 2 || newest.Due.Sub(f.clock.Now()) != Plan()[1] {
			f.t.Errorf("replay of a waiting call: %s due in %v", newest.State, newest.Due.Sub(f.clock.Now()))
		}
		wantError(f.t, f.Replay(f.ctx, "somebody else", id), errs.NotFound, "not found")
		wantError(f.t, f.Replay(f.ctx, f.account, 1), errs.NotFound, "not found")
	})
}

// S8: an address that is not public sees no connection; the refusal is on
// record as an attempt.
func TestForbiddenAddress(t *testing.T) {
	each(t, setup{public: true}, func(f *fixture) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(f.t, err)
		f.t.Cleanup(func() { l.Close() })
		accepted := make(chan net.Conn, 10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		_, port, err := net.SplitHostPort(l.Addr().String())
		must(f.t, err)
		f.register("http://localhost:"+port+"/", "delivered") // a name: looked up when dialled
		f.happen()
		round(f.t, f.begin(f.Service))
		c := f.only()
		if c.State != Waiting || c.Attempts[0].Status != 0 || !strings.Contains(c.Attempts[0].Error, "not sent: ") ||
			!strings.Contains(c.Attempts[0].Error, "is not allowed") {
			f.t.Errorf("call %s, attempt %+v", c.State, c.Attempts[0])
		}
		mine, err := net.Dial("tcp", l.Addr().String())
		must(f.t, err)
		defer mine.Close()
		if first := wait(f.t, accepted, "connection"); first.RemoteAddr().String() != mine.LocalAddr().String() {
			f.t.Errorf("%s connected", first.RemoteAddr())
		}
	})
}

// A receiver that is not there: the error is on record, and retried.
func TestConnectionRefused(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(f.t, err)
		l.Close()
		f.register("http://"+l.Addr().String(), "delivered")
		f.happen()
		round(f.t, f.begin(f.Service))
		if c := f.only(); c.State != Waiting || !strings.Contains(c.Attempts[0].Error, "refused") {
			f.t.Errorf("call %s, attempt %+v", c.State, c.Attempts[0])
		}
	})
}

func TestDeleteBefore(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(200))
		f.register(to.URL, "delivered")
		r := f.begin(f.Service)
		for range 3 {
			f.happen()
		}
		round(f.t, r)
		f.clock.Advance(24 * time.Hour)
		f.happen()
		round(f.t, r)
		n, err := f.DeleteBefore(f.ctx, f.clock.Now().Add(-time.Hour))
		must(f.t, err)
		var attempts int
		must(f.t, f.d.Read(f.ctx, func(tx *db.Tx) error {
			return tx.QueryRow("SELECT COUNT(*) FROM webhook_attempt").Scan(&attempts)
		}))
		if left := len(f.calls()); n != 3 || left != 1 || attempts != 1 {
			f.t.Errorf("deleted %d, left %d calls and %d attempts", n, left, attempts)
		}
	})
}

// Calls of a webhook that was deleted are still made; new events make none.
func TestDeletedWebhookStillCalled(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(200))
		f.register(to.URL, "delivered")
		f.happen()
		must(f.t, f.d.Write(f.ctx, func(tx *db.Tx) error { return f.DeleteDomain(tx, domainID) }))
		f.happen()
		if n := round(f.t, f.begin(f.Service)); n != 1 {
			f.t.Errorf("%d requests", n)
		}
	})
}

// A registration another program made is seen at the next refresh.
func TestRefresh(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(200))
		r := f.begin(f.Service)
		round(f.t, r)
		other := f.another(setup{})
		_, err := other.addTypes(f.ctx, scope{f.account, domainID}, to.URL, []string{"delivered"})
		must(f.t, err)
		f.happen()
		if len(f.calls()) != 0 {
			f.t.Fatal("seen before the refresh")
		}
		f.clock.Advance(refresh)
		round(f.t, r)
		f.happen()
		if n := round(f.t, r); n != 1 {
			f.t.Errorf("%d requests after the refresh", n)
		}
	})
}

// An event without webhooks costs nothing: no allocation and no use of the store.
func TestNothingRegistered(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		e := &event.Event{AccountID: f.account, DomainID: domainID, Doc: event.Doc{Event: event.Delivered}}
		if n := testing.AllocsPerRun(100, func() { must(f.t, f.Event(nil, e)) }); n != 0 {
			f.t.Errorf("%v allocations", n)
		}
	})
}

func TestRunEndsWithContext(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		must(f.t, f.Run(ctx))
	})
}
