package compat

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

func TestWebhooks(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		calls := make(chan mtypes.WebhookPayload, 16)
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var p mtypes.WebhookPayload
			if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
				t.Errorf("a call that is not JSON: %v", err)
			}
			calls <- p
		}))
		defer receiver.Close()

		if err := s.mg.CreateWebhook(ctx, domain, "delivered", []string{receiver.URL}); err != nil {
			t.Fatal(err)
		}
		if urls, err := s.mg.GetWebhook(ctx, domain, "delivered"); err != nil || !slices.Equal(urls, []string{receiver.URL}) {
			t.Errorf("webhook = %q, %v", urls, err)
		}
		id := send(t, s, mailgun.NewMessage(domain, "ann@example.com", "s", "t", "bob@example.net"))
		select {
		case call := <-calls:
			checkCall(t, s, call, id)
		case <-time.After(patience):
			t.Fatal("the webhook was not called")
		}

		two := []string{receiver.URL + "/a", receiver.URL + "/b"}
		if err := s.mg.UpdateWebhook(ctx, domain, "delivered", two); err != nil {
			t.Error(err)
		}
		all, err := s.mg.ListWebhooks(ctx, domain)
		if err != nil || !slices.Equal(slices.Sorted(slices.Values(all["delivered"])), two) {
			t.Errorf("webhooks = %q, %v", all, err)
		}
		if err := s.mg.DeleteWebhook(ctx, domain, "delivered"); err != nil {
			t.Error(err)
		}
		if urls, err := s.mg.GetWebhook(ctx, domain, "delivered"); err == nil {
			t.Errorf("a deleted webhook has %q", urls)
		}
	})
}

// checkCall verifies a call as a receiver would.
func checkCall(t *testing.T, s *server, call mtypes.WebhookPayload, id string) {
	t.Helper()
	body, err := s.raw(t.Context(), http.MethodGet, "/v5/accounts/http_signing_key")
	if err != nil {
		t.Fatal(err)
	}
	var key struct {
		Key string `json:"http_signing_key"`
	}
	if err := json.Unmarshal(body, &key); err != nil || key.Key == "" {
		t.Fatalf("signing key: %s, %v", body, err)
	}
	s.mg.SetWebhookSigningKey(key.Key)
	if ok, err := s.mg.VerifyWebhookSignature(call.Signature); err != nil || !ok {
		t.Errorf("the signature does not verify: %v", err)
	}
	call.Signature.Token = "0" + call.Signature.Token[1:] + "0"
	if ok, err := s.mg.VerifyWebhookSignature(call.Signature); err == nil && ok {
		t.Error("a changed signature verifies")
	}
	e, err := events.ParseEvent(call.EventData)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := e.(*events.Delivered); !ok || d.Message.Headers.MessageID != id || d.Recipient != "bob@example.net" {
		t.Errorf("event = %+v", e)
	}
}
