package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/provider"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is the gateway on a real store, between providers that do what they are told.
type world struct {
	*Service
	t        testing.TB
	config   Config
	clock    *clock.Fake
	mg, rs   *platform
	template string // URL of a server that has one
	html     string
}

// platform speaks the API of a provider and knows idempotency keys.
type platform struct {
	mu      sync.Mutex
	seen    map[string]string // id by key
	got     map[string]int    // copies by recipient
	keys    []string          // of requests that were taken
	forms   []url.Values
	answers []netx.Response // given first, one for each request
	fail    error           // instead of an answer; the message is taken
	absent  error           // instead of an answer; it is not
	after   func()          // done when a message was taken
}

func newPlatform() *platform { return &platform{seen: map[string]string{}, got: map[string]int{}} }

func (p *platform) do(ctx context.Context, r netx.Request) (netx.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return netx.Response{}, err
	}
	if len(p.answers) > 0 {
		a := p.answers[0]
		p.answers = p.answers[1:]
		return a, nil
	}
	if p.absent != nil {
		return netx.Response{}, p.absent
	}
	key := r.Header["Idempotency-Key"][0]
	id, again := p.seen[key]
	if !again {
		id = "<" + key + "@platform>"
		p.seen[key] = id
		p.keys = append(p.keys, key)
		for _, to := range p.recipients(r) {
			p.got[to]++
		}
	}
	if p.after != nil {
		p.after()
	}
	if p.fail != nil {
		return netx.Response{RemoteAddr: "192.0.2.1:443"}, p.fail
	}
	return netx.Response{Status: 200, Body: p.answer(r, id)}, nil
}

func (p *platform) recipients(r netx.Request) []string {
	if strings.HasSuffix(r.URL, "/emails/batch") {
		var list []struct{ To []string }
		_ = json.Unmarshal(r.Body, &list)
		var out []string
		for _, m := range list {
			out = append(out, m.To...)
		}
		return out
	}
	f, _ := url.ParseQuery(string(r.Body))
	p.forms = append(p.forms, f)
	return append(append(f["to"], f["cc"]...), f["bcc"]...)
}

func (p *platform) answer(r netx.Request, id string) []byte {
	if !strings.HasSuffix(r.URL, "/emails/batch") {
		return []byte(`{"id":"` + id + `"}`)
	}
	var list []json.RawMessage
	_ = json.Unmarshal(r.Body, &list)
	return []byte(`{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"`+id+`"},`, len(list)), ",") + `]}`)
}

// copies returns how many recipients got n copies.
func (p *platform) copies(n int) (out int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.got {
		if c == n {
			out++
		}
	}
	return out
}

// each runs fn on both engines.
func each(t *testing.T, change func(*Config), fn func(t *testing.T, w *world)) {
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d, c, change)) })
}

func newWorld(t testing.TB, d *db.DB, c *clock.Fake, change func(*Config)) *world {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	accounts, err := account.New(d, ids.NewSource(c), c, log, account.Options{Secret: make([]byte, 32)})
	check(t, err)
	_, err = accounts.Bootstrap(ctx, "key-admin")
	check(t, err)
	w := &world{t: t, clock: c, mg: newPlatform(), rs: newPlatform(), html: "<p>Hi {{name}}</p>"}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte(w.html)) }))
	t.Cleanup(server.Close)
	w.template = server.URL + "/t.html"
	w.config = Config{DB: d, Logger: log, Accounts: accounts, Secret: make([]byte, 32), Local: true,
		Mailgun: provider.Mailgun("https://mg.test", w.mg.do, instant{c}), Resend: provider.Resend("https://rs.test", w.rs.do, instant{c}),
		Templates: netx.NewClient(netx.Config{AllowPrivate: true, MaxResponseBytes: MaxTemplate + 1})}
	if change != nil {
		change(&w.config)
	}
	w.restart()
	return w
}

// restart makes the service anew, as a program does that finds the store of one that
// was killed.
func (w *world) restart() {
	w.t.Helper()
	s, err := New(context.Background(), w.config)
	check(w.t, err)
	w.Service = s
}

// instant is a clock on which a driver's waits are over at once.
type instant struct{ clock.Clock }

// After implements clock.Clock.
func (instant) After(time.Duration) (<-chan time.Time, func()) {
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c, func() {}
}

// call performs an operation with a JSON body as the edge would.
func (w *world) call(name string, in any, body string) (any, error) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(body), in); err != nil {
		return nil, err
	}
	for _, o := range w.Ops() {
		if o.Method+" "+o.Path == name {
			return o.Call(w.t.Context(), in)
		}
	}
	w.t.Fatalf("no operation %s", name)
	return nil, nil
}

// create makes a campaign of n recipients and returns its uuid.
func (w *world) create(driver string, n int) string {
	w.t.Helper()
	var list []string
	for i := range n {
		list = append(list, `{"email":"u`+string(rune('a'+i%26))+strings.Repeat("x", i/26%40)+strings.Repeat("y", i/1040)+`@example.net","variables":{"name":"N"}}`)
	}
	out, err := w.call("POST /api/email/campaigns", &campaignIn{}, `{"driver":"`+driver+`","api_key":"key-campaign","name":"C","from":"a@example.com",
		"template_subject":"Hi {{name}}","template_url":"`+w.template+`","recipients":[`+strings.Join(list, ",")+`]}`)
	check(w.t, err)
	return out.(*campaignOut).Campaign.UUID
}

func (w *world) begin(uuid string) *startOut {
	w.t.Helper()
	out, err := w.startCampaign(w.t.Context(), &uuidIn{uuid})
	check(w.t, err)
	return out
}

func (w *world) view(uuid string) campaignView {
	w.t.Helper()
	out, err := w.getCampaign(w.t.Context(), &uuidIn{uuid})
	check(w.t, err)
	return out.Campaign
}

// work sends what is due, one batch after the other.
func (w *world) work() (n int) {
	w.t.Helper()
	for {
		b, _, err := w.claim(w.t.Context())
		check(w.t, err)
		if b == nil {
			return n
		}
		n++
		w.carry(w.t.Context(), b)
	}
}

// refused checks an error's text, and what the dialect says besides.
func refused(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	f := op.Failure{Err: err, Text: err.Error()}
	var r *refusal
	if errors.As(err, &r) {
		f.Text = r.public.Public
	}
	b, jsonErr := json.Marshal(words(f))
	check(t, jsonErr)
	if !strings.Contains(string(b), want) {
		t.Errorf("%s, want %s", b, want)
	}
}

func sqlite(t testing.TB) *db.DB { return coretest.SQLite(t, fakeClock()) }

func fakeClock() *clock.Fake { return clock.NewFake(start) }
