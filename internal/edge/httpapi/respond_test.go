package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// doing is an operation with a fixed outcome.
func doing(path string, f func(ctx context.Context) (*reply, error)) op.Op {
	return op.New("GET", path, op.Status, op.Public, "x", func(ctx context.Context, _ *none) (*reply, error) { return f(ctx) })
}

// reply is an answer in full.
type reply struct{ op.Response }

// Respond returns it.
func (r reply) Respond() op.Response { return r.Response }

func failing(path string, err error) op.Op {
	return doing(path, func(context.Context) (*reply, error) { return nil, err })
}

func TestErrors(t *testing.T) {
	limited := errs.New(errs.Limited, "Too Many Requests")
	limited.RetryAfter = 1500 * time.Millisecond
	tests := []struct {
		name   string
		err    error
		status int
		msg    string
		retry  string
	}{
		{"invalid", errs.New(errs.Invalid, "to parameter is missing"), 400, "to parameter is missing", ""},
		{"forbidden", errs.New(errs.Forbidden, "no"), 403, "no", ""},
		{"not found", errs.New(errs.NotFound, "Domain not found: <x>&"), 404, "Domain not found: <x>&", ""},
		{"conflict", errs.New(errs.Conflict, "there"), 409, "there", ""},
		{"gone", errs.New(errs.Gone, "gone"), 410, "gone", ""},
		{"too large", errs.New(errs.TooLarge, "big"), 413, "big", ""},
		{"unsupported", errs.New(errs.Unsupported, "what"), 415, "what", ""},
		{"limited", limited, 429, "Too Many Requests", "2"},
		{"limited without a time", errs.New(errs.Limited, "slow"), 429, "slow", "60"},
		{"unavailable", errs.New(errs.Unavailable, "full"), 503, "full", "5"},
		{"wrapped", fmt.Errorf("outer: %w", errs.Wrap(errs.NotFound, io.EOF, "nothing")), 404, "nothing", ""},
		{"internal", errs.Wrap(errs.Internal, errors.New("secret"), ""), 500, "Internal Server Error", ""},
		{"foreign", errors.New("secret: disk on fire"), 500, "Internal Server Error", ""},
		{"no public text", errs.New(errs.NotFound, ""), 404, "Not Found", ""},
		{"unknown kind", errs.New(errs.Kind(99), "odd"), 500, "odd", ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			a := newAPI(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Ops: []op.Op{failing(fmt.Sprintf("/v3/e%d", i), tt.err)}})
			w := get(a, fmt.Sprintf("/v3/e%d", i))
			wantAnswer(t, w, tt.status, "{\"message\":\""+tt.msg+"\"}\n")
			if got := w.Header().Get("Retry-After"); got != tt.retry {
				t.Errorf("Retry-After %q, want %q", got, tt.retry)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			if !strings.Contains(log.String(), w.Header().Get("X-Request-Id")) || !strings.Contains(log.String(), "err=") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestErrorsOfADialect(t *testing.T) {
	type words struct {
		Error string `json:"error"`
		Code  int    `json:"code"`
		EOF   bool   `json:"eof"`
	}
	in := func(f op.Failure) any { return words{f.Text, f.Status, errors.Is(f.Err, io.EOF)} }
	a := newAPI(t, Config{Ops: []op.Op{
		failing("/v3/unauthorized", errs.New(errs.Unauthorized, "no token")).WithErrors(in),
		failing("/v3/internal", errors.New("secret")).WithErrors(in),
		failing("/v3/wrapped", errs.Wrap(errs.Unavailable, io.EOF, "later")).WithErrors(in),
	}})
	for path, want := range map[string]string{
		"/v3/unauthorized": `{"error":"no token","code":401,"eof":false}`,
		"/v3/internal":     `{"error":"Internal Server Error","code":500,"eof":false}`,
		"/v3/wrapped":      `{"error":"later","code":503,"eof":true}`,
	} {
		w := get(a, path)
		if got := strings.TrimSpace(w.Body.String()); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if h := w.Header().Get("WWW-Authenticate"); h != "" {
			t.Errorf("%s asks for %s", path, h)
		}
	}
	if w := get(a, "/v3/wrapped"); w.Code != 503 || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestHints(t *testing.T) {
	err := errs.New(errs.NotFound, "Domain not found: x").WithHint("add it\nfirst")
	for _, dev := range []bool{false, true} {
		a := newAPI(t, Config{DevHints: dev, Ops: []op.Op{failing("/v3/e", err)}})
		w := get(a, "/v3/e")
		want := "{\"message\":\"Domain not found: x\"}\n"
		if dev {
			want = "{\"message\":\"Domain not found: x\",\"hint\":\"add it\\nfirst\"}\n"
		}
		wantAnswer(t, w, 404, want)
		if got := w.Header().Get("X-Hint"); got != "add it first" {
			t.Errorf("X-Hint: %q", got)
		}
	}
}

func TestAnswers(t *testing.T) {
	pretty := map[string]any{"b": "<x>", "a": 1}
	tests := []struct {
		name   string
		res    op.Response
		status int
		ct     string
		body   string
	}{
		{"json", op.Response{JSON: pretty}, 200, "application/json; charset=utf-8", "{\"a\":1,\"b\":\"<x>\"}\n"},
		{"pretty", op.Response{JSON: pretty, Pretty: true, ContentType: "application/json"}, 200, "application/json", "{\n  \"a\": 1,\n  \"b\": \"<x>\"\n}\n"},
		{"status", op.Response{Status: 202, JSON: 1}, 202, "application/json; charset=utf-8", "1\n"},
		{"body", op.Response{ContentType: "message/rfc822", Body: strings.NewReader("From: x\n")}, 200, "message/rfc822", "From: x\n"},
		{"events", op.Response{ContentType: "text/event-stream", Body: strings.NewReader("data: x\n\n")}, 200, "text/event-stream", "data: x\n\n"},
		{"nothing", op.Response{Status: 204}, 204, "", ""},
		{"redirect", op.Response{Status: 302, Header: [][2]string{{"Location", "/x"}}}, 302, "", ""},
		{"cannot be encoded", op.Response{JSON: func() {}}, 500, "application/json; charset=utf-8", "{\"message\":\"Internal Server Error\"}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, Config{Ops: []op.Op{doing("/v3/r", func(context.Context) (*reply, error) { return &reply{tt.res}, nil })}})
			w := get(a, "/v3/r")
			wantAnswer(t, w, tt.status, tt.body)
			if got := w.Header().Get("Content-Type"); got != tt.ct {
				t.Errorf("Content-Type %q, want %q", got, tt.ct)
			}
			if len(tt.res.Header) > 0 && w.Header().Get("Location") != "/x" {
				t.Errorf("header: %v", w.Header())
			}
		})
	}
}

func TestNeitherAnswerNorError(t *testing.T) {
	a := newAPI(t, Config{Ops: []op.Op{failing("/v3/e", nil)}})
	wantAnswer(t, get(a, "/v3/e"), 500, "{\"message\":\"Internal Server Error\"}\n")
}

func TestPanicsDoNotEndTheConnection(t *testing.T) {
	var log bytes.Buffer
	rec := &recorder{}
	a := newAPI(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Recorder: rec, Ops: []op.Op{
		doing("/v3/boom", func(context.Context) (*reply, error) { panic("boom") }),
		doing("/v3/fine", func(context.Context) (*reply, error) { return &reply{op.Response{JSON: 1}}, nil }),
	}})
	srv := httptest.NewServer(a)
	defer srv.Close()
	for _, tt := range []struct {
		path string
		want int
	}{{"/v3/boom", 500}, {"/v3/fine", 200}} {
		res, err := http.Get(srv.URL + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s: %d", tt.path, res.StatusCode)
		}
	}
	srv.Close()
	if !strings.Contains(log.String(), "respond_test.go") || !strings.Contains(log.String(), "panic: boom") {
		t.Errorf("no stack in %s", log.String())
	}
}

// brokenBody fails after its first bytes.
type brokenBody struct{ n int }

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.n++; b.n > 1 {
		return 0, errors.New("disk failed")
	}
	return copy(p, "begin"), nil
}

func TestBrokenAnswerIsCutOff(t *testing.T) {
	rec := &recorder{}
	a := newAPI(t, Config{Recorder: rec, Ops: []op.Op{
		doing("/v3/r", func(context.Context) (*reply, error) { return &reply{op.Response{Body: &brokenBody{}}}, nil }),
	}})
	srv := httptest.NewServer(a)
	defer srv.Close()
	res, err := http.Get(srv.URL + "/v3/r")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("the client took half an answer for a whole one")
	}
	srv.Close()
	if got := rec.last(t); !strings.Contains(got.Error, "disk failed") {
		t.Errorf("record: %+v", got)
	}
}

func TestClientGone(t *testing.T) {
	rec := &recorder{}
	a := newAPI(t, Config{Recorder: rec, Ops: []op.Op{doing("/v3/r", func(ctx context.Context) (*reply, error) {
		return nil, fmt.Errorf("query: %w", ctx.Err())
	})}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v3/r", nil))
	if got := rec.last(t); got.Status != 499 {
		t.Errorf("status %d in the record", got.Status)
	}
}

func TestOperationKnowsItsRequest(t *testing.T) {
	var got *op.Request
	a := newAPI(t, Config{TrustedProxies: prefixes(t, "192.0.2.0/24", "10.0.0.0/8"), Ops: []op.Op{doing("/v3/r", func(ctx context.Context) (*reply, error) {
		got = op.RequestFrom(ctx)
		got.SetHeader("X-Request-Limit", "2500")
		return &reply{op.Response{JSON: got.Header("X-Thing")}}, nil
	})}})
	tests := []struct {
		name   string
		header map[string]string
		base   string
		ip     string
	}{
		{"direct", nil, "http://example.com", "192.0.2.1"},
		{"proxy", map[string]string{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "mail.example.org"}, "https://mail.example.org", "203.0.113.9"},
		{"invented hops", map[string]string{"X-Forwarded-For": "1.1.1.1, 203.0.113.9, 10.1.2.3"}, "http://example.com", "203.0.113.9"},
		{"with port", map[string]string{"X-Forwarded-For": "[2001:db8::1]:443"}, "http://example.com", "2001:db8::1"},
		{"rubbish", map[string]string{"X-Forwarded-For": "unknown, 10.1.2.3", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a b/c"}, "http://example.com", "10.1.2.3"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/v3/r?x=1", nil)
		r.Header.Set("X-Thing", "t")
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		wantAnswer(t, w, 200, "\"t\"\n")
		if got.BaseURL != tt.base || got.RemoteIP != tt.ip || got.RawQuery != "x=1" || got.Path != "/v3/r" || w.Header().Get("X-Request-Limit") != "2500" || got.ID != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	// A stranger is not believed.
	r := httptest.NewRequest("GET", "/v3/r", nil)
	r.RemoteAddr = "[::ffff:203.0.113.7]:9"
	r.Header.Set("X-Forwarded-For", "1.1.1.1")
	a.ServeHTTP(httptest.NewRecorder(), r)
	if got.RemoteIP != "203.0.113.7" {
		t.Errorf("stranger: %s", got.RemoteIP)
	}
}
