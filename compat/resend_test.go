package compat

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/resend/resend-go/v3"
)

// TestResendGo drives the API for Resend's clients with resend-go.
func TestResendGo(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		c := resend.NewClient(s.key)
		base, err := url.Parse(s.base + "/")
		if err != nil {
			t.Fatal(err)
		}
		c.BaseURL = base
		calls := make(chan resend.VerifyWebhookOptions, 10)
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			calls <- resend.VerifyWebhookOptions{Payload: string(b), Headers: resend.WebhookHeaders{Id: r.Header.Get("svix-id"),
				Timestamp: r.Header.Get("svix-timestamp"), Signature: r.Header.Get("svix-signature")}}
		}))
		defer receiver.Close()
		hook, err := c.Webhooks.Create(&resend.CreateWebhookRequest{Endpoint: receiver.URL, Events: []string{"email.delivered"}})
		if err != nil {
			t.Fatal(err)
		}
		sent, err := c.Emails.Send(&resend.SendEmailRequest{From: "Ann <ann@" + domain + ">", To: []string{"go-r-bob@example.net"}, Subject: "Hi", Html: "<p>x</p>",
			ReplyTo: "r@" + domain, Tags: []resend.Tag{{Name: "a", Value: "b"}}, Attachments: []*resend.Attachment{{Filename: "a.bin", Content: []byte{0, 7, 255}}}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case call := <-calls:
			call.WebhookSecret = hook.SigningSecret
			if err := c.Webhooks.Verify(&call); err != nil || !strings.Contains(call.Payload, sent.Id) {
				t.Errorf("%v: %s", err, call.Payload)
			}
		case <-time.After(patience):
			t.Fatal("the webhook was not called")
		}
		if _, err := c.Webhooks.Remove(hook.Id); err != nil {
			t.Error(err)
		}
		if s.out != nil {
			if m := s.out.wait(t, "go-r-bob@example.net"); !strings.Contains(string(m.data), "AAf/") {
				t.Errorf("the attachment is not what was sent:\n%s", m.data)
			}
		}
		email, err := c.Emails.Get(sent.Id)
		if err != nil || email.LastEvent != "delivered" || email.Html != "<p>x</p>" || email.ReplyTo[0] != "r@"+domain {
			t.Errorf("%+v %v", email, err)
		}
		resendBatch(t, c)
	})
}

func resendBatch(t *testing.T, c *resend.Client) {
	t.Helper()
	one := &resend.SendEmailRequest{From: "ann@" + domain, To: []string{"go-r-b@example.net"}, Subject: "Hi", Text: "x", ScheduledAt: "in 1 hour"}
	two, err := c.Batch.SendWithOptions(t.Context(), []*resend.SendEmailRequest{one, {From: "x"}},
		&resend.BatchSendEmailOptions{IdempotencyKey: "go", BatchValidation: resend.BatchValidationPermissive})
	if err != nil || len(two.Data) != 1 || len(two.Errors) != 1 || two.Errors[0].Index != 1 {
		t.Fatalf("%+v %v", two, err)
	}
	id := two.Data[0].Id
	if _, err := c.Emails.Update(&resend.UpdateEmailRequest{Id: id, ScheduledAt: time.Now().Add(2 * time.Hour).Format(time.RFC3339)}); err != nil {
		t.Error(err)
	}
	if _, err := c.Emails.Cancel(id); err != nil {
		t.Error(err)
	}
	list, err := c.Emails.List()
	if err != nil || len(list.Data) != 2 || list.Data[0].Id != id || list.Data[0].LastEvent != "canceled" {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := c.Emails.Get("7"); err == nil || !strings.Contains(err.Error(), "valid UUID") {
		t.Error(err)
	}
}
