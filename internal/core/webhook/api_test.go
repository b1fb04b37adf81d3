package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

// Mailgun: the vector its PHP client tests with.
func TestSignatureVector(t *testing.T) {
	got := Sign("key-3ax6xnjp29jd6fds4gc373sgvjxteol0", "1403645220", "5egbgr1vjgqxtrnp65xfznchgdccwh5d6i09vijqi3whgowmn6")
	if want := "9cfc5c41582e51246e73c88d34db3af0a3a2692a76fbab81492842f000256d33"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

const v3 = "/v3/domains/{domain}/webhooks"

func TestDomainOps(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		ok := func(method, path string, in any, want string) {
			f.t.Helper()
			out, err := call(f, method, path, in)
			if err != nil {
				f.t.Fatalf("%s %s: %v", method, path, err)
			}
			if got := asJSON(f.t, out); got != want {
				f.t.Errorf("%s %s: %s\nwant %s", method, path, got, want)
			}
		}
		bad := func(method, path string, in any, kind errs.Kind, text string) {
			f.t.Helper()
			_, err := call(f, method, path, in)
			wantError(f.t, err, kind, text)
		}
		const d, a, b = "example.com", "https://foo.com", "https://bar.com/x?y=1"
		ok("GET", v3, &domainIn{d}, `{"webhooks":{}}`)
		ok("POST", v3, &createIn{d, "clicked", []string{a, b}}, `{"message":"Webhook has been created","webhook":{"urls":["https://foo.com","https://bar.com/x?y=1"]}}`)
		ok("GET", v3, &domainIn{d}, `{"webhooks":{"clicked":{"urls":["https://foo.com","https://bar.com/x?y=1"]}}}`)
		ok("GET", v3+"/{name}", &nameIn{d, "clicked"}, `{"webhook":{"urls":["https://foo.com","https://bar.com/x?y=1"]}}`)
		ok("GET", v3+"/{name}", &nameIn{d, "opened"}, `{"webhook":{"urls":[]}}`)
		ok("PUT", v3+"/{name}", &updateIn{d, "clicked", []string{b}}, `{"message":"Webhook has been updated","webhook":{"urls":["https://bar.com/x?y=1"]}}`)
		ok("DELETE", v3+"/{name}", &nameIn{d, "clicked"}, `{"message":"Webhook has been deleted","webhook":{"urls":["https://bar.com/x?y=1"]}}`)
		ok("GET", v3, &domainIn{d}, `{"webhooks":{}}`)

		bad("GET", v3, &domainIn{"other.com"}, errs.NotFound, "Domain not found")
		bad("DELETE", v3+"/{name}", &nameIn{d, "clicked"}, errs.NotFound, "Webhook not found")
		bad("GET", v3+"/{name}", &nameIn{d, "bounced"}, errs.NotFound, "Webhook not found")
		bad("POST", v3, &createIn{d, "bounced", []string{a}}, errs.Invalid, "event_type 'bounced' is invalid")
		bad("POST", v3, &createIn{d, "", []string{a}}, errs.Invalid, "Missing mandatory parameter: id")
		bad("POST", v3, &createIn{d, "opened", nil}, errs.Invalid, "Missing mandatory parameter: url")
		bad("POST", v3, &createIn{d, "opened", []string{a, a}}, errs.Invalid, "Webhook for event type 'opened' with URL 'https://foo.com' already exists")
		bad("POST", v3, &createIn{d, "opened", []string{a + "/1", a + "/2", a + "/3", a + "/4"}}, errs.Invalid, "unable to add more than 3 urls for event type opened")
		ok("GET", v3, &domainIn{d}, `{"webhooks":{}}`) // refused as a whole
		for _, u := range []string{"ftp://foo.com", "foo.com", "https://u:p@foo.com", "http://2130706433/", "http://foo.com/\r\nX: y",
			"https://foo.com/" + strings.Repeat("x", maxURL), "https://foo.com/\xff"} {
			bad("POST", v3, &createIn{d, "opened", []string{u}}, errs.Invalid, " is not a valid url: ")
		}

		const v4 = "/v4/domains/{domain}/webhooks"
		ok("POST", v4, &typesIn{d, a, []string{"delivered", "accepted"}}, `{"webhooks":{"accepted":{"urls":["https://foo.com"]},"delivered":{"urls":["https://foo.com"]}}}`)
		bad("POST", v4, &typesIn{d, a, []string{"opened", "delivered"}}, errs.Invalid, "Webhook for event type 'delivered' with URL 'https://foo.com' already exists")
		bad("POST", v4, &typesIn{d, "gopher://x.com", []string{"opened"}}, errs.Invalid, "invalid parameters: gopher://x.com is not a valid url: invalid URL scheme")
		bad("POST", v4, &typesIn{d, a, nil}, errs.Invalid, "Missing mandatory parameter: event_types")
		bad("POST", v4, &typesIn{d, "", []string{"opened"}}, errs.Invalid, "Missing mandatory parameter: url")
		ok("PUT", v4, &typesIn{d, a, []string{"opened"}}, `{"webhooks":{"opened":{"urls":["https://foo.com"]}}}`)
		bad("PUT", v4, &typesIn{d, b, []string{"opened"}}, errs.NotFound, "Webhook not found")
		ok("POST", v4, &typesIn{d, b, []string{"opened", "temporary_fail"}}, `{"webhooks":{"opened":{"urls":["https://foo.com","https://bar.com/x?y=1"]},"temporary_fail":{"urls":["https://bar.com/x?y=1"]}}}`)
		ok("DELETE", v4, &deleteTypesIn{d, []string{a + "," + b}}, `{"webhooks":{}}`)
		bad("DELETE", v4, &deleteTypesIn{d, nil}, errs.Invalid, "Missing mandatory parameter: url")
	})
}

func TestAccountOps(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		const path, one = "/v1/webhooks", "/v1/webhooks/{webhook_id}"
		create := func(in *createAccountIn) string {
			f.t.Helper()
			out, err := call(f, "POST", path, in)
			must(f.t, err)
			id := out.(*createdOut).ID
			if len(id) != 24 {
				f.t.Errorf("id %q", id)
			}
			return id
		}
		bad := func(method, path string, in any, kind errs.Kind, text string) {
			f.t.Helper()
			_, err := call(f, method, path, in)
			wantError(f.t, err, kind, text)
		}
		const u = "https://example.com"
		id := create(&createAccountIn{"first", u, []string{"delivered", "opened"}})
		want := fmt.Sprintf(`{"webhook_id":"%s","description":"first","url":"https://example.com","event_types":["delivered","opened"],"created_at":"2026-03-26T12:00:00Z"}`, id)
		out, err := call(f, "GET", one, &idIn{id})
		must(f.t, err)
		if got := asJSON(f.t, out); got != want {
			f.t.Errorf("get: %s\nwant %s", got, want)
		}
		second := create(&createAccountIn{"", u + "/2", []string{"delivered"}})
		out, err = call(f, "GET", path, &listAccountIn{IDs: []string{id, "nope"}})
		must(f.t, err)
		if got := asJSON(f.t, out); got != `{"webhooks":[`+want+`]}` {
			f.t.Errorf("list: %s", got)
		}
		out, err = call(f, "GET", path, &listAccountIn{})
		must(f.t, err)
		if got := out.(*accountHooks).Webhooks; len(got) != 2 || got[1].ID != second {
			f.t.Errorf("list: %+v", got)
		}

		bad("POST", path, &createAccountIn{"", u, []string{"invalid_type"}}, errs.NotFound, "event_type 'invalid_type' is invalid")
		bad("POST", path, &createAccountIn{"", u, []string{"opened"}}, errs.Conflict, "url https://example.com already exists for event type opened")
		bad("POST", path, &createAccountIn{"", u + "/x", []string{"opened", "opened"}}, errs.Invalid, "given twice")
		create(&createAccountIn{"", u + "/3", []string{"delivered"}})
		bad("POST", path, &createAccountIn{"", u + "/4", []string{"delivered"}}, errs.Conflict, "unable to add more than 3 urls for event type delivered")
		bad("PUT", one, &updateAccountIn{ID: second, URL: ptr(u)}, errs.Conflict, "url https://example.com already exists for event type delivered")
		bad("PUT", one, &updateAccountIn{ID: "507f1f77bcf86cd799439011", URL: ptr(u)}, errs.NotFound, "webhook_id not found: 507f1f77bcf86cd799439011")
		bad("GET", one, &idIn{"507f1f77bcf86cd799439011"}, errs.NotFound, "webhook not found")
		bad("DELETE", one, &idIn{"507f1f77bcf86cd799439011"}, errs.NotFound, "webhook_id not found: 507f1f77bcf86cd799439011")
		bad("DELETE", path, &deleteAccountsIn{IDs: ptr("a,,b")}, errs.Invalid, "Invalid parameter: webhook_ids malformed webhook_ids parameter: empty values not allowed")

		out, err = call(f, "PUT", one, &updateAccountIn{ID: second, Types: []string{"clicked"}, Description: ptr("now clicks")})
		must(f.t, err)
		if asJSON(f.t, out) != "204" {
			f.t.Errorf("put: %s", asJSON(f.t, out))
		}
		out, err = call(f, "GET", one, &idIn{second})
		must(f.t, err)
		if h := out.(*accountHook); h.Description != "now clicks" || h.URL != u+"/2" || !slices.Equal(h.Types, []string{"clicked"}) {
			f.t.Errorf("after put: %+v", h)
		}
		_, err = call(f, "DELETE", path, &deleteAccountsIn{IDs: ptr(id + "," + second)})
		must(f.t, err)
		_, err = call(f, "DELETE", path, &deleteAccountsIn{All: true})
		must(f.t, err)
		bad("DELETE", path, &deleteAccountsIn{All: true}, errs.NotFound, "no webhooks found for account")
		// Another account sees and deletes nothing of this one (S10).
		id = create(&createAccountIn{"", u, []string{"opened"}})
		f.ctx = account.With(f.ctx, &account.Caller{AccountID: "other"})
		bad("GET", one, &idIn{id}, errs.NotFound, "webhook not found")
		bad("DELETE", one, &idIn{id}, errs.NotFound, "webhook_id not found")
	})
}

func ptr(s string) *string { return &s }

func TestPrivateAddressRefused(t *testing.T) {
	c := clock.NewFake(epoch)
	f := newFixture(t, coretest.SQLite(t, c), c, setup{public: true})
	for _, u := range []string{"http://127.0.0.1/", "http://10.0.0.1:8080/x", "http://[::1]/", "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/"} {
		_, err := call(f, "POST", v3, &createIn{"example.com", "opened", []string{u}})
		wantError(t, err, errs.Invalid, "is not allowed")
	}
}

// Account and domain URLs are called once per event.
func TestDeduplicated(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		both, own := newReceiver(f.t, status(200)), newReceiver(f.t, status(200))
		f.register(both.URL, "delivered")
		f.register(own.URL, "delivered")
		_, err := call(f, "POST", "/v1/webhooks", &createAccountIn{"", both.URL, []string{"delivered", "opened"}})
		must(f.t, err)
		f.happen()
		f.happened(event.Doc{Event: event.Opened})
		f.happened(event.Doc{Event: event.Rejected})                                                                // no webhook name
		f.happened(event.Doc{Event: event.Delivered, Envelope: &event.Envelope{Transport: "http"}})                 // by an HTTP route
		must(f.t, f.events.Append(f.ctx, &event.Event{AccountID: "other", Doc: event.Doc{Event: event.Delivered}})) // not ours
		if n := round(f.t, f.begin(f.Service)); n != 3 || len(both.got) != 2 || len(own.got) != 1 {
			f.t.Errorf("%d requests, %d to the shared URL, %d to the domain's", n, len(both.got), len(own.got))
		}
	})
}

func TestTestCall(t *testing.T) {
	c := clock.NewFake(epoch)
	f := newFixture(t, coretest.SQLite(t, c), c, setup{})
	to := newReceiver(t, status(http.StatusTeapot))
	for _, name := range EventTypes() {
		out, err := call(f, "PUT", v3+"/{name}/test", &testIn{"example.com", name, to.URL})
		must(t, err)
		if got := out.(*testOut); got.Code != 418 || got.Message != "code I'm a teapot" {
			t.Errorf("%s: %+v", name, got)
		}
		var doc event.Doc
		must(t, json.Unmarshal(wait(t, to.got, "request").doc.Data, &doc))
		if doc.WebhookName() != name {
			t.Errorf("sample of %s is of %s", name, doc.WebhookName())
		}
	}
	to.Close()
	_, err := call(f, "PUT", v3+"/{name}/test", &testIn{"example.com", "opened", to.URL})
	wantError(t, err, errs.Invalid, "could not be called")
	if len(f.calls()) != 0 {
		t.Error("a test is on record as a call")
	}
}

func TestCallOps(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		to := newReceiver(f.t, status(406))
		f.register(to.URL, "delivered")
		f.happen()
		f.happen()
		r := f.begin(f.Service)
		round(f.t, r)
		const path = "/v1/postroad/webhook-calls"
		out, err := call(f, "GET", path, &listCallsIn{Limit: 1, State: "rejected", MessageID: 5})
		must(f.t, err)
		page := out.(*callsOut)
		if len(page.Items) != 1 || page.Next != page.Items[0].ID || page.Items[0].Attempts[0].Status != 406 || page.Items[0].NextAt != nil {
			f.t.Fatalf("page %+v", page)
		}
		if !json.Valid([]byte(asJSON(f.t, page))) {
			f.t.Error("not JSON")
		}
		id := page.Items[0].ID
		out, err = call(f, "POST", path+"/{id}/replay", &callIn{id})
		must(f.t, err)
		if asJSON(f.t, out) != `{"message":"Webhook call will be made again now"}` {
			f.t.Errorf("replay: %s", asJSON(f.t, out))
		}
		round(f.t, r)
		out, err = call(f, "GET", path+"/{id}", &callIn{id})
		must(f.t, err)
		if got := out.(*callView); len(got.Attempts) != 2 {
			f.t.Errorf("call %+v", got)
		}
		_, err = call(f, "GET", path+"/{id}", &callIn{"x"})
		wantError(f.t, err, errs.NotFound, "not found")
		f.ctx = account.With(f.ctx, &account.Caller{AccountID: "other"})
		_, err = call(f, "GET", path+"/{id}", &callIn{id})
		wantError(f.t, err, errs.NotFound, "not found")
	})
}
