package tag_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	"postroad/internal/core/event"
	"postroad/internal/core/tag"
	"postroad/internal/edge/httpapi"
)

// keys maps API keys to roles; all are of one account.
type keys struct{}

func (keys) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	if !slices.Contains([]string{"admin", "basic", "developer", "support", "sending"}, password) {
		return ctx, httpapi.Caller{}, errs.New(errs.Unauthorized, "Forbidden")
	}
	return account.With(ctx, &account.Caller{AccountID: "acc", Role: password}), httpapi.Caller{AccountID: "acc"}, nil
}

func (keys) Authorize(ctx context.Context, o op.Op, domain string) error {
	return account.Authorize(account.From(ctx), o.Group, o.Access, domain)
}

func owned(_ context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	if i := slices.Index([]string{"example.com", "example.org"}, name); i >= 0 && c.AccountID == "acc" {
		return &domain.Domain{ID: int64(i + 1), Name: name, AccountID: "acc"}, nil
	}
	return nil, errs.New(errs.NotFound, "Domain not found")
}

func accounts(_ context.Context, id string) (*account.Account, error) {
	return &account.Account{ID: id, Name: "Acme"}, nil
}

type api struct {
	t      *testing.T
	h      http.Handler
	c      *clock.Fake
	s      *tag.Service
	events *event.Service
}

var begin = time.Date(2026, 3, 26, 12, 30, 0, 0, time.UTC)

func eachAPI(t *testing.T, fn func(a *api)) {
	t.Helper()
	c := clock.NewFake(begin)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(begin.Sub(c.Now()))
		fn(newAPI(t, c, d))
	})
}

func newAPI(t *testing.T, c *clock.Fake, d *db.DB) *api {
	t.Helper()
	source, log := ids.NewSource(c), slog.New(slog.DiscardHandler)
	s := tag.New(d, source, log, tag.Options{})
	events, err := event.New(d, source, log, s)
	if err != nil {
		t.Fatal(err)
	}
	ops := s.Ops(owned, accounts)
	if err := httpapi.CheckOps(ops); err != nil {
		t.Fatal(err)
	}
	h, err := httpapi.New(httpapi.Config{Ops: ops, Auth: keys{}, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), func(tx *db.Tx) (err error) {
		for i, name := range []string{"example.com", "example.org"} {
			if _, err = tx.Exec("INSERT INTO domain (id, public_id, name, account_id, state, type, authority, settings, records, checked_at, created_at) "+
				"VALUES (?, ?, ?, 'acc', 'active', 'custom', '', '{}', '{}', 0, 0)", i+1, name, name); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &api{t, h, c, s, events}
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
	host = "http://api.example.net"
)

// want checks an answer of a call with an administrator's key to the byte.
func (a *api) want(method, target, contentType, body string, status int, answer string) {
	a.t.Helper()
	w := a.send("admin", method, target, contentType, body)
	if got := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != status || got != answer {
		a.t.Errorf("%s %s %s\n got %d %s\nwant %d %s", method, target, body, w.Code, got, status, answer)
	}
}

func (a *api) get(target string, status int, answer string) {
	a.t.Helper()
	a.want("GET", target, "", "", status, answer)
}

func msg(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return `{"message":` + strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(b)) + `}`
}

// event appends an event at the full second the clock shows.
func (a *api) event(domainID int64, doc event.Doc) {
	a.t.Helper()
	doc.Timestamp = event.Timestamp(a.c.Now().UnixMicro())
	if doc.Recipient == "" {
		doc.Recipient = "x@gmail.com"
	}
	e := &event.Event{AccountID: "acc", DomainID: domainID, First: doc.URL == "first", Doc: doc}
	if err := a.events.Append(a.t.Context(), e); err != nil {
		a.t.Fatal(err)
	}
}

func accepted(tags ...string) event.Doc { return event.Doc{Event: event.Accepted, Tags: tags} }

const notFound = `{"message":"Tag not found"}`

func TestTags(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/tags"
		empty := func(rest string) string {
			u := host + p + "?limit=100&page="
			return `{"items":[],"paging":{"previous":"` + u + `first&tag=` + rest + `","first":"` + u + `first&tag=` + rest + `","next":"` + u + `first&tag=` + rest + `","last":"` + u + `last&tag=` + rest + `"}}`
		}
		a.get(p, 200, empty(""))
		a.get(p+"?prefix=a+b", 200, empty("&prefix=a+b"))
		a.event(1, accepted("Red", "a b+c", "50%/2"))
		a.c.Advance(90 * time.Second)
		a.event(1, accepted("red"))
		const red = `{"tag":"Red","description":"","first-seen":"2026-03-26T12:30:00.000Z","last-seen":"2026-03-26T12:31:30.000Z"}`
		const blank = `{"tag":"a b+c","description":"","first-seen":"2026-03-26T12:30:00.000Z","last-seen":"2026-03-26T12:30:00.000Z"}`
		const slash = `{"tag":"50%/2","description":"","first-seen":"2026-03-26T12:30:00.000Z","last-seen":"2026-03-26T12:30:00.000Z"}`
		u := host + p + "?limit=2&page="
		a.get(p+"?limit=2", 200, `{"items":[`+slash+`,`+blank+`],"paging":{"previous":"`+u+`prev&tag=50%25%2F2","first":"`+u+`first&tag=","next":"`+u+`next&tag=a+b%2Bc","last":"`+u+`last&tag="}}`)
		a.get(p+"?limit=2&page=next&tag=a+b%2Bc", 200, `{"items":[`+red+`],"paging":{"previous":"`+u+`prev&tag=Red","first":"`+u+`first&tag=","next":"`+u+`next&tag=Red","last":"`+u+`last&tag="}}`)
		a.get(p+"?limit=2&page=next&tag=Red", 200, `{"items":[],"paging":{"previous":"`+u+`last&tag=","first":"`+u+`first&tag=","next":"`+u+`next&tag=Red","last":"`+u+`last&tag="}}`)
		a.get(p+"?limit=2&page=prev&tag=50%25/2", 200, `{"items":[],"paging":{"previous":"`+u+`prev&tag=50%25%2F2","first":"`+u+`first&tag=","next":"`+u+`first&tag=","last":"`+u+`last&tag="}}`)
		a.get(p+"/RED", 200, red)
		a.get("/v3/example.com/tag?tag=red", 200, red)
		// mailgun-go writes a blank as +, others as %20.
		for _, path := range []string{p + "/a+b%2Bc", p + "/a%20b%2Bc", p + "/a+b%2bc", "/v3/example.com/tag?tag=a+b%2Bc"} {
			a.get(path, 200, blank)
		}
		a.get(p+"/a%20b+c", 404, notFound) // a plus that is none
		a.get(p+"/50%25%2F2", 200, slash)
		a.get("/v3/example.org/tags/red", 404, notFound)
		a.get("/v3/example.com/tag", 400, msg("Missing mandatory parameter: tag"))

		a.want("PUT", p+"/red", form, "description=red+button", 200, msg("Tag updated"))
		described := strings.Replace(red, `"description":""`, `"description":"red button"`, 1)
		a.get(p+"/red", 200, described)
		a.want("PUT", p+"/red", "", "", 200, msg("Tag updated"))
		a.get(p+"/red", 200, described)
		a.want("PUT", "/v3/example.com/tag?tag=red&description=", "", "", 200, msg("Tag updated"))
		a.get(p+"/red", 200, red)
		a.want("PUT", "/v3/example.com/tag", js, `{"tag":"red","description":"x"}`, 200, msg("Tag updated"))
		a.want("PUT", p+"/blue", form, "description=x", 404, notFound)
		a.want("PUT", p+"/blue", "", "", 404, notFound)
		a.want("PUT", p+"/red", form, "description="+strings.Repeat("x", 4097), 400, msg("'description' parameter is invalid: must be at most 4096 bytes long"))
		a.get("/v3/domains/example.com/limits/tag", 200, `{"id":"example.com","limit":20000,"count":3}`)

		a.want("DELETE", p+"/Red", "", "", 200, msg("Tag deleted"))
		a.want("DELETE", p+"/Red", "", "", 404, notFound)
		a.want("DELETE", "/v3/example.com/tag?tag=50%25/2", "", "", 200, msg("Tag deleted"))
		a.want("DELETE", "/v3/example.com/tag?tag=50%25/2", "", "", 404, notFound)
		a.get("/v3/domains/example.com/limits/tag", 200, `{"id":"example.com","limit":20000,"count":1}`)
		a.get(p+"?limit=1001", 400, msg("'limit' parameter is invalid: must be between 1 and 1000"))
		a.get(p+"?page=previous", 400, msg("'page' parameter is invalid: must be one of first, last, next, prev"))
	})
}

// outcomes appends one event of everything that is counted; unique ones first.
func (a *api) outcomes(tag string) {
	failed := func(severity, reason string) event.Doc {
		return event.Doc{Event: event.Failed, Severity: severity, Reason: reason, Tags: []string{tag}}
	}
	delayed := failed(event.Permanent, "bounce")
	delayed.Flags = &event.Flags{IsDelayedBounce: true}
	posted := failed(event.Permanent, "generic")
	posted.Envelope = &event.Envelope{Transport: "http"}
	byHTTP := event.Doc{Event: event.Delivered, Tags: []string{tag}, Envelope: &event.Envelope{Transport: "http"}, DeliveryStatus: &event.DeliveryStatus{AttemptNo: 3}}
	routed := accepted(tag)
	routed.Flags = &event.Flags{IsRouted: true}
	opened := event.Doc{Event: event.Opened, Tags: []string{tag}, URL: "first", Geolocation: &event.Geolocation{Country: "DE"}, ClientInfo: &event.ClientInfo{DeviceType: "desktop"}}
	clicked := event.Doc{Event: event.Clicked, Tags: []string{tag}, URL: "first", Recipient: "x@aol.com"}
	again := opened
	again.URL = ""
	for _, d := range []event.Doc{accepted(tag), accepted(tag), routed, {Event: event.Delivered, Tags: []string{tag}}, byHTTP,
		failed(event.Temporary, "espblock"), failed(event.Temporary, "generic"), failed(event.Permanent, "bounce"), failed(event.Permanent, "generic"),
		failed(event.Permanent, "espblock"), failed(event.Permanent, "old"), failed(event.Permanent, "suppress-bounce"), failed(event.Permanent, "suppress-unsubscribe"),
		failed(event.Permanent, "suppress-complaint"), delayed, posted, opened, again, clicked,
		{Event: event.Unsubscribed, Tags: []string{tag}}, {Event: event.Complained, Tags: []string{tag}}, {Event: event.Stored, Tags: []string{tag}}} {
		a.event(1, d)
	}
}

func TestStats(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v3/example.com/tags/t/stats"
		const all = "?event=accepted&event=delivered&event=failed&event=opened&event=clicked,unsubscribed&event=complained&event=stored"
		a.outcomes("t")
		a.want("PUT", "/v3/example.com/tags/T", form, "description=d", 200, msg("Tag updated"))
		const item = `"accepted":{"incoming":1,"outgoing":2,"total":3},"delivered":{"smtp":1,"http":1,"optimized":0,"total":2},` +
			`"failed":{"temporary":{"espblock":1,"total":2},"permanent":{"suppress-bounce":1,"suppress-unsubscribe":1,"suppress-complaint":1,"bounce":1,"delayed-bounce":1,"webhook":1,"optimized":0,"total":9}},` +
			`"opened":{"total":2,"unique":1},"clicked":{"total":1,"unique":1},"unsubscribed":{"total":1},"complained":{"total":1},"stored":{"total":1}}`
		a.get(p+all+"&duration=1h", 200, `{"tag":"t","description":"d","start":"Thu, 26 Mar 2026 11:00:00 UTC","end":"Thu, 26 Mar 2026 12:00:00 UTC","resolution":"hour","stats":[`+
			`{"time":"Thu, 26 Mar 2026 11:00:00 UTC","accepted":{"incoming":0,"outgoing":0,"total":0},"delivered":{"smtp":0,"http":0,"optimized":0,"total":0},`+
			`"failed":{"temporary":{"espblock":0,"total":0},"permanent":{"suppress-bounce":0,"suppress-unsubscribe":0,"suppress-complaint":0,"bounce":0,"delayed-bounce":0,"webhook":0,"optimized":0,"total":0}},`+
			`"opened":{"total":0},"clicked":{"total":0},"unsubscribed":{"total":0},"complained":{"total":0},"stored":{"total":0}},{"time":"Thu, 26 Mar 2026 12:00:00 UTC",`+item+`]}`)

		// A week is eight days; only what was asked for is there.
		days := ""
		for i := range 8 {
			n := 0
			if i == 7 {
				n = 1
			}
			days += fmt.Sprintf(`,{"time":"%s","clicked":{"total":%d%s}}`, time.Date(2026, 3, 19+i, 0, 0, 0, 0, time.UTC).Format(time.RFC1123), n, strings.Repeat(`,"unique":1`, n))
		}
		week := `{"tag":"t","description":"d","start":"Thu, 19 Mar 2026 00:00:00 UTC","end":"Thu, 26 Mar 2026 00:00:00 UTC","resolution":"day","stats":[` + days[1:] + `]}`
		for _, q := range []string{"?", "?duration=7d&", "?start=Thu,+19+Mar+2026+08:00:00+GMT&", "?start=1773907200&end=1774528200&", "?resolution=day&duration=168h&"} {
			a.get(p+q+"event=clicked", 200, week)
			a.get("/v3/example.com/tag/stats"+q+"tag=T&event=clicked", 200, week)
		}
		a.get(p+"?event=complained&duration=2m", 200, `{"tag":"t","description":"d","start":"Thu, 01 Jan 2026 00:00:00 UTC","end":"Sun, 01 Mar 2026 00:00:00 UTC","resolution":"month","stats":[`+
			`{"time":"Thu, 01 Jan 2026 00:00:00 UTC","complained":{"total":0}},{"time":"Sun, 01 Feb 2026 00:00:00 UTC","complained":{"total":0}},{"time":"Sun, 01 Mar 2026 00:00:00 UTC","complained":{"total":1}}]}`)
		one := func(kind, key, rest string) string {
			return `{"tag":"t","description":"d","start":"Thu, 26 Mar 2026 00:00:00 UTC","end":"Thu, 26 Mar 2026 00:00:00 UTC","resolution":"day","type":{"type":"` + kind + `","key":"` + key + `"},"stats":[{"time":"Thu, 26 Mar 2026 00:00:00 UTC",` + rest + `}]}`
		}
		const today = "?start=Thu,+26+Mar+2026+00:00:00+GMT&"
		a.get(p+today+"event=opened&country=DE", 200, one("country", "de", `"opened":{"total":2,"unique":1}`))
		a.get(p+today+"event=opened&event=unsubscribed&device=unknown", 200, one("device", "unknown", `"opened":{"total":0},"unsubscribed":{"total":1}`))
		a.get(p+today+"event=clicked&provider=aol.com", 200, one("provider", "aol.com", `"clicked":{"total":1,"unique":1}`))

		for q, text := range map[string]string{
			"":                                     "Missing mandatory parameter: event",
			"?event=":                              "Missing mandatory parameter: event",
			"?event=sent":                          "'event' parameter is invalid: must be one of accepted, delivered, failed, opened, clicked, unsubscribed, complained, stored",
			"?event=opened&duration=1w":            "'duration' is invalid: it must be a number with h, d or m, such as 24h",
			"?event=opened&resolution=week":        "'resolution' parameter is invalid: must be one of hour, day, month",
			"?event=opened&start=junk":             "junk is not an RFC-2822 compliant date",
			"?event=opened&start=1774528200&end=1": "'end' must not be before 'start'",
			"?event=opened&start=0&end=1774528200": "'resolution' is too fine for so long a time: more than 1500 intervals",
			"?event=opened&resolution=hour&duration=63d":  "'resolution' is too fine for so long a time: more than 1500 intervals",
			"?event=opened&end=99999999999":               "Invalid value for parameter 'end'",
			"?event=opened&country=de&provider=gmail.com": "only one of 'provider', 'device' and 'country' can be given",
		} {
			a.get(p+q, 400, msg(text))
		}
		a.get("/v3/example.com/tags/none/stats?event=opened", 404, notFound)
		a.get("/v3/example.com/tag/stats?event=opened", 400, msg("Missing mandatory parameter: tag"))
	})
}

func TestAggregates(t *testing.T) {
	eachAPI(t, func(a *api) {
		a.outcomes("t")
		const p = "/v3/example.com/tags/t/stats/aggregates"
		const none = `{"clicked":0,"complained":0,"opened":0,"unique_clicked":0,"unique_opened":0,"unsubscribed":0}`
		a.get(p+"/devices", 200, `{"device":{"desktop":{"clicked":0,"complained":0,"opened":2,"unique_clicked":0,"unique_opened":1,"unsubscribed":0},"mobile":`+none+`,"tablet":`+none+
			`,"unknown":{"clicked":1,"complained":0,"opened":0,"unique_clicked":1,"unique_opened":0,"unsubscribed":1}},"tag":"t"}`)
		type table map[string]map[string]int
		read := func(path string) (out struct{ Provider, Country, Device table }) {
			if err := json.Unmarshal(a.send("admin", "GET", path, "", "").Body.Bytes(), &out); err != nil {
				a.t.Fatal(err)
			}
			return out
		}
		by := read(p + "/providers").Provider
		if g := by["gmail.com"]; g["accepted"] != 3 || g["delivered"] != 2 || g["complained"] != 1 || g["unique_opened"] != 1 || by["aol.com"]["clicked"] != 1 || len(by) != 26 {
			t.Errorf("providers: %v", by)
		}
		if _, ok := by["qq.com"]["delivered"]; !ok {
			t.Errorf("a provider without events: %v", by["qq.com"])
		}
		c := read(p + "/countries").Country
		if c["de"]["opened"] != 2 || c["unknown"]["unsubscribed"] != 1 || len(c) != 250 || c["ad"] == nil {
			t.Errorf("countries: %v", c)
		}
		const q = "/v3/example.com/tag/stats/aggregates?tag=T&type="
		if got := read(q + "country"); got.Country["de"]["opened"] != 2 || got.Device != nil {
			t.Errorf("%v", got)
		}
		if got := read(q + "device"); got.Device["desktop"]["opened"] != 2 || got.Provider != nil {
			t.Errorf("%v", got)
		}
		if got := read(q + "provider"); got.Provider["gmail.com"]["accepted"] != 3 {
			t.Errorf("%v", got)
		}
		a.get(q+"city", 400, msg("'type' parameter is invalid: must be one of country, device, provider"))
		a.get("/v3/example.com/tag/stats/aggregates?tag=t", 400, msg("Missing mandatory parameter: type"))
		a.get("/v3/example.com/tags/none/stats/aggregates/devices", 404, notFound)
		a.get("/v3/domains/example.com/tag/devices", 200, `{"items":["desktop","mobile","tablet","unknown"]}`)
		for path, want := range map[string]string{"providers": `{"items":["gmail.com","yahoo.com",`, "countries": `{"items":["ad","ae",`} {
			if got := a.send("admin", "GET", "/v3/domains/example.com/tag/"+path, "", "").Body.String(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s", path, got)
			}
		}
	})
}

func TestAccountTags(t *testing.T) {
	eachAPI(t, func(a *api) {
		const p = "/v1/analytics/tags"
		item := func(tag, description, first, last, metrics string) string {
			return `{"account_id":"acc","parent_account_id":"acc","tag":"` + tag + `","description":"` + description + `","first_seen":"Thu, 26 Mar 2026 ` + first + ` +0000","last_seen":"Thu, 26 Mar 2026 ` + last + ` +0000","metrics":` + metrics + `,"account_name":"Acme"}`
		}
		list := func(body, pagination string, items ...string) {
			a.t.Helper()
			a.want("POST", p, js, body, 200, `{"items":[`+strings.Join(items, ",")+`],"pagination":`+pagination+`}`)
		}
		const recent = `{"sort":"lastseen:desc","limit":10}`
		list(`{}`, recent)
		a.get(p+"/limits", 200, `{"limit":100000,"count":0,"limit_reached":false}`)
		a.event(1, accepted("one"))
		a.c.Advance(time.Minute)
		a.event(2, accepted("ONE", "two"))
		a.c.Advance(time.Minute)
		a.event(1, accepted("three"))
		one, two, three := item("ONE", "", "12:30:00", "12:31:00", `{}`), item("two", "", "12:31:00", "12:31:00", `{}`), item("three", "", "12:32:00", "12:32:00", `{}`)
		list(`{}`, recent, three, one, two)
		list(`{"include_subaccounts":true,"pagination":{"sort":"lastseen:desc","limit":10}}`, recent, three, one, two)
		// Mailgun: a form is ignored, whatever it says.
		a.want("POST", p, form, "include_subaccounts=true&pagination=%7Bsort%3A+%22lastseen%3Adesc%22%2C+limit%3A+10%7D", 200, `{"items":[`+three+`,`+one+`,`+two+`],"pagination":`+recent+`}`)
		list(`{"pagination":{"sort":"firstseen:asc","limit":2,"include_total":true}}`, `{"sort":"firstseen:asc","limit":2,"total":3}`, one, two)
		list(`{"pagination":{"sort":"tag","limit":1,"skip":1}}`, `{"sort":"tag","skip":1,"limit":1}`, three)
		list(`{"tag":"T","pagination":{"sort":"tag:desc","include_total":true}}`, `{"sort":"tag:desc","limit":10,"total":2}`, two, three)
		list(`{"pagination":{"limit":5000}}`, `{"sort":"lastseen:desc","limit":1000}`, three, one, two)
		a.get(p+"/limits", 200, `{"limit":100000,"count":3,"limit_reached":false}`)

		a.want("PUT", p, js, `{"tag":"One","description":"both"}`, 200, msg("Tag updated"))
		list(`{"tag":"one"}`, recent, item("ONE", "both", "12:30:00", "12:31:00", `{}`))
		a.get("/v3/example.org/tags/one", 200, `{"tag":"ONE","description":"both","first-seen":"2026-03-26T12:31:00.000Z","last-seen":"2026-03-26T12:31:00.000Z"}`)
		a.want("PUT", p, js, `{"tag":"none","description":"x"}`, 404, notFound)
		a.want("PUT", p, js, `{"description":"x"}`, 400, msg("Missing mandatory parameter: tag"))
		a.want("DELETE", p, form, `{"tag":"one"}`, 200, msg("Tag deleted")) // mailgun-ruby says form and sends JSON
		a.want("DELETE", p, js, `{"tag":"one"}`, 404, notFound)
		a.want("DELETE", p, js, `{}`, 400, msg("Missing mandatory parameter: tag"))
		a.get("/v3/example.org/tags/one", 404, notFound)
		a.get(p+"/limits", 200, `{"limit":100000,"count":2,"limit_reached":false}`)

		a.get(p, 404, `{"error":"not found"}`)
		a.want("POST", p, js, `{"pagination":{"sort":"size"}}`, 400, msg("'sort' parameter is invalid: must be lastseen, firstseen or tag, with :asc or :desc"))
		a.want("POST", p, js, `{"pagination":{"sort":"tag:down"}}`, 400, msg("'sort' parameter is invalid: must be lastseen, firstseen or tag, with :asc or :desc"))
		a.want("POST", p, js, `{"pagination":{"skip":-1}}`, 400, msg("'skip' and 'limit' must not be negative, 'skip' not over 1000000"))
	})
}

func TestAccountMetrics(t *testing.T) {
	eachAPI(t, func(a *api) {
		a.outcomes("t")
		a.event(2, accepted("T"))
		w := a.send("admin", "POST", "/v1/analytics/tags", js, `{"include_metrics":true,"pagination":{"limit":100}}`)
		var out struct {
			Items      []struct{ Metrics map[string]any }
			Pagination struct{ Limit int }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.Items) != 1 || out.Pagination.Limit != 20 {
			t.Fatalf("%s: %v", w.Body, err)
		}
		for name, want := range map[string]any{
			"accepted_count": 4., "accepted_outgoing_count": 3., "accepted_incoming_count": 1., "delivered_count": 2., "delivered_first_attempt_count": 1., "delivered_two_plus_attempts_count": 1.,
			"delayed_first_attempt_count": 2., "failed_count": 11., "permanent_failed_count": 9., "temporary_failed_count": 2., "esp_block_count": 1., "hard_bounces_count": 1., "soft_bounces_count": 2.,
			"permanent_failed_old_count": 1., "delayed_bounce_count": 1., "webhook_count": 1., "suppressed_bounces_count": 1., "bounced_count": 6., "processed_count": 9., "sent_count": 8.,
			"opened_count": 2., "unique_opened_count": 1., "clicked_count": 1., "unique_clicked_count": 1., "unsubscribed_count": 1., "complained_count": 1., "stored_count": 1.,
			"delivered_rate": "0.2500", "bounce_rate": "0.6667", "permanent_fail_rate": "1.0000", "opened_rate": "1.0000", "unique_clicked_rate": "0.5000", "delayed_rate": "0.5000",
		} {
			if got := out.Items[0].Metrics[name]; got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}

// Every operation: a domain that is not the caller's, a stranger, and each role.
// Mailgun: analysts and support read tags, only developers and administrators
// change them.
func TestPermission(t *testing.T) {
	c := clock.NewFake(begin)
	a := newAPI(t, c, coretest.SQLite(t, c))
	ops := a.s.Ops(owned, accounts)
	if len(ops) != 21 {
		t.Errorf("%d operations", len(ops))
	}
	for _, o := range ops {
		path := strings.NewReplacer("{domain}", "other.example", "{tag}", "t").Replace(o.Path)
		if path != o.Path {
			path += "?tag=t&event=opened&type=country"
			a.want(o.Method, path, "", "", 404, `{"message":"Domain not found"}`)
		}
		if w := a.send("nobody", o.Method, path, "", ""); w.Code != 401 {
			t.Errorf("%s %s for a stranger: %d", o.Method, path, w.Code)
		}
		for role, allowed := range map[string]bool{"admin": true, "developer": true, "basic": o.Access == op.Read, "support": o.Access == op.Read, "sending": false} {
			if w := a.send(role, o.Method, path, "", ""); (w.Code != 401) != allowed {
				t.Errorf("%s %s as %s: %d, want it allowed: %t", o.Method, path, role, w.Code, allowed)
			}
		}
		if (o.Access == op.Read) != (o.Method == "GET" || o.Method == "POST") {
			t.Errorf("%s %s: access %d", o.Method, path, o.Access)
		}
		if deprecated := strings.HasPrefix(o.Path, "/v3/"); o.Deprecated != deprecated {
			t.Errorf("%s %s: deprecated %t", o.Method, path, o.Deprecated)
		}
	}
}
