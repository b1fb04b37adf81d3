package webhook

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/event"
)

var epoch = time.Date(2026, 3, 26, 12, 0, 0, 0, time.UTC)

const domainID = 7

// fixture is a service with its neighbours on one store.
type fixture struct {
	*Service
	t        *testing.T
	d        *db.DB
	clock    *clock.Fake
	ids      *ids.Source
	accounts *account.Service
	account  string
	events   *event.Service
	ctx      context.Context // of a caller of the account
}

type setup struct {
	Options
	public bool // refuse private addresses, as in production
}

func newFixture(t *testing.T, d *db.DB, c *clock.Fake, o setup) *fixture {
	t.Helper()
	f := &fixture{t: t, d: d, clock: c, ids: ids.NewSource(c), ctx: t.Context()}
	var err error
	f.accounts, err = account.New(d, f.ids, c, quiet(), account.Options{Secret: make([]byte, 32)})
	must(t, err)
	_, err = f.accounts.Bootstrap(f.ctx, "")
	must(t, err)
	f.account, err = f.accounts.First(f.ctx)
	must(t, err)
	f.ctx = account.With(f.ctx, &account.Caller{AccountID: f.account, Role: "admin"})
	f.Service = f.another(o)
	f.events, err = event.New(d, f.ids, quiet(), f.Service)
	must(t, err)
	return f
}

// another returns a second service on the same store, as after a restart.
func (f *fixture) another(o setup) *Service {
	f.t.Helper()
	client := netx.NewClient(netx.Config{AllowPrivate: !o.public, Timeout: 10 * time.Second, MaxResponseBytes: MaxResponse})
	f.t.Cleanup(client.CloseIdle)
	s, err := New(f.ctx, f.d, f.ids, quiet(), client, f.accounts, ownDomain, o.Options)
	must(f.t, err)
	return s
}

func ownDomain(_ context.Context, c *account.Caller, name string) (int64, error) {
	if name != "example.com" || c.AccountID == "" {
		return 0, errs.New(errs.NotFound, "Domain not found")
	}
	return domainID, nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// register adds a URL for event types of the domain.
func (f *fixture) register(url string, names ...string) {
	f.t.Helper()
	_, err := f.addTypes(f.ctx, scope{f.account, domainID}, url, names)
	must(f.t, err)
}

// happen appends a delivered event about message 5.
func (f *fixture) happen() *event.Event { return f.happened(event.Doc{Event: event.Delivered}) }

func (f *fixture) happened(doc event.Doc) *event.Event {
	f.t.Helper()
	doc.Recipient = "alice@example.net"
	e := &event.Event{AccountID: f.account, DomainID: domainID, MessageID: 5, Doc: doc}
	must(f.t, f.events.Append(f.ctx, e))
	return e
}

func (f *fixture) calls() []Call {
	f.t.Helper()
	list, err := f.Calls(f.ctx, Query{AccountID: f.account})
	must(f.t, err)
	return list
}

func (f *fixture) only() Call {
	f.t.Helper()
	list := f.calls()
	if len(list) != 1 {
		f.t.Fatalf("%d calls, want 1", len(list))
	}
	return list[0]
}

// run starts Run and returns a function that ends it and waits.
func (f *fixture) run(s *Service) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
	}
	f.t.Cleanup(stop)
	return stop
}

// round makes what is due now, one scheduler cycle by hand, and returns the
// number of requests that were made.
func round(t *testing.T, r *runner) int {
	t.Helper()
	n := 0
	for {
		r.cycle(t.Context())
		if r.plan.inflight == 0 {
			return n
		}
		for r.plan.inflight > 0 {
			r.plan.done(<-r.done)
			n++
		}
	}
}

// received is a request a receiver saw.
type received struct {
	header http.Header
	body   []byte
	doc    struct {
		Signature Signature       `json:"signature"`
		Data      json.RawMessage `json:"event-data"`
	}
}

// receiver answers as told and reports what it got.
type receiver struct {
	*httptest.Server
	got chan *received
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{got: make(chan *received, 1000)}
	count := make(chan int, 1)
	count <- 0
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		x := &received{header: req.Header, body: b}
		if err := json.Unmarshal(b, &x.doc); err != nil {
			t.Errorf("body %q: %v", b, err)
		}
		n := <-count + 1
		count <- n
		r.got <- x
		answer(n, w)
	}))
	t.Cleanup(r.Close)
	return r
}

func status(code int) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) {
		w.WriteHeader(code)
		io.WriteString(w, "code "+http.StatusText(code))
	}
}

// wait receives with a limit that only a broken test meets.
func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
	}
	return v
}

// eventually repeats fn until it holds.
func (f *fixture) eventually(what string, fn func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !fn(); {
		if time.Now().After(end) {
			f.t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// call runs an operation by method and path pattern.
func call(f *fixture, method, path string, in any) (any, error) {
	f.t.Helper()
	for _, o := range f.Ops() {
		if o.Method == method && o.Path == path {
			return o.Call(f.ctx, in)
		}
	}
	f.t.Fatalf("no operation %s %s", method, path)
	return nil, nil
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	if r, ok := v.(op.Responder); ok {
		if r.Respond().Status == 204 {
			return "204"
		}
	}
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func wantError(t *testing.T, err error, kind errs.Kind, text string) {
	t.Helper()
	e, ok := err.(*errs.Error)
	if !ok || e.Kind != kind || !strings.Contains(e.Public, text) {
		t.Errorf("error %v (%T), want kind %d with %q", err, err, kind, text)
	}
}

func TestVerifySignature(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := NewSignature("key", now)
	altered := func(fn func(*Signature)) Signature { s := good; fn(&s); return s }
	for _, c := range []struct {
		name string
		s    Signature
		key  string
		now  time.Time
		want bool
	}{
		{"right", good, "key", now.Add(Tolerance), true},
		{"other key", good, "other", now, false},
		{"no key", NewSignature("", now), "", now, false},
		{"old", good, "key", now.Add(Tolerance + time.Second), false},
		{"early", good, "key", now.Add(-Tolerance - time.Second), false},
		{"other time", altered(func(s *Signature) { s.Timestamp = "1800000001" }), "key", now, false},
		{"other token", altered(func(s *Signature) { s.Token += "0" }), "key", now, false},
		{"no token", altered(func(s *Signature) { s.Token = ""; s.Signature = Sign("key", s.Timestamp, "") }), "key", now, false},
		{"no signature", altered(func(s *Signature) { s.Signature = "" }), "key", now, false},
		{"no time", altered(func(s *Signature) { s.Timestamp = "" }), "key", now, false},
	} {
		if got := c.s.Verify(c.key, c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
