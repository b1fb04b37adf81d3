package app_test

import (
	"strings"
	"testing"

	"postroad/internal/config"
)

func replace(s string, oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(s) }

func TestScenarioKeys(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v1/keys"
	const view = `{"id":"**","description":"d","kind":"domain","role":"sending","created_at":"20**-**-**T**:**:**","updated_at":"**","expires_at":"**","is_disabled":false,"domain_name":"example.com","requestor":null,"user_name":null`
	made := s.check(t, probe{path: at, form: []string{"role", "sending", "kind", "domain", "domain_name", "example.com", "description", "d", "expiration", "3600"},
		want: `{"message":"great success","key":` + view + `,"secret":"**"}}`})
	id := decode[struct{ Key struct{ ID string } }](t, made).Key.ID
	s.run(t, []probe{
		{name: "list", path: at + "?kind=domain", want: `{"total_count":2,"items":[**` + view + `}**]}`, not: "secret"},
		{name: "unknown kind", path: at + "?kind=x", status: 400, want: "{\"message\":\"expected `kind` param to be one of [domain user web] or absent\"}"},
		{name: "unknown role", path: at, form: []string{"role", "king"}, status: 400, want: "{\"message\":\"expected `role` param to be one of [**]\"}"},
		{name: "key for nobody's domain", path: at, form: []string{"role", "sending", "kind", "domain", "domain_name", "elsewhere.example"}, status: 404},
		{name: "developer reads", as: "developer", path: at},
		{name: "developer does not write", as: "developer", path: at, form: []string{"role", "admin"}, status: 401, want: forbidden},
		{name: "analyst", as: "basic", path: at, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: at, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: at + "/" + id, want: `{"message":"key deleted"}`},
		{name: "delete again", method: "DELETE", path: at + "/" + id, status: 404, want: `{"message":"no key matching id"}`},
		{name: "public key", method: "POST", path: at + "/public", want: `{"key":"pubkey-**","message":"The public API key has been successfully regenerated."}`},
		{name: "signing key", path: "/v5/accounts/http_signing_key", want: `{"http_signing_key":"**"}`},
		{name: "signing key for analysts", as: "basic", path: "/v5/accounts/http_signing_key", status: 401, want: forbidden},
		{name: "new signing key", method: "POST", path: "/v5/accounts/http_signing_key", want: `{"message":"regenerated HTTP signing key for account","http_signing_key":"**"}`},
	})
}

// The published table of roles, one line per group of endpoints: the answer is
// 401 where the role has no right, and something else where it has.
func TestScenarioRoles(t *testing.T) {
	s := newStage(t, config.Serve)
	const d, v3 = "/v3/domains/example.com", "/v3/example.com"
	for _, c := range []struct{ method, path, may string }{
		{"GET", "/v4/domains", "basic developer support"},
		{"POST", "/v4/domains", "developer"},
		{"PUT", d, "developer"},
		{"GET", d + "/tracking", "basic developer support"},
		{"PUT", d + "/tracking/open", "developer"},
		{"POST", v3 + "/messages", "developer sending"},
		{"POST", v3 + "/messages.mime", "developer sending"},
		{"POST", "/v3/example.org/messages", "developer"},
		{"GET", d + "/messages/x", "basic developer support"},
		{"POST", d + "/messages/x", "developer"},
		{"DELETE", d + "/messages/x", "developer"},
		{"DELETE", v3 + "/envelopes", "developer"},
		{"GET", v3 + "/events", "basic developer support"},
		{"POST", "/v1/analytics/logs", "basic developer support"},
		{"GET", v3 + "/bounces", "developer support"},
		{"POST", v3 + "/bounces", "developer support"},
		{"GET", v3 + "/complaints", "developer support"},
		{"GET", v3 + "/unsubscribes", "developer support"},
		{"GET", v3 + "/whitelists", "basic developer support"},
		{"DELETE", v3 + "/whitelists/x", "developer support"},
		{"GET", "/v3/lists", "basic developer support"},
		{"POST", "/v3/lists", "developer support"},
		{"GET", "/v3/lists/pages", "basic developer support"},
		{"GET", devs, "basic developer support"},
		{"PUT", devs, "developer support"},
		{"DELETE", devs, "developer support"},
		{"GET", devs + "/members", "basic developer support"},
		{"GET", devs + "/members/pages", "basic developer support"},
		{"POST", devs + "/members", "developer support"},
		{"POST", devs + "/members.json", "developer support"},
		{"POST", devs + "/members.csv", "developer support"},
		{"GET", devs + "/members/x@y.z", "basic developer support"},
		{"PUT", devs + "/members/x@y.z", "developer support"},
		{"DELETE", devs + "/members/x@y.z", "developer support"},
		{"GET", d + "/credentials", "developer"},
		{"POST", d + "/credentials", ""},
		{"GET", "/v1/keys", "developer"},
		{"POST", "/v1/keys", ""},
		{"GET", d + "/webhooks", "basic developer support"},
		{"POST", d + "/webhooks", "developer"},
		{"GET", "/v1/webhooks", "basic developer support"},
		{"POST", "/v1/dkim/keys", "developer"},
		{"GET", "/v3/routes", "basic developer support"},
		{"GET", "/v3/routes/x", "basic developer support"},
		{"GET", "/v3/routes/match", "basic developer support"},
		{"POST", "/v3/routes", "developer"},
		{"PUT", "/v3/routes/x", "developer"},
		{"DELETE", "/v3/routes/x", "developer"},
		{"POST", "/v1/postroad/routes/test", "basic developer support"},
		{"GET", "/v1/postroad/messages", "basic developer support"},
		{"POST", "/v1/postroad/webhook-calls/x/replay", "developer"},
	} {
		for _, role := range []string{"", "basic", "developer", "support", "sending", "nobody"} {
			res, body := s.ask(t, probe{as: role, method: c.method, path: c.path})
			may := role == "" || strings.Contains(c.may, role) && role != "nobody"
			if (res.StatusCode != 401) != may {
				t.Errorf("%s %s as %q: %d %.80s", c.method, c.path, role, res.StatusCode, body)
			}
		}
	}
}
