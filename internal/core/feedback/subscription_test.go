package feedback

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
	"postroad/internal/base/svix"
	"postroad/internal/core/account"
	"postroad/internal/core/webhook"
)

// subscribeTo subscribes a URL to a list of types in JSON and returns what was made.
func (f *fixture) subscribeTo(url, events string) subscriptionView {
	f.t.Helper()
	if events == "" {
		events = "[]"
	}
	status, body := f.call("POST", "/api/webhooks/subscriptions", f.admin, `{"url":"`+url+`","events":`+events+`}`)
	var out subscribeOut
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || !out.Success {
		f.t.Fatalf("%d %s %v", status, body, err)
	}
	return out.Subscription
}

func (f *fixture) runWebhooks() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Webhooks.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
	}
}

// TestForward: a subscribed URL gets the events it asked for, once, in a form whose
// signature it can check.
func TestForward(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		all, some := newReceiver(t), newReceiver(t)
		sub := f.subscribeTo(all.URL+"/all", "")
		f.subscribeTo(some.URL, `["complained","bounced","bounced"]`)
		stop := f.runWebhooks()
		defer stop()
		data := mailgunData("1", "delivered")
		f.want(200, stored1)(f.mailgun(data))
		f.want(200, stored0)(f.mailgun(data))
		f.want(200, stored1)(f.resend("msg_1", resendBody("email.bounced", "")))
		secret, err := svix.ParseSecret(sub.Secret)
		must(t, err)
		seen := map[Type]bool{}
		for range 2 {
			got := all.wait(t)
			h := got.head
			must(t, secret.Verify(h.Get(svix.HeaderID), h.Get(svix.HeaderTimestamp), h.Get(svix.HeaderSignature), []byte(got.body), f.fake.Now()))
			seen[got.event.Type] = true
			if list, _ := f.list("type=" + string(got.event.Type)); len(list) != 1 || list[0].ID != got.event.ID || !strings.HasPrefix(got.event.ID, "evt_") {
				t.Errorf("%+v, forwarded %s", list, got.body)
			}
			if strings.Contains(got.body, `"signature"`) {
				t.Errorf("a signature in %s", got.body)
			}
		}
		if got := some.wait(t).event; got.Type != Bounced || len(seen) != 2 || !seen[Delivered] || !seen[Bounced] {
			t.Errorf("%+v, %v", got, seen)
		}
		calls, err := f.Webhooks.Calls(t.Context(), webhook.Query{AccountID: f.first})
		if err != nil || len(calls) != 3 {
			t.Errorf("%d calls, %v", len(calls), err)
		}
	})
}

func TestSubscriptions(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		const path = "/api/webhooks/subscriptions"
		f.want(200, `{"subscriptions":[]}`)(f.call("GET", path, f.admin, ""))
		sub := f.subscribeTo("http://127.0.0.1:9/a", `["opened"]`)
		view := `{"id":"` + sub.ID + `","url":"http://127.0.0.1:9/a","events":["opened"],"createdAt":"2026-03-26T12:00:00Z"}`
		f.want(200, `{"subscriptions":[`+view+`]}`)(f.call("GET", path, f.admin, ""))
		if again := f.subscribeTo("http://127.0.0.1:9/b", ""); again.Secret == sub.Secret || len(again.Events) != len(types()) {
			t.Errorf("%+v", again)
		}

		f.want(400, `{"error":"url is required"}`)(f.call("POST", path, f.admin, `{}`))
		f.want(400, `{"error":"ftp://x/ is not a valid url: invalid URL scheme"}`)(f.call("POST", path, f.admin, `{"url":"ftp://x/"}`))
		f.want(400, `{"error":"events is invalid","details":"the types are sent,delivered,opened,clicked,bounced,failed,complained,unsubscribed,delayed"}`)(
			f.call("POST", path, f.admin, `{"url":"http://127.0.0.1:9/","events":["sneezed"]}`))
		f.want(401, `{"error":"Forbidden"}`)(f.call("GET", path, "key-unknown", ""))
		f.want(401, "")(f.call("GET", path, "", ""))

		// The secret is sealed for its row, and there after a restart.
		must(t, f.DB.Read(t.Context(), func(tx *db.Tx) error {
			var sealed string
			err := tx.QueryRow("SELECT secret FROM feedback_subscription ORDER BY id LIMIT 1").Scan(&sealed)
			if err == nil && strings.Contains(sealed, strings.TrimPrefix(sub.Secret, "whsec_")) {
				t.Error("the secret is stored in clear")
			}
			return err
		}))
		again, err := New(t.Context(), f.Config)
		must(t, err)
		secret, err := svix.ParseSecret(sub.Secret)
		must(t, err)
		if list := *again.subscriptions.Load(); len(list) != 2 || !bytes.Equal(list[0].secret, secret) {
			t.Errorf("%+v", list)
		}

		f.want(404, `{"error":"Subscription not found"}`)(f.call("DELETE", path+"/sub_zz", f.admin, ""))
		f.want(404, "")(f.call("DELETE", path+"/"+sub.ID[4:], f.admin, ""))
		f.want(200, `{"success":true}`)(f.call("DELETE", path+"/"+sub.ID, f.admin, ""))
		f.want(404, "")(f.call("DELETE", path+"/"+sub.ID, f.admin, ""))
		for range maxSubscriptions - 1 {
			f.subscribeTo("http://127.0.0.1:9/c", "")
		}
		f.want(400, `{"error":"there are 20 subscriptions already"}`)(f.call("POST", path, f.admin, `{"url":"http://127.0.0.1:9/"}`))
	})
}

// TestRoles: events are for administrators of the first account.
func TestRoles(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		ctx := account.With(t.Context(), &account.Caller{AccountID: "other", Role: account.Admin})
		for _, o := range f.Ops() {
			if strings.HasPrefix(o.Path, "/api/webhooks/subscriptions") || o.Path == "/api/email/events" {
				if _, err := o.Call(ctx, newIn(o.Path, o.Method)); err == nil || err.Error() != "Forbidden" {
					t.Errorf("%s %s by another account: %v", o.Method, o.Path, err)
				}
				if o.Access == 0 || account.Allowed(account.Developer, o.Group, o.Access) {
					t.Errorf("%s %s by a developer", o.Method, o.Path)
				}
			}
		}
	})
}

// newIn is an empty request of an operation.
func newIn(path, method string) any {
	switch {
	case path == "/api/email/events":
		return &listIn{}
	case method == "POST":
		return &subscribeIn{}
	case method == "DELETE":
		return &unsubscribeIn{}
	}
	return &op.Empty{}
}
