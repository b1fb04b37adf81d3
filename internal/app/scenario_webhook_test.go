package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"postroad/internal/config"
	"postroad/internal/core/event"
)

const hookURL = "http://127.0.0.1:9/"

func TestScenarioWebhooks(t *testing.T) {
	s := newStage(t, config.Serve)
	const at, v4 = "/v3/domains/example.com/webhooks", "/v4/domains/example.com/webhooks"
	urls := func(list string) string { return `"webhook":{"urls":[` + list + `]}}` }
	const a, b, c, q = `"` + hookURL + `a"`, `"` + hookURL + `b"`, `"` + hookURL + `c"`, `"` + hookURL + `q"`
	const full = `{"message":"unable to add more than 3 urls for event type delivered"}`
	s.run(t, []probe{
		{name: "none", path: at, want: `{"webhooks":{}}`},
		{name: "create", path: at, parts: []string{"id", "delivered", "url", hookURL + "a"}, want: `{"message":"Webhook has been created",` + urls(a)},
		{name: "create again", path: at, form: []string{"id", "delivered", "url", hookURL + "a"}, status: 400, want: `{"message":"Webhook for event type 'delivered' with URL '` + hookURL + `a' already exists"}`},
		{name: "two more", path: at, form: []string{"id", "delivered", "url", hookURL + "b", "url", hookURL + "c"}, want: `{"message":"Webhook has been created",` + urls(a+","+b+","+c)},
		{name: "a fourth", path: at, form: []string{"id", "delivered", "url", hookURL + "d"}, status: 400, want: full},
		{name: "no event", path: at, form: []string{"url", hookURL}, status: 400, want: `{"message":"Missing mandatory parameter: id"}`},
		{name: "unknown event", path: at, form: []string{"id", "sneezed", "url", hookURL}, status: 400, want: `{"message":"event_type 'sneezed' is invalid"}`},
		{name: "no URL", path: at, form: []string{"id", "opened"}, status: 400, want: `{"message":"Missing mandatory parameter: url"}`},
		{name: "no web URL", path: at, form: []string{"id", "opened", "url", "ftp://x/"}, status: 400, want: `{"message":"ftp://x/ is not a valid url: invalid URL scheme"}`},
		{name: "two lines", path: at, form: []string{"id", "opened", "url", "http://x/\r\nHost: y"}, status: 400},
		{name: "list", path: at, want: `{"webhooks":{"delivered":{"urls":[` + a + "," + b + "," + c + `]}}}`},
		{name: "get", path: at + "/delivered", want: `{"webhook":{"urls":[` + a + "," + b + "," + c + `]}}`},
		{name: "get unknown", path: at + "/sneezed", status: 404, want: `{"message":"Webhook not found"}`},
		{name: "replace", method: "PUT", path: at + "/delivered", form: []string{"id", "delivered", "url", hookURL + "q"}, want: `{"message":"Webhook has been updated",` + urls(q)},
		{name: "replace by nothing", method: "PUT", path: at + "/delivered", form: []string{"id", "delivered"}, status: 400, want: `{"message":"Missing mandatory parameter: url"}`},
		{name: "analyst reads", as: "basic", path: at},
		{name: "analyst does not write", as: "basic", path: at, form: []string{"id", "opened", "url", hookURL}, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: at, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: at + "/delivered", want: `{"message":"Webhook has been deleted",` + urls(q)},
		{name: "delete again", method: "DELETE", path: at + "/delivered", status: 404, want: `{"message":"Webhook not found"}`},
		{name: "of nobody", path: "/v3/domains/elsewhere.example/webhooks", status: 404, want: noDomain},

		{name: "v4 create", path: v4, parts: []string{"url", hookURL + "q", "event_types", "clicked", "event_types", "opened"}, want: `{"webhooks":{"opened":{"urls":[` + q + `]},"clicked":{"urls":[` + q + `]}}}`},
		{name: "v4 create again", path: v4, form: []string{"url", hookURL + "q", "event_types", "clicked"}, status: 400, want: `{"message":"Webhook for event type 'clicked' with URL '` + hookURL + `q' already exists"}`},
		{name: "v4 replace", method: "PUT", path: v4, form: []string{"url", hookURL + "q", "event_types", "delivered"}, want: `{"webhooks":{"delivered":{"urls":[` + q + `]}}}`},
		{name: "v4 replace nothing", method: "PUT", path: v4, form: []string{"url", hookURL + "z", "event_types", "delivered"}, status: 404, want: `{"message":"Webhook not found"}`},
		{name: "v4 bad URL", path: v4, form: []string{"url", "invalid", "event_types", "delivered"}, status: 400, want: `{"message":"invalid parameters: invalid is not a valid url: invalid URL scheme"}`},
		{name: "v4 delete", method: "DELETE", path: v4 + "?url=" + hookURL + "q," + hookURL + "z", want: `{"webhooks":{}}`},
		{name: "v4 by support", as: "support", path: v4, form: []string{"url", hookURL, "event_types", "delivered"}, status: 401, want: forbidden},
		{name: "v4 GET", path: v4, status: 405},
	})
}

func TestScenarioAccountWebhooks(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v1/webhooks"
	id := decode[struct {
		ID string `json:"webhook_id"`
	}](t, s.check(t, probe{path: at, form: []string{"url", hookURL + "a", "event_types", "clicked", "description", "d"}, want: `{"webhook_id":"**"}`})).ID
	view := func(events string) string {
		return `{"webhook_id":"` + id + `","description":"d","url":"` + hookURL + `a","event_types":[` + events + `],"created_at":"20**-**-**T**:**:**Z"}`
	}
	gone := `{"message":"webhook_id not found: ` + id + `"}`
	s.run(t, []probe{
		{name: "get", path: at + "/" + id, want: view(`"clicked"`)},
		{name: "list", path: at, want: `{"webhooks":[` + view(`"clicked"`) + `]}`},
		{name: "list some", path: at + "?webhook_ids=0123,4567", want: `{"webhooks":[]}`},
		{name: "update", method: "PUT", path: at + "/" + id, form: []string{"event_types", "opened"}, status: 204},
		{name: "updated", path: at + "/" + id, want: view(`"opened"`)},
		{name: "unknown event", path: at, form: []string{"url", hookURL, "event_types", "invalid_type"}, status: 404, want: `{"message":"event_type 'invalid_type' is invalid"}`},
		{name: "same again", path: at, form: []string{"url", hookURL + "a", "event_types", "opened"}, status: 409, want: `{"message":"**already exists**"}`},
		{name: "analyst reads", as: "basic", path: at},
		{name: "analyst does not write", as: "basic", method: "DELETE", path: at + "/" + id, status: 401, want: forbidden},
		{name: "delete none", method: "DELETE", path: at + "?webhook_ids=,", status: 400, want: `{"message":"Invalid parameter: webhook_ids malformed webhook_ids parameter: empty values not allowed"}`},
		{name: "delete", method: "DELETE", path: at + "/" + id, status: 204},
		{name: "delete again", method: "DELETE", path: at + "/" + id, status: 404, want: gone},
		{name: "update it", method: "PUT", path: at + "/" + id, form: []string{"event_types", "opened"}, status: 404, want: gone},
		{name: "get it", path: at + "/" + id, status: 404, want: `{"message":"webhook not found"}`},
		{name: "delete all", method: "DELETE", path: at + "?all=true", status: 404, want: `{"message":"no webhooks found for account"}`},
	})
}

// A call carries the event and a signature the receiver can check.
func TestScenarioWebhookCall(t *testing.T) {
	s := newStage(t, config.Serve)
	c := s.Catch("example.com", "delivered")
	s.seed("jane@example.net", "v:id", "7")
	call := c.Await(event.Delivered, "jane@example.net")
	key := decode[struct {
		Key string `json:"http_signing_key"`
	}](t, string(s.Must("GET", "/v5/accounts/http_signing_key", nil))).Key
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(call.Signature.Timestamp + call.Signature.Token))
	if got := hex.EncodeToString(mac.Sum(nil)); got != call.Signature.Signature {
		t.Errorf("signature %s, want %s", call.Signature.Signature, got)
	}
	if len(call.Signature.Token) != 50 {
		t.Errorf("token of %d characters", len(call.Signature.Token))
	}
	vars, err := json.Marshal(call.Event.UserVariables)
	if err != nil || string(vars) != `{"id":"7"}` {
		t.Errorf("user-variables %s %v", vars, err)
	}
}
