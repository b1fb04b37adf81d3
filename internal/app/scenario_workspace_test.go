package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"postroad/internal/apptest"
	"postroad/internal/base/db"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/webhook"
)

const jwtSecret = "a secret that tokens are signed with"

// webhookKey signs what comes to the workspace API.
const webhookKey = "key-of-the-webhooks"

// wsToken makes a token for a workspace; edit changes its claims, nil takes one out.
func wsToken(t *testing.T, workspace string, edit ...map[string]any) string {
	t.Helper()
	return tokenBy(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(jwtSecret)}, workspace, edit...)
}

func tokenBy(t *testing.T, key jose.SigningKey, workspace string, edit ...map[string]any) string {
	t.Helper()
	c := map[string]any{"exp": time.Now().Add(time.Hour).Unix(), "aud": "app", "iss": "https://issuer.example", "workspaceId": workspace, "sub": "u1"}
	for _, e := range edit {
		for k, v := range e {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
	}
	s, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newWorkspaces(t *testing.T, args ...string) *stage {
	return newStage(t, config.Serve, append([]string{"--workspace-domain=example.com", "--workspace-jwt-secret=" + jwtSecret,
		"--workspace-audience=app", "--workspace-issuer=https://issuer.example"}, args...)...)
}

func bearer(token string) [][2]string { return [][2]string{{"Authorization", "Bearer " + token}} }

// mail is what clients of the workspace API read.
type mail struct {
	ID, UUID, WorkspaceID, MailgunMessageID, Direction, From, To, Subject, BodyPlain, BodyHTML, Status string
	SessionID, ContactID                                                                               string
	Metadata                                                                                           json.RawMessage
	CreatedAt, SentAt, DeliveredAt, OpenedAt, ClickedAt, BouncedAt, FailedAt                           string
}

type mailList struct {
	Messages   []mail
	Pagination struct {
		Total, Limit, Offset int
		HasMore              bool
	}
}

// TestScenarioWorkspaceErrors: each documented error, its status, its shape and its
// code.
func TestScenarioWorkspaceErrors(t *testing.T) {
	s := newWorkspaces(t, "--workspace-signing-key="+webhookKey)
	good := bearer(wsToken(t, "w1"))
	send := `{"workspaceId":"w1","to":"a@far.example","subject":"s","text":"t"}`
	fail := func(code, details string) string {
		return `{"error":"**","code":"` + code + `","details":` + details + `}`
	}
	list := "/api/mailgun/messages/w1"
	s.run(t, []probe{
		{name: "health", path: "/api/mailgun/health", as: "nobody", want: `{"status":"ok","configured":true,"domain":"example.com","defaultFrom":"noreply@example.com"}`},
		{name: "no token", path: list, as: "nobody", status: 401, want: fail("TOKEN_MISSING", "{}"), header: "WWW-Authenticate: Bearer"},
		{name: "an API key is no token", path: list, status: 401, want: fail("TOKEN_MISSING", "{}")},
		{name: "no token comes before a bad body", method: "POST", path: "/api/mailgun/send", as: "nobody", json: "{", status: 401, want: fail("TOKEN_MISSING", "{}")},
		{name: "garbage", path: list, as: "nobody", head: bearer("x.y.z"), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "expired", path: list, as: "nobody", head: bearer(wsToken(t, "w1", map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()})), status: 401, want: fail("TOKEN_EXPIRED", "{}")},
		{name: "no exp", path: list, as: "nobody", head: bearer(wsToken(t, "w1", map[string]any{"exp": nil})), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "not yet", path: list, as: "nobody", head: bearer(wsToken(t, "w1", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "wrong audience", path: list, as: "nobody", head: bearer(wsToken(t, "w1", map[string]any{"aud": "other"})), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "wrong issuer", path: list, as: "nobody", head: bearer(wsToken(t, "w1", map[string]any{"iss": "x"})), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "wrong secret", path: list, as: "nobody", head: bearer(tokenBy(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte("another secret of thirty-two bytes")}, "w1")), status: 401, want: fail("TOKEN_INVALID", "{}")},
		{name: "another workspace", path: "/api/mailgun/messages/w2", as: "nobody", head: good, status: 404, want: fail("WORKSPACE_NOT_FOUND", "{}")},
		{name: "another workspace's email", path: "/api/mailgun/messages/w2/email-1", as: "nobody", head: good, status: 404, want: fail("WORKSPACE_NOT_FOUND", "{}")},
		{name: "send for another workspace", path: "/api/mailgun/send", as: "nobody", head: good, json: `{"workspaceId":"w2"}`, status: 404, want: fail("WORKSPACE_NOT_FOUND", "{}")},
		{name: "no such email", path: list + "/email-1", as: "nobody", head: good, status: 404, want: fail("EMAIL_NOT_FOUND", "{}")},
		{name: "no mail", path: list, as: "nobody", head: good, want: `{"messages":[],"pagination":{"total":0,"limit":50,"offset":0,"hasMore":false}}`},
		{name: "all bad parameters", path: list + "?limit=101&offset=-1&direction=up&status=lost&startDate=x&endDate=y&sessionId=" + strings.Repeat("x", 256), as: "nobody", head: good, status: 400,
			want: fail("VALIDATION_ERROR", `{"direction":"**","endDate":"**","limit":"must be a whole number from 1 to 100","offset":"**","sessionId":"**","startDate":"**","status":"**"}`)},
		{name: "limit 0", path: list + "?limit=0", as: "nobody", head: good, status: 400, want: fail("VALIDATION_ERROR", `{"limit":"**"}`)},
		{name: "nothing", path: "/api/mailgun/send", as: "nobody", head: good, json: `{}`, status: 400,
			want: fail("VALIDATION_ERROR", `{"subject":"is required","text":"is required","to":"is required","workspaceId":"is required"}`)},
		{name: "no JSON", path: "/api/mailgun/send", as: "nobody", head: good, json: `{"to":`, status: 400, want: fail("INVALID_REQUEST", "{}")},
		{name: "a list", path: "/api/mailgun/send", as: "nobody", head: good, json: `[]`, status: 400, want: fail("INVALID_REQUEST", "{}")},
		{name: "a form", path: "/api/mailgun/send", as: "nobody", head: good, parts: []string{"to", "x"}, status: 400, want: fail("VALIDATION_ERROR", `{**"to":"is required"**}`)},
		{name: "no such endpoint", path: "/api/mailgun/message", as: "nobody", status: 404, want: fail("NOT_FOUND", "{}")},
		{name: "wrong method", path: "/api/mailgun/send", as: "nobody", status: 405, want: fail("METHOD_NOT_ALLOWED", "{}"), header: "Allow: POST, OPTIONS"},
		{name: "too large", path: "/api/mailgun/send", as: "nobody", head: good, json: `{"text":"` + strings.Repeat("x", 26<<20) + `"}`, status: 413, want: fail("REQUEST_TOO_LARGE", "{}")},
		{name: "webhook without a signature", path: "/api/mailgun/webhooks", as: "nobody", json: `{}`, status: 401, want: fail("SIGNATURE_INVALID", "{}")},
		{name: "sent", path: "/api/mailgun/send", as: "nobody", head: good, json: send, want: `{"success":true,"id":"email-**","uuid":"**","mailgunMessageId":"<**@example.com>","status":"sent"}`},
		{name: "one more", path: "/api/mailgun/send", as: "nobody", head: good, json: send},
		{name: "a page", path: list + "?limit=1", as: "nobody", head: good, want: `{"messages":[{"id":"email-**","workspaceId":"w1",**}],"pagination":{"total":2,"limit":1,"offset":0,"hasMore":true}}`, not: "bodyPlain"},
		{name: "the last page", path: list + "?limit=1&offset=1", as: "nobody", head: good, want: `{**"pagination":{"total":2,"limit":1,"offset":1,"hasMore":false}}`},
		{name: "a member of several", path: list + "?limit=1", as: "nobody", head: bearer(wsToken(t, "x", map[string]any{"workspaces": []string{"w2", "w1"}})), want: `{**"total":2**}`},
	})
}

// TestScenarioWorkspaceRefused: what the provider does not take is 500, and the
// error says what it said.
func TestScenarioWorkspaceRefused(t *testing.T) {
	s := newStage(t, config.Serve, "--workspace-domain=nowhere.example", "--workspace-jwt-secret="+jwtSecret)
	good := bearer(wsToken(t, "w1"))
	s.run(t, []probe{
		{path: "/api/mailgun/send", as: "nobody", head: good, json: `{"workspaceId":"w1","to":"a@far.example","subject":"s","text":"t"}`, status: 500,
			want: `{"error":"Mailgun did not take the message","code":"PROVIDER_ERROR","details":{"id":"email-**","providerMessage":"**","providerStatus":4**,"uuid":"**"}}`},
		{path: "/api/mailgun/messages/w1?status=failed", as: "nobody", head: good, want: `{**"total":1**}`},
	})
}

// TestScenarioWorkspaceUnconfigured: without a domain or keys the answer is 503.
func TestScenarioWorkspaceUnconfigured(t *testing.T) {
	const none = `{"status":"not_configured","configured":false,"domain":"","defaultFrom":null}`
	s := newStage(t, config.Serve)
	s.run(t, []probe{
		{path: "/api/mailgun/health", as: "nobody", status: 503, want: none},
		{path: "/api/mailgun/messages/w1", as: "nobody", head: bearer("x"), status: 503, want: `{"error":"**","code":"NOT_CONFIGURED","details":{}}`},
	})
	s = newStage(t, config.Serve, "--workspace-domain=example.com", "--workspace-mailgun=eu", "--workspace-jwt-secret="+jwtSecret)
	s.run(t, []probe{
		{name: "no key for the account", path: "/api/mailgun/health", as: "nobody", status: 503, want: none},
	})
	s = newStage(t, config.Serve, "--workspace-jwt-secret="+jwtSecret)
	s.run(t, []probe{
		{path: "/api/mailgun/health", as: "nobody", status: 503, want: none},
		{path: "/api/mailgun/send", as: "nobody", head: bearer(wsToken(t, "w")), json: `{"workspaceId":"w","to":"a@b.example","subject":"s","text":"t"}`, status: 503, want: `{"error":"**","code":"NOT_CONFIGURED","details":{}}`},
		{path: "/api/mailgun/messages/w", as: "nobody", head: bearer(wsToken(t, "w"))},
	})
}

// TestScenarioWorkspaceKeys: tokens signed with a key of a set at a URL, which is
// fetched when it is needed, or in a file.
func TestScenarioWorkspaceKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	var fetches atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fetches.Add(1); w.Write(set) }))
	defer h.Close()
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	es := func(kid string) [][2]string {
		return bearer(tokenBy(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, "w1"))
	}
	for _, from := range []string{h.URL, file} {
		s := newStage(t, config.Serve, "--workspace-domain=example.com", "--workspace-jwks="+from)
		s.run(t, []probe{
			{name: "known", path: "/api/mailgun/messages/w1", as: "nobody", head: es("k")},
			{name: "unknown", path: "/api/mailgun/messages/w1", as: "nobody", head: es("x"), status: 401},
			{name: "unknown again", path: "/api/mailgun/messages/w1", as: "nobody", head: es("y"), status: 401},
			{name: "a secret there is none of", path: "/api/mailgun/messages/w1", as: "nobody", head: bearer(wsToken(t, "w1")), status: 401},
		})
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	s := newStage(t, config.Serve, "--workspace-domain=example.com", "--workspace-jwks="+filepath.Join(t.TempDir(), "none"))
	s.run(t, []probe{{path: "/api/mailgun/messages/w1", as: "nobody", head: es("k"), status: 503, want: `{"error":"**","code":"KEYS_UNAVAILABLE","details":{}}`}})
}

// call is a webhook call as Mailgun makes it.
func call(sig webhook.Signature, data string) string {
	b, _ := json.Marshal(sig)
	return `{"signature":` + string(b) + `,"event-data":` + data + `}`
}

func (s *stage) workspaceMail(t *testing.T, workspace, id string) mail {
	t.Helper()
	return decode[mail](t, s.check(t, probe{path: "/api/mailgun/messages/" + workspace + "/" + id, as: "nobody", head: bearer(wsToken(t, workspace))}))
}

func (s *stage) emails(t *testing.T, workspace, query string) mailList {
	t.Helper()
	return decode[mailList](t, s.check(t, probe{path: "/api/mailgun/messages/" + workspace + "?" + query, as: "nobody", head: bearer(wsToken(t, workspace))}))
}

func (s *stage) sendFor(t *testing.T, workspace, to, more string) mail {
	t.Helper()
	out := decode[mail](t, s.check(t, probe{path: "/api/mailgun/send", as: "nobody", head: bearer(wsToken(t, workspace)),
		json: `{"workspaceId":"` + workspace + `","to":"` + to + `","subject":"Hi","text":"t"` + more + `}`}))
	if out.UUID == "" {
		t.Fatal("not sent")
	}
	return s.workspaceMail(t, workspace, out.UUID)
}

// TestScenarioWorkspaceWebhooks: signed calls change the status, once; others
// nothing.
func TestScenarioWorkspaceWebhooks(t *testing.T) {
	s := newWorkspaces(t, "--workspace-signing-key="+webhookKey)
	m := s.sendFor(t, "w1", "a@far.example", "")
	now := time.Now()
	vars := `,"user-variables":{"postroad-workspace-email":"` + m.UUID + `"}`
	post := func(name, body string, status int, want string) {
		t.Helper()
		s.run(t, []probe{{name: name, path: "/api/mailgun/webhooks", as: "nobody", json: body, status: status, want: want}})
	}
	sig := webhook.NewSignature(webhookKey, now)
	opened := `{"event":"opened","timestamp":` + strconv.FormatInt(now.Unix()-5, 10) + `.5` + vars + `}`
	post("signed with another key", call(webhook.NewSignature("key-other", now), opened), 401, `{"error":"**","code":"SIGNATURE_INVALID","details":{}}`)
	post("old", call(webhook.NewSignature(webhookKey, now.Add(-16*time.Minute)), opened), 401, `{"error":"**","code":"SIGNATURE_INVALID","details":{}}`)
	altered := sig
	altered.Token += "x"
	post("altered", call(altered, opened), 401, `{"error":"**","code":"SIGNATURE_INVALID","details":{}}`)
	post("no event", call(webhook.NewSignature(webhookKey, now), `{}`), 400, `{"error":"**","code":"VALIDATION_ERROR","details":{"event-data":"**"}}`)
	if got := s.workspaceMail(t, "w1", m.ID); got.OpenedAt != "" {
		t.Fatalf("%+v", got)
	}
	post("good", call(sig, opened), 200, `{"success":true}`)
	post("again", call(sig, opened), 401, `{"error":"**","code":"WEBHOOK_REPLAYED","details":{}}`)
	late := `{"event":"delivered","timestamp":` + strconv.FormatInt(now.Unix()-9, 10) + `,"message":{"headers":{"message-id":"` + strings.Trim(m.MailgunMessageID, "<>") + `"}}}`
	post("late, by Message-ID", call(webhook.NewSignature(webhookKey, now), late), 200, `{"success":true}`)
	post("of other mail", call(webhook.NewSignature(webhookKey, now), `{"event":"clicked","message":{"headers":{"message-id":"x@y"}}}`), 200, `{"success":true}`)
	post("of no kind we know", call(webhook.NewSignature(webhookKey, now), `{"event":"unheard"`+vars+`}`), 200, `{"success":true}`)
	got := s.workspaceMail(t, "w1", m.ID)
	if got.Status != "opened" || got.OpenedAt != time.Unix(now.Unix()-5, 5e8).UTC().Format("2006-01-02T15:04:05.999Z") || got.DeliveredAt == "" || got.ClickedAt != "" {
		t.Errorf("%+v", got)
	}
}

// TestScenarioWorkspaceInbound: mail from outside comes by the post of a route, once
// for each recipient, linked as what it answers; header fields of a stranger are
// not taken for the route's.
func TestScenarioWorkspaceInbound(t *testing.T) {
	b := newInbox(t, "--workspace-domain=in.example", "--workspace-jwt-secret="+jwtSecret)
	s := &stage{Server: b.Server, t: t}
	m := s.sendFor(t, "w1", "customer@far.example", `,"sessionId":"wses_1","contactId":"c1"`)
	b.route(t, `match_recipient("support@in.example")`, `forward("`+b.URL+`/api/mailgun/webhooks?workspace=w1")`)
	raw := "From: Customer <customer@far.example>\nTo: support@in.example\nSubject: Re: Hi\nMessage-ID: <reply@far.example>\nIn-Reply-To: " + m.MailgunMessageID +
		"\nrecipient[]: other@in.example\nfrom[]: boss@in.example\nevent-data: {}\nContent-Type: text/html\n\n<p>Yes, that works.</p>\n"
	for range 2 { // a route may post twice
		if err := b.deliver(t, "customer@far.example", []string{"support@in.example"}, raw); err != nil {
			t.Fatal(err)
		}
	}
	b.WaitFor(2, "posts", func(e *event.Event) bool {
		return e.Doc.Event == event.Delivered && strings.HasPrefix(e.Doc.Recipient, "http")
	})
	list := s.emails(t, "w1", "direction=inbound&from=CUSTOMER&sessionId=wses_1")
	if len(list.Messages) != 1 {
		t.Fatalf("%+v", list)
	}
	got := s.workspaceMail(t, "w1", list.Messages[0].ID)
	if got.From != "Customer <customer@far.example>" || got.To != "support@in.example" || got.Subject != "Re: Hi" || got.MailgunMessageID != "<reply@far.example>" || got.Status != "delivered" ||
		got.ContactID != "c1" || !strings.Contains(got.BodyHTML, "that works") || got.DeliveredAt == "" {
		t.Errorf("%+v", got)
	}
	if n := s.emails(t, "w1", "").Pagination.Total; n != 2 {
		t.Errorf("%d messages", n)
	}
	sig := webhook.NewSignature("key-other", time.Now())
	s.run(t, []probe{{name: "forged", path: "/api/mailgun/webhooks?workspace=w1", as: "nobody", form: []string{"recipient", "a@in.example", "from", "x@y.example", "timestamp", sig.Timestamp, "token", sig.Token, "signature", sig.Signature},
		status: 401, want: `{"error":"**","code":"SIGNATURE_INVALID","details":{}}`}})
	key := decode[struct {
		Key string `json:"http_signing_key"`
	}](t, string(b.Must("GET", "/v5/accounts/http_signing_key", nil))).Key
	sig = webhook.NewSignature(key, time.Now())
	s.run(t, []probe{{name: "no workspace", path: "/api/mailgun/webhooks", as: "nobody", form: []string{"from", "x@y.example", "timestamp", sig.Timestamp, "token", sig.Token, "signature", sig.Signature},
		status: 400, want: `{"error":"**","code":"VALIDATION_ERROR","details":{"recipient":"**","workspace":"**"}}`}})
}

// TestScenarioWorkspaceLocal: mail sent through this program goes out and follows
// its events without any webhook, bounces included.
func TestScenarioWorkspaceLocal(t *testing.T) {
	w := apptest.NewWorld(t)
	far := w.Sink(t, "mx.far.example", apptest.Script{Rcpt: map[string]apptest.Step{"none@far.example": "550 5.1.1 no such user"}})
	w.MX(t, "far.example", "mx.far.example")
	s := &stage{t: t, Server: apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Args: []string{"--workspace-domain=example.com", "--workspace-from=App <hello@example.com>", "--workspace-jwt-secret=" + jwtSecret}})}
	s.AddDomain("example.com")
	m := s.sendFor(t, "w1", "Ann <ann@far.example>", `,"html":"<b>t</b>","replyTo":"answers@example.com","metadata":{"k":[1]}`)
	bad := s.sendFor(t, "w1", "none@far.example", "")
	got := far.Await(t, 1)[0]
	for _, part := range []string{"From: App <hello@example.com>", "To: Ann <ann@far.example>", "Reply-To: answers@example.com", "Message-Id: " + m.MailgunMessageID} {
		if !strings.Contains(strings.ToLower(got.Data), strings.ToLower(part)) {
			t.Errorf("no %q in\n%s", part, got.Data)
		}
	}
	if strings.Contains(got.Data, `"k"`) {
		t.Error("metadata is in the mail")
	}
	s.Outcome(m.MailgunMessageID, "ann@far.example", 1)
	s.Outcome(bad.MailgunMessageID, "none@far.example", 1)
	if got := s.workspaceMail(t, "w1", m.UUID); got.Status != "delivered" || got.DeliveredAt == "" || got.SentAt == "" || string(got.Metadata) != `{"k":[1]}` {
		t.Errorf("%+v", got)
	}
	if got := s.workspaceMail(t, "w1", bad.UUID); got.Status != "bounced" || got.BouncedAt == "" || got.DeliveredAt != "" {
		t.Errorf("%+v", got)
	}
}

// TestWorkspaceCutOff: a message that was taken before the program was killed, but
// not recorded as sent, is finished at the next start and goes out once.
func TestWorkspaceCutOff(t *testing.T) {
	w := apptest.NewWorld(t)
	far := w.Sink(t, "mx.far.example", apptest.Script{})
	w.MX(t, "far.example", "mx.far.example")
	o := apptest.Options{Mode: config.Serve, World: w, Data: t.TempDir(), Args: []string{"--workspace-domain=example.com", "--workspace-jwt-secret=" + jwtSecret}}
	s := &stage{t: t, Server: apptest.Start(t, o)}
	s.AddDomain("example.com")
	m := s.sendFor(t, "w1", "ann@far.example", "")
	far.Await(t, 1)
	s.Outcome(m.MailgunMessageID, "ann@far.example", 1)
	err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE workspace_email SET status = 0, message_id = '', sent_at = 0 WHERE uuid = ?", m.UUID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s = &stage{t: t, Server: apptest.Start(t, o)}
	s.Until("the end of what was begun", func() bool { return s.workspaceMail(t, "w1", m.ID).Status == "sent" })
	if got := s.workspaceMail(t, "w1", m.ID); got.MailgunMessageID != m.MailgunMessageID || got.SentAt == "" {
		t.Errorf("%+v", got)
	}
	s.Idle()
	if n := len(far.Messages()); n != 1 {
		t.Errorf("it went out %d times", n)
	}
}

// TestWorkspaceThroughAnother: two programs, one with the workspace API and one as
// the Mailgun account it sends by: mail by HTTP one way, webhooks and a route's
// post the other.
func TestWorkspaceThroughAnother(t *testing.T) {
	b := newInbox(t) // the account
	b.AddDomain("m.example")
	key := decode[struct {
		Key string `json:"http_signing_key"`
	}](t, string(b.Must("GET", "/v5/accounts/http_signing_key", nil))).Key
	a := newStage(t, config.Serve, "--workspace-domain=m.example", "--workspace-mailgun="+b.URL, "--workspace-key="+b.Key, "--workspace-signing-key="+key, "--workspace-jwt-secret="+jwtSecret)
	hook := a.URL + "/api/mailgun/webhooks"
	for _, kind := range []string{"accepted", "delivered", "permanent_fail", "temporary_fail"} {
		b.Must("POST", "/v3/domains/m.example/webhooks", apptest.Fields{"id", kind, "url", hook})
	}
	b.route(t, `match_recipient(".*@in.example")`, `forward("`+hook+`?workspace=w1")`)
	m := a.sendFor(t, "w1", "ann@far.example", `,"sessionId":"s1"`)
	if m.Status == "pending" || m.MailgunMessageID == "" {
		t.Errorf("%+v", m)
	}
	b.World.Sink(t, "mx.strict.example", apptest.Script{Any: "550 5.1.1 no such user"})
	b.World.MX(t, "strict.example", "mx.strict.example")
	lost := a.sendFor(t, "w1", "ann@strict.example", "")
	b.far.Await(t, 1)
	a.Until("delivered", func() bool { return a.workspaceMail(t, "w1", m.ID).Status == "delivered" })
	a.Until("the bounce", func() bool { return a.workspaceMail(t, "w1", lost.ID).Status == "bounced" })
	raw := "From: ann@far.example\nTo: x@in.example\nSubject: Re\nMessage-ID: <r1@far.example>\nReferences: <z@z> " + m.MailgunMessageID + "\n\nThanks\n"
	if err := b.deliver(t, "ann@far.example", []string{"x@in.example"}, raw); err != nil {
		t.Fatal(err)
	}
	a.Until("the reply", func() bool { return a.emails(t, "w1", "direction=inbound&sessionId=s1").Pagination.Total == 1 })

	c := newStage(t, config.Serve, "--workspace-domain=m.example", "--workspace-mailgun="+b.URL, "--workspace-key=wrong", "--workspace-jwt-secret="+jwtSecret)
	c.run(t, []probe{{name: "a wrong key", path: "/api/mailgun/send", as: "nobody", head: bearer(wsToken(t, "w1")), json: `{"workspaceId":"w1","to":"a@far.example","subject":"s","text":"t"}`, status: 500, want: `{**"code":"PROVIDER_ERROR"**"providerStatus":401**}`},
		{name: "webhooks without a key", path: "/api/mailgun/webhooks", as: "nobody", json: `{}`, status: 503, want: `{**"code":"NOT_CONFIGURED"**}`}})
}

// TestWorkspaceExamples runs the examples of the API's document as they stand, with
// our host, a token and the id of a message in place of theirs.
func TestWorkspaceExamples(t *testing.T) {
	for _, tool := range []string{"curl", "node", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("POSTROAD_TEST_PEERS") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	s := newWorkspaces(t)
	const ws = "79849043-88b5-40ba-a93a-c1e088c4d9b0"
	token := wsToken(t, ws, map[string]any{"workspaces": "workspace-123"})
	m := s.sendFor(t, ws, "user@example.com", "")
	theirs := strings.NewReplacer("https://app.audos.com", s.URL, "YOUR_JWT_TOKEN", token, "YOUR_TOKEN", token, "email-abc-123", m.UUID, "curl ", `curl -sS -w '\n%{http_code}' `)
	files, err := filepath.Glob("testdata/workspace/*")
	if err != nil || len(files) != 10 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			script := theirs.Replace(string(text))
			cmd := exec.Command("bash", "-c", script)
			if filepath.Ext(name) == ".js" {
				cmd = exec.Command("node", "--input-type=module", "-")
				cmd.Stdin = strings.NewReader(fmt.Sprintf(`const real = globalThis.fetch;
globalThis.fetch = async (u, o) => { const r = await real(%q + u, o); console.log(await r.clone().text() + "\n" + r.status); return r; };
%s`, s.URL, script))
			}
			var out, errText bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errText
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, errText.String())
			}
			body, rest, _ := strings.Cut(out.String(), "\n")
			if rest = strings.TrimSpace(rest); !strings.HasPrefix(rest, "200") {
				t.Fatalf("%s: %s", rest, body)
			}
			if strings.Contains(string(text), "POST") {
				sent := decode[struct {
					Success bool
					UUID    string
				}](t, body)
				if !sent.Success || sent.UUID == "" {
					t.Error(body)
				}
			} else if v := decode[map[string]any](t, body); v["messages"] == nil && v["uuid"] != m.UUID {
				t.Error(body)
			}
		})
	}
	linked := s.emails(t, ws, url.Values{"sessionId": {"wses_7a2219c3d54a45eaa277046abebee943"}}.Encode())
	if len(linked.Messages) != 1 || string(linked.Messages[0].Metadata) != `{"campaign":"onboarding","step":"welcome"}` {
		t.Errorf("%+v", linked)
	}
	if n := s.emails(t, ws, "direction=outbound").Pagination.Total; n != 3 {
		t.Errorf("%d messages", n)
	}
}
