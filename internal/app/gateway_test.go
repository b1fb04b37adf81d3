package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

// The requests of the document of the API, as they stand there.
const (
	documentSend      = `{ "driver": "mailgun", "api_key": "your-api-key", "from": "sender@example.com", "from_name": "Sender Name", "to": "recipient@example.com", "subject": "Hello {{name}}!", "html": "<h1>Hi {{name}}, your code is {{code}}</h1>", "text": "Hi {{name}}, your code is {{code}}", "replyTo": "reply@example.com", "cc": ["cc@example.com"], "bcc": ["bcc@example.com"], "tags": ["tag1", "tag2"], "variables": { "name": "John Doe", "code": "12345" }, "metadata": { "campaign_id": 123, "participant_id": 456, "custom_field": "tracking_value" } }`
	documentCurl      = `{ "driver": "mailgun", "api_key": "your-api-key", "from": "noreply@example.com", "to": "user@example.com", "subject": "Welcome!", "html": "<h1>Welcome to our service!</h1>" }`
	documentBulk      = `{ "driver": "mailgun", "api_key": "your-api-key", "from": "sender@example.com", "from_name": "Sender Name", "subject": "Hello {{name}}!", "html": "<h1>Hi {{name}}</h1><p>Your code is: {{code}}</p>", "text": "Hi {{name}}, your code is: {{code}}", "recipients": [ { "email": "user1@example.com", "variables": { "name": "Alice", "code": "ABC123" }, "metadata": { "participant_id": 101 } }, { "email": "user2@example.com", "variables": { "name": "Bob", "code": "XYZ789" }, "metadata": { "participant_id": 102 } } ], "metadata": { "campaign_id": 456 }, "tags": ["bulk-send", "campaign-2024"] }`
	documentCampaign  = `{ "driver": "mailgun", "api_key": "your-api-key", "name": "Newsletter March 2024", "from": "newsletter@example.com", "template_subject": "March Newsletter", "template_url": "https://example.com/templates/newsletter.html", "recipients": [ { "email": "user1@example.com" }, { "email": "user2@example.com" } ] }`
	documentTemplate  = `{ "template_url": "https://example.com/templates/welcome.html" }`
	documentMissing   = `{"error":"driver, api_key, from, to, subject, and text or html are required"}`
	documentInvalid   = `{"error":"Invalid email addresses","invalidEmails":["invalid-email"]}`
	documentTemplates = "https://example.com/templates" // has no network in a test
)

// templates serves what the document names.
func templates(t testing.TB) (base string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/welcome.html" && r.URL.Path != "/newsletter.html" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("<!DOCTYPE html><p>News for {{name}}</p>"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestGatewayDocument: every request of the document, with a key and a domain as it
// has them, gets the answer it promises.
func TestGatewayDocument(t *testing.T) {
	s := newStage(t, config.Dev)
	base := templates(t)
	local := func(body string) string { return strings.ReplaceAll(body, documentTemplates, base) }
	s.run(t, []probe{
		{as: "nobody", path: "/api/email/send", json: documentSend,
			want: `{"success":true,"driverName":"mailgun","externalId":"**@example.com","message":"Email sent successfully","recipients":1}`, not: "<"},
		{name: "curl", as: "nobody", path: "/api/email/send", json: documentCurl,
			want: `{"success":true,"driverName":"mailgun","externalId":"**@example.com","message":"Email sent successfully","recipients":1}`},
		{as: "nobody", path: "/api/email/bulk", json: documentBulk,
			want: `{"success":true,"driverName":"mailgun","totalEmails":2,"message":"Bulk email sent successfully"}`},
		{as: "nobody", path: "/api/email/templates", json: local(documentTemplate),
			want: `{"valid":true,"size":39,"preview":"<!DOCTYPE html>**"}`},
		{name: "missing", as: "nobody", path: "/api/email/send", json: `{}`, status: 400, want: documentMissing},
		{name: "invalid", as: "nobody", path: "/api/email/send", json: strings.Replace(documentCurl, "user@example.com", "invalid-email", 1), status: 400, want: documentInvalid},
	})
	e := s.WaitFor(1, "the mail of the document", func(e *event.Event) bool {
		return e.Doc.Event == event.Accepted && e.Doc.Recipient == "bcc@example.com"
	})[0]
	if e.Doc.Message.Headers.Subject != "Hello John Doe!" || !strings.Contains(string(e.Doc.UserVariables), "tracking_value") {
		t.Errorf("%+v %s", e.Doc.Message.Headers, e.Doc.UserVariables)
	}
	e = accepted(s, "user2@example.com")
	if e.Doc.Message.Headers.Subject != "Hello Bob!" || string(e.Doc.UserVariables) != `{"metadata":"{\"campaign_id\":456,\"participant_id\":102}"}` {
		t.Errorf("%+v %s", e.Doc.Message.Headers, e.Doc.UserVariables)
	}

	body := s.check(t, probe{as: "nobody", path: "/api/email/campaigns", json: local(documentCampaign),
		want: `{"success":true,"campaign":{"uuid":"**","name":"Newsletter March 2024","status":"pending","recipients_count":2,**}}`})
	path := "/api/email/campaigns/" + decode[struct{ Campaign struct{ UUID string } }](t, body).Campaign.UUID
	s.check(t, probe{as: "nobody", method: "POST", path: path + "/send",
		want: `{"success":true,"message":"Campaign processing started","batches":1,"totalRecipients":2}`})
	s.Until("the campaign to be completed", func() bool {
		_, body := s.ask(t, probe{as: "nobody", path: path})
		return like(`{"success":true,"campaign":{**"status":"completed",**"progress":{"sent":2,"failed":0,"pending":0,"batches":1,"batches_done":1,"percent":100}**`, body)
	})
	s.WaitFor(1, "the campaign's mail", func(e *event.Event) bool {
		return e.Doc.Event == event.Accepted && e.Doc.Recipient == "user1@example.com" && strings.Contains(string(e.Doc.UserVariables), `campaign_id\":1`)
	})
}

// TestGatewayRefuses: errors in the words of the dialect, and keys that are needed.
func TestGatewayRefuses(t *testing.T) {
	s := newStage(t, config.Serve)
	mine := strings.ReplaceAll(documentSend, "your-api-key", s.Key)
	s.run(t, []probe{
		{name: "unknown key", as: "nobody", path: "/api/email/send", json: documentSend, status: 401,
			want: `{"error":"Failed to send email","details":"the provider answered 401: \"Forbidden\""}`, not: "your-api-key"},
		{name: "key of another domain", as: "nobody", path: "/api/email/send", json: strings.Replace(strings.ReplaceAll(documentSend, "your-api-key", s.keys["sending"]), "sender@example.com", "sender@example.org", 1), status: 401},
		{name: "sending key", as: "nobody", path: "/api/email/send", json: strings.ReplaceAll(documentSend, "your-api-key", s.keys["sending"])},
		{name: "bulk", as: "nobody", path: "/api/email/bulk", json: documentBulk, status: 401, want: `{"error":"Failed to send bulk email","details":"**","failed":[{"email":"user1@example.com","error":"**"},**`},
		{name: "what the provider refuses", as: "nobody", path: "/api/email/send", json: strings.Replace(mine, "tracking_value", strings.Repeat("x", 17<<10), 1), status: 400, want: `{"error":"Failed to send email","details":"the provider answered 400: **"}`},
		{name: "no JSON", as: "nobody", path: "/api/email/send", raw: "{", ctype: "application/json", status: 400, want: `{"error":"**"}`},
		{name: "empty", as: "nobody", method: "POST", path: "/api/email/bulk", status: 400, want: `{"error":"**are required"}`},
		{name: "too large", as: "nobody", path: "/api/email/bulk", raw: `{"html":"` + strings.Repeat("x", 26<<20) + `"}`, ctype: "application/json", status: 413, want: `{"error":"JSON body exceeds 25 MB"}`},
		{name: "wrong type", as: "nobody", path: "/api/email/send", json: `{"tags":"x"}`, status: 400, want: `{"error":"tags must be an array"}`},
		{name: "no URL", as: "nobody", path: "/api/email/templates", json: `{}`, status: 400, want: `{"error":"template_url is required"}`},
		{name: "no template", as: "nobody", path: "/api/email/templates", json: `{"template_url":"http://127.0.0.1:1/x"}`, status: 400, want: `{"error":"Invalid template","details":"**"}`},
		{name: "no campaign", as: "nobody", path: "/api/email/campaigns/550e8400-e29b-41d4-a716-446655440000", status: 404, want: `{"error":"Campaign not found"}`},
		{name: "empty campaign", as: "nobody", path: "/api/email/campaigns", json: `{}`, status: 400, want: `{"error":"driver, api_key, name, from, template_subject, template_url, and recipients or recipient_ids are required"}`},
		{name: "campaigns of nobody", as: "nobody", path: "/api/email/campaigns", status: 401, want: `{"error":"the provider's API key is required in the Authorization header"}`},
		{name: "campaigns", path: "/api/email/campaigns", want: `{"success":true,"campaigns":[]}`},

		{name: "participants of nobody", as: "nobody", path: "/api/email/participants", status: 401, want: `{"error":"**"}`},
		{name: "a wrong key", as: "wrong", path: "/api/email/participants", status: 401, want: `{"error":"Forbidden"**`},
		{name: "a sending key", as: "sending", path: "/api/email/participants", status: 401, want: `{"error":"Forbidden"**`},
		{name: "who may not write", as: "basic", path: "/api/email/participants", json: `{"participants":[{"id":1,"email":"p@example.net"}]}`, status: 401},
		{name: "put", as: "developer", path: "/api/email/participants", json: `{"participants":[{"id":1,"email":"p@example.net","variables":{"name":"P"}}]}`, want: `{"success":true,"count":1}`},
		{name: "csv", path: "/api/email/participants/csv", files: []upload{{"file", "p.csv", "text/csv", "id,email,name\n2,q@example.net,Q\n"}}, want: `{"success":true,"count":1}`},
		{name: "no csv", path: "/api/email/participants/csv", parts: []string{"x", "y"}, status: 400, want: `{"error":"file is required"}`},
		{name: "bearer", as: "nobody", head: [][2]string{{"Authorization", "Bearer " + s.Key}}, path: "/api/email/participants?limit=1",
			want: `{"participants":[{"id":1,"email":"p@example.net","variables":{"name":"P"},"metadata":{}}],"total":2}`},
		{name: "by id", as: "nobody", path: "/api/email/bulk", json: `{"driver":"mailgun","api_key":"` + s.Key + `","from":"a@example.com","subject":"Hi {{name}}","text":"x","recipient_ids":[2,3]}`,
			want: `{"success":true,"driverName":"mailgun","totalEmails":1,"message":"Bulk email sent successfully","failed":[{"email":"","participant_id":3,"error":"there is no such participant"}]}`},
		{name: "by a stranger", as: "nobody", path: "/api/email/bulk", json: `{"driver":"resend","api_key":"re_x","from":"a@example.com","subject":"Hi","text":"x","recipient_ids":[2]}`, status: 401},
		{name: "no ids", method: "DELETE", path: "/api/email/participants", status: 400, want: `{"error":"ids are required"}`},
		{name: "delete", method: "DELETE", path: "/api/email/participants", json: `{"ids":[2,3]}`, want: `{"success":true,"deleted":1}`},
	})
	if e := accepted(s, "q@example.net"); e.Doc.Message.Headers.Subject != "Hi Q" || !strings.Contains(string(e.Doc.UserVariables), `participant_id\":2`) {
		t.Errorf("%+v %s", e.Doc.Message.Headers, e.Doc.UserVariables)
	}
}

// TestGatewayOff: without the gateway its paths are nobody's.
func TestGatewayOff(t *testing.T) {
	s := newStage(t, config.Serve, "--no-gateway")
	s.check(t, probe{as: "nobody", path: "/api/email/send", json: documentSend, status: 404})
}

// TestGatewayRemote: one program as the application's gateway, another as "Mailgun".
func TestGatewayRemote(t *testing.T) {
	there := newStage(t, config.Serve)
	here := newStage(t, config.Serve, "--mailgun-url="+there.URL, "--mailgun-domain=example.org")
	body := here.check(t, probe{as: "nobody", path: "/api/email/send", json: strings.ReplaceAll(documentSend, "your-api-key", there.keys["basic"]), status: 401})
	if !strings.Contains(body, "Forbidden") { // a key that may not send
		t.Error(body)
	}
	body = here.check(t, probe{as: "nobody", path: "/api/email/send", json: strings.ReplaceAll(documentSend, "your-api-key", there.keys["developer"])})
	id := decode[struct{ ExternalID string }](t, body).ExternalID
	e := accepted(there, "recipient@example.com")
	if e.Doc.Message.Headers.MessageID != id || !strings.HasSuffix(id, "@example.org") {
		t.Errorf("%q, there %q", id, e.Doc.Message.Headers.MessageID)
	}
	k, ok, err := here.Gateway.Lookup(t.Context(), "mailgun", id, "Recipient@example.com")
	if err != nil || !ok || !strings.Contains(string(k.Metadata), "tracking_value") {
		t.Errorf("%+v %v %v", k, ok, err)
	}
}

// TestGatewaySettings: a provider that is not there, another that takes over with its
// own key, and a participant source of the operator's.
func TestGatewaySettings(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body))
		if r.URL.Path == "/people" {
			w.Write([]byte(`{"participants":[{"id":5,"email":"five@example.net","variables":{"name":"Five"}}]}`))
			return
		}
		w.Write([]byte(`{"data":[{"id":"re-1"}]}`))
	}))
	t.Cleanup(other.Close)
	s := newStage(t, config.Serve, "--mailgun-url=http://127.0.0.1:"+strconv.Itoa(apptest.FreePort(t)), "--mailgun-api-key=mg-own",
		"--gateway-failover", "--resend-url="+other.URL, "--resend-api-key=re-own", "--participants-url="+other.URL+"/people")
	s.check(t, probe{as: "nobody", path: "/api/email/bulk", json: `{"driver":"mailgun","api_key":"mg-own","from":"a@example.com","subject":"Hi {{name}}","text":"x","recipient_ids":[5,6]}`,
		want: `{"success":true,"driverName":"resend","totalEmails":1,"message":"Bulk email sent successfully","failed":[{"email":"","participant_id":6,**}]}`})
	if len(got) != 2 || got[0] != `/people  {"ids":[5,6]}` || !strings.HasPrefix(got[1], "/emails/batch Bearer re-own ") || !strings.Contains(got[1], "Hi Five") {
		t.Errorf("%q", got)
	}
	k, ok, err := s.Gateway.Lookup(t.Context(), "resend", "re-1", "five@example.net")
	if err != nil || !ok || string(k.Metadata) != `{"participant_id":5}` || k.Subject != "Hi Five" {
		t.Errorf("%+v %v %v", k, ok, err)
	}
}

var codeBlock = regexp.MustCompile(`(?m)^    (?:URL=|curl|printf|UUID=).*\n(?:    .*\n)*`)

// TestGatewayPage: the commands of the documentation do what it says.
func TestGatewayPage(t *testing.T) {
	program(t, "curl")
	program(t, "jq")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "gateway.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, config.Dev)
	script := "set -e\nKEY=" + s.Key + "\n"
	blocks := codeBlock.FindAllString(string(page), -1)
	for _, b := range blocks {
		b = strings.Replace(b, "URL=http://127.0.0.1:8025", "URL="+s.URL, 1)
		script += strings.NewReplacer("curl ", "curl -q -sf ", documentTemplates, templates(t)).Replace(b) + "\n"
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir, cmd.Stderr = t.TempDir(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(blocks)-2 || len(answers) < 9 { // two of them set a variable
		t.Fatalf("%d answers to %d commands:\n%s", len(answers), len(blocks), out)
	}
	for i, a := range answers {
		if !json.Valid([]byte(a)) || strings.Contains(a, `"error"`) || strings.Contains(a, `"failed":[`) {
			t.Errorf("%d: %s", i, a)
		}
	}
}
