package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/base/svix"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/provider"
	"postroad/internal/core/queue"
)

// bearer is a probe by a client of Resend's.
func (s *stage) bearer(role string, p probe) probe {
	p.as = "nobody"
	p.head = append([][2]string{{"Authorization", "Bearer " + s.keys[role]}}, p.head...)
	return p
}

// problem is the body of an error.
func problem(status int, name, message string) string {
	return fmt.Sprintf(`{"statusCode":%d,"name":"%s","message":"%s"}`, status, name, message)
}

const oneMail = `{"from":"Acme <me@example.com>","to":["ann@example.net"],"subject":"Hi","html":"<p>yes</p>"}`

const anyUUID = "**-**-4**-**-**"

// mailWith is oneMail with another member.
func mailWith(member string) string { return strings.TrimSuffix(oneMail, "}") + "," + member + "}" }

func TestScenarioResendSend(t *testing.T) {
	s := newStage(t, config.Serve)
	const notSent = "This API key is restricted to only send emails."
	unknown := problem(404, "not_found", "The requested endpoint does not exist.")
	for _, p := range []probe{
		{name: "send", json: oneMail, want: `{"id":"` + anyUUID + `"}`},
		{name: "a sending key", as: "sending", json: oneMail, want: `{"id":"` + anyUUID + `"}`},
		{name: "a sending key of another domain", as: "sending", json: strings.Replace(oneMail, "example.com", "example.org", 1), status: 401,
			want: problem(401, "restricted_api_key", "This API key is restricted to only send emails from the domain example.com.")},
		{name: "a key that only reads", as: "basic", json: oneMail, status: 401, want: problem(401, "restricted_api_key", "The role basic of this API key does not allow this.")},
		{name: "a wrong key", as: "wrong", json: oneMail, status: 403, want: problem(403, "invalid_api_key", "API key is invalid.")},
		{name: "no body", method: "POST", status: 400, want: problem(400, "validation_error", "The request body is missing.")},
		{name: "no JSON", raw: "{", ctype: "application/json", status: 400, want: `{"statusCode":400,"name":"validation_error",**`},
		{name: "a list", json: "[1]", status: 400, want: `{"statusCode":400,"name":"validation_error",**`},
		{name: "no from", json: `{}`, status: 422, want: problem(422, "missing_required_field", "Missing `from` field.")},
		{name: "no to", json: `{"from":"a@example.com"}`, status: 422, want: problem(422, "missing_required_field", "Missing `to` field.")},
		{name: "no text", json: `{"from":"a@example.com","to":"b@example.net","subject":"x"}`, status: 422, want: problem(422, "missing_required_field", "Missing `html` or `text` field.")},
		{name: "bad from", json: strings.Replace(oneMail, "me@example.com", "me", 1), status: 422, want: `{"statusCode":422,"name":"invalid_from_address",**`},
		{name: "bad to", json: strings.Replace(oneMail, "ann@", "", 1), status: 422, want: `{"statusCode":422,"name":"validation_error","message":"Invalid ` + "`to`" + `**`},
		{name: "a number", json: mailWith(`"to":7`), status: 422, want: `{"statusCode":422,"name":"validation_error",**`},
		{name: "too many", json: mailWith(`"cc":["` + strings.Repeat(`x@example.net","`, 50) + `y@example.net"]`), status: 422, want: `**maximum is 50.**`},
		{name: "a domain of nobody", json: strings.Replace(oneMail, "example.com", "example.edu", 1), status: 403,
			want: problem(403, "validation_error", "The example.edu domain is not verified. Please, add and verify your domain.")},
		{name: "bad tag", json: mailWith(`"tags":[{"name":"a b","value":"c"}]`), status: 422, want: problem(422, "validation_error", "Tags should only contain ASCII letters, numbers, underscores, or dashes.")},
		{name: "bad header", json: mailWith(`"headers":{"X-A":"b\r\nBcc: c@d.example"}`), status: 422, want: `{"statusCode":422,"name":"validation_error",**`},
		{name: "header with a place of its own", json: mailWith(`"headers":{"To":"x@example.net"}`), status: 422},
		{name: "bad attachment", json: mailWith(`"attachments":[{"filename":"a.txt","content":"?"}]`), status: 422, want: `{"statusCode":422,"name":"invalid_attachment",**`},
		{name: "empty attachment", json: mailWith(`"attachments":[{"filename":"a.txt"}]`), status: 422, want: problem(422, "invalid_attachment", "Attachment must have either a `content` or `path`.")},
		{name: "attachment that is not there", json: mailWith(`"attachments":[{"path":"http://127.0.0.1:9/x"}]`), status: 422, want: problem(422, "invalid_attachment", "The `path` of an attachment could not be fetched: no answer.")},
		{name: "template", json: mailWith(`"template":{"id":"x"}`), status: 422, want: `**` + "`template` field cannot be used" + `**`},
		{name: "topic", json: mailWith(`"topic_id":"x"`), status: 422, want: `**topic_id**not supported**`},
		{name: "too late", json: mailWith(`"scheduled_at":"2001-01-01T00:00:00Z"`), status: 422, want: `**must be in the future**`},
		{name: "too early", json: mailWith(`"scheduled_at":"in 31 days"`), status: 422, want: `**at most 30 days ahead**`},
		{name: "no time", json: mailWith(`"scheduled_at":"soon"`), status: 422, want: `**is not understood**`},
		{name: "long key", json: oneMail, head: [][2]string{{"Idempotency-Key", strings.Repeat("k", 257)}}, status: 400, want: problem(400, "invalid_idempotency_key", "The key must be between 1-256 chars.")},

		{name: "empty batch", path: "/emails/batch", json: "[]", status: 422},
		{name: "large batch", path: "/emails/batch", json: "[" + strings.Repeat("{},", 100) + "{}]", status: 422, want: `**between 1 and 100**`},
		{name: "strict batch", path: "/emails/batch", json: "[" + oneMail + ",{}]", status: 422, want: problem(422, "missing_required_field", "Email at index 1: Missing `from` field.")},
		{name: "batch with a file", path: "/emails/batch", json: "[" + mailWith(`"attachments":[{"content":""}]`) + "]", status: 422},
		{name: "batch", path: "/emails/batch", json: "[" + oneMail + "," + oneMail + "]", want: `{"data":[{"id":"` + anyUUID + `"},{"id":"` + anyUUID + `"}]}`},
		{name: "permissive batch", path: "/emails/batch", json: "[{}," + oneMail + ",7]", head: [][2]string{{"x-batch-validation", "permissive"}},
			want: `{"data":[{"id":"` + anyUUID + `"}],"errors":[{"index":0,"message":"Missing ` + "`from`" + ` field."},{"index":2,"message":"**"}]}`},
		{name: "permissive, all well", path: "/emails/batch", json: "[" + oneMail + "]", head: [][2]string{{"x-batch-validation", "permissive"}}, want: `{"data":[**],"errors":[]}`},
		{name: "batch mode", path: "/emails/batch", json: "[{}]", head: [][2]string{{"x-batch-validation", "lax"}}, status: 422},

		{name: "not offered", method: "GET", path: "/domains", status: 404, want: unknown},
		{name: "not offered either", method: "POST", path: "/api-keys", json: "{}", status: 404, want: unknown},
		{name: "below", method: "GET", path: "/emails/x/y", status: 404, want: unknown},
		{name: "method", method: "PUT", path: "/emails", json: "{}", status: 405, want: problem(405, "method_not_allowed", "Method is not allowed for the requested path."), header: "Allow: GET, HEAD, POST, OPTIONS"},
		{name: "no id", method: "GET", path: "/emails/7", status: 422, want: problem(422, "invalid_parameter", "The `id` must be a valid UUID.")},
		{name: "unknown id", method: "GET", path: "/emails/00000000-0000-4000-8000-000000000000", status: 404, want: problem(404, "not_found", "Email not found")},
		{name: "a sending key reads", as: "sending", method: "GET", path: "/emails", status: 401, want: problem(401, "restricted_api_key", notSent)},
		{name: "an analyst reads", as: "basic", method: "GET", path: "/emails"},
		{name: "an analyst cancels", as: "basic", method: "POST", path: "/emails/00000000-0000-4000-8000-000000000000/cancel", status: 401},
	} {
		if p.path == "" {
			p.path = "/emails"
		}
		t.Run(p.name, func(t *testing.T) { s.check(t, s.bearer(p.as, p)) })
	}
	s.run(t, []probe{
		{name: "no key", as: "nobody", path: "/emails", json: oneMail, status: 401, want: problem(401, "missing_api_key", "Missing API key in the authorization header")},
		{name: "Basic", path: "/emails", json: oneMail, status: 401, want: problem(401, "missing_api_key", "Missing API key in the authorization header")},
		{name: "pages stay", as: "nobody", method: "GET", path: "/webhooks", not: "statusCode"},
		{name: "metrics stay", as: "nobody", method: "GET", path: "/livez", head: [][2]string{{"Authorization", "Bearer x"}}, want: `{"status":"ok"}`},
	})
}

// mailed sends an email by the API and returns its id.
func (s *stage) mailed(t *testing.T, body string, head ...[2]string) string {
	t.Helper()
	return decode[struct{ ID string }](t, s.check(t, s.bearer("", probe{path: "/emails", json: body, head: head}))).ID
}

type emailView struct {
	ID          string
	MessageID   string `json:"message_id"`
	From        string
	Subject     string
	To, CC, BCC []string
	ReplyTo     []string `json:"reply_to"`
	HTML, Text  *string
	LastEvent   string `json:"last_event"`
	ScheduledAt string `json:"scheduled_at"`
	Tags        []struct{ Name, Value string }
}

func (s *stage) email(t *testing.T, id string) emailView {
	t.Helper()
	return decode[emailView](t, s.check(t, s.bearer("", probe{path: "/emails/" + id})))
}

// TestScenarioResendWhole: all fields of an email arrive, and come back.
func TestScenarioResendWhole(t *testing.T) {
	s := newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", k.Host)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "remote "+r.URL.Path) }))
	defer files.Close()
	id := s.mailed(t, `{"from":"Acme <me@example.com>","to":"Ann <ann@example.net>","cc":["cc@example.net"],"bcc":"bcc@example.net","reply_to":["r1@example.com","r2@example.com"],
		"subject":"Jürgen","html":"<img src=\"cid:logo-1\">","text":"plain","headers":{"X-Entity-Ref-ID":"7"},"tags":[{"name":"category","value":"welcome"}],"unknown":1,
		"attachments":[{"filename":"a.txt","content":"aGVsbG8="},{"filename":"b.bin","content":[1,2,255]},{"path":"`+files.URL+`/c.txt"},{"filename":"logo.png","content":"eA==","content_id":"logo-1","content_type":"image/png"}]}`)
	got := k.Await(t, 1)
	has(t, got[0].Data, "From: Acme <me@example.com>\r\n", "To: Ann <ann@example.net>\r\n", "Cc: cc@example.net\r\n", "Reply-To: r1@example.com, r2@example.com\r\n", "X-Entity-Ref-ID: 7\r\n",
		"Content-ID: <logo-1>", `filename=logo.png`, `filename=c.txt`, "AQL/", "image/png")
	if strings.Contains(got[0].Data, "X-Mailgun") || strings.Contains(got[0].Data, "bcc@") {
		t.Errorf("says too much:\n%s", head(got[0].Data))
	}
	s.WaitFor(3, "delivered", func(e *event.Event) bool { return e.Doc.Event == event.Delivered })
	v := s.email(t, id)
	if v.ID != id || v.From != "Acme <me@example.com>" || len(v.To) != 1 || v.To[0] != "Ann <ann@example.net>" || len(v.CC) != 1 || len(v.BCC) != 1 || len(v.ReplyTo) != 2 ||
		v.HTML == nil || *v.HTML != `<img src="cid:logo-1">` || v.Text == nil || *v.Text != "plain" || v.LastEvent != "delivered" || len(v.Tags) != 1 || v.Tags[0].Value != "welcome" {
		t.Errorf("%+v", v)
	}
	e := accepted(s, "ann@example.net")
	if "<"+e.Doc.Message.Headers.MessageID+">" != v.MessageID || len(e.Doc.Tags) != 1 || e.Doc.Tags[0] != "category" || string(e.Doc.UserVariables) != `{"category":"welcome"}` {
		t.Errorf("%s %v %s", v.MessageID, e.Doc.Tags, e.Doc.UserVariables)
	}
	m, err := s.Messages.Lookup(t.Context(), "", e.Doc.Message.Headers.MessageID)
	if err == nil {
		err = s.Messages.Delete(t.Context(), m)
	}
	if v = s.email(t, id); err != nil || v.HTML != nil || v.Text != nil || v.LastEvent != "delivered" {
		t.Errorf("without its message: %+v %v", v, err)
	}
}

func TestScenarioResendIdempotency(t *testing.T) {
	s := newStage(t, config.Dev)
	key := [2]string{"Idempotency-Key", "order-7"}
	id := s.mailed(t, oneMail, key)
	if again := s.mailed(t, oneMail, key); again != id {
		t.Errorf("%s, then %s", id, again)
	}
	s.check(t, s.bearer("", probe{path: "/emails", json: mailWith(`"text":"x"`), head: [][2]string{key}, status: 409,
		want: problem(409, "invalid_idempotent_request", "Same idempotency key used with a different request payload.")}))
	s.check(t, s.bearer("", probe{path: "/emails/batch", json: "[" + oneMail + "]", head: [][2]string{key}, status: 409}))
	batch := s.bearer("", probe{path: "/emails/batch", json: "[" + oneMail + ",{}]", head: [][2]string{{"Idempotency-Key", "b"}, {"x-batch-validation", "permissive"}}})
	if first, second := s.check(t, batch), s.check(t, batch); first != second || !strings.Contains(first, `"index":1`) {
		t.Errorf("%s then %s", first, second)
	}
	n := decode[struct{ Data []emailView }](t, s.check(t, s.bearer("", probe{path: "/emails"})))
	if len(n.Data) != 2 {
		t.Errorf("%d emails", len(n.Data))
	}
}

func TestScenarioResendList(t *testing.T) {
	s := newStage(t, config.Dev)
	var ids []string
	for range 5 {
		ids = append([]string{s.mailed(t, oneMail)}, ids...)
	}
	page := func(query string) (string, bool) {
		out := decode[struct {
			Object string
			More   bool `json:"has_more"`
			Data   []emailView
		}](t, s.check(t, s.bearer("", probe{path: "/emails" + query})))
		var at []byte
		for _, v := range out.Data {
			for i, id := range ids {
				if v.ID == id {
					at = append(at, byte('0'+i))
				}
			}
		}
		return string(at), out.More
	}
	for _, c := range []struct {
		query, want string
		more        bool
	}{{"", "01234", false}, {"?limit=2", "01", true}, {"?limit=2&after=" + ids[1], "23", true}, {"?limit=2&after=" + ids[2], "34", false},
		{"?limit=2&before=" + ids[3], "12", true}, {"?limit=2&before=" + ids[1], "0", false}} {
		if got, more := page(c.query); got != c.want || more != c.more {
			t.Errorf("%s: %s %t", c.query, got, more)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "after=x", "after=" + ids[0] + "&before=" + ids[1]} {
		res, body := s.ask(t, s.bearer("", probe{path: "/emails?" + query}))
		if res.StatusCode != 422 && res.StatusCode != 400 || !strings.Contains(body, `"statusCode"`) {
			t.Errorf("%s: %d %s", query, res.StatusCode, body)
		}
	}
}

// TestScenarioResendSchedule: a scheduled email is sent at its time, at another if
// that was changed, and not at all if it was canceled, whatever is restarted.
func TestScenarioResendSchedule(t *testing.T) {
	c := clock.NewFake(apptest.Begin())
	o := apptest.Options{Mode: config.Serve, Clock: c, World: apptest.NewWorld(t), Data: t.TempDir()}
	start := func() *stage {
		s := &stage{Server: apptest.Start(t, o), t: t}
		s.keys = map[string]string{"": s.Key}
		return s
	}
	s := start()
	s.AddDomain("example.com")
	k := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", k.Host)
	scheduled := func(to, at string) string {
		return s.mailed(t, strings.Replace(mailWith(`"scheduled_at":"`+at+`"`), "ann@", to+"@", 1))
	}
	never, later, plain := scheduled("never", "in 1 hour"), scheduled("later", "2026-03-02T10:00:00.000Z"), scheduled("plain", "in 20 days")
	for id, at := range map[string]string{never: "2026-03-02T10:00:00.000Z", plain: "2026-03-22T09:00:00.000Z"} {
		if v := s.email(t, id); v.LastEvent != "scheduled" || v.ScheduledAt != at {
			t.Errorf("%+v", v)
		}
	}
	change := func(method, path, body string, status int, want string) {
		t.Helper()
		s.check(t, s.bearer("", probe{method: method, path: path, json: body, status: status, want: want}))
	}
	change("POST", "/emails/"+never+"/cancel", "", 200, `{"object":"email","id":"`+never+`"}`)
	change("POST", "/emails/"+never+"/cancel", "", 422, `**not scheduled any more**`)
	change("PATCH", "/emails/"+never, `{"scheduled_at":"in 1 min"}`, 422, `**not scheduled any more**`)
	change("PATCH", "/emails/"+later, `{}`, 422, problem(422, "missing_required_field", "Missing `scheduled_at` field."))
	change("PATCH", "/emails/"+later, `{"scheduled_at":"in 2 hours"}`, 200, `{"object":"email","id":"`+later+`"}`)
	sent := s.mailed(t, oneMail)
	k.Await(t, 1)
	change("POST", "/emails/"+sent+"/cancel", "", 422, `**Only scheduled emails**`)
	s.Stop()
	s = start()
	if v := s.email(t, never); v.LastEvent != "canceled" {
		t.Errorf("%+v", v)
	}
	s.Advance(90 * time.Minute)
	if n, err := s.Queue.List(t.Context(), queue.Selector{Recipient: "never@example.net"}, 0, 10); err != nil || len(n) != 0 {
		t.Errorf("%d deliveries left, %v", len(n), err)
	}
	if v := s.email(t, later); v.LastEvent != "scheduled" || v.ScheduledAt != "2026-03-02T11:00:00.000Z" {
		t.Errorf("%+v", v)
	}
	s.Advance(31 * time.Minute)
	if got := k.Await(t, 2)[1]; got.To[0] != "later@example.net" {
		t.Errorf("to %s", got.To)
	}
	s.WaitFor(1, "delivered", func(e *event.Event) bool {
		return e.Doc.Event == event.Delivered && e.Doc.Recipient == "later@example.net"
	})
	change("POST", "/emails/"+later+"/cancel", "", 422, `**not scheduled any more**`)
	s.Advance(20 * 24 * time.Hour)
	if got := k.Await(t, 3)[2]; got.To[0] != "plain@example.net" {
		t.Errorf("to %s", got.To)
	}
}

// caught is what a receiver of webhooks gets.
type caught struct {
	header http.Header
	body   []byte
}

func catchAll(t *testing.T) (string, chan caught) {
	got := make(chan caught, 100)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- caught{r.Header, b}
	}))
	t.Cleanup(h.Close)
	return h.URL, got
}

type hookPayload struct {
	Type string
	At   string `json:"created_at"`
	Data struct {
		ID         string `json:"email_id"`
		From       string
		To         []string
		Subject    string
		Tags       map[string]string
		Bounce     *struct{ Message, Type, SubType string }
		Suppressed *struct{ Message, Type string }
	}
}

func (s *stage) hook(t *testing.T, url, events string) (id string, key svix.Secret) {
	t.Helper()
	out := decode[struct {
		ID     string
		Secret string `json:"signing_secret"`
	}](t, s.check(t, s.bearer("", probe{path: "/webhooks", json: `{"endpoint":"` + url + `","events":[` + events + `]}`,
		want: `{"object":"webhook","id":"` + anyUUID + `","signing_secret":"whsec_**"}`})))
	key, err := svix.ParseSecret(out.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return out.ID, key
}

// awaitHook waits for a call of a type and checks its signature.
func awaitHook(t *testing.T, got chan caught, key svix.Secret, want string) hookPayload {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case c := <-got:
			if err := key.Verify(c.header.Get(svix.HeaderID), c.header.Get(svix.HeaderTimestamp), c.header.Get(svix.HeaderSignature), c.body, time.Now()); err != nil {
				t.Fatal(err)
			}
			if p := decode[hookPayload](t, string(c.body)); p.Type == want {
				return p
			}
		case <-limit:
			t.Fatalf("no %s", want)
		}
	}
}

func TestScenarioResendWebhooks(t *testing.T) {
	s := newStage(t, config.Serve)
	url, got := catchAll(t)
	for _, p := range []probe{
		{name: "no endpoint", json: `{"events":["email.sent"]}`, status: 422},
		{name: "bad endpoint", json: `{"endpoint":"ftp://x/","events":["email.sent"]}`, status: 422, want: `{"statusCode":422,"name":"validation_error",**`},
		{name: "no events", json: `{"endpoint":"` + url + `","events":[]}`, status: 422},
		{name: "other events", json: `{"endpoint":"` + url + `","events":["contact.created"]}`, status: 422, want: problem(422, "validation_error", "The event `contact.created` is not offered.")},
		{name: "analyst", as: "basic", json: `{"endpoint":"` + url + `","events":["email.sent"]}`, status: 401},
		{name: "sending key", as: "sending", method: "GET", status: 401},
		{name: "unknown", method: "GET", path: "/webhooks/00000000-0000-4000-8000-000000000000", status: 404, want: problem(404, "not_found", "Webhook not found")},
		{name: "no events log", method: "GET", path: "/webhooks/00000000-0000-4000-8000-000000000000/events", status: 404, want: problem(404, "not_found", "The requested endpoint does not exist.")},
	} {
		if p.path == "" {
			p.path = "/webhooks"
		}
		t.Run(p.name, func(t *testing.T) { s.check(t, s.bearer(p.as, p)) })
	}
	id, key := s.hook(t, url, `"email.sent","email.bounced","email.suppressed","email.sent"`)
	k := s.World.Sink(t, "mx.example.net", apptest.Script{Any: "550 5.1.1 no such user"})
	s.World.MX(t, "example.net", k.Host)
	s.seed("other@example.net") // not by this API: nobody is told
	mail := s.mailed(t, mailWith(`"tags":[{"name":"category","value":"welcome"}]`))
	p := awaitHook(t, got, key, "email.sent")
	if d := p.Data; d.ID != mail || d.From != "Acme <me@example.com>" || len(d.To) != 1 || d.To[0] != "ann@example.net" || d.Subject != "Hi" || d.Tags["category"] != "welcome" {
		t.Errorf("%+v", p)
	}
	if b := awaitHook(t, got, key, "email.bounced").Data.Bounce; b == nil || b.Type != "Permanent" || !strings.Contains(b.Message, "no such user") {
		t.Errorf("%+v", b)
	}
	if v := s.email(t, mail); v.LastEvent != "bounced" {
		t.Errorf("%+v", v)
	}
	mail = s.mailed(t, oneMail)
	if p := awaitHook(t, got, key, "email.suppressed"); p.Data.ID != mail || p.Data.Suppressed == nil {
		t.Errorf("%+v", p)
	}

	at := "/webhooks/" + id
	view := `"id":"` + id + `","created_at":"20**Z","status":"enabled","endpoint":"` + url + `","events":["email.bounced","email.sent","email.suppressed"]`
	rotated := ""
	for _, p := range []probe{
		{method: "GET", path: at, want: `{"object":"webhook",` + view + `,"signing_secret":"` + key.String() + `"}`},
		{name: "analyst", as: "basic", method: "GET", path: at, want: `{"object":"webhook",` + view + `}`},
		{method: "GET", path: "/webhooks", want: `{"object":"list","has_more":false,"data":[{` + view + `}]}`},
		{name: "rotate", method: "POST", path: at + "/signing-secret/rotate", want: `{"object":"webhook","id":"` + id + `","signing_secret":"whsec_**"}`, not: key.String()},
		{name: "bad status", method: "PATCH", path: at, json: `{"status":"x"}`, status: 422},
		{name: "change", method: "PATCH", path: at, json: `{"events":["email.delivered","email.bounced"]}`, want: `{"object":"webhook","id":"` + id + `"}`},
		{name: "changed", method: "GET", path: at, want: `**"events":["email.bounced","email.delivered"]**`},
	} {
		if body := s.check(t, s.bearer(p.as, p)); p.name == "rotate" {
			rotated = decode[struct {
				Secret string `json:"signing_secret"`
			}](t, body).Secret
		}
	}
	newer, err := svix.ParseSecret(rotated)
	if err != nil {
		t.Fatal(err)
	}
	s.mailed(t, strings.Replace(oneMail, "ann@", "new@", 1))
	awaitHook(t, got, newer, "email.bounced")
	s.check(t, s.bearer("", probe{method: "PATCH", path: at, json: `{"status":"disabled"}`}))
	s.mailed(t, strings.Replace(oneMail, "ann@", "newer@", 1))
	s.WaitFor(1, "failed", func(e *event.Event) bool {
		return e.Doc.Event == event.Failed && e.Doc.Recipient == "newer@example.net"
	})
	if n := len(got); n != 0 {
		t.Errorf("%d calls of a disabled webhook", n)
	}
	s.check(t, s.bearer("", probe{method: "DELETE", path: at, want: `{"object":"webhook","id":"` + id + `","deleted":true}`}))
	s.check(t, s.bearer("", probe{method: "DELETE", path: at, status: 404}))
}

// TestScenarioResendDriver: our driver of Resend's API against our own.
func TestScenarioResendDriver(t *testing.T) {
	s := newStage(t, config.Serve)
	d := provider.Resend("http://local", s.Local, clock.System{})
	m := &provider.Message{From: "A <a@example.com>", ReplyTo: "r@example.com", To: []string{"b@example.net"}, CC: []string{"c@example.net"}, Subject: "Hi", Text: "x",
		Tags: []string{"spring sale"}, IdempotencyKey: "k1"}
	id, err := d.Send(t.Context(), provider.Account{Key: s.Key}, m)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Send(t.Context(), provider.Account{Key: s.Key}, m); err != nil || again != id {
		t.Errorf("%s, then %s, %v", id, again, err)
	}
	if e := accepted(s, "c@example.net"); len(e.Doc.Tags) != 1 || e.Doc.Tags[0] != "spring_sale" {
		t.Errorf("%v", e.Doc.Tags)
	}
	var refused *provider.Error
	if _, err := d.Send(t.Context(), provider.Account{Key: "key-unknown"}, m); !errors.As(err, &refused) || refused.Status != 403 || !strings.Contains(refused.Text, "API key is invalid") {
		t.Errorf("a wrong key: %v", err)
	}
	b := &provider.Batch{Message: provider.Message{From: "a@example.com", Subject: "Hi {{name}}", HTML: "<p>{{name}}</p>"}}
	for i := range d.BatchSize() {
		b.Recipients = append(b.Recipients, provider.Recipient{Email: fmt.Sprintf("r%d@example.net", i), Variables: provider.Variables{"name": fmt.Sprint("N", i)}})
	}
	began := time.Now()
	for _, r := range d.SendBatch(t.Context(), provider.Account{Key: s.Key}, b) {
		if r.Err != nil || r.ID == "" {
			t.Fatal(r.Err)
		}
	}
	took := time.Since(began)
	t.Logf("a batch of %d took %s", len(b.Recipients), took)
	if took > time.Second {
		t.Errorf("a batch took %s", took)
	}
	if e := accepted(s, "r99@example.net"); e.Doc.Message.Headers.Subject != "Hi N99" {
		t.Error(e.Doc.Message.Headers.Subject)
	}
	b.Recipients[1].Email = "nobody"
	for _, r := range d.SendBatch(t.Context(), provider.Account{Key: s.Key}, b) {
		if r.Err == nil {
			t.Fatal("a strict batch with a bad address was taken")
		}
	}
	out := json.RawMessage(s.check(t, s.bearer("", probe{path: "/emails?limit=100"})))
	if n := strings.Count(string(out), `"id":`); n != 100 {
		t.Errorf("%d emails listed", n)
	}
}

// TestScenarioResendTemplate: a stored template fills an email.
func TestScenarioResendTemplate(t *testing.T) {
	s := newStage(t, config.Serve)
	s.Must("POST", "/v3/example.com/templates", []string{"name", "welcome", "template", "<p>Hi {{{NAME}}}, {{n}}</p>", "headers", `{"Subject":"For {{{NAME}}}"}`})
	var out struct{ ID string }
	body := `{"from":"Ann <ann@example.com>","to":["bob@example.net"],"template":{"id":"welcome","variables":{"NAME":"Bob & Co","n":3}}}`
	if err := json.Unmarshal([]byte(s.check(t, s.bearer("", probe{path: "/emails", json: body}))), &out); err != nil {
		t.Fatal(err)
	}
	if e := s.email(t, out.ID); e.Subject != "For Bob & Co" || e.HTML == nil || !strings.Contains(*e.HTML, "<p>Hi Bob & Co, 3</p>") {
		t.Errorf("%+v", e)
	}
	s.check(t, s.bearer("", probe{path: "/emails", json: strings.Replace(body, "welcome", "none", 1), status: 422, want: `{"statusCode":422,**none**`}))
}
