package template_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/template"
	"postroad/internal/edge/httpapi"
	"postroad/internal/mail/handlebars"
)

// keys maps API keys to roles. The key other is an administrator of another
// account.
type keys struct{}

func (keys) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	c := &account.Caller{AccountID: "acc", Role: password}
	if password == "other" {
		c = &account.Caller{AccountID: "other", Role: account.Admin}
	}
	return account.With(ctx, c), httpapi.Caller{AccountID: c.AccountID}, nil
}

func (keys) Authorize(ctx context.Context, o op.Op, domain string) error {
	return account.Authorize(account.From(ctx), o.Group, o.Access, domain)
}

// owned is the domains of the account acc.
type owned struct{}

func (owned) Owned(_ context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	if at := slices.Index([]string{"example.com", "example.org"}, name); c.AccountID == "acc" && at >= 0 {
		return &domain.Domain{ID: int64(1 + at), Name: name, AccountID: "acc"}, nil
	}
	return nil, errs.New(errs.NotFound, "Domain not found")
}

type api struct {
	t *testing.T
	h http.Handler
	s *template.Service
	d *db.DB
	c *clock.Fake
}

var start = time.Date(2023, 10, 15, 15, 33, 22, 0, time.UTC)

const (
	host = "http://api.example.net"
	now  = "Sun, 15 Oct 2023 15:33:22 UTC"
)

func each(t *testing.T, fn func(a *api)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now()))
		s := template.New(d, ids.NewSource(c))
		ops := s.Ops(owned{})
		if err := httpapi.CheckOps(ops); err != nil {
			t.Fatal(err)
		}
		h, err := httpapi.New(httpapi.Config{Ops: ops, Auth: keys{}, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		fn(&api{t, h, s, d, c})
	})
}

var uuid = regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

// call sends pairs of a form, or a body of JSON if there is one text only, and
// returns the answer with U for ids.
func (a *api) call(key, method, target string, pairs ...string) (int, string) {
	a.t.Helper()
	body, ctype := "", ""
	if len(pairs) == 1 {
		body, ctype = pairs[0], "application/json"
	} else if len(pairs) > 1 {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		body, ctype = v.Encode(), "application/x-www-form-urlencoded"
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "api.example.net"
	r.Header.Set("Content-Type", ctype)
	r.SetBasicAuth("api", key)
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, r)
	return w.Code, uuid.ReplaceAllString(strings.TrimSuffix(w.Body.String(), "\n"), `"id":"U"`)
}

// want checks an answer to an administrator to the byte.
func (a *api) want(status int, answer, method, target string, pairs ...string) {
	a.t.Helper()
	code, body := a.call(account.Admin, method, target, pairs...)
	if code != status || body != answer {
		a.t.Errorf("%s %s %.100q\n got %d %s\nwant %d %s", method, target, pairs, code, body, status, answer)
	}
}

func msg(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return `{"message":` + strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b)) + `}`
}

func versionJSON(tag, content, comment string, active bool, headers string) string {
	return fmt.Sprintf(`{"tag":%q,"template":%q,"engine":"handlebars","mjml":"","createdAt":%q,"comment":%q,"active":%v,"id":"U","headers":%s}`, tag, content, now, comment, active, headers)
}

func templateJSON(name, description, by, version string) string {
	if version != "" {
		version = `,"version":` + version
	}
	return fmt.Sprintf(`{"name":%q,"description":%q,"createdAt":%q,"createdBy":%q,"id":"U"%s}`, name, description, now, by, version)
}

// The domain's and the account's templates are the same but for their address.
func bothScopes(a *api, fn func(p string)) {
	fn("/v3/example.com/templates")
	fn("/v4/templates")
}

func TestTemplates(t *testing.T) {
	each(t, func(a *api) {
		bothScopes(a, func(p string) {
			u := host + p
			a.want(200, fmt.Sprintf(`{"items":[],"paging":{"first":"%[1]s?limit=100","last":"%[1]s?page=last&limit=100","next":"%[1]s?limit=100","previous":"%[1]s?limit=100"}}`, u), "GET", p)
			a.want(200, `{"message":"template has been stored","template":`+templateJSON("plain", "D", "", "")+`}`, "POST", p, "name", " Plain ", "description", "D")
			full := versionJSON("v1", "Hi {{name}}", "C", true, `{"From":"a@b.c","Subject":"For {{name}}"}`)
			a.want(200, `{"message":"template has been stored","template":`+templateJSON("my name", "", "Me", full)+`}`, "POST", p,
				"name", "My Name", "createdBy", "Me", "template", "Hi {{name}}", "tag", "V1", "comment", "C", "engine", "Handlebars", "headers", `{"subject":"For {{name}}","From":"a@b.c","Reply-To":""}`)
			a.want(200, `{"message":"template has been stored","template":`+templateJSON("z", "", "", versionJSON("initial", "x", "", true, "{}"))+`}`, "POST", p, "name", "z", "template", "x")
			a.want(200, `{"template":`+templateJSON("my name", "", "Me", "")+`}`, "GET", p+"/MY%20name")
			a.want(200, `{"template":`+templateJSON("my name", "", "Me", full)+`}`, "GET", p+"/my%20name?active=yes")
			a.want(200, `{"template":`+templateJSON("plain", "D", "", "")+`}`, "GET", p+"/plain?active=yes")
			a.want(200, fmt.Sprintf(`{"items":[%s,%s],"paging":{"first":"%[3]s?limit=2","last":"%[3]s?page=last&limit=2","next":"%[3]s?page=next&p=plain&limit=2","previous":"%[3]s?page=previous&p=my+name&limit=2"}}`,
				templateJSON("my name", "", "Me", ""), templateJSON("plain", "D", "", ""), u), "GET", p+"?limit=2")

			a.want(200, `{"message":"template has been updated","template":{"name":"plain"}}`, "PUT", p+"/Plain", "name", "Plain", "description", "E")
			a.want(200, `{"template":`+templateJSON("plain", "E", "", "")+`}`, "GET", p+"/plain")
			a.want(400, msg("No fields to update"), "PUT", p+"/plain", "name", "x")

			a.want(200, `{"message":"template has been renamed","template":{"name":"new name"}}`, "PUT", p+"/plain/rename/New%20Name")
			a.want(404, msg("template not found"), "GET", p+"/plain")
			a.want(409, msg("template z already exists"), "PUT", p+"/new%20name/rename/Z")
			a.want(200, `{"message":"template has been renamed","template":{"name":"new name"}}`, "PUT", p+"/new%20name/rename/NEW%20NAME")

			a.want(200, `{"message":"template has been deleted","template":{"name":"z"}}`, "DELETE", p+"/Z")
			a.want(404, msg("template not found"), "DELETE", p+"/z")
			a.want(404, msg("template not found"), "PUT", p+"/z", "description", "x")
			a.want(404, msg("template not found"), "PUT", p+"/z/rename/y")
			a.want(200, msg("templates have been deleted"), "DELETE", p)
			a.want(404, msg("template not found"), "GET", p+"/my%20name")
		})
		a.want(404, msg("domain not found"), "GET", "/v3/example.net/templates")
		a.want(404, msg("domain not found"), "POST", "/v3/example.net/templates", "name", "x")
	})
}

func TestTemplateRefusals(t *testing.T) {
	each(t, func(a *api) {
		const p = "/v3/example.com/templates"
		a.want(400, msg("Missing mandatory parameter: name"), "POST", p, "description", "x")
		a.want(400, msg("Missing mandatory parameter: name"), "POST", p, "name", " ")
		a.want(400, msg("Invalid parameter: name is invalid: neither / nor control characters are allowed"), "POST", p, "name", "a/b")
		a.want(400, msg("Invalid parameter: name is invalid: neither / nor control characters are allowed"), "POST", p, "name", "a\r\nb")
		a.want(400, msg("Invalid parameter: name is longer than 255 characters"), "POST", p, "name", strings.Repeat("ä", 256))
		a.want(400, msg("Invalid parameter: engine go is not supported"), "POST", p, "name", "x", "engine", "go")
		a.want(400, msg("'template' parameter is invalid: {{/if}} closes nothing, line 2 column 3"), "POST", p, "name", "x", "template", "a\nb {{/if}}")
		a.want(400, msg("'template' parameter is invalid: must be at most 102400 bytes long"), "POST", p, "name", "x", "template", strings.Repeat("x", template.MaxContent+1))
		a.want(400, msg("'headers' parameter is invalid: must be a JSON object of texts"), "POST", p, "name", "x", "template", "x", "headers", "[]")
		a.want(400, msg(`'headers' parameter is invalid: "Bcc" is not one of From, Subject, Reply-To`), "POST", p, "name", "x", "template", "x", "headers", `{"Bcc":"a@b.c"}`)
		a.want(400, msg("'headers' parameter is invalid: Subject: {{#if x}} of line 1 column 1 is not closed: expected {{/if}}, line 1 column 10"), "POST", p, "name", "x", "template", "x", "headers", `{"Subject":"{{#if x}}"}`)
		a.want(400, msg("'headers' parameter is invalid: From must be one line of at most 998 bytes"), "POST", p, "name", "x", "template", "x", "headers", `{"From":"a\r\nb"}`)
		a.want(404, msg("template not found"), "GET", p+"/x") // nothing of these was stored

		a.want(200, `{"message":"template has been stored","template":`+templateJSON("x", "", "", "")+`}`, "POST", p, "name", "x")
		a.want(400, msg("duplicate template: 'x' already exists"), "POST", p, "name", "X")
		for i := range template.MaxTemplates - 1 {
			a.call(account.Admin, "POST", p, "name", fmt.Sprint(i))
		}
		a.want(400, msg("Too many templates, max is 100"), "POST", p, "name", "one more")
		if code, body := a.call(account.Admin, "POST", "/v3/example.org/templates", "name", "x"); code != 200 {
			t.Errorf("the limit of another domain: %d %s", code, body)
		}
		large := strings.Repeat("x", template.MaxContent)
		if code, body := a.call(account.Admin, "POST", p+"/x/versions", "tag", "l", "template", large); code != 200 || !strings.Contains(body, large) {
			t.Errorf("100 KB: %d %.200s", code, body)
		}
		for i := range template.MaxVersions - 1 {
			a.call(account.Admin, "POST", p+"/x/versions", "tag", fmt.Sprint(i), "template", "x")
		}
		a.want(400, msg("Too many versions, max is 40"), "POST", p+"/x/versions", "tag", "one more", "template", "x")
	})
}

func TestVersions(t *testing.T) {
	each(t, func(a *api) {
		bothScopes(a, func(p string) {
			a.call(account.Admin, "POST", p, "name", "t", "description", "D")
			v := p + "/t/versions"
			stored := func(version string) string {
				return `{"message":"new version of the template has been stored","template":` + templateJSON("t", "D", "", version) + `}`
			}
			one := versionJSON("v1", "1", "", true, "{}")
			a.want(200, stored(one), "POST", v, "tag", "V1", "template", "1")
			a.want(200, stored(versionJSON("v 2", "2", "C", false, `{"Subject":"S"}`)), "POST", v, "tag", "v 2", "template", "2", "comment", "C", "headers", `{"Subject":"S"}`, "active", "no")
			a.want(200, stored(versionJSON("v3", "3", "", true, "{}")), "POST", v, "tag", "v3", "template", "3", "active", "yes")
			a.want(409, msg("version v1 already exists"), "POST", v, "tag", "V1", "template", "x")
			a.want(400, msg("Missing mandatory parameter: template"), "POST", v, "tag", "x")
			a.want(400, msg("Missing mandatory parameter: tag"), "POST", v, "template", "x")
			a.want(400, msg("Invalid parameter: engine go is not supported"), "POST", v, "template", "x", "tag", "x", "engine", "go")
			a.want(404, msg("template not found"), "POST", p+"/u/versions", "tag", "x", "template", "x")
			a.want(200, `{"template":`+templateJSON("t", "D", "", strings.Replace(one, "true", "false", 1))+`}`, "GET", v+"/V1")

			outline := func(tag, comment string, active bool) string {
				return fmt.Sprintf(`{"tag":%q,"engine":"handlebars","mjml":"","createdAt":%q,"comment":%q,"active":%v,"id":"U"}`, tag, now, comment, active)
			}
			page := func(query, first, last string, versions ...string) string {
				u := host + v
				return fmt.Sprintf(`{"template":{"name":"t","description":"D","createdAt":%q,"createdBy":"","id":"U","versions":[%s]},"paging":{"first":"%[3]s?%[4]s","last":"%[3]s?page=last&%[4]s","next":"%[3]s?page=next&p=%[5]s&%[4]s","previous":"%[3]s?page=previous&p=%[6]s&%[4]s"}}`,
					now, strings.Join(versions, ","), u, query, last, first)
			}
			all := []string{outline("v 2", "C", false), outline("v1", "", false), outline("v3", "", true)}
			a.want(200, page("limit=100", "v+2", "v3", all...), "GET", v)
			a.want(200, page("limit=2", "v+2", "v1", all[:2]...), "GET", v+"?limit=2")
			a.want(200, page("limit=2", "v3", "v3", all[2]), "GET", v+"?page=next&p=v1&limit=2")
			a.want(200, page("limit=1", "v1", "v1", all[1]), "GET", v+"?page=previous&p=V3&limit=1")
			a.want(200, page("limit=2", "v1", "v3", all[1:]...), "GET", v+"?page=last&limit=2")
			a.want(200, page("limit=100", "v+2", "v+2", all[0]), "GET", v+"?page=prev&p=v1&limit=1000")

			updated := `{"message":"version has been updated","template":{"name":"t","version":{"tag":"v1"}}}`
			a.want(200, updated, "PUT", v+"/V1", "template", "{{x}}", "comment", "N", "headers", `{"Reply-To":"r@b.c"}`)
			a.want(200, `{"template":`+templateJSON("t", "D", "", versionJSON("v1", "{{x}}", "N", false, `{"Reply-To":"r@b.c"}`))+`}`, "GET", v+"/v1")
			a.want(200, updated, "PUT", v+"/v1", "active", "yes")
			a.want(200, `{"template":`+templateJSON("t", "D", "", versionJSON("v3", "3", "", false, `{}`))+`}`, "GET", v+"/v3")
			a.want(200, updated, "PUT", v+"/v1", `{"comment":"J","headers":{"From":"f@b.c"}}`)
			a.want(200, `{"template":`+templateJSON("t", "D", "", versionJSON("v1", "{{x}}", "J", true, `{"From":"f@b.c"}`))+`}`, "GET", v+"/v1")
			a.want(400, msg("No fields to update"), "PUT", v+"/v1", "x", "y")
			a.want(400, msg("'template' parameter is invalid: {{else}} is in no block, line 1 column 1"), "PUT", v+"/v1", "template", "{{else}}")
			a.want(404, msg("template version not found"), "PUT", v+"/v9", "comment", "x")
			a.want(404, msg("template not found"), "PUT", p+"/u/versions/v1", "comment", "x")

			a.want(200, `{"message":"version has been deleted","template":{"name":"t","version":{"tag":"v3"}}}`, "DELETE", v+"/V3")
			a.want(404, msg("template version not found"), "DELETE", v+"/v3")
			a.want(404, msg("template version not found"), "GET", v+"/v3")
			a.want(404, msg("template not found"), "GET", p+"/u/versions")
		})
	})
}

func TestCopyVersion(t *testing.T) {
	each(t, func(a *api) {
		bothScopes(a, func(p string) {
			a.call(account.Admin, "POST", p, "name", "t", "template", "1", "tag", "v1", "comment", "C", "headers", `{"Subject":"S"}`)
			a.call(account.Admin, "POST", p+"/t/versions", "tag", "v2", "template", "2", "active", "yes")
			v := p + "/t/versions/v1/copy/"
			copied := func(version string) string {
				return `{"message":"version has been copied","version":` + version + `,"template":` + version + `}`
			}
			a.want(200, copied(versionJSON("v3", "1", "N", false, `{"Subject":"S"}`)), "PUT", v+"V3?comment=N")
			a.want(200, copied(versionJSON("v4", "1", "C", false, `{"Subject":"S"}`)), "PUT", v+"v4")
			a.want(404, msg("template version not found"), "PUT", p+"/t/versions/v9/copy/v5")
			a.want(404, msg("template not found"), "PUT", p+"/u/versions/v1/copy/v5")
			if strings.HasPrefix(p, "/v4") {
				a.want(409, msg("version v2 already exists"), "PUT", v+"v2")
				return
			}
			a.want(200, copied(versionJSON("v2", "1", "C", true, `{"Subject":"S"}`)), "PUT", v+"v2")
			a.want(200, copied(versionJSON("v1", "1", "C", false, `{"Subject":"S"}`)), "PUT", v+"v1")
		})
	})
}

func TestCopyTemplate(t *testing.T) {
	each(t, func(a *api) {
		const p = "/v3/example.com/templates"
		a.call(account.Admin, "POST", p, "name", "t", "description", "D", "createdBy", "B", "template", "1", "tag", "v1")
		a.call(account.Admin, "POST", p+"/t/versions", "tag", "v2", "template", "2", "active", "yes")
		a.want(200, `{"message":"template has been copied","failed_copies":[]}`, "PUT", p+"/T/copy",
			`{"requests":[{"account_id":"acc","name":"Copy"},{"account_id":"acc","name":"t","domain":"example.org"}]}`)
		two := versionJSON("v2", "2", "", true, "{}")
		a.want(200, `{"template":`+templateJSON("copy", "D", "B", two)+`}`, "GET", "/v4/templates/copy?active=yes")
		a.want(200, `{"template":`+templateJSON("t", "D", "B", versionJSON("v1", "1", "", false, "{}"))+`}`, "GET", "/v3/example.org/templates/t/versions/v1")
		a.want(200, `{"message":"template has been copied","failed_copies":[{"account_id":"foreign","name":"x"},{"account_id":"acc","name":"y","domain":"example.net"},{"account_id":"acc","name":"a/b"},{"account_id":"acc","name":"copy"}],"error":"account foreign is not the caller's"}`,
			"PUT", p+"/t/copy", `{"requests":[{"account_id":"acc","name":"copy"},{"account_id":"foreign","name":"x"},{"account_id":"acc","name":"y","domain":"example.net"},{"account_id":"acc","name":"a/b"},{"account_id":"acc","name":"only","domain":"example.com"}],"source_versions":["V1"]}`)
		a.want(200, `{"template":`+templateJSON("only", "D", "B", versionJSON("v1", "1", "", true, "{}"))+`}`, "GET", p+"/only?active=yes")
		a.want(404, msg("template version not found"), "GET", p+"/only/versions/v2")
		a.want(400, msg("template has not been copied: duplicate template: 'copy' already exists"), "PUT", "/v4/templates/copy/copy", `{"requests":[{"account_id":"acc","name":"copy"}]}`)
		a.want(400, msg("No fields to update"), "PUT", p+"/t/copy", `{}`)
		a.want(404, msg("template not found"), "PUT", p+"/u/copy", `{"requests":[{"account_id":"acc","name":"c"}]}`)
		a.want(404, msg("template version not found"), "PUT", p+"/t/copy", `{"requests":[{"account_id":"acc","name":"c"}],"source_versions":["v9"]}`)
	})
}

func TestRoles(t *testing.T) {
	each(t, func(a *api) {
		bothScopes(a, func(p string) {
			a.call(account.Admin, "POST", p, "name", "t", "template", "x", "tag", "v")
			for role, want := range map[string][2]int{account.Developer: {200, 200}, account.Support: {200, 200}, account.Basic: {200, 401}, account.Sending: {401, 401}, "": {401, 401}} {
				for i, method := range []string{"GET", "PUT"} {
					if code, body := a.call(role, method, p+"/t/versions/v", "comment", role); code != want[i] {
						a.t.Errorf("%s %s by %q: %d %s", method, p, role, code, body)
					}
				}
			}
		})
		if code, body := a.call("other", "GET", "/v4/templates/t"); code != 404 {
			t.Errorf("another account's template: %d %s", code, body)
		}
		if code, body := a.call("other", "DELETE", "/v4/templates"); code != 200 {
			t.Errorf("%d %s", code, body)
		}
		a.want(200, `{"template":`+templateJSON("t", "", "", "")+`}`, "GET", "/v4/templates/t")
	})
}

func (a *api) find(domainID int64, name, tag string) (string, error) {
	v, err := a.s.Find(context.Background(), &domain.Domain{ID: domainID, AccountID: "acc"}, name, tag)
	if err != nil {
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Invalid {
			a.t.Errorf("%s %s: %v", name, tag, err)
		}
		return "", err
	}
	data, err := handlebars.JSON([]byte(`{"x":"X"}`))
	if err != nil {
		return "", err
	}
	out := v.Name + " " + v.Tag
	for _, part := range []*handlebars.Template{v.Content, v.From, v.Subject, v.ReplyTo} {
		b := []byte("-")
		if part != nil {
			if b, err = part.Render(nil, data, handlebars.Options{}); err != nil {
				return "", err
			}
		}
		out += "|" + string(b)
	}
	return out, nil
}

func TestFind(t *testing.T) {
	each(t, func(a *api) {
		want := func(domainID int64, name, tag, want string) {
			t.Helper()
			got, err := a.find(domainID, name, tag)
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%d %s %s: %q, want %q", domainID, name, tag, got, want)
			}
		}
		const p = "/v3/example.com/templates"
		want(1, "T", "", "template 't' was not found")
		a.call(account.Admin, "POST", "/v4/templates", "name", "t", "template", "account {{x}}")
		want(1, "T", "", "t initial|account X|-|-|-")
		a.call(account.Admin, "POST", p, "name", "t")
		want(1, "t", "", "template 't' has no active version")
		a.call(account.Admin, "POST", p+"/t/versions", "tag", "v1", "template", "1{{x}}", "headers", `{"From":"{{x}} <a@b.c>","Subject":"S{{x}}","Reply-To":"r@b.c"}`)
		want(1, "t", "", "t v1|1X|X <a@b.c>|SX|r@b.c")
		want(2, "t", "", "t initial|account X|-|-|-")
		a.call(account.Admin, "POST", p+"/t/versions", "tag", "v2", "template", "2")
		want(1, "t", "", "t v1|1X|X <a@b.c>|SX|r@b.c")
		want(1, "t", "V2", "t v2|2|-|-|-")
		want(1, "t", "initial", "version 'initial' of template 't' was not found")
		a.call(account.Admin, "PUT", p+"/t/versions/v2", "active", "yes")
		want(1, "t", "", "t v2|2|-|-|-")
		a.call(account.Admin, "PUT", p+"/t/versions/v2", "template", "3")
		want(1, "t", "", "t v2|3|-|-|-")

		// Another node's change is seen after a few seconds.
		err := a.d.Write(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec("UPDATE template_version SET content = '4' WHERE content = '3'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want(1, "t", "", "t v2|3|-|-|-")
		a.c.Advance(6 * time.Second)
		want(1, "t", "", "t v2|4|-|-|-")

		err = a.d.Write(context.Background(), func(tx *db.Tx) error {
			return a.s.DeleteDomain(tx, &domain.Domain{ID: 1, AccountID: "acc"})
		})
		if err != nil {
			t.Fatal(err)
		}
		want(1, "t", "", "t initial|account X|-|-|-")
		a.want(404, msg("template not found"), "GET", p+"/t")
		a.want(404, msg("template version not found"), "GET", "/v4/templates/t/versions/v1")
	})
}

func BenchmarkFindAndRender10K(b *testing.B) {
	c := clock.NewFake(start)
	d := coretest.SQLite(b, c)
	s := template.New(d, ids.NewSource(c))
	h, err := httpapi.New(httpapi.Config{Ops: s.Ops(owned{}), Auth: keys{}, Now: c.Now})
	if err != nil {
		b.Fatal(err)
	}
	row := `<tr style="background:#ffffff;padding:10px 20px"><td>{{customer.name}}</td><td style="color:#222222">{{#if paid}}paid{{else}}open{{/if}} since {{date}}: a sentence about it.</td></tr>` + "\n"
	content := strings.Repeat(row, 1+10_000/len(row)) + "{{#each items}}<li>{{name}}: {{price}}</li>{{/each}}"
	form := url.Values{"name": {"t"}, "template": {content}}.Encode()
	r := httptest.NewRequest("POST", "/v4/templates", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("api", account.Admin)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 200 {
		b.Fatal(w.Body)
	}
	vars := []byte(`{"customer":{"name":"O'Neill"},"date":"2026-11-20","paid":true,"items":[{"name":"a","price":1},{"name":"b","price":2},{"name":"c","price":3}]}`)
	dom := &domain.Domain{ID: 1, AccountID: "acc"}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		v, err := s.Find(context.Background(), dom, "T", "")
		if err != nil {
			b.Fatal(err)
		}
		data, err := handlebars.JSON(vars)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Content.Render(nil, data, handlebars.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
