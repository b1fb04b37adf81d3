package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postroad/internal/base/netx"
	"postroad/internal/base/op"
)

func (w *world) post(path, body string) (any, error) {
	w.t.Helper()
	if path == "send" {
		return w.call("POST /api/email/send", &sendIn{}, body)
	}
	return w.call("POST /api/email/bulk", &bulkIn{Idempotency: "client"}, body)
}

func TestSendRefuses(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		const good = `"driver":"mailgun","api_key":"k","from":"a@example.com","subject":"S"`
		for _, c := range []struct{ path, body, want string }{
			{"send", `{}`, `{"error":"driver, api_key, from, to, subject, and text or html are required"}`},
			{"send", `{` + good + `,"to":"b@example.net"}`, `are required`},
			{"send", `{` + good + `,"to":[],"text":"x"}`, `are required`},
			{"send", `{` + good + `,"to":["b@example.net","invalid-email"],"cc":"x@","bcc":["y"],"replyTo":"z","text":"x"}`,
				`{"error":"Invalid email addresses","invalidEmails":["z","invalid-email","x@","y"]}`},
			{"send", `{` + good + `,"to":{},"text":"x"}`, `must be an array`},
			{"send", `{` + good + `,"to":[1],"text":"x"}`, `wrong type`},
			{"send", `{` + good + `,"to":["b@example.net"` + strings.Repeat(`,"b@example.net"`, 1000) + `],"text":"x"}`, `max is 1000`},
			{"send", `{` + good + `,"to":"b@example.net","text":"x","tags":"t"}`, `tags must be an array`},
			{"send", `{"driver":"postmark","api_key":"k","from":"a@example.com","subject":"S","to":"b@example.net","text":"x"}`, `"driver must be mailgun or resend"`},
			{"send", `{"driver":"mailgun","api_key":"k\r\nX: y","from":"a@example.com","subject":"S","to":"b@example.net","text":"x"}`, `"api_key is invalid"`},
			{"bulk", `{` + good + `,"text":"x"}`, `recipients or recipient_ids`},
			{"bulk", `{` + good + `,"text":"x","recipients":[]}`, `recipients or recipient_ids`},
			{"bulk", `{` + good + `,"text":"x","recipients":[{"email":"b"},{"email":"c@example.net"},{"email":""}]}`, `"invalidEmails":["b",""]`},
			{"bulk", `{` + good + `,"text":"x","recipients":[` + strings.Repeat(`{},`, maxRecipients) + `{}]}`, `too many recipients, max is 50000`},
			{"bulk", `{` + good + `,"text":"x","recipient_ids":[1.5]}`, `wrong type`},
			{"bulk", `{"driver":"resend","api_key":"k","from":"a@example.com","subject":"S","text":"x","recipient_ids":[1]}`, `need an API key of this server`},
		} {
			_, err := w.post(c.path, c.body)
			refused(t, err, c.want)
		}
		if len(w.mg.keys)+len(w.rs.keys) != 0 {
			t.Error("a refused request reached a provider")
		}
	})
}

func TestSend(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		out, err := w.post("send", `{"driver":"mailgun","api_key":"k","from":"a@example.com","from_name":"Sender, Name\r\nX: y","to":"b@example.net","cc":"c@example.net",
			"subject":"Hi {{name}}","html":"<b>{{name}}</b>","text":"{{name}}","bcc":null,"replyTo":"r@example.com","tags":["t"],"variables":{"name":"A & B"},"metadata":{"n":1}}`)
		check(t, err)
		o := out.(*sendOut)
		if !o.Success || o.DriverName != mailgun || o.Recipients != 1 || strings.ContainsAny(o.ExternalID, "<>") || o.Message != "Email sent successfully" {
			t.Errorf("%+v", o)
		}
		f := w.mg.forms[0]
		for name, want := range map[string]string{"subject": "Hi A & B", "html": "<b>A &amp; B</b>", "text": "A & B", "h:Reply-To": "r@example.com", "v:metadata": `{"n":1}`,
			"from": `"Sender, NameX: y" <a@example.com>`} {
			if got := f.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for _, to := range []string{"b@example.net", "C@Example.net"} {
			k, ok, err := w.Lookup(t.Context(), mailgun, o.ExternalID, to)
			if err != nil || !ok || string(k.Metadata) != `{"n":1}` || k.Subject != "Hi A & B" || len(k.Tags) != 1 {
				t.Errorf("%s: %+v %v %v", to, k, ok, err)
			}
		}
		if _, ok, err := w.Lookup(t.Context(), resend, o.ExternalID, "b@example.net"); ok || err != nil {
			t.Error("known by another provider", err)
		}
	})
}

// TestUnsent: what the provider says decides the status.
func TestUnsent(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		for _, c := range []struct{ status, want int }{{401, 401}, {403, 401}, {400, 400}, {422, 400}, {404, 400}, {429, 500}, {500, 500}} {
			for range 4 {
				w.mg.answers = append(w.mg.answers, netx.Response{Status: c.status, Body: []byte(`{"message":"No."}`)})
			}
			_, err := w.post("send", `{"driver":"mailgun","api_key":"SECRET","from":"a@example.com","to":"b@example.net","subject":"S","text":"x"}`)
			refused(t, err, fmt.Sprintf(`{"error":"Failed to send email","details":"the provider answered %d: \"No.\""}`, c.status))
			kinds := []int{500, 400, 401}
			var r *refusal
			if !errors.As(err, &r) || kinds[r.public.Kind] != c.want || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%d: %v", c.status, err)
			}
			w.mg.answers = nil
		}
	})
}

func TestBulk(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		out, err := w.post("bulk", `{"driver":"mailgun","api_key":"k","from":"a@example.com","subject":"Hi {{name}}","text":"x","metadata":{"campaign_id":456,"x":1},
			"recipients":[{"email":"b@example.net","variables":{"name":"B"},"metadata":{"participant_id":101,"x":2}},{"email":"c@example.net"},{"email":"B <B@example.net>"}]}`)
		check(t, err)
		o := out.(*bulkOut)
		if !o.Success || o.DriverName != mailgun || o.TotalEmails != 2 || o.Message != "Bulk email sent successfully" || len(o.Failed) != 1 || o.Failed[0].Email != "B@example.net" {
			t.Errorf("%+v", o)
		}
		for to, want := range map[string]string{"b@example.net": `{"campaign_id":456,"participant_id":101,"x":2}`, "c@example.net": `{"campaign_id":456,"x":1}`} {
			k, ok, err := w.Lookup(t.Context(), mailgun, "client-0@platform", to)
			if err != nil || !ok || string(k.Metadata) != want {
				t.Errorf("%s: %s %v %v", to, k.Metadata, ok, err)
			}
		}
	})
}

// TestBulkInPart: what a provider has not taken is told for each recipient.
func TestBulkInPart(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		w.rs.answers = []netx.Response{{Status: 422, Body: []byte(`{"message":"no"}`)}}
		out, err := w.post("bulk", `{"driver":"resend","api_key":"k","from":"a@example.com","subject":"S","text":"x","recipients":[`+many(250)+`]}`)
		check(t, err)
		o := out.(*bulkOut)
		if o.TotalEmails+len(o.Failed) != 250 || len(o.Failed) != 100 && len(o.Failed) != 50 || !strings.Contains(o.Failed[0].Error, "422") {
			t.Errorf("%d sent, %d failed", o.TotalEmails, len(o.Failed))
		}
		w.rs.answers = nil
		w.rs.absent = errors.New("gone")
		_, err = w.post("bulk", `{"driver":"resend","api_key":"k","from":"a@example.com","subject":"S","text":"x","recipients":[`+many(2)+`]}`)
		refused(t, err, `"error":"Failed to send bulk email","details":"the provider did not answer: the connection failed","failed":[{"email":"u0@example.net"`)
	})
}

func many(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"email":"u%d@example.net"}`, i)
	}
	return strings.Join(list, ",")
}

func TestFailover(t *testing.T) {
	both := func(c *Config) { c.Failover, c.ResendKey = true, "re_own" }
	each(t, both, func(t *testing.T, w *world) {
		const body = `{"driver":"mailgun","api_key":"k","from":"a@example.com","to":"b@example.net","subject":"S","text":"x"}`
		w.mg.absent = errors.New("connection refused")
		out, err := w.post("send", body)
		if err != nil || out.(*sendOut).DriverName != resend {
			t.Fatalf("%+v %v", out, err)
		}
		out, err = w.post("bulk", `{"driver":"mailgun","api_key":"k","from":"a@example.com","subject":"S","text":"x","recipients":[`+many(250)+`]}`)
		if err != nil || out.(*bulkOut).DriverName != resend || out.(*bulkOut).TotalEmails != 250 || w.rs.copies(1) != 250 {
			t.Fatalf("%+v %v", out, err)
		}
		taken := len(w.rs.keys)
		w.mg.absent, w.mg.answers = nil, []netx.Response{{Status: 401}}
		if _, err = w.post("send", body); err == nil {
			t.Error("a wrong key was passed over")
		}
		w.mg.fail = errors.New("reset")
		if _, err = w.post("send", body); err == nil || len(w.rs.keys) != taken {
			t.Error("the second driver got what the first may have taken")
		}
	})
}

// TestOwner: who may name participants.
func TestOwner(t *testing.T) {
	own := func(c *Config) { c.ResendKey = "re_own" }
	each(t, own, func(t *testing.T, w *world) {
		first, err := w.Accounts.First(t.Context())
		check(t, err)
		shows := func(field string) context.Context {
			return op.WithRequest(t.Context(), &op.Request{Header: func(string) string { return field }})
		}
		for _, c := range []struct {
			driver, key, field string
			ok                 bool
		}{
			{mailgun, "key-admin", "", true},
			{mailgun, "key-other", "", false},
			{resend, "re_own", "", true},
			{resend, "re_other", "", false},
			{resend, "", "", false},
			{resend, "re_other", "Bearer key-admin", true},
			{resend, "re_other", "Basic YXBpOmtleS1hZG1pbg==", true},
			{resend, "re_own", "Bearer key-other", false},
			{resend, "re_other", "Digest x", false},
		} {
			got, err := w.owner(shows(c.field), &letter{Driver: c.driver, APIKey: c.key})
			if (err == nil) != c.ok || c.ok && got != first {
				t.Errorf("%+v: %q %v", c, got, err)
			}
		}
		w.Local = false
		if _, err := w.owner(shows(""), &letter{Driver: mailgun, APIKey: "key-admin"}); err == nil {
			t.Error("a key for somewhere else was tried here")
		}
	})
}
