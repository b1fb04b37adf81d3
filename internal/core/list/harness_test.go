package list

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// world is the service with what it needs, on real stores.
type world struct {
	*Service
	db       *db.DB
	blobs    *blob.Store
	source   *ids.Source
	accounts *account.Service
	queue    *queue.Queue
	dom      *domain.Domain
	account  string
	ctx      context.Context // carries the administrator
	options  message.Options // of what send posts
	onEvent  func(*event.Event)
	members  func(context.Context, message.Page) (message.Members, error)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld starts from nothing.
func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	w := &world{db: d, blobs: blobs, source: ids.NewSource(d.Clock())}
	w.start(t)
	return w
}

// start makes the services, as a program does that finds the stores of one that
// was killed.
func (w *world) start(t testing.TB) {
	t.Helper()
	ctx, log, d := context.Background(), slog.New(slog.DiscardHandler), w.db
	var err error
	w.accounts, err = account.New(d, w.source, d.Clock(), log, account.Options{Secret: make([]byte, 32)})
	check(t, err)
	_, err = w.accounts.Bootstrap(ctx, "key-test")
	check(t, err)
	w.account, err = w.accounts.First(ctx)
	check(t, err)
	w.ctx = account.With(ctx, &account.Caller{AccountID: w.account, KeyID: "k", Role: account.Admin})
	domains, err := domain.New(d, w.source, d.Clock(), log, domain.Options{Hostname: "mx.test", AssumeVerified: true, Secret: make([]byte, 32), KeyBits: 1024})
	check(t, err)
	if w.dom == nil {
		w.dom, err = domains.Create(ctx, w.account, domain.CreateRequest{Name: "ex.com"})
		check(t, err)
	}
	events, err := event.New(d, w.source, log, hook{w})
	check(t, err)
	w.queue, err = queue.New(ctx, d, w.source, log, queue.Options{Name: "test", Linger: time.Millisecond})
	check(t, err)
	messages := message.New(message.Config{DB: d, IDs: w.source, Blobs: w.blobs, Events: events, Queue: w.queue, Domains: domains, Logger: log,
		MaxBytes: 1 << 20, Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test",
		Divert: func(ctx context.Context, sub *message.Submission) ([]*message.Submission, error) {
			return w.Divert(ctx, sub)
		},
		Members: func(ctx context.Context, q message.Page) (message.Members, error) { return w.page(ctx, q) }})
	w.Service, err = New(ctx, Config{DB: d, IDs: w.source, Logger: log, Events: events, Messages: messages, Domains: domains, Owned: domains.Owned,
		BaseURL: "https://mail.test", Secret: make([]byte, 32)})
	check(t, err)
}

// hook tells a test of events in their transactions.
type hook struct{ w *world }

func (h hook) Event(_ *db.Tx, e *event.Event) error {
	if h.w.onEvent != nil {
		h.w.onEvent(e)
	}
	return nil
}

// page is Members, or what a test has put in its place.
func (w *world) page(ctx context.Context, q message.Page) (message.Members, error) {
	if w.members != nil {
		return w.members(ctx, q)
	}
	return w.Members(ctx, q)
}

// create makes a list with n members.
func (w *world) create(t testing.TB, address string, n int) *List {
	t.Helper()
	l, err := w.Create(w.ctx, Change{Address: &address})
	check(t, err)
	for at := 0; at < n; at += 1000 {
		var batch []candidate
		for i := at; i < min(n, at+1000); i++ {
			c, err := newCandidate(fmt.Sprintf("m%06d@d%d.example", i, i%20), nil, nil, nil)
			check(t, err)
			batch = append(batch, c)
		}
		check(t, w.addAll(w.ctx, l, batch, false))
	}
	return l
}

// send posts a message from the account.
func (w *world) send(t testing.TB, to ...string) *message.Message {
	t.Helper()
	sub := &message.Submission{Domain: w.dom, MessageID: "id@ex.com", MIME: []byte("From: a@ex.com\r\nTo: l@ex.com\r\nSubject: s\r\n\r\nHello %recipient_email%\r\n")}
	sub.Meta.Method, sub.Meta.Recipients, sub.Meta.Options = "http", to, w.options
	for _, a := range to {
		sub.Recipients = append(sub.Recipients, message.Recipient{Address: a, Header: a})
	}
	m, _, err := w.Messages.Submit(w.ctx, sub)
	check(t, err)
	return m
}

func (w *world) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	check(t, w.db.Read(context.Background(), func(tx *db.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }))
	return n
}

// recipients returns how many deliveries each recipient has.
func (w *world) recipients(t testing.TB) map[string]int {
	t.Helper()
	out := map[string]int{}
	check(t, w.db.Read(context.Background(), func(tx *db.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var a string
			err := r.Scan(&a)
			out[a]++
			return err
		}, "SELECT recipient FROM delivery")
	}))
	return out
}

// until waits for ok, which background work makes true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-late.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// run runs a loop until the function returned is called.
func run(t testing.TB, fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	return func() {
		t.Helper()
		cancel()
		check(t, <-done)
	}
}

func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d)) })
}
