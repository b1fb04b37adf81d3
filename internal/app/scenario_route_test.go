package app_test

import (
	"fmt"
	"testing"

	"postroad/internal/config"
)

func TestScenarioRoutes(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v3/routes"
	const expression = `match_recipient(".*@samples.mailgun.org")`
	const escaped = `match_recipient(\".*@samples.mailgun.org\")`
	form := []string{"priority", "1", "description", "Sample route", "expression", expression, "action", `forward("http://127.0.0.1:9/messages/")`, "action", "stop()"}
	const view = `{"actions":["forward(\"http://127.0.0.1:9/messages/\")","stop()"],"created_at":"**, ** ** 20** **:**:** GMT","description":"Sample route","expression":"` + escaped + `","id":"**","priority":1}`
	made := s.check(t, probe{path: at, form: form, want: `{"message":"Route has been created","route":` + view + `}`, header: "Content-Disposition: inline"})
	id := decode[struct{ Route struct{ ID string } }](t, made).Route.ID
	if len(id) != 24 {
		t.Errorf("id %q", id)
	}
	one := at + "/" + id
	flat := func(actions, description string, priority int) string {
		return `{"actions":` + actions + `,"created_at":"** GMT","description":"` + description + `","expression":"` + escaped + `","id":"` + id + `","message":"Route has been updated","priority":` + fmt.Sprint(priority) + `}`
	}
	bad := func(name, expression, action, want string) probe {
		return probe{name: name, path: at, form: []string{"expression", expression, "action", action}, status: 400, want: `{"message":"` + want + `"}`}
	}
	const missing = `{"message":"Route not found"}`
	s.run(t, []probe{
		{name: "get", path: one, want: `{"route":` + view + `}`, header: "Content-Disposition: inline"},
		{name: "list", path: at, want: `{"items":[` + view + `],"total_count":1}`},
		{name: "list a page behind", path: at + "?skip=1&limit=1", want: `{"items":[],"total_count":1}`},
		{name: "limit too large", path: at + "?limit=1001", status: 400, want: `{"message":"The 'limit' parameter can't be larger than 1000"}`},
		{name: "negative skip", path: at + "?skip=-1", status: 400, want: `{"message":"The 'skip' parameter can't be negative"}`},
		{name: "multipart, actions", path: at, parts: []string{"expression", "catch_all()", "actions", "store()", "actions", "stop()"}, want: `{"message":"Route has been created","route":{"actions":["store()","stop()"],**"priority":0}}`},
		{name: "numbered actions", path: at, form: []string{"expression", "catch_all()", "action[0]", "store()", "action[1]", "stop()"}, want: `{"message":"Route has been created","route":{"actions":["store()","stop()"],**}}`},
		{name: "no action", path: at, form: []string{"expression", "catch_all()"}, want: `{"message":"Route has been created","route":{"actions":[],**}}`},
		{name: "no expression", path: at, form: []string{"action", "stop()"}, status: 400, want: `{"message":"Missing mandatory parameter: expression"}`},
		bad("wrong expression", `match_recipient("a"`, "stop()", `Invalid expression: at character 20: expected \")\", found the end`),
		bad("look ahead", `match_recipient("(?=a)")`, "stop()", `Invalid expression: at character 17: invalid regular expression: lookahead (?=... is not supported`),
		bad("wrong action", `catch_all()`, "drop()", `Invalid action drop(): at character 1: expected forward, store or stop, found \"drop\"`),
		bad("host from a group", `match_recipient("(.*)@")`, `forward("http://\1/")`, `Invalid action **a group cannot be part of the host of a URL`),
		bad("URL", `catch_all()`, `forward("http://")`, `Invalid action **http:// is not a valid url: missing host`),
		{name: "priority is a number", path: at, form: []string{"expression", "catch_all()", "priority", "high"}, status: 400, want: `{"message":"'priority' parameter is invalid: must be an integer"}`},

		{name: "match", path: at + "/match?address=jane@samples.mailgun.org", want: `{"route":{**"catch_all()"**}}`},
		{name: "match nothing given", path: at + "/match", status: 400, want: `{"message":"Missing mandatory parameter: address"}`},
		{name: "update", method: "PUT", path: one, form: []string{"priority", "-4", "description", ""}, want: flat(`["forward(\"http://127.0.0.1:9/messages/\")","stop()"]`, "", -4), header: "Content-Disposition: inline"},
		{name: "match by priority", path: at + "/match?address=jane@samples.mailgun.org", want: `{"route":{**"id":"` + id + `","priority":-4}}`},
		{name: "replace actions", method: "PUT", path: one, parts: []string{"id", id, "action", "store()"}, want: flat(`["store()"]`, "", -4)},
		{name: "update to nonsense", method: "PUT", path: one, form: []string{"expression", "nonsense"}, status: 400, want: `{"message":"Invalid expression: **"}`},
		{name: "update unknown", method: "PUT", path: at + "/000000000000000000000000", form: form, status: 404, want: missing},

		{name: "analyst reads", as: "basic", path: at},
		{name: "support reads one", as: "support", path: one},
		{name: "support matches", as: "support", path: at + "/match?address=a@b.example"},
		{name: "analyst does not create", as: "basic", path: at, form: form, status: 401, want: forbidden},
		{name: "support does not update", as: "support", method: "PUT", path: one, form: form, status: 401, want: forbidden},
		{name: "support does not delete", as: "support", method: "DELETE", path: one, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: at, status: 401, want: forbidden},
		{name: "sending key matches", as: "sending", path: at + "/match?address=a@b.example", status: 401, want: forbidden},
		{name: "developer updates", as: "developer", method: "PUT", path: one, form: []string{"priority", "1"}},

		{name: "delete", method: "DELETE", path: one, want: `{"id":"` + id + `","message":"Route has been deleted"}`},
		{name: "delete again", method: "DELETE", path: one, status: 404, want: missing},
		{name: "get it", path: one, status: 404, want: missing},
	})
}

func TestScenarioRouteMatchNothing(t *testing.T) {
	s := newStage(t, config.Serve, "--max-routes", "1", "--allow-private-urls=false")
	s.run(t, []probe{
		{name: "private URL", path: "/v3/routes", form: []string{"expression", "catch_all()", "action", `store(notify="http://127.0.0.1:9/")`}, status: 400, want: `{"message":"http://127.0.0.1:9/ is not a valid url: **"}`},
		{name: "the only one", path: "/v3/routes", form: []string{"expression", `match_recipient("a@example.com$")`}},
		{name: "one more", path: "/v3/routes", form: []string{"expression", "catch_all()"}, status: 400, want: `{"message":"Routes quota (1) is exceeded for a free plan"}`},
		{name: "no match", path: "/v3/routes/match?address=b@example.com", status: 404, want: `{"message":"Route not found"}`},
		{name: "no match, but almost", path: "/v3/routes/match?address=a@example.com.example", status: 404},
		{name: "match", path: "/v3/routes/match?address=A@EXAMPLE.com", want: `{"route":{**}}`},
	})
}

// The tester says what would happen and why not.
func TestScenarioRouteTest(t *testing.T) {
	s := newStage(t, config.Serve)
	for i, r := range [][2]string{
		{`match_recipient("(.*)@example.com") and match_header("subject", "(?i).*help")`, `forward("http://127.0.0.1:9/\1, desk@example.org")`},
		{`match_recipient("x@")`, "store()"},
		{`match_header("subject", "Help")`, "stop()"},
		{`catch_all()`, "store()"},
	} {
		s.check(t, probe{path: "/v3/routes", form: []string{"priority", fmt.Sprint(i), "expression", r[0], "action", r[1]}})
	}
	const at = "/v1/postroad/routes/test"
	route := func(matches, rest string) string {
		return `{"id":"**","priority":**,**"matches":` + matches + `,` + rest + `}`
	}
	s.run(t, []probe{
		{name: "match and stop", as: "basic", path: at, json: `{"recipient":"jane@example.com","header":["Subject: Help me"]}`, want: `{"recipient":"jane@example.com","accepted":true,"routes":[` +
			route("true", `"actions":[{"action":"forward","destination":"http://127.0.0.1:9/jane"},{"action":"forward","destination":"desk@example.org"}]`) + "," +
			route("false", `"reason":"match_recipient(\"x@\") does not match jane@example.com","actions":[]`) + "," +
			route("true", `"actions":[{"action":"stop"}]`) + "," +
			route("false", `"reason":"not looked at: route ** before it matched and has stop()","actions":[]`) + "]}"},
		{name: "catch all", path: at, form: []string{"recipient", "jane@example.com"}, want: `{"recipient":"jane@example.com","accepted":true,"routes":[` +
			route("false", `"reason":"match_header(\"subject\", \"(?i).*help\"): there is no such field","actions":[]`) + `,**` +
			route("true", `"actions":[{"action":"store"}]`) + "]}"},
		{name: "no address", path: at, form: []string{"recipient", "jane"}, status: 400, want: `{"message":"recipient is not a valid address: **"}`},
		{name: "no recipient", path: at, form: []string{"header", "a: b"}, status: 400, want: `{"message":"Missing mandatory parameter: recipient"}`},
		{name: "no field", path: at, form: []string{"recipient", "a@b.example", "header", "Subject"}, status: 400, want: `{"message":"header \"Subject\" is not of the form \"Name: value\""}`},
		{name: "sending key", as: "sending", path: at, form: []string{"recipient", "a@b.example"}, status: 401, want: forbidden},
	})
}
