package feedback

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/op"
	"postroad/internal/base/svix"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/webhook"
	"postroad/internal/edge/httpapi"
)

const (
	mailgunKey = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
	resendKey  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

var epoch = time.Date(2026, 3, 26, 12, 0, 0, 0, time.UTC)

// fixture is a service behind the HTTP edge, with its neighbours on one store.
type fixture struct {
	*Service
	t        testing.TB
	clock    interface{ Now() time.Time }
	fake     *clock.Fake
	accounts *account.Service
	admin    string // key of the first account
	first    string
	api      http.Handler
}

type authenticator struct{ *account.Service }

func (a authenticator) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	c, err := a.Service.Authenticate(ctx, password)
	if err != nil {
		return ctx, httpapi.Caller{}, err
	}
	return account.With(ctx, c), httpapi.Caller{KeyID: c.KeyID, AccountID: c.AccountID}, nil
}

func (authenticator) Authorize(ctx context.Context, o op.Op, domain string) error {
	return account.Authorize(account.From(ctx), o.Group, o.Access, domain)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func each(t *testing.T, change func(*Config), fn func(t *testing.T, f *fixture)) {
	t.Helper()
	fake := clock.NewFake(epoch)
	coretest.Each(t, fake, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, fake, change)
		f.fake = fake
		fn(t, f)
	})
}

func newFixture(t testing.TB, d *db.DB, c clock.Clock, change func(*Config)) *fixture {
	t.Helper()
	log, master, source := slog.New(slog.DiscardHandler), make([]byte, 32), ids.NewSource(c)
	accounts, err := account.New(d, source, c, log, account.Options{Secret: master})
	must(t, err)
	f := &fixture{t: t, clock: c, accounts: accounts}
	f.admin, err = accounts.Bootstrap(t.Context(), "")
	must(t, err)
	f.first, err = accounts.First(t.Context())
	must(t, err)
	client := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: 10 * time.Second, MaxResponseBytes: webhook.MaxResponse})
	t.Cleanup(client.CloseIdle)
	hooks, err := webhook.New(t.Context(), d, source, log, client, accounts, nil, webhook.Options{Secret: master})
	must(t, err)
	secret, err := svix.ParseSecret(resendKey)
	must(t, err)
	cfg := Config{DB: d, IDs: source, Logger: log, Clock: c, Webhooks: hooks, Secret: master, First: accounts.First,
		MailgunKeys: []string{"key-before", mailgunKey}, ResendSecrets: []svix.Secret{svix.NewSecret(), secret}}
	if change != nil {
		change(&cfg)
	}
	f.Service, err = New(t.Context(), cfg)
	must(t, err)
	f.api, err = httpapi.New(httpapi.Config{Ops: f.Ops(), Auth: authenticator{accounts}, Now: c.Now})
	must(t, err)
	return f
}

// call makes a request and returns status and body.
func (f *fixture) call(method, path, key, body string, head ...[2]string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.SetBasicAuth("api", key)
	}
	for _, h := range head {
		r.Header.Set(h[0], h[1])
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	return w.Code, strings.TrimSuffix(w.Body.String(), "\n")
}

func (f *fixture) want(status int, body string) func(int, string) {
	return func(gotStatus int, got string) {
		f.t.Helper()
		if gotStatus != status || body != "" && got != body {
			f.t.Errorf("%d %s, want %d %s", gotStatus, got, status, body)
		}
	}
}

// Answers.
const (
	stored1 = `{"success":true,"stored":1}`
	stored0 = `{"success":true,"stored":0}`
	refused = `{"error":"Invalid webhook signature"}`
)

// signMailgun makes a webhook of Mailgun.
func signMailgun(key, data string, at time.Time) string {
	sig, err := json.Marshal(webhook.NewSignature(key, at))
	if err != nil {
		panic(err)
	}
	return `{"signature":` + string(sig) + `,"event-data":` + data + `}`
}

func (f *fixture) mailgun(data string) (int, string) {
	f.t.Helper()
	return f.call("POST", "/api/webhooks/mailgun", "", signMailgun(mailgunKey, data, f.clock.Now()))
}

// signResend makes the header fields of a webhook of Resend.
func signResend(id, body string, at time.Time) [][2]string {
	s, err := svix.ParseSecret(resendKey)
	if err != nil {
		panic(err)
	}
	return [][2]string{{"svix-id", id}, {"svix-timestamp", strconv.FormatInt(at.Unix(), 10)}, {"svix-signature", s.Sign(id, at, []byte(body))}}
}

func (f *fixture) resend(id, body string) (int, string) {
	f.t.Helper()
	return f.call("POST", "/api/webhooks/resend", "", body, signResend(id, body, f.clock.Now())...)
}

// list returns events as an administrator reads them.
func (f *fixture) list(query string) (out []Event, cursor string) {
	f.t.Helper()
	status, body := f.call("GET", "/api/email/events?"+query, f.admin, "")
	var doc struct {
		Events []Event
		Cursor string
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 {
		f.t.Fatalf("%d %s %v", status, body, err)
	}
	return doc.Events, doc.Cursor
}

// mailgunData is the event-data of an event as Mailgun sends it.
func mailgunData(id, event string, more ...string) string {
	return `{"id":"` + id + `","timestamp":1774526400.123456,"event":"` + event + `","log-level":"info","recipient":"user@example.com",` +
		`"tags":["welcome","onboarding"],"message":{"headers":{"to":"user@example.com","message-id":"msg-abc123@example.com","from":"Sender <noreply@example.com>","subject":"Welcome Email"},"attachments":[],"size":111},` +
		`"user-variables":{"metadata":"{\"campaign_id\":123,\"participant_id\":456,\"custom_field\":\"value\"}"}` + strings.Join(append([]string{""}, more...), ",") + `}`
}
