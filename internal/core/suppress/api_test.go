package suppress_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/suppress"
	"postroad/internal/edge/httpapi"
)

// keys maps API keys to roles; all but the stranger's are of one account.
type keys struct{}

func (keys) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	role, accounts := password, map[string]string{"stranger": "other"}
	if password == "stranger" {
		role = "admin"
	}
	if !slices.Contains([]string{"admin", "basic", "developer", "support", "sending"}, role) {
		return ctx, httpapi.Caller{}, errs.New(errs.Unauthorized, "Forbidden")
	}
	return account.With(ctx, &account.Caller{AccountID: cmp.Or(accounts[password], "acc"), KeyID: "k-" + password, Role: role}), httpapi.Caller{AccountID: "acc"}, nil
}

func (keys) Authorize(ctx context.Context, o op.Op, domain string) error {
	return account.Authorize(account.From(ctx), o.Group, o.Access, domain)
}

// owned is the domains of the account acc.
type owned struct{}

func (owned) Owned(_ context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	if c.AccountID == "acc" {
		switch name {
		case "example.com":
			return &domain.Domain{ID: 1, Name: name, AccountID: "acc"}, nil
		case "example.org":
			return &domain.Domain{ID: 2, Name: name, AccountID: "acc"}, nil
		}
	}
	return nil, errs.New(errs.NotFound, "Domain not found")
}

type api struct {
	t  *testing.T
	h  http.Handler
	c  *clock.Fake
	s  *suppress.Service
	db *db.DB
}

var start = time.Date(2026, 3, 26, 12, 59, 15, 0, time.UTC)

func eachAPI(t *testing.T, fn func(a *api)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now()))
		s := suppress.New(d, ids.NewSource(c), slog.New(slog.DiscardHandler))
		ops := s.Ops(owned{})
		if err := httpapi.CheckOps(ops); err != nil {
			t.Fatal(err)
		}
		h, err := httpapi.New(httpapi.Config{Ops: ops, Auth: keys{}, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		fn(&api{t, h, c, s, d})
	})
}

func (a *api) send(key, method, target, contentType, body string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, rd)
	r.Host = "api.example.net"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.SetBasicAuth("api", key)
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, r)
	return w
}

const (
	form = "application/x-www-form-urlencoded"
	js   = "application/json"
)

// want checks an answer of a call with an administrator's key to the byte.
func (a *api) want(method, target, contentType, body string, status int, answer string) {
	a.t.Helper()
	w := a.send("admin", method, target, contentType, body)
	if w.Code != status || w.Body.String() != answer+"\n" {
		a.t.Errorf("%s %s %s\n got %d %s\nwant %d %s", method, target, body, w.Code, strings.TrimSuffix(w.Body.String(), "\n"), status, answer)
	}
}

func (a *api) get(target string, status int, answer string) {
	a.t.Helper()
	a.want("GET", target, "", "", status, answer)
}

func multi(t *testing.T, pairs ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := mw.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	return mw.FormDataContentType(), b.String()
}

// paging is the paging of a page from first to last address.
func paging(base, first, last string) string {
	q := "limit=100&term="
	return fmt.Sprintf(`"paging":{"first":"%s?%s","last":"%s?page=last&%s","next":"%s?page=next&address=%s&%s","previous":"%s?page=previous&address=%s&%s"}`,
		base, q, base, q, base, url.QueryEscape(last), q, base, url.QueryEscape(first), q)
}

func emptyPage(base string) string {
	u := base + "?limit=100&term="
	return fmt.Sprintf(`{"items":[],"paging":{"first":"%s","last":"%s","next":"%s","previous":"%s"}}`, u, u, u, u)
}

const (
	host = "http://api.example.net"
	now  = "Thu, 26 Mar 2026 12:59:15 UTC"
)

func TestBounces(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/bounces"
		a.get(p, 200, emptyPage(host+p))
		a.want("POST", p, form, "address=Integration-Test%2Bemail%40Example.com&code=551&error=Integration+Test", 200,
			`{"message":"Address has been added to the bounces table","address":"Integration-Test+email@Example.com"}`)
		one := `{"address":"Integration-Test+email@Example.com","code":"551","error":"Integration Test","created_at":"` + now + `"}`
		for _, path := range []string{"integration-test+email@example.com", "INTEGRATION-TEST%2Bemail%40EXAMPLE.COM"} {
			a.get(p+"/"+path, 200, one)
		}
		a.get(p, 200, `{"items":[`+one+`],`+paging(host+p, "Integration-Test+email@Example.com", "Integration-Test+email@Example.com")+`}`)
		a.get("/v3/example.org/bounces", 200, emptyPage(host+"/v3/example.org/bounces"))

		ct, body := multi(t, "address", "b@example.com", "created_at", "Fri, 21 Oct 2011 11:02:55 GMT")
		a.want("POST", p, ct, body, 200, `{"message":"Address has been added to the bounces table","address":"b@example.com"}`)
		a.get(p+"/b@example.com", 200, `{"address":"b@example.com","code":"550","error":"","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`)
		a.want("POST", p+"?address=q@example.com&code=500", "", "", 200, `{"message":"Address has been added to the bounces table","address":"q@example.com"}`)
		a.want("POST", p, js, `{"address":"o@example.com","code":500,"created_at":1319194975.5}`, 200,
			`{"message":"Address has been added to the bounces table","address":"o@example.com"}`)
		a.get(p+"/o@example.com", 200, `{"address":"o@example.com","code":"500","error":"","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`)

		a.want("POST", p, js, `[{"address":"test4@example.info","code":"500","error":"integration testing"},{"address":"test3@example.net","code":554},`+
			`{"address":"test2@example.org","created_at":"Mon, 01 Jan 0001 00:00:00 +0000"},{"address":"TEST2@example.org","createdat":"Thu, 11 Dec 2025 01:49:40 UTC","messagehash":""}]`,
			200, `{"message":"4 addresses have been added to the bounces table"}`)
		a.get(p+"/test2@example.org", 200, `{"address":"TEST2@example.org","code":"550","error":"","created_at":"Thu, 11 Dec 2025 01:49:40 UTC"}`)
		a.want("POST", p, js, `[{"address":"z@example.com"}]`, 200, `{"message":"1 addresses have been added to the bounces table"}`)
		a.get(p+"/z@example.com", 200, `{"address":"z@example.com","code":"550","error":"","created_at":"`+now+`"}`)
		a.want("POST", p, js, `[]`, 200, `{"message":"0 addresses have been added to the bounces table"}`)

		a.want("DELETE", p+"/Test4@example.info", "", "", 200, `{"address":"Test4@example.info","message":"Bounced address has been removed"}`)
		a.want("DELETE", p+"/test4@example.info", "", "", 404, `{"message":"Address not found in bounces table"}`)
		a.get(p+"/test4@example.info", 404, `{"message":"Address not found in bounces table"}`)
		a.want("DELETE", p, "", "", 200, `{"message":"Bounced addresses for this domain have been removed"}`)
		a.get(p, 200, emptyPage(host+p))
	})
}

func TestComplaints(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/complaints"
		a.get(p, 200, emptyPage(host+p))
		a.want("POST", p, form, "address=bob%40example.com&created_at=1319194975", 200,
			`{"address":"bob@example.com","message":"Address has been added to the complaints table"}`)
		a.get(p+"/Bob@example.com", 200, `{"address":"bob@example.com","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`)
		a.want("POST", p, js, `[{"address":"a@example.com"},{"address":"c@example.com"}]`, 200,
			`{"message":"2 complaint addresses have been added to the complaints table"}`)
		a.want("DELETE", p+"/c@example.com", "", "", 200, `{"address":"c@example.com","message":"Spam complaint has been removed"}`)
		a.want("DELETE", p+"/c@example.com", "", "", 404, `{"message":"No spam complaints found for this address"}`)
		a.get(p+"/c@example.com", 404, `{"message":"No spam complaints found for this address"}`)
		a.get(p, 200, `{"items":[{"address":"a@example.com","created_at":"`+now+`"},{"address":"bob@example.com","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}],`+
			paging(host+p, "a@example.com", "bob@example.com")+`}`)
		a.want("DELETE", p, "", "", 200, `{"message":"Complaint addresses for this domain have been removed"}`)
		a.get(p, 200, emptyPage(host+p))
	})
}

func TestUnsubscribes(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/unsubscribes"
		const single = `{"address":"alice@example.com","message":"Address has been added to the unsubscribes table"}`
		tags := func(address, tags, created string) string {
			return `{"address":"` + address + `","tags":` + tags + `,"created_at":"` + created + `"}`
		}
		a.get(p, 200, emptyPage(host+p))
		a.want("POST", p, form, "address=alice%40example.com&tag=news&tag=second&created_at=Fri,+21+Oct+2011+11:02:55+-0000", 200, single)
		a.get(p+"/alice@example.com", 200, tags("alice@example.com", `["news"]`, "Fri, 21 Oct 2011 11:02:55 UTC"))
		a.want("POST", p, js, `{"address":"alice@example.com","tags":["ads","NEWS"]}`, 200, single)
		a.get(p+"/alice@example.com", 200, tags("alice@example.com", `["news","ads"]`, now))
		a.want("POST", p, form, "address=t%40example.com&tags=integration", 200, strings.Replace(single, "alice", "t", 1))
		a.get(p+"/t@example.com", 200, tags("t@example.com", `["*"]`, now))
		a.want("POST", p, js, `[{"address":"b@example.com","tags":["some tag","b"]},{"address":"c@example.com","tags":[]},{"address":"d@example.com","tag":"integration"},{"address":"e@example.com"}]`,
			200, `{"message":"4 addresses have been added to the unsubscribes table"}`)
		a.get(p+"?term=B", 200, strings.ReplaceAll(`{"items":[`+tags("b@example.com", `["some tag","b"]`, now)+`],`+paging(host+p, "b@example.com", "b@example.com")+`}`, "term=", "term=B"))
		a.get(p+"/c@example.com", 200, tags("c@example.com", `["*"]`, now))
		a.get(p+"/d@example.com", 200, tags("d@example.com", `["*"]`, now))

		const gone = `{"address":"alice@example.com","message":"Unsubscribe event has been removed"}`
		a.want("DELETE", p+"/alice@example.com?tag=other", "", "", 404, `{"message":"Unsubscribe event for this tag does not exist"}`)
		a.want("DELETE", p+"/alice@example.com?tag=news", "", "", 200, gone)
		a.get(p+"/alice@example.com", 200, tags("alice@example.com", `["ads"]`, now))
		a.want("DELETE", p+"/alice@example.com", "", "", 200, gone)
		a.get(p+"/alice@example.com", 404, `{"message":"Address not found in unsubscribers table"}`)
		a.want("DELETE", p+"/alice@example.com", "", "", 404, `{"message":"Address not found in unsubscribers table"}`)
		a.want("DELETE", p, "", "", 200, `{"message":"Unsubscribe addresses for this domain have been removed"}`)
		a.get(p, 200, emptyPage(host+p))
	})
}

func TestAllowlist(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/whitelists"
		a.get(p, 200, emptyPage(host+p))
		ct, body := multi(t, "domain", "Friends.example", "reason", "partner")
		a.want("POST", p, ct, body, 200, `{"message":"Address/Domain has been added to the allowlists table","type":"domain","value":"Friends.example"}`)
		a.want("POST", p, form, "address=alice@example.com&domain=ignored.example", 200,
			`{"message":"Address/Domain has been added to the allowlists table","type":"address","value":"alice@example.com"}`)
		const friends = `{"type":"domain","value":"Friends.example","reason":"partner","createdAt":"` + now + `"}`
		const alice = `{"type":"address","value":"alice@example.com","reason":"","createdAt":"` + now + `"}`
		a.get(p+"/FRIENDS.example", 200, friends)
		a.get(p+"/Alice@example.com", 200, alice)
		a.get(p+"/ignored.example", 404, `{"message":"Address/Domain not found in allowlist table"}`)
		a.get(p, 200, `{"items":[`+alice+`,`+friends+`],`+paging(host+p, "alice@example.com", "Friends.example")+`}`)
		a.want("POST", p, js, `[{"domain":"m\u00fcnchen.example"},{"address":"bob@example.com","reason":"x"}]`, 200,
			`{"message":"2 addresses/domains have been added to the allowlists table"}`)
		a.get(p+"/xn--mnchen-3ya.example", 200, `{"type":"domain","value":"m`+"\u00fc"+`nchen.example","reason":"","createdAt":"`+now+`"}`)
		a.want("DELETE", p+"/friends.example", "", "", 200, `{"message":"Allowlist address/domain has been removed","value":"friends.example"}`)
		a.want("DELETE", p+"/friends.example", "", "", 404, `{"message":"Address/Domain not found in allowlist table"}`)
		a.want("DELETE", p, "", "", 200, `{"message":"Allowlist addresses/domains for this domain have been removed"}`)
		a.get(p, 200, emptyPage(host+p))
	})
}

func TestRefusals(t *testing.T) {
	many := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"address":"a@example.com"},`, n), ",") + "]"
	}
	long := strings.Repeat("x", 20_000)
	tests := []struct {
		method, path, contentType, body string
		status                          int
		answer                          string
	}{
		{"POST", "bounces", form, "code=550", 400, "Missing mandatory parameter: address"},
		{"POST", "bounces", "", "", 400, "Missing mandatory parameter: address"},
		{"POST", "complaints", js, `[{"address":"a@example.com"},{}]`, 400, "Missing mandatory parameter: address"},
		{"POST", "complaints", js, `[null]`, 400, "Missing mandatory parameter: address"},
		{"POST", "whitelists", form, "reason=x", 400, "Missing mandatory parameter: address/domain"},
		{"POST", "whitelists", form, "domain=bad_domain.example", 400, `'domain' parameter is invalid: "bad_domain.example": invalid domain`},
		{"POST", "whitelists", form, "domain=a@example.com", 400, "'domain' parameter is invalid: it is an address"},
		{"POST", "whitelists", form, "address=example.com", 400, "'address' parameter is invalid: domain missing"},
		{"POST", "bounces", form, "address=nobody", 400, `'address' parameter is invalid: "nobody": domain missing`},
		{"POST", "bounces", form, "address=a@b@example.com", 400, `'address' parameter is invalid: "a@b@example.com": unexpected text after address`},
		{"POST", "bounces", form, "address=Bob+%3Ca@example.com%3E", 400, `'address' parameter is invalid: "Bob <a@example.com>": domain missing`},
		{"POST", "bounces", form, "address=a@example.com&code=" + long, 400, "'code' parameter is invalid: must be at most 32 bytes long"},
		{"POST", "bounces", form, "address=a@example.com&error=" + long, 400, "'error' parameter is invalid: must be at most 16384 bytes long"},
		{"POST", "whitelists", form, "address=a@example.com&reason=" + long, 400, "'reason' parameter is invalid: must be at most 16384 bytes long"},
		{"POST", "bounces", form, "address=a@example.com&created_at=yesterday", 400, "'created_at' parameter is invalid: yesterday is not an RFC-2822 compliant date"},
		{"POST", "bounces", js, `[{"address":"a@example.com","created_at":"never"}]`, 400, "'created_at' parameter is invalid: never is not an RFC-2822 compliant date"},
		{"POST", "unsubscribes", form, "address=a@example.com&tag=%C3%A9", 400, "'tag' parameter is invalid: must be 1 to 128 ASCII characters"},
		{"POST", "unsubscribes", form, "address=a@example.com&tag=" + long, 400, "'tag' parameter is invalid: must be 1 to 128 ASCII characters"},
		{"POST", "unsubscribes", js, `[{"address":"a@example.com","tags":["` + strings.Repeat(`x","`, 100) + `x"]}]`, 400, "'tags' parameter is invalid: must have at most 100 items"},
		{"POST", "unsubscribes", js, `[{"address":"a@example.com","tags":"x"}]`, 400, "'tags' parameter is invalid: must be a list"},
		{"POST", "bounces", js, `[{"address":5}]`, 400, "'address' parameter is invalid: must be a string"},
		{"POST", "bounces", js, `["a@example.com"]`, 400, "request body is invalid: must be an object"},
		{"POST", "bounces", js, `[{"address":`, 400, "unable to parse request: invalid JSON at byte 12"},
		{"POST", "bounces", js, `"a@example.com"`, 400, "request body is invalid: must be a JSON array or object"},
		{"POST", "bounces", js, `null`, 400, "request body is invalid: must be a JSON array or object"},
		{"POST", "bounces", js, many(1001), 400, "Batch size should be less than 1000"},
		{"POST", "complaints", js, many(1001), 400, "Batch size should be less than 1000"},
		{"POST", "unsubscribes", js, many(1001), 400, "Batch size should be less than 1000"},
		{"POST", "whitelists", js, many(1001), 400, "Batch size should be less than 1000"},
		{"GET", "bounces?limit=1001", "", "", 400, "'limit' parameter is invalid: must be between 1 and 1000"},
		{"GET", "bounces?limit=0", "", "", 400, "'limit' parameter is invalid: must be between 1 and 1000"},
		{"GET", "bounces?page=sideways", "", "", 400, "'page' parameter is invalid: must be one of first, next, previous, last"},
	}
	eachAPI(t, func(a *api) {
		for _, tt := range tests {
			answer, err := json.Marshal(tt.answer)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(answer))
			a.want(tt.method, "/v3/example.com/"+tt.path, tt.contentType, tt.body, tt.status, `{"message":`+text+`}`)
		}
		// Nothing of a refused array was added, and the hint says which entry.
		w := a.send("admin", "POST", "/v3/example.com/bounces", js, `[{"address":"a@example.com"},{"address":"b"}]`)
		if hint := w.Header().Get("X-Hint"); hint != "in entry 2 of 2; none was added" {
			a.t.Errorf("hint %q", hint)
		}
		for _, list := range []string{"bounces", "complaints", "unsubscribes", "whitelists"} {
			p := "/v3/example.com/" + list
			a.get(p, 200, emptyPage(host+p))
			a.want("POST", p, js, many(1000), 200, a.countText(list))
		}
	})
}

func (a *api) countText(list string) string {
	return `{"message":"` + map[string]string{
		"bounces":      "1000 addresses have been added to the bounces table",
		"complaints":   "1000 complaint addresses have been added to the complaints table",
		"unsubscribes": "1000 addresses have been added to the unsubscribes table",
		"whitelists":   "1000 addresses/domains have been added to the allowlists table",
	}[list] + `"}`
}

// Every operation: a domain that is not the caller's, a stranger, and each role.
func TestPermission(t *testing.T) {
	c := clock.NewFake(start)
	s := suppress.New(coretest.SQLite(t, c), ids.NewSource(c), slog.New(slog.DiscardHandler))
	h, err := httpapi.New(httpapi.Config{Ops: s.Ops(owned{}), Auth: keys{}, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, h: h, c: c}
	ops := s.Ops(owned{})
	if len(ops) != 28 {
		t.Errorf("%d operations", len(ops))
	}
	for _, o := range ops {
		if strings.HasPrefix(o.Path, "/v1/postroad/suppression-imports") {
			continue // of no domain; see TestImports
		}
		path := strings.NewReplacer("{domain_name}", "other.example", "{domain}", "other.example", "{address}", "a@example.com", "{value}", "a@example.com").Replace(o.Path)
		a.want(o.Method, path, form, "address=a@example.com", 404, `{"message":"Domain not found"}`)
		if w := a.send("nobody", o.Method, path, "", ""); w.Code != 401 {
			t.Errorf("%s %s for a stranger: %d", o.Method, path, w.Code)
		}
		for _, role := range []string{"admin", "basic", "developer", "support", "sending"} {
			want := 401
			if account.Allowed(role, o.Group, o.Access) {
				want = 404 // got as far as the domain
			}
			if w := a.send(role, o.Method, path, form, "address=a@example.com"); w.Code != want {
				t.Errorf("%s %s as %s: %d, want %d", o.Method, path, role, w.Code, want)
			}
		}
	}
	for role, want := range map[string]bool{"admin": true, "basic": false, "sending": false} {
		if account.Allowed(role, op.Suppressions, op.Read) != want {
			t.Errorf("%s may read: %t", role, !want)
		}
	}
}
