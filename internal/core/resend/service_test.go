package resend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/core/webhook"
)

// world is the service on real stores.
type world struct {
	*Service
	t     *testing.T
	clock *clock.Fake
	ctx   context.Context // of the caller
	calls *webhook.Service
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T, d *db.DB, c *clock.Fake) *world {
	t.Helper()
	ctx, log, master := context.Background(), slog.New(slog.DiscardHandler), bytes.Repeat([]byte{1}, 32)
	source := ids.NewSource(c)
	blobs, err := blob.Open(t.TempDir(), blob.Options{SegmentBytes: 64 << 10})
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	accounts, err := account.New(d, source, c, log, account.Options{Secret: master})
	check(t, err)
	_, err = accounts.Bootstrap(ctx, "key-test")
	check(t, err)
	first, err := accounts.First(ctx)
	check(t, err)
	domains, err := domain.New(d, source, c, log, domain.Options{Hostname: "mx.test", AssumeVerified: true, Secret: master, KeyBits: 1024})
	check(t, err)
	_, err = domains.Create(ctx, first, domain.CreateRequest{Name: "example.com"})
	check(t, err)
	client := netx.NewClient(netx.Config{AllowPrivate: true, MaxResponseBytes: 1000})
	calls, err := webhook.New(ctx, d, source, log, client, accounts, nil, webhook.Options{Secret: master})
	check(t, err)
	hooks, err := NewHooks(ctx, d, calls, master)
	check(t, err)
	events, err := event.New(d, source, log, hooks)
	check(t, err)
	q, err := queue.New(ctx, d, source, log, queue.Options{})
	check(t, err)
	messages := message.New(message.Config{DB: d, IDs: source, Blobs: blobs, Events: events, Queue: q, Domains: domains, Logger: log, MaxBytes: 10_000,
		Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test"})
	s := New(Config{DB: d, IDs: source, Clock: c, Logger: log, Messages: messages, Events: events, Queue: q, Hooks: hooks, Client: client, CheckURL: calls.CheckURL})
	return &world{Service: s, t: t, clock: c, calls: calls, ctx: account.With(ctx, &account.Caller{AccountID: first, KeyID: "k", Role: account.Admin})}
}

func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	c := clock.NewFake(monday)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d, c)) })
}

const oneMail = `{"from":"me@example.com","to":"ann@example.net","subject":"Hi","text":"x"}`

func (w *world) count(table string) (n int) {
	w.t.Helper()
	check(w.t, w.DB.Read(w.ctx, func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n) }))
	return n
}

func (w *world) mail(body, key string) string {
	w.t.Helper()
	out, err := w.send(w.ctx, &sendIn{Body: json.RawMessage(body), Idempotency: key})
	check(w.t, err)
	return out.ID
}

// TestTogether: a request is answered the same however often it comes, also at the
// same time, and its emails are written together.
func TestTogether(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		body := json.RawMessage("[" + oneMail + "," + oneMail + "]")
		got := make([]string, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				out, err := w.batch(w.ctx, &batchIn{Body: body, Idempotency: "k"})
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = fmt.Sprint(out.Data)
			})
		}
		wg.Wait()
		for _, g := range got {
			if g != got[0] || len(g) < 72 {
				t.Errorf("%s and %s", g, got[0])
			}
		}
		if m, e := w.count("message"), w.count("resend_email"); m != 2 || e != 2 {
			t.Errorf("%d messages, %d emails", m, e)
		}
		if _, err := w.batch(w.ctx, &batchIn{Body: json.RawMessage("[" + oneMail + "]"), Idempotency: "k"}); kindIs(err) != "409 invalid_idempotent_request" {
			t.Error(err)
		}
		if _, err := w.batch(w.ctx, &batchIn{Body: json.RawMessage("[" + oneMail + ",{}]")}); kindIs(err) != "422 missing_required_field" {
			t.Error(err)
		}
		if m := w.count("message"); m != 2 {
			t.Errorf("%d messages after a strict batch with a bad one", m)
		}
		if a, b := w.mail(oneMail, "j"), w.mail(oneMail, "j"); a != b {
			t.Errorf("%s, then %s", a, b)
		}
	})
}

func TestPagesAndChanges(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		later := strings.TrimSuffix(oneMail, "}") + `,"scheduled_at":"in 1 hour"}`
		all := []string{w.mail(later, ""), w.mail(oneMail, ""), w.mail(later, "")}
		for _, c := range []struct {
			in   listIn
			want string
			more bool
		}{{listIn{Limit: 2}, all[2] + all[1], true}, {listIn{Limit: 2, After: all[1]}, all[0], false}, {listIn{Limit: 1, Before: all[0]}, all[1], true}} {
			out, err := w.list(w.ctx, &c.in)
			check(t, err)
			got := ""
			for _, v := range out.Data {
				got += v.ID
			}
			if got != c.want || out.HasMore != c.more {
				t.Errorf("%+v: %s %t", c.in, got, out.HasMore)
			}
		}
		if _, err := w.cancel(w.ctx, &idIn{all[1]}); kindIs(err) != "422 validation_error" {
			t.Error(err)
		}
		_, err := w.cancel(w.ctx, &idIn{all[0]})
		check(t, err)
		if n := w.count("delivery"); n != 2 {
			t.Errorf("%d deliveries", n)
		}
		_, err = w.update(w.ctx, &updateIn{ID: all[2], ScheduledAt: "in 2 hours"})
		check(t, err)
		v, err := w.get(w.ctx, &idIn{all[2]})
		check(t, err)
		if *v.ScheduledAt != stamp(w.clock.Now().Add(2*time.Hour).UnixMicro()) || v.LastEvent != "scheduled" || *v.Text != "x" || v.HTML != nil {
			t.Errorf("%+v %q", v, *v.Text)
		}
		w.clock.Advance(3 * time.Hour)
		if _, err := w.cancel(w.ctx, &idIn{all[2]}); kindIs(err) != "422 validation_error" {
			t.Error("what is due is canceled", err)
		}
		stranger := account.With(w.ctx, &account.Caller{AccountID: "other", Role: account.Admin})
		if _, err := w.get(stranger, &idIn{all[2]}); kindIs(err) != "404 not_found" {
			t.Error(err)
		}
		if _, err := w.list(stranger, &listIn{Limit: 1, After: all[2]}); kindIs(err) != "404 not_found" {
			t.Error(err)
		}
	})
}

// TestHooksAfterRestart: webhooks are known to another start, their secrets are not
// stored in clear, and only email of this API makes calls.
func TestHooksAfterRestart(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mail(oneMail, "")
		if n := w.count("webhook_call"); n != 0 {
			t.Errorf("%d calls without a webhook", n)
		}
		made, err := w.createHook(w.ctx, &createHookIn{Endpoint: "http://hooks.example.net/x", Events: []string{"email.sent", "email.sent"}})
		check(t, err)
		check(t, w.DB.Read(w.ctx, func(tx *db.Tx) error {
			var secret string
			err := tx.QueryRow("SELECT secret FROM resend_webhook").Scan(&secret)
			if strings.Contains(secret, strings.TrimPrefix(made.SigningSecret, "whsec_")) {
				t.Error("the secret is stored in clear")
			}
			return err
		}))
		again, err := NewHooks(w.ctx, w.DB, w.calls, bytes.Repeat([]byte{1}, 32))
		check(t, err)
		for account, list := range *again.registry.Load() {
			if len(list) != 1 || list[0].secret.String() != made.SigningSecret || account == "" {
				t.Errorf("%s: %+v", account, list)
			}
		}
		w.mail(oneMail, "")
		if n := w.count("webhook_call"); n != 1 {
			t.Errorf("%d calls", n)
		}
		for i := 1; i < maxHooks; i++ {
			_, err := w.createHook(w.ctx, &createHookIn{Endpoint: fmt.Sprint("http://hooks.example.net/", i), Events: []string{"email.failed"}})
			check(t, err)
		}
		if _, err := w.createHook(w.ctx, &createHookIn{Endpoint: "http://hooks.example.net/y", Events: []string{"email.sent"}}); kindIs(err) != "422 validation_error" {
			t.Error(err)
		}
		out, err := w.listHooks(w.ctx, &listIn{Limit: 2})
		check(t, err)
		next, err := w.listHooks(w.ctx, &listIn{Limit: 100, After: out.Data[1].ID})
		check(t, err)
		if !out.HasMore || next.HasMore || len(next.Data) != maxHooks-2 || next.Data[len(next.Data)-1].ID != made.ID {
			t.Errorf("%d, then %d", len(out.Data), len(next.Data))
		}
	})
}

func TestClean(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id := w.mail(oneMail, "k")
		w.clock.Advance(48 * time.Hour)
		check(t, w.Clean(w.ctx, w.clock.Now().UnixMicro()))
		if e, r := w.count("resend_email"), w.count("resend_request"); e != 1 || r != 0 {
			t.Errorf("%d emails, %d requests", e, r)
		}
		check(t, w.DB.Write(w.ctx, func(tx *db.Tx) error {
			_, err := tx.Exec("DELETE FROM message")
			return err
		}))
		v, err := w.get(w.ctx, &idIn{id})
		if err == nil && (v.Text != nil || v.Subject != "Hi") {
			t.Errorf("%+v", v)
		}
		check(t, err)
		check(t, w.Clean(w.ctx, w.clock.Now().UnixMicro()))
		if n := w.count("resend_email"); n != 0 {
			t.Errorf("%d emails are left", n)
		}
	})
}

// TestFetch: files are fetched within bounds, and not from just anywhere.
func TestFetch(t *testing.T) {
	c := clock.NewFake(monday)
	w := newWorld(t, coretest.SQLite(t, c), c)
	files := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			io.WriteString(out, strings.Repeat("x", 1001))
		case "/missing":
			out.WriteHeader(404)
		default:
			io.WriteString(out, "content")
		}
	}))
	defer files.Close()
	fetch := func(paths ...string) error {
		e := &email{}
		for _, p := range paths {
			e.Attachments = append(e.Attachments, attachment{Path: p})
		}
		err := w.fetch(t.Context(), e)
		if err == nil && string(e.Attachments[0].Content) != "content" {
			t.Errorf("%q", e.Attachments[0].Content)
		}
		return err
	}
	check(t, fetch(files.URL+"/a", files.URL+"/b"))
	for _, p := range []string{files.URL + "/large", files.URL + "/missing", "ftp://x/", "http://127.0.0.1:1/", "x"} {
		if err := fetch(p); kindIs(err) != "422 invalid_attachment" {
			t.Errorf("%s: %v", p, err)
		}
	}
	w.Messages.MaxBytes = 10
	if err := fetch(files.URL+"/a", files.URL+"/b"); kindIs(err) != "422 invalid_attachment" {
		t.Error(err)
	}
	w.Client = netx.NewClient(netx.Config{})
	if err := fetch(files.URL + "/a"); err == nil || !strings.Contains(err.Error(), "not public") {
		t.Error(err)
	}
}
