package inbound

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/core/queue"
	"postroad/internal/core/route"
	"postroad/internal/core/suppress"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/report"
)

// world is the service with what it needs, on real stores. Only DNS is a map.
type world struct {
	*Service
	accounts   *account.Service
	unverified *domain.Service // makes domains whose owner has proved nothing
	own        *account.Caller // of in.example
	other      *account.Caller // of another account, with other.example
	onEvent    func(*event.Event) error
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	w := &world{}
	source := ids.NewSource(d.Clock())
	w.accounts, err = account.New(d, source, d.Clock(), log, account.Options{Secret: make([]byte, 32)})
	check(t, err)
	_, err = w.accounts.Bootstrap(ctx, "key-test")
	check(t, err)
	first, err := w.accounts.First(ctx)
	check(t, err)
	w.own = &account.Caller{AccountID: first, KeyID: "k", Role: account.Admin}
	w.other = &account.Caller{AccountID: "other", KeyID: "o", Role: account.Admin}
	domains := newDomains(t, d, source, true)
	w.unverified = newDomains(t, d, source, false)
	suppressed := suppress.New(d, source, log)
	events, err := event.New(d, source, log, suppressed, hook{w})
	check(t, err)
	q, err := queue.New(ctx, d, source, log, queue.Options{Name: "test", Linger: time.Millisecond})
	check(t, err)
	var lists *list.Service
	secret := report.NewSecret(make([]byte, 32))
	messages := message.New(message.Config{DB: d, IDs: source, Blobs: blobs, Events: events, Queue: q, Domains: domains, Logger: log, URLs: true,
		MaxBytes: 1 << 20, Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test", Returns: secret,
		Members: func(ctx context.Context, q message.Page) (message.Members, error) { return lists.Members(ctx, q) }})
	lists, err = list.New(ctx, list.Config{DB: d, IDs: source, Logger: log, Events: events, Messages: messages, Domains: domains, Owned: domains.Owned,
		BaseURL: "https://mail.test", Secret: make([]byte, 32)})
	check(t, err)
	w.Service = New(Config{DB: d, Messages: messages, Domains: domains, Events: events, Routes: route.New(d, source, log, route.Options{}), Lists: lists,
		OptOut:   optout.New(optout.Config{DB: d, Events: events, Suppress: suppressed, Messages: messages, Domains: domains, Logger: log, Returns: secret}),
		Resolver: names{}, Logger: log, Hostname: "mx.test", Returns: secret})
	w.domain(t, w.own, "in.example")
	w.domain(t, w.other, "other.example")
	return w
}

func newDomains(t testing.TB, d *db.DB, source *ids.Source, verified bool) *domain.Service {
	s, err := domain.New(d, source, d.Clock(), slog.New(slog.DiscardHandler), domain.Options{Hostname: "mx.test", AssumeVerified: verified, Secret: make([]byte, 32), KeyBits: 1024})
	check(t, err)
	return s
}

// hook makes events fail in their transactions.
type hook struct{ w *world }

func (h hook) Event(_ *db.Tx, e *event.Event) error {
	if h.w.onEvent != nil {
		return h.w.onEvent(e)
	}
	return nil
}

// names is a resolver: "PTR 192.0.2.1" has names, "A name" an address.
type names map[string]string

func (n names) get(qtype, name string) ([]string, error) {
	if v := n[qtype+" "+strings.TrimSuffix(name, ".")]; v != "" {
		return strings.Fields(v), nil
	}
	return nil, &dnsx.Error{Kind: dnsx.NotFound, Name: name, Type: qtype}
}

func (n names) TXT(_ context.Context, name string) ([]string, error) { return n.get("TXT", name) }
func (n names) PTR(_ context.Context, a netip.Addr) ([]string, error) {
	return n.get("PTR", a.String())
}
func (n names) MX(_ context.Context, name string) ([]dnsx.MX, error) {
	_, err := n.get("MX", name)
	return nil, err
}
func (n names) Addrs(_ context.Context, name string) (v4, v6 []netip.Addr, err error) {
	list, err := n.get("A", name)
	for _, a := range list {
		v4 = append(v4, netip.MustParseAddr(a))
	}
	return v4, nil, err
}

func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d)) })
}

func (w *world) domain(t testing.TB, c *account.Caller, name string) *domain.Domain {
	t.Helper()
	d, err := w.Domains.Create(t.Context(), c.AccountID, domain.CreateRequest{Name: name})
	check(t, err)
	return d
}

// route makes a route the way the API does.
func (w *world) route(t testing.TB, c *account.Caller, expression string, actions ...string) {
	t.Helper()
	for _, o := range w.Routes.Ops() {
		if o.Method == "POST" && o.Path == "/v3/routes" {
			in := reflect.New(o.In)
			in.Elem().FieldByName("Expression").SetString(expression)
			in.Elem().FieldByName("Action").Set(reflect.ValueOf(actions))
			_, err := o.Call(account.With(t.Context(), c), in.Interface())
			check(t, err)
			return
		}
	}
	t.Fatal("there is no operation to make routes")
}

// list makes a list anybody may post to, with one member.
func (w *world) list(t testing.TB, c *account.Caller, address string) {
	t.Helper()
	access := string(list.Everyone)
	_, err := w.Lists.Create(account.With(t.Context(), c), list.Change{Address: &address, Access: &access})
	check(t, err)
}

func (w *world) target(t testing.TB, to string) (*Target, error) {
	t.Helper()
	a, err := addr.ParseMailbox(to)
	check(t, err)
	return w.Recipient(t.Context(), a)
}

var client = Session{IP: netip.MustParseAddr("192.0.2.1"), HELO: "mx.far.example", Extended: true, Sender: "ann@far.example", QueueID: "q1"}

const note = "From: Ann <ann@far.example>\r\nTo: help@in.example\r\nSubject: A question\r\nMessage-ID: <q1@far.example>\r\n\r\nHow?\r\n"

// receive hands a message over.
func (w *world) receive(t testing.TB, in Session, raw string, to ...string) error {
	t.Helper()
	var targets []*Target
	for _, a := range to {
		one, err := w.target(t, a)
		check(t, err)
		targets = append(targets, one)
	}
	_, err := w.Receive(t.Context(), in, targets, strings.NewReader(raw))
	return err
}

func (w *world) column(t testing.TB, query string) (out []string) {
	t.Helper()
	check(t, w.DB.Read(t.Context(), func(tx *db.Tx) error {
		out = nil
		return tx.Each(func(r *sql.Rows) error {
			var v string
			err := r.Scan(&v)
			out = append(out, v)
			return err
		}, query)
	}))
	return out
}

// stored returns the bodies of all messages, oldest first.
func (w *world) stored(t testing.TB) (out []string) {
	t.Helper()
	for _, id := range w.column(t, "SELECT id FROM message ORDER BY id") {
		var n int64
		_, err := fmt.Sscan(id, &n)
		check(t, err)
		m, err := w.Messages.ByID(t.Context(), n)
		check(t, err)
		raw, err := w.Messages.Body(m)
		check(t, err)
		out = append(out, string(raw))
	}
	return out
}
