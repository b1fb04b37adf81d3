package httpapi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// gate is an Authenticator with two keys: one for every domain, one for
// example.org alone.
type gate struct{}

type callerKey struct{}

func (gate) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, Caller, error) {
	switch password {
	case "good", "limited":
		return context.WithValue(ctx, callerKey{}, password), Caller{KeyID: "k-" + password, AccountID: "acc"}, nil
	case "down":
		return ctx, Caller{}, errs.New(errs.Unavailable, "storage is not available")
	}
	return ctx, Caller{}, errs.New(errs.Unauthorized, "Forbidden").WithHint("no such key")
}

func (gate) Authorize(ctx context.Context, _ op.Op, domain string) error {
	if ctx.Value(callerKey{}) == "limited" && domain != "example.org" {
		return errs.New(errs.Unauthorized, "Forbidden").WithHint("key is for example.org, not %s", domain)
	}
	return nil
}

// recorder keeps records.
type recorder struct {
	mu  sync.Mutex
	all []RequestRecord
}

func (r *recorder) Record(rec RequestRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

func (r *recorder) last(t *testing.T) RequestRecord {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("nothing was recorded")
	}
	return r.all[len(r.all)-1]
}

// echo is an operation that returns its request struct.
func echo[In any](method, path string, access op.Access) op.Op {
	return op.New(method, path, op.Messages, access, "Echo", func(_ context.Context, in *In) (*In, error) { return in, nil })
}

func newAPI(t testing.TB, cfg Config) *API {
	t.Helper()
	if cfg.Auth == nil {
		cfg.Auth = gate{}
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	return send(h, "GET", path, "", "")
}

// send makes a request with the good key.
func send(h http.Handler, method, target, contentType, body string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, rd)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.SetBasicAuth("api", "good")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// multi builds a multipart body from name, value pairs.
func multi(t testing.TB, pairs ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := mw.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	return mw.FormDataContentType(), b.String()
}

func wantAnswer(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Fatalf("got %d %q\nwant %d %q", w.Code, w.Body, status, body)
	}
}

type none struct{}

type domainIn struct {
	Domain string `path:"domain" json:"domain" doc:"Domain."`
}

type nameIn struct {
	Name string `path:"name" json:"name" doc:"Name."`
}

func TestUnauthorized(t *testing.T) {
	rec := &recorder{}
	a := newAPI(t, Config{Recorder: rec, Ops: []op.Op{
		echo[domainIn]("GET", "/v3/{domain}/events", op.Read),
		echo[none]("GET", "/v3/open", op.Public),
		echo[nameIn]("GET", "/v3/domains/{name}", op.Read),
	}})
	tests := []struct {
		name, path, user, key string
		want                  int
	}{
		{"no key", "/v3/example.org/events", "", "", 401},
		{"wrong user", "/v3/example.org/events", "admin", "good", 401},
		{"wrong key", "/v3/example.org/events", "api", "bad", 401},
		{"other domain", "/v3/example.com/events", "api", "limited", 401},
		{"own domain", "/v3/example.org/events", "api", "limited", 200},
		{"own domain escaped", "/v3/example%2Eorg/events", "api", "limited", 200},
		{"domain by another name", "/v3/domains/example.org", "api", "limited", 200},
		{"other by another name", "/v3/domains/example.com", "api", "limited", 401},
		{"any domain", "/v3/example.com/events", "api", "good", 200},
		{"public", "/v3/open", "", "", 200},
		{"storage down", "/v3/example.com/events", "api", "down", 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.path, nil)
			if tt.user != "" {
				r.SetBasicAuth(tt.user, tt.key)
			}
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want != 401 {
				return
			}
			wantAnswer(t, w, 401, "Forbidden")
			if got := w.Header().Get("WWW-Authenticate"); got != `Basic realm="MG API"` {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type: %q", got)
			}
			if got := w.Header().Get("X-Hint"); got != "" {
				t.Errorf("a stranger got the hint %q", got)
			}
			if rec.last(t).Hint == "" {
				t.Error("the owner's record has no hint")
			}
		})
	}
}

func TestUnauthorizedHintInDev(t *testing.T) {
	a := newAPI(t, Config{DevHints: true, Ops: []op.Op{echo[domainIn]("GET", "/v3/{domain}/events", op.Read)}})
	r := httptest.NewRequest("GET", "/v3/example.com/events", nil)
	r.SetBasicAuth("api", "limited")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	wantAnswer(t, w, 401, "Forbidden")
	if got := w.Header().Get("X-Hint"); got != "key is for example.org, not example.com" {
		t.Errorf("X-Hint: %q", got)
	}
}

func TestCanonicalLineRecordAndMetrics(t *testing.T) {
	var log bytes.Buffer
	rec := &recorder{}
	reg := newRegistry()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := newAPI(t, Config{
		Logger: slog.New(slog.NewJSONHandler(&log, nil)), Recorder: rec, Metrics: reg,
		Now: func() time.Time { now = now.Add(time.Millisecond); return now },
		Ops: []op.Op{echo[domainIn]("POST", "/v3/{domain}/messages", op.Send)},
	})
	w := send(a, "POST", "/v3/example.org/messages?api_key=s3cr3t&tag=a", "", "")
	wantAnswer(t, w, 200, "{\"domain\":\"example.org\"}\n")
	line := log.String()
	id := w.Header().Get("X-Request-Id")
	for _, want := range []string{`"method":"POST"`, `"pattern":"/v3/{domain}/messages"`, `"status":200`, `"ms":1`, `"out":25`, `"key":"k-good"`, `"account":"acc"`, `"ip":"192.0.2.1"`, `"id":"` + id + `"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Count(line, "\n") != 1 {
		t.Errorf("not one line: %s", line)
	}
	got := rec.last(t)
	if got.ID != id || got.Query != "api_key=***&tag=a" || got.Status != 200 || got.KeyID != "k-good" || got.Duration != time.Millisecond || got.ResponseBytes != 25 {
		t.Errorf("record: %+v", got)
	}
	if strings.Contains(line, "s3cr3t") {
		t.Error("the log has a secret")
	}
	if n := reg.count(t, "postroad_http_requests_total", "/v3/{domain}/messages", "POST", "200"); n != 1 {
		t.Errorf("counted %v requests", n)
	}
	if _, err := New(Config{Auth: gate{}, Metrics: reg}); err == nil {
		t.Error("metrics were registered twice without an error")
	}
}

func TestHeadersOfAnswers(t *testing.T) {
	a := newAPI(t, Config{Ops: []op.Op{echo[none]("GET", "/v3/open", op.Public)}})
	for _, path := range []string{"/v3/open", "/v3/nothing/here", "/v3"} {
		h := get(a, path).Header()
		if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("X-Content-Type-Options") != "nosniff" || len(h.Get("X-Request-Id")) != 16 {
			t.Errorf("%s: %v", path, h)
		}
	}
	w := send(a, "HEAD", "/v3/open", "", "")
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "3" {
		t.Errorf("HEAD: %d %q %v", w.Code, w.Body, w.Header())
	}
	w = send(a, "OPTIONS", "/v3/open", "", "")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("OPTIONS: %d %v", w.Code, w.Header())
	}
	if w := send(a, "OPTIONS", "/v3/nothing/here", "", ""); w.Code != 404 {
		t.Errorf("OPTIONS of nothing: %d", w.Code)
	}
}

func prefixes(t *testing.T, list ...string) []netip.Prefix {
	t.Helper()
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}
