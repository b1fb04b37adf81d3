package app_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/base/svix"
	"postroad/internal/config"
	"postroad/internal/core/webhook"
)

// TestScenarioProviderWebhooks: webhooks of providers come in without a key of ours
// but with their signature; what they said is for administrators.
func TestScenarioProviderWebhooks(t *testing.T) {
	secret := svix.NewSecret()
	s := newStage(t, config.Serve, "--mailgun-webhook-signing-key=key-before,key-of-mailgun", "--resend-webhook-secret="+secret.String())
	const mailgun, resend, events, subs = "/api/webhooks/mailgun", "/api/webhooks/resend", "/api/email/events", "/api/webhooks/subscriptions"
	sig, err := json.Marshal(webhook.NewSignature("key-of-mailgun", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	data := `{"id":"e1","event":"failed","severity":"permanent","reason":"bounce","timestamp":1774526400.5,"recipient":"user@example.com","tags":["welcome"],` +
		`"message":{"headers":{"message-id":"msg-1@example.com","from":"noreply@example.com","subject":"Hi"}},"user-variables":{"metadata":"{\"campaign_id\":123,\"participant_id\":456}"}}`
	body := `{"type":"email.opened","created_at":"2026-03-26T12:00:00Z","data":{"email_id":"re-1","to":["user@example.com"]}}`
	now := time.Now()
	svixHead := func(id, signed string) [][2]string {
		return [][2]string{{"svix-id", id}, {"svix-timestamp", strconv.FormatInt(now.Unix(), 10)}, {"svix-signature", secret.Sign(id, now, []byte(signed))}}
	}
	const refused = `{"error":"Invalid webhook signature"}`
	event := `{"id":"evt_**","type":"bounced","timestamp":1774526400500,"messageId":"msg-1@example.com","recipient":"user@example.com","sender":"noreply@example.com",` +
		`"subject":"Hi","tags":["welcome"],"metadata":{"campaign_id":123,"participant_id":456},"raw":{"id":"e1",**}}`
	s.run(t, []probe{
		{name: "mailgun", as: "nobody", path: mailgun, json: `{"signature":` + string(sig) + `,"event-data":` + data + `}`, want: `{"success":true,"stored":1}`},
		{name: "mailgun again", as: "nobody", path: mailgun, json: `{"signature":` + string(sig) + `,"event-data":` + data + `}`, status: 401, want: refused},
		{name: "mailgun unsigned", as: "nobody", path: mailgun, json: `{"event-data":` + data + `}`, status: 401, want: refused},
		{name: "resend", as: "nobody", path: resend, json: body, head: svixHead("msg_1", body), want: `{"success":true,"stored":1}`},
		{name: "resend tampered", as: "nobody", path: resend, json: body, head: svixHead("msg_2", body+"x"), status: 401, want: refused},
		{name: "resend unsigned", as: "nobody", path: resend, json: body, status: 401, want: refused},
		{name: "no GET", as: "nobody", path: mailgun, status: 405},

		{name: "events", path: events + "?campaign_id=123", want: `{"events":[` + event + `]}`},
		{name: "events of none", path: events + "?campaign_id=124", want: `{"events":[]}`},
		{name: "bad type", path: events + "?type=x", status: 400, want: `{"error":"'type' parameter is invalid: must be one of **"}`},
		{name: "events by a developer", as: "developer", path: events, status: 401, want: `{"error":"Forbidden"**}`},
		{name: "events by nobody", as: "wrong", path: events, status: 401, want: `{"error":"Forbidden"}`},

		{name: "subscribe", path: subs, json: `{"url":"` + hookURL + `","events":["bounced"]}`, want: `{"success":true,"subscription":{"id":"sub_**","url":"` + hookURL + `","events":["bounced"],"createdAt":"**Z","secret":"whsec_**"}}`},
		{name: "subscriptions", path: subs, want: `{"subscriptions":[{"id":"sub_**"createdAt":"**Z"}]}`, not: "whsec_"},
		{name: "subscribe by support", as: "support", path: subs, json: `{"url":"` + hookURL + `"}`, status: 401, want: `{"error":"Forbidden"**}`},
		{name: "no URL", path: subs, json: `{}`, status: 400, want: `{"error":"url is required"}`},
		{name: "unsubscribe", method: "DELETE", path: subs + "/sub_1", status: 404, want: `{"error":"Subscription not found"}`},
		{name: "unsubscribe by analyst", as: "basic", method: "DELETE", path: subs + "/sub_1", status: 401},
	})
}

// TestScenarioOwnWebhooks: without a key of Mailgun's, this program is Mailgun: what
// happens to its mail comes in by its own webhooks, with the metadata it was sent with.
func TestScenarioOwnWebhooks(t *testing.T) {
	s := newStage(t, config.Serve)
	for _, name := range []string{"accepted", "delivered"} {
		s.Must("POST", "/v3/domains/example.com/webhooks", []string{"id", name, "url", s.URL + "/api/webhooks/mailgun"})
	}
	s.seed("jane@example.net", "v:metadata", `{"campaign_id":7,"participant_id":8}`, "o:tag", "welcome")
	s.Until("events of our own", func() bool {
		_, body := s.ask(t, probe{path: "/api/email/events?campaign_id=7&participant_id=8&recipient=jane@example.net"})
		return strings.Contains(body, `"type":"sent"`) && strings.Contains(body, `"type":"delivered"`) && strings.Contains(body, `"tags":["welcome"]`)
	})
}

// TestBadResendSecret: a secret that cannot be one is said at the start, not at the
// first webhook.
func TestBadResendSecret(t *testing.T) {
	cfg, _, _, err := config.Parse(config.Serve, []string{"--data=" + t.TempDir(), "--http=127.0.0.1:0", "--smtp=off", "--resend-webhook-secret=whsec_%%"}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.New(t.Context(), cfg, app.Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--resend-webhook-secret") || strings.Contains(err.Error(), "%%") {
		t.Error(err)
	}
}
