package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postroad/internal/base/op"
)

// named is an operation that answers with its own pattern and path values.
func named(method, path string) op.Op {
	type in struct {
		A string `path:"domain"`
	}
	type in2 struct {
		A string `path:"name"`
	}
	type in3 struct {
		A string `path:"domain"`
		B string `path:"address"`
	}
	say := func(vals ...string) (*op.Message, error) {
		return &op.Message{Message: method + " " + path + " " + strings.Join(vals, "|")}, nil
	}
	switch params := pathParams(path); {
	case len(params) == 0:
		return op.New(method, path, op.Domains, op.Public, "x", func(context.Context, *none) (*op.Message, error) { return say() })
	case len(params) == 2:
		return op.New(method, path, op.Domains, op.Public, "x", func(_ context.Context, v *in3) (*op.Message, error) { return say(v.A, v.B) })
	case params[0] == "name":
		return op.New(method, path, op.Domains, op.Public, "x", func(_ context.Context, v *in2) (*op.Message, error) { return say(v.A) })
	}
	return op.New(method, path, op.Domains, op.Public, "x", func(_ context.Context, v *in) (*op.Message, error) { return say(v.A) })
}

func routingAPI(t testing.TB) *API {
	panel := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("panel")) })
	live := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("live")) })
	return newAPI(t, Config{Fallback: panel, Extra: map[string]http.Handler{"/livez": live}, Ops: []op.Op{
		named("POST", "/v3/{domain}/messages"), named("POST", "/v3/{domain}/messages.mime"),
		named("GET", "/v3/domains"), named("GET", "/v3/domains/{name}"), named("DELETE", "/v3/domains/{name}"), named("GET", "/v4/domains"),
		named("GET", "/v3/{domain}/bounces"), named("DELETE", "/v3/{name}/bounces"), named("GET", "/v3/{domain}/bounces/{address}"),
		named("GET", "/v3/{domain}/stats/total"), named("GET", "/v3/stats/total"), named("POST", "/v1/analytics/tags"),
		named("GET", "/c/{domain}"), named("POST", "/api/email/send"),
	}})
}

func TestRouting(t *testing.T) {
	a := routingAPI(t)
	tests := []struct {
		method, path string
		status       int
		want         string // message, or body where the status is not 200
	}{
		{"POST", "/v3/example.org/messages", 200, "POST /v3/{domain}/messages example.org"},
		{"POST", "/v3/example.org/messages.mime", 200, "POST /v3/{domain}/messages.mime example.org"},
		{"GET", "/v3/domains/example.org", 200, "GET /v3/domains/{name} example.org"},
		{"GET", "/v3/domains/messages", 200, "GET /v3/domains/{name} messages"},
		{"POST", "/v3/domains/messages", 200, "POST /v3/{domain}/messages domains"},
		{"GET", "/v3/domains/bounces", 200, "GET /v3/domains/{name} bounces"},
		{"GET", "/v3/stats/total", 200, "GET /v3/stats/total "},
		{"GET", "/v3/x.org/stats/total", 200, "GET /v3/{domain}/stats/total x.org"},
		{"DELETE", "/v3/x.org/bounces", 200, "DELETE /v3/{name}/bounces x.org"},
		// Values arrive unescaped exactly once, and a plus stays a plus.
		{"GET", "/v3/x.org/bounces/a+b@c.de", 200, "GET /v3/{domain}/bounces/{address} x.org|a+b@c.de"},
		{"GET", "/v3/x.org/bounces/a%2Bb%40c.de", 200, "GET /v3/{domain}/bounces/{address} x.org|a+b@c.de"},
		{"GET", "/v3/x.org/bounces/100%25", 200, "GET /v3/{domain}/bounces/{address} x.org|100%"},
		{"GET", "/v3/x.org/bounces/%2541", 200, "GET /v3/{domain}/bounces/{address} x.org|%41"},
		{"GET", "/v3/x.org/bounces/a%2Fb", 200, "GET /v3/{domain}/bounces/{address} x.org|a/b"},
		{"GET", "/v3/x.org/bounces/a%20b", 200, "GET /v3/{domain}/bounces/{address} x.org|a b"},
		{"GET", "/v3/x.org/bounces/a%00b", 400, "{\"message\":\"parameter address contains a NUL byte\"}\n"},
		{"GET", "/v3/x.org/bounces/a%ffb", 400, "{\"message\":\"parameter address is not valid UTF-8\"}\n"},
		// Base URLs without the version, with two, with a slash too many.
		{"POST", "/example.org/messages", 200, "POST /v3/{domain}/messages example.org"},
		{"GET", "/domains", 200, "GET /v3/domains "},
		{"GET", "/v3/v3/domains", 200, "GET /v3/domains "},
		{"GET", "/v3/v4/domains", 200, "GET /v4/domains "},
		{"GET", "/v3/v3/stats/total", 200, "GET /v3/stats/total "},
		{"GET", "//v3/domains", 200, "GET /v3/domains "},
		{"GET", "/c/abc", 200, "GET /c/{domain} abc"},
		{"POST", "/api/email/send", 200, "POST /api/email/send "},
		{"GET", "/v3", 200, "Mailgun Magnificent API"},
		{"GET", "/v3/", 200, "Mailgun Magnificent API"},
		// What is not there.
		{"GET", "/v3/nope", 404, "404 page not found\n"},
		{"GET", "/v9/domains", 404, "404 page not found\n"},
		{"GET", "/api/nope", 404, "404 page not found\n"},
		{"GET", "/v3/domains/", 404, "404 page not found\n"},
		{"GET", "/v3//bounces", 404, "404 page not found\n"},
		{"GET", "/v4/", 404, "404 page not found\n"},
		{"GET", "/v1/analytics/tags", 404, "{\"error\":\"not found\"}\n"},
		{"GET", "/v1/analytics/nope", 404, "{\"error\":\"not found\"}\n"},
		{"GET", "/v3/example.org/messages", 405, "{\"message\":\"Method Not Allowed\"}\n"},
		{"PUT", "/v3/v3/domains", 405, "{\"message\":\"Method Not Allowed\"}\n"},
		{"BREW", "/v3/example.org/messages", 405, "{\"message\":\"Method Not Allowed\"}\n"},
		{"GET", "/example.org/messages", 405, "{\"message\":\"Method Not Allowed\"}\n"},
		// What is not the API's.
		{"GET", "/", 200, "panel"},
		{"GET", "/messages/17", 200, "panel"},
		{"GET", "/vault", 200, "panel"},
		{"GET", "/favicon.ico", 200, "panel"},
		{"GET", "/livez", 200, "live"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := send(a, tt.method, "http://h"+tt.path, "", "")
			want := tt.want
			if strings.HasPrefix(want, tt.method+" /") {
				want = "{\"message\":\"" + want + "\"}\n"
			}
			wantAnswer(t, w, tt.status, want)
		})
	}
}

func TestPanelPathsWithoutKey(t *testing.T) {
	a := routingAPI(t)
	for _, auth := range []func(*http.Request){
		func(*http.Request) {},
		func(r *http.Request) { r.SetBasicAuth("someone", "proxy password") },
		func(r *http.Request) { r.Header.Set("Authorization", "Basic %%%") },
	} {
		r := httptest.NewRequest("GET", "/domains", nil)
		auth(r)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		wantAnswer(t, w, 200, "panel")
	}
}

func TestWrongMethodOutsideVersions(t *testing.T) {
	type in struct {
		Token string `path:"token" doc:"Token"`
	}
	follow := func(context.Context, *in) (*op.Message, error) { return &op.Message{}, nil }
	a := newAPI(t, Config{Fallback: http.NotFoundHandler(), Ops: []op.Op{op.New("GET", "/c/{token}", op.Events, op.Public, "Follow", follow)}})
	w := send(a, "POST", "/c/x", "", "")
	if got := w.Header().Get("Allow"); w.Code != 405 || got != "GET, HEAD, OPTIONS" {
		t.Errorf("%d Allow: %q", w.Code, got)
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	w := send(routingAPI(t), "PUT", "/v3/domains/example.org", "", "")
	if got := w.Header().Get("Allow"); w.Code != 405 || got != "GET, HEAD, DELETE, OPTIONS" {
		t.Errorf("%d Allow: %q", w.Code, got)
	}
}

func TestNearestEndpoint(t *testing.T) {
	a := routingAPI(t)
	tests := []struct{ method, path, want string }{
		{"POST", "/v3/example.org/mesages", "POST /v3/{domain}/messages"},
		{"POST", "/v3/messages", "POST /v3/{domain}/messages"},
		{"GET", "/v3/domain", "GET /v3/domains"},
		{"GET", "/v2/domains", "GET /v3/domains"},
		{"GET", "/v3/example.org/bounce/a@b.c", "GET /v3/{domain}/bounces/{address}"},
		{"GET", "/v1/analytics/tags", "POST /v1/analytics/tags"},
		{"GET", "/v3/" + strings.Repeat("x", 300), ""},
		{"GET", "/v3/" + strings.Repeat("x/", 50), ""},
		{"GET", "/v7/qqqqqqqqqqqqqqqqqqqqqqqqqqqq/zzzzzzzzzzzzzzzzzzzzz/wwwwwwwwwwwwwwww", ""},
	}
	for _, tt := range tests {
		hint := send(a, tt.method, tt.path, "", "").Header().Get("X-Hint")
		if got := strings.TrimPrefix(hint, "no such endpoint; the nearest is "); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.method, clip(tt.path, 60), hint, tt.want)
		}
	}
}

func TestNewRefusesRoutes(t *testing.T) {
	tests := []struct {
		name string
		ops  []op.Op
		want string
	}{
		{"twice", []op.Op{named("GET", "/v3/domains"), named("GET", "/v3/domains")}, "already taken"},
		{"twice by other names", []op.Op{named("GET", "/v3/{domain}/x"), named("GET", "/v3/{name}/x")}, "already taken by /v3/{domain}/x"},
		{"method", []op.Op{named("BREW", "/v3/x")}, "not served"},
		{"pattern", []op.Op{named("GET", "v3/x")}, "pattern refused"},
		{"value nobody takes", []op.Op{echo[none]("GET", "/v3/{domain}/x", op.Read)}, `no member takes the path value "domain"`},
	}
	for _, tt := range tests {
		if _, err := New(Config{Auth: gate{}, Ops: tt.ops}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("an API without Authenticator was made")
	}
}

// Operations for bearer tokens share names with pages of the panel.
func TestBearer(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("a page")) })
	words := func(f op.Failure) any { return map[string]any{"name": f.Text} }
	a := newAPI(t, Config{Fallback: page, Ops: []op.Op{
		echo[none]("GET", "/webhooks", op.Read).WithBearer().WithErrors(words),
		echo[none]("POST", "/emails", op.Send).WithBearer().WithErrors(words),
	}})
	for _, c := range []struct {
		method, path, auth string
		status             int
		body               string
	}{
		{"GET", "/webhooks", "Bearer good", 200, "{}\n"},
		{"GET", "/webhooks", "bearer  good", 200, "{}\n"},
		{"GET", "/webhooks", "", 200, "a page"},
		{"GET", "/webhooks", "Basic YXBpOmdvb2Q=", 200, "a page"},
		{"GET", "/webhooks", "Bearer bad", 401, "{\"name\":\"Forbidden\"}\n"},
		{"POST", "/emails", "Bearer good", 200, "{}\n"},
		{"POST", "/emails", "Basic YXBpOmdvb2Q=", 401, "{\"name\":\"Missing API key in the authorization header\"}\n"},
		{"POST", "/emails", "", 401, "{\"name\":\"Missing API key in the authorization header\"}\n"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s %s with %q: %d %q", c.method, c.path, c.auth, w.Code, w.Body)
		}
	}
}

// TestDialect: what a dialect has and we have not is answered in its words; at the
// root, where the panel has pages, to callers with a bearer token only.
func TestDialect(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("panel")) })
	fail := func(f op.Failure) any { return other{Code: f.Status, Said: f.Text} }
	a := newAPI(t, Config{Fallback: page, Bearer: Dialect{Names: []string{"emails", "domains"}, Fail: fail},
		Ops: []op.Op{named("POST", "/emails").WithBearer().WithErrors(fail), named("GET", "/v3/domains"), named("POST", "/api/other/send").WithErrors(fail), named("GET", "/api/own")}})
	for _, c := range []struct {
		method, path, auth string
		status             int
		want               string
	}{
		{"POST", "/emails", "Bearer x", 200, "POST /emails"},
		{"PUT", "/emails", "Bearer x", 418, `{"code":405,"said":"Method is not allowed for the requested path."}`},
		{"GET", "/emails/1/2", "Bearer x", 418, `{"code":404,"said":"The requested endpoint does not exist."}`},
		{"GET", "/domains", "bearer x", 418, `{"code":404,`},
		{"GET", "/domains", "", 200, "panel"},
		{"GET", "/domains", "Basic YXBpOmtleQ==", 200, "GET /v3/domains"},
		{"GET", "/elsewhere", "Bearer x", 200, "panel"},
		{"GET", "/v3/domains", "Bearer x", 200, "GET /v3/domains"},
		{"GET", "/api/other/send", "", 418, `{"code":405,"said":"Method is not allowed for the requested path."}`},
		{"POST", "/api/other/none", "", 418, `{"code":404,"said":"The requested endpoint does not exist."}`},
		{"POST", "/api/own", "", 405, `{"message":"Method Not Allowed"}`},
		{"GET", "/api/none", "", 404, "404 page not found"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.auth, w.Code, w.Body)
		}
	}
}

// other is an error with a status of its own.
type other struct {
	Code int    `json:"code"`
	Said string `json:"said"`
}

func (o other) Respond() op.Response { return op.Response{Status: 418, JSON: o} }
