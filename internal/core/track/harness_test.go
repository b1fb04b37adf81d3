package track

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/edge/httpapi"
	"postroad/internal/mail/linktoken"
)

var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// world is the service with what it needs, on real stores.
type world struct {
	*Service
	clock   *clock.Fake
	source  *ids.Source
	domains *domain.Service
	dom     *domain.Domain
	dir     string
	blobs   *blob.Store
	queue   *queue.Queue
	api     http.Handler

	mu     sync.Mutex
	events []*event.Event // recorded, in their transactions
	refuse func(*event.Event) error
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each runs fn on both engines.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	coretest.Each(t, clock.NewFake(begin), func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d)) })
}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	w := &world{clock: d.Clock().(*clock.Fake), source: ids.NewSource(d.Clock()), dir: t.TempDir()}
	var err error
	w.blobs, err = blob.Open(t.TempDir(), blob.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, w.blobs.Close()) })
	w.start(t, d)
	t.Cleanup(func() { check(t, w.Close()) })
	return w
}

// start makes the services, as a program does that finds what one left that was
// killed.
func (w *world) start(t testing.TB, d *db.DB) {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	accounts, err := account.New(d, w.source, d.Clock(), log, account.Options{Secret: make([]byte, 32)})
	check(t, err)
	_, err = accounts.Bootstrap(ctx, "key-test")
	check(t, err)
	first, err := accounts.First(ctx)
	check(t, err)
	w.domains, err = domain.New(d, w.source, d.Clock(), log, domain.Options{Hostname: "mx.test", AssumeVerified: true, Secret: make([]byte, 32), KeyBits: 1024})
	check(t, err)
	if w.dom == nil {
		w.dom, err = w.domains.Create(ctx, first, domain.CreateRequest{Name: "ex.com"})
		check(t, err)
	}
	arrivals := NewArrivals()
	events, err := event.New(d, w.source, log, w, arrivals)
	check(t, err)
	w.queue, err = queue.New(ctx, d, w.source, log, queue.Options{Name: "test", Linger: time.Millisecond})
	check(t, err)
	messages := message.New(message.Config{DB: d, IDs: w.source, Blobs: w.blobs, Events: events, Queue: w.queue, Domains: w.domains, Logger: log,
		MaxBytes: 1 << 20, Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test"})
	key, err := linktoken.NewKey([]byte("a secret"))
	check(t, err)
	w.Service, err = Open(ctx, Config{DB: d, Events: events, Messages: messages, Domains: w.domains, Logger: log, Key: key, Arrivals: arrivals,
		Dir: w.dir, Node: "n", Haste: 2 * time.Second})
	check(t, err)
	w.api, err = httpapi.New(httpapi.Config{Ops: w.Ops(), Auth: nobody{}, Now: w.clock.Now})
	check(t, err)
}

// nobody knows no key.
type nobody struct{}

func (nobody) Authenticate(ctx context.Context, _, _ string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	return ctx, httpapi.Caller{}, nil
}
func (nobody) Authorize(context.Context, op.Op, string) error { return nil }

// Event implements event.Sink.
func (w *world) Event(tx *db.Tx, e *event.Event) error {
	if e.Doc.Event != event.Opened && e.Doc.Event != event.Clicked {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		if err := w.refuse(e); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	})
	return nil
}

// recorded empties the spool and returns what was recorded since it was asked
// last.
func (w *world) recorded(t testing.TB) []*event.Event {
	t.Helper()
	w.drain(t.Context(), false)
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(w.events)
	w.events = nil
	return out
}

// send submits a message and returns it; nothing delivers it.
func (w *world) send(t testing.TB, to ...string) *message.Message {
	t.Helper()
	sub := &message.Submission{Domain: w.dom, MIME: []byte("Subject: x\r\n\r\nhello\r\n"), MessageID: "id@ex.com",
		Meta: message.Meta{Options: message.Options{Tags: []string{"a"}}, Method: "http", From: "a@ex.com", To: "b", Subject: "x", Recipients: to, Variables: []byte(`{"k":"v"}`)}}
	for _, a := range to {
		sub.Recipients = append(sub.Recipients, message.Recipient{Address: a, Header: a})
	}
	m, _, err := w.Messages.Submit(t.Context(), sub)
	check(t, err)
	return m
}

const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"

func (w *world) link(m *message.Message, to, url string) string {
	return "/c/" + w.Key.Seal(linktoken.Token{Kind: linktoken.Click, Message: m.ID, Recipient: to, URL: url})
}

func (w *world) pixel(m *message.Message, to string) string {
	return "/o/" + w.Key.Seal(linktoken.Token{Kind: linktoken.Open, Message: m.ID, Recipient: to}) + ".png"
}

// get asks for a path as a browser does, with further header fields.
func (w *world) get(method, path string, head ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("User-Agent", chrome)
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec
}

func sqlite(t testing.TB) *db.DB { return coretest.SQLite(t, clock.NewFake(begin)) }
