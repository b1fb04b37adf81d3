package feedback

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// resendBody is a webhook as Resend sends it.
func resendBody(kind, more string) string {
	return `{"type":"` + kind + `","created_at":"2026-03-26T12:00:00.123Z","data":{"created_at":"2026-03-26 11:59:59.894719+00","email_id":"56761188-7520-42d8-8898-ff6fc54ce618",` +
		`"from":"Acme <onboarding@example.org>","to":["user@example.com"],"subject":"Sending this example","tags":{"campaign-2024":"1","category":"confirm_email"}` + more + `}}`
}

func normalizeResend(t testing.TB, body string) []*incoming {
	t.Helper()
	var r resendEvent
	must(t, payload(json.RawMessage(body), &r))
	return r.normalize("msg_1", json.RawMessage(body), epoch)
}

func TestResendTypes(t *testing.T) {
	for _, c := range []struct {
		kind, more string
		want       Type
	}{
		{"email.sent", "", Sent},
		{"email.delivered", "", Delivered},
		{"email.delivery_delayed", "", Delayed},
		{"email.complained", "", Complained},
		{"email.bounced", "", Bounced},
		{"email.bounced", `,"bounce":{"message":"x","subType":"Suppressed","type":"Permanent"}`, Bounced},
		{"email.bounced", `,"bounce":{"message":"x","subType":"MailboxFull","type":"Transient"}`, Delayed},
		{"email.opened", "", Opened},
		{"email.clicked", `,"click":{"ipAddress":"122.115.53.11","link":"https://resend.com","timestamp":"2026-03-26T12:00:00.123Z","userAgent":"Mozilla/5.0"}`, Clicked},
		{"email.failed", `,"failed":{"reason":"reached_daily_quota"}`, Failed},
		{"email.suppressed", `,"suppressed":{"message":"x","type":"OnAccountSuppressionList"}`, Failed},
		{"email.scheduled", "", ""},
		{"email.received", "", ""},
		{"contact.created", "", ""},
		{"sent", "", ""},
		{"", "", ""},
	} {
		list := normalizeResend(t, resendBody(c.kind, c.more))
		switch {
		case c.want == "" && len(list) == 0:
		case len(list) != 1 || list[0].Type != c.want:
			t.Errorf("%s %s: %+v, want %q", c.kind, c.more, list, c.want)
		}
	}
}

func TestResendPayload(t *testing.T) {
	body := resendBody("email.delivered", "")
	e := normalizeResend(t, body)[0]
	e.complete(&Known{Metadata: json.RawMessage(`{"campaign_id":123,"category":"other"}`), Tags: []string{"x"}, Sender: "other@example.com", Subject: "other"})
	must(t, e.seal(5))
	want := `{"id":"evt_5","type":"delivered","timestamp":1774526400123,"messageId":"56761188-7520-42d8-8898-ff6fc54ce618","recipient":"user@example.com",` +
		`"sender":"onboarding@example.org","subject":"Sending this example","tags":["campaign-2024","category"],"metadata":{"campaign_id":123,"category":"confirm_email"},"raw":` + body + `}`
	if diff := cmp.Diff(want, string(e.doc)); diff != "" {
		t.Error(diff)
	}
}

// TestResendForms: tags and recipients come in several forms.
func TestResendForms(t *testing.T) {
	list := normalizeResend(t, `{"type":"email.sent","created_at":"2026-03-26 11:59:59.894719+00","data":{"to":["a@example.com","B <b@example.com>","a@example.com"],"tags":[{"name":"n","value":"v"},{"name":"one","value":"1"},{"value":"x"}]}}`)
	if len(list) != 2 || list[1].Recipient != "b@example.com" || list[0].sourceHash() == list[1].sourceHash() || list[0].Timestamp != 1774526399894 {
		t.Fatalf("%+v", list)
	}
	must(t, list[0].seal(1))
	if string(list[0].Metadata) != `{"n":"v"}` || !cmp.Equal(list[0].Tags, []string{"n", "one"}) {
		t.Errorf("%s %q", list[0].Metadata, list[0].Tags)
	}
	for _, c := range []struct{ data, recipient string }{
		{`{"to":"x@example.com"}`, "x@example.com"}, {`{"to":[]}`, ""}, {`{"to":{"a":1}}`, ""}, {`{}`, ""}, {`{"to":null,"tags":[1]}`, ""}, {`[]`, ""},
	} {
		list := normalizeResend(t, `{"type":"email.opened","data":`+c.data+`}`)
		if len(list) != 1 || list[0].Recipient != c.recipient || list[0].Timestamp != epoch.UnixMilli() {
			t.Errorf("%s: %+v", c.data, list)
		}
	}
}

func FuzzResend(f *testing.F) {
	f.Add([]byte(resendBody("email.bounced", `,"bounce":{"type":"Transient"}`)))
	f.Add([]byte(`{"type":"email.sent","data":{"to":"a@example.com","tags":[{"name":"a","value":"b"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r resendEvent
		if payload(data, &r) != nil {
			return
		}
		list := r.normalize("msg_1", data, epoch)
		if len(list) > maxTo {
			t.Fatalf("%d events", len(list))
		}
		checkSealed(t, list)
	})
}
