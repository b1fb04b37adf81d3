package app_test

import (
	"crypto/tls"
	"fmt"
	"net/smtp"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

func TestScenarioTemplates(t *testing.T) {
	s := newStage(t, config.Serve)
	msg := func(text string) string { return `{"message":"` + text + `"}` }
	const id = `"id":"**-**-4**-**-**"`
	const date = `"createdAt":"**, ** UTC"`
	for _, p := range []string{"/v3/example.com/templates", "/v4/templates"} {
		page := func(query string) string { return s.URL + p + "?" + query }
		one := `{"name":"welcome","description":"D",` + date + `,"createdBy":"me",` + id
		version := func(tag, content, active string) string {
			return fmt.Sprintf(`{"tag":%q,"template":%q,"engine":"handlebars","mjml":"",`+date+`,"comment":"C","active":%s,`+id+`,"headers":{"Subject":"S"}}`, tag, content, active)
		}
		const file = `<p title=\"a\">Hi {{name}}</p>`
		s.run(t, []probe{
			{name: "none", path: p, want: `{"items":[],"paging":{"first":"` + page("limit=100") + `",**`},
			{name: "create", path: p, parts: []string{"name", "Welcome", "description", "D", "createdBy", "me", "template", `<p title="a">Hi {{name}}</p>`, "tag", "V1", "comment", "C", "headers", `{"Subject":"S"}`},
				want: `{"message":"template has been stored","template":` + one + `,"version":{"tag":"v1",**"template":"` + file + `",**"active":true,**"headers":{"Subject":"S"}}}}`},
			{name: "again", path: p, form: []string{"name", "WELCOME"}, status: 400, want: msg("duplicate template: 'welcome' already exists")},
			{name: "does not parse", path: p, form: []string{"name", "bad", "template", "a\n  {{#if x}}"}, status: 400,
				want: msg("'template' parameter is invalid: {{#if x}} of line 2 column 3 is not closed: expected {{/if}}, line 2 column 12")},
			{name: "partials", path: p, form: []string{"name", "bad", "template", "{{> /etc/passwd}}"}, status: 400, want: msg("'template' parameter is invalid: partials {{> are not supported, line 1 column 1")},
			{name: "get", path: p + "/Welcome", want: `{"template":` + one + `}}`},
			{name: "get the active", path: p + "/welcome?active=yes", want: `{"template":` + one + `,"version":{"tag":"v1",**}}}`},
			{name: "list", path: p, want: `{"items":[` + one + `}],"paging":{"first":"` + page("limit=100") + `","last":"` + page("page=last&limit=100") +
				`","next":"` + page("page=next&p=welcome&limit=100") + `","previous":"` + page("page=previous&p=welcome&limit=100") + `"}}`},
			{name: "next page", path: p + "?page=next&p=welcome&limit=100", want: `{"items":[],**`},
			{name: "update", method: "PUT", path: p + "/welcome", parts: []string{"description", "D"}, want: `{"message":"template has been updated","template":{"name":"welcome"}}`},
			{name: "update nothing", method: "PUT", path: p + "/welcome", form: []string{}, status: 400, want: msg("No fields to update")},
			{name: "add a version", path: p + "/welcome/versions", parts: []string{"template", "2", "tag", "V2", "comment", "C", "headers", `{"Subject":"S"}`, "active", "yes"},
				want: `{"message":"new version of the template has been stored","template":` + one + `,"version":` + version("v2", "2", "true") + `}}`},
			{name: "that version again", path: p + "/welcome/versions", form: []string{"template", "2", "tag", "v2"}, status: 409, want: msg("version v2 already exists")},
			{name: "get a version", path: p + "/welcome/versions/V2", want: `{"template":` + one + `,"version":` + version("v2", "2", "true") + `}}`},
			{name: "update a version", method: "PUT", path: p + "/welcome/versions/v2", form: []string{"template", "3"}, want: `{"message":"version has been updated","template":{"name":"welcome","version":{"tag":"v2"}}}`},
			{name: "list versions", path: p + "/welcome/versions", want: `{"template":` + one + `,"versions":[{"tag":"v1","engine":"handlebars","mjml":"",` + date + `,"comment":"C","active":false,` + id + `},{"tag":"v2",**"active":true,` + id +
				`}]},"paging":{"first":"` + s.URL + p + "/welcome/versions?limit=100" + `","last":**}}`, not: `"template":"`},
			{name: "copy a version", method: "PUT", path: p + "/welcome/versions/v2/copy/v3?comment=C", want: `{"message":"version has been copied","version":` + version("v3", "3", "false") + `,"template":` + version("v3", "3", "false") + `}`},
			{name: "delete a version", method: "DELETE", path: p + "/welcome/versions/v3", want: `{"message":"version has been deleted","template":{"name":"welcome","version":{"tag":"v3"}}}`},
			{name: "no version", path: p + "/welcome/versions/v3", status: 404, want: msg("template version not found")},
			{name: "copy to nobody", method: "PUT", path: p + "/welcome/copy", json: `{"requests":[{"account_id":"x","name":"y"}]}`, status: 400, want: msg("template has not been copied: account x is not the caller's")},
			{name: "copy nothing", method: "PUT", path: p + "/welcome/copy", json: `{}`, status: 400, want: msg("No fields to update")},
			{name: "rename", method: "PUT", path: p + "/welcome/rename/Hello", want: `{"message":"template has been renamed","template":{"name":"hello"}}`},
			{name: "analyst reads", as: "basic", path: p + "/hello"},
			{name: "analyst does not write", as: "basic", path: p, form: []string{"name", "x"}, status: 401, want: forbidden},
			{name: "support writes", as: "support", path: p, form: []string{"name", "x"}},
			{name: "developer writes", as: "developer", method: "DELETE", path: p + "/x", want: `{"message":"template has been deleted","template":{"name":"x"}}`},
			{name: "sending key", as: "sending", path: p, status: 401, want: forbidden},
			{name: "stranger", as: "nobody", path: p, status: 401, want: forbidden},
			{name: "delete all", method: "DELETE", path: p, want: msg("templates have been deleted")},
			{name: "gone", path: p + "/hello", status: 404, want: msg("template not found")},
		})
	}
	s.run(t, []probe{
		{name: "unknown domain", path: "/v3/elsewhere.example/templates", status: 404, want: msg("domain not found")},
		{name: "of a domain", path: "/v3/example.org/templates", form: []string{"name", "t", "template", "x"}},
		{name: "delete the domain", method: "DELETE", path: "/v3/domains/example.org"},
	})
	s.AddDomain("example.org")
	s.check(t, probe{path: "/v3/example.org/templates/t", status: 404, want: msg("template not found")})
}

// A template is filled and sent by HTTP, as MIME and by SMTP.
func TestScenarioTemplateSend(t *testing.T) {
	s := newStage(t, config.Serve)
	const letters = "/v3/example.com/messages"
	s.check(t, probe{path: "/v3/example.com/templates", form: []string{"name", "order", "tag", "v1", "template", "<p>Hi {{name}}, {{#each items}}<i>{{this}}</i>{{/each}} {{link}}</p>\n",
		"headers", `{"From":"{{shop}} <shop@example.com>","Subject":"{{name}}: %recipient.n% items","Reply-To":"help@example.com"}`}})
	s.check(t, probe{path: "/v3/example.com/templates/order/versions", form: []string{"tag", "v2", "template", "<b>second</b>"}})
	s.check(t, probe{path: "/v4/templates", form: []string{"name", "common", "template", "<p>Hello {{name}}</p>"}})
	vars := `{"name":"Ann & Bob","shop":"The Shop","items":["a","b"],"link":"%recipient.link%"}`

	t.Run("batch", func(t *testing.T) {
		for _, m := range s.receive(t, 2, probe{path: letters, form: []string{"to", "a@HOST, b@HOST", "template", "Order", "t:variables", vars, "t:text", "yes", "v:own", "1",
			"recipient-variables", `{"a@HOST":{"n":1,"link":"LA"},"b@HOST":{"n":2,"link":"LB"}}`}}) {
			n, link := "1", "LA"
			if m.To[0] == "b@HOST" {
				n, link = "2", "LB"
			}
			has(t, head(m.Data), "From: The Shop <shop@example.com>\r\n", "Subject: Ann & Bob: "+n+" items\r\n", "Reply-To: help@example.com\r\n", "To: "+m.To[0]+"\r\n",
				"X-Mailgun-Template-Name: order\r\n", `"name":"Ann & Bob"`, "multipart/alternative")
			has(t, m.Data, "<p>Hi Ann &amp; Bob, <i>a</i><i>b</i> "+link+"</p>", "Hi Ann & Bob, ab "+link+"\r\n")
		}
	})
	t.Run("version, and what the request says", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: letters, parts: []string{"from", "me@example.com", "to", "a@HOST", "subject", "Mine", "text", "plain", "template", "order", "t:version", "V2"}})[0]
		has(t, head(m.Data), "From: me@example.com\r\n", "Subject: Mine\r\n")
		has(t, m.Data, "<b>second</b>", "plain\r\n")
	})
	t.Run("the account's", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: letters, form: []string{"to", "a@HOST", "template", "common", "h:X-Mailgun-Variables", `{"name":"Zoë"}`}})[0]
		has(t, head(m.Data), "From: postmaster@example.com\r\n")
		has(t, m.Data, "<p>Hello Zo")
	})
	t.Run("MIME", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: letters + ".mime", parts: []string{"to", "a@HOST"}, files: []upload{{"message", "m.eml", "message/rfc822",
			"To: a@x.example\r\nX-Mailgun-Template-Name: order\r\nX-Mailgun-Template-Variables: " + vars + "\r\n\r\nold words\r\n"}}})[0]
		has(t, head(m.Data), "From: The Shop <shop@example.com>\r\n", "To: a@x.example\r\n")
		has(t, m.Data, "<p>Hi Ann &amp; Bob, ")
		hasNot(t, m.Data, "old words")
	})
	t.Run("event", func(t *testing.T) {
		got := s.Recorded(func(e *event.Event) bool {
			return e.Doc.Event == event.Accepted && e.Doc.Template != nil && e.Doc.Template.Version == "v1" && e.Doc.Template.IsText
		})
		if len(got) != 2 || got[0].Doc.Template.Name != "order" {
			t.Errorf("%d accepted events of the batch", len(got))
		}
	})
	long := strings.Repeat("{{#each @root.x}}", 8) + strings.Repeat("{{/each}}", 8)
	s.run(t, []probe{
		{name: "a costly one", path: "/v3/example.com/templates", form: []string{"name", "long", "template", long}},
		{name: "unknown template", path: letters, form: []string{"to", "a@example.net", "template", "none"}, status: 400, want: `{"message":"template 'none' was not found"}`},
		{name: "unknown version", path: letters, form: []string{"to", "a@example.net", "template", "order", "t:version", "v9"}, status: 400, want: `{"message":"version 'v9' of template 'order' was not found"}`},
		{name: "too many steps", path: letters, form: []string{"to", "a@example.net", "template", "long", "t:variables", `{"x":[0,1,2,3,4,5,6,7,8,9]}`}, status: 400,
			want: `{"message":"template 'long' could not be rendered: the template takes too many steps, line 1 column **"}`},
		{name: "a line break in a field", path: letters, form: []string{"to", "a@example.net", "template", "order", "t:variables", `{"name":"x\r\nBcc: y@z.example"}`}, status: 400,
			want: `{"message":"Header value must not contain line breaks or NUL: Subject"}`},
		{name: "template and html", path: letters, form: []string{"to", "a@example.net", "template", "order", "html", "x"}, status: 400, want: `{"message":"Only one parameters 'html' or 'template' is allowed"}`},
		{name: "with a domain's key", as: "sending", path: letters, form: []string{"to", "a@example.net", "template", "order"}, want: queued},
	})
}

func TestTemplateBySMTP(t *testing.T) {
	s, user, pass := everyService(t)
	s.Must("POST", "/v3/example.com/templates", apptest.Fields{"name", "order", "template", "<p>Hi {{name}}</p>", "headers", `{"Subject":"For {{name}}"}`})
	k := s.World.Sink(t, "mx.smtp.example.net", apptest.Script{})
	s.World.MX(t, "smtp.example.net", k.Host)
	submit := func(name string) error {
		c := dialMail(t, s.Parts.Mail[0], nil)
		for _, step := range []func() error{func() error { return c.StartTLS(&tls.Config{InsecureSkipVerify: true}) },
			func() error { return c.Auth(smtp.PlainAuth("", user, pass, "127.0.0.1")) },
			func() error { return c.Mail(user) }, func() error { return c.Rcpt("a@smtp.example.net") }} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "From: me@example.com\r\nX-Mailgun-Template-Name: %s\r\nX-Mailgun-Template-Variables: {\"name\": \"Ann\"}\r\n\r\nold words\r\n", name)
		return w.Close()
	}
	if err := submit("order"); err != nil {
		t.Fatal(err)
	}
	m := k.Await(t, 1)[0]
	has(t, head(m.Data), "From: me@example.com\r\n", "Subject: For Ann\r\n", "X-Mailgun-Template-Name: order\r\n")
	has(t, m.Data, "<p>Hi Ann</p>")
	hasNot(t, m.Data, "old words")
	if err := submit("none"); err == nil || !strings.Contains(err.Error(), "template 'none' was not found") {
		t.Errorf("unknown template: %v", err)
	}
}
