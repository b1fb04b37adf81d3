package app_test

import (
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/base/db"
	"postroad/internal/config"
)

const noTag = `{"message":"Tag not found"}`

func TestScenarioTags(t *testing.T) {
	s := newStage(t, config.Serve)
	s.seed("a@example.net", "o:tag", "September newsletter", "o:tag", "ads")
	s.seed("b@example.net", "o:tag", "ADS")
	s.seed("c@example.net")
	const path, old, when = "/v3/example.com/tags", "/v3/example.com/tag", `20**-**-**T**:**:**.**Z`
	item := func(tag, description string) string {
		return `{"tag":"` + tag + `","description":"` + description + `","first-seen":"` + when + `","last-seen":"` + when + `"}`
	}
	link := s.URL + path + "?limit=1&page="
	msg := func(s string) string { return `{"message":"` + s + `"}` }
	s.run(t, []probe{
		{name: "all", path: path, want: `{"items":[` + item("ads", "") + `,` + item("September newsletter", "") + `],"paging":{**}}`},
		{name: "first page", path: path + "?limit=1", want: `{"items":[` + item("ads", "") + `],"paging":{"previous":"` + link + `prev&tag=ads","first":"` + link + `first&tag=","next":"` + link + `next&tag=ads","last":"` + link + `last&tag="}}`},
		{name: "next page", path: path + "?limit=1&page=next&tag=ads", want: `{"items":[` + item("September newsletter", "") + `],**`},
		{name: "prefix", path: path + "?prefix=sept", want: `{"items":[` + item("September newsletter", "") + `],**`},
		{name: "one", path: path + "/Ads", want: item("ads", "")},
		{name: "with a blank", path: path + "/september%20newsletter", want: item("September newsletter", "")},
		{name: "with a blank as mailgun-go writes it", path: path + "/september+newsletter", want: item("September newsletter", "")},
		{name: "in the query", path: old + "?tag=ads", want: item("ads", "")},
		{name: "unknown", path: path + "/none", status: 404, want: noTag},
		{name: "no tag", path: old, status: 400, want: msg("Missing mandatory parameter: tag")},
		{name: "describe", method: "PUT", path: path + "/ads", parts: []string{"description", "advertisements"}, want: msg("Tag updated")},
		{name: "described", path: path + "/ads", want: item("ads", "advertisements")},
		{name: "describe in the query", method: "PUT", path: old + "?tag=ads&description=spam", want: msg("Tag updated")},
		{name: "describe unknown", method: "PUT", path: path + "/none", form: []string{"description", "x"}, status: 404, want: noTag},
		{name: "limit", path: "/v3/domains/example.com/limits/tag", want: `{"id":"example.com","limit":20000,"count":2}`},
		{name: "statistics", path: path + "/ads/stats?event=accepted&event=delivered&duration=1d&resolution=month",
			want: `{"tag":"ads","description":"spam","start":"**UTC","end":"**UTC","resolution":"month","stats":[**{"time":"**UTC","accepted":{"incoming":0,"outgoing":2,"total":2},"delivered":{"smtp":2,"http":0,"optimized":0,"total":2}}]}`},
		{name: "statistics in the query", path: old + "/stats?tag=ads&event=opened", want: `{"tag":"ads",**"resolution":"day","stats":[{"time":"**UTC","opened":{"total":0}},**`},
		{name: "no event", path: path + "/ads/stats", status: 400, want: msg("Missing mandatory parameter: event")},
		{name: "statistics of none", path: path + "/none/stats?event=opened", status: 404, want: noTag},
		{name: "providers", path: path + "/ads/stats/aggregates/providers", want: `{"provider":{**"other":{"accepted":2,"clicked":0,"complained":0,"delivered":2,"opened":0,"unique_clicked":0,"unique_opened":0,"unsubscribed":0},**},"tag":"ads"}`},
		{name: "countries", path: path + "/ads/stats/aggregates/countries", want: `{"country":{"ad":{"clicked":0,**},"tag":"ads"}`},
		{name: "devices", path: path + "/ads/stats/aggregates/devices", want: `{"device":{"desktop":{**},"mobile":{**},"tablet":{**},"unknown":{**}},"tag":"ads"}`},
		{name: "aggregates in the query", path: old + "/stats/aggregates?tag=ads&type=device", want: `{"device":{**},"tag":"ads"}`},
		{name: "list of devices", path: "/v3/domains/example.com/tag/devices", want: `{"items":["desktop","mobile","tablet","unknown"]}`},
		{name: "list of providers", path: "/v3/domains/example.com/tag/providers", want: `{"items":["gmail.com",**`},
		{name: "list of countries", path: "/v3/domains/example.com/tag/countries", want: `{"items":["ad",**`},
		{name: "other domain", path: "/v3/example.org/tags/ads", status: 404, want: noTag},
		{name: "no domain", path: "/v3/elsewhere.example/tags", status: 404, want: msg("Domain not found")},
		{name: "analyst reads", as: "basic", path: path + "/ads", want: item("ads", "spam")},
		{name: "analyst does not write", as: "basic", method: "DELETE", path: path + "/ads", status: 401, want: forbidden},
		{name: "support does not write", as: "support", method: "PUT", path: path + "/ads", form: []string{"description", "x"}, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: path, status: 401, want: forbidden},
		{name: "developer deletes", as: "developer", method: "DELETE", path: path + "/ADS", want: msg("Tag deleted")},
		{name: "delete again", method: "DELETE", path: path + "/ads", status: 404, want: noTag},
		{name: "delete in the query", method: "DELETE", path: old + "?tag=september+newsletter", want: msg("Tag deleted")},
		{name: "none left", path: path, want: `{"items":[],"paging":{**}}`},
		{name: "POST", method: "POST", path: path, status: 405},
	})
	s.seed("d@example.net", "o:tag", "ads")
	s.run(t, []probe{{name: "used again", path: path + "/ads/stats?event=accepted&resolution=month&duration=1h", want: `{"tag":"ads","description":"",**"accepted":{"incoming":0,"outgoing":1,"total":1}}]}`}})
}

func TestScenarioAccountTags(t *testing.T) {
	s := newStage(t, config.Serve)
	s.seed("a@example.net", "o:tag", "t1")
	s.seed("b@example.net", "o:tag", "t2")
	s.Outcome(s.Send("example.org", apptest.Fields{"to", "c@example.net", "o:tag", "T1", "o:testmode", "yes"}), "c@example.net", 1)
	const path = "/v1/analytics/tags"
	item := func(tag, description, metrics string) string {
		return `{"account_id":"**","parent_account_id":"**","tag":"` + tag + `","description":"` + description + `","first_seen":"**, ** +0000","last_seen":"**, ** +0000","metrics":{` + metrics + `},"account_name":"**"}`
	}
	const recent = `"pagination":{"sort":"lastseen:desc","limit":10}}`
	s.run(t, []probe{
		{name: "list", path: path, json: `{"pagination":{"sort":"lastseen:desc","limit":10},"include_subaccounts":true}`, want: `{"items":[` + item("T1", "", "") + `,` + item("t2", "", "") + `],` + recent},
		{name: "a form is ignored", path: path, form: []string{"include_subaccounts", "true", "pagination", `{sort: "lastseen:desc", limit: 10}`}, want: `{"items":[{**],` + recent},
		{name: "page", path: path, json: `{"pagination":{"sort":"tag:asc","limit":1,"skip":1,"include_total":true}}`, want: `{"items":[` + item("t2", "", "") + `],"pagination":{"sort":"tag:asc","skip":1,"limit":1,"total":2}}`},
		{name: "search", path: path, json: `{"tag":"t2"}`, want: `{"items":[` + item("t2", "", "") + `],` + recent},
		{name: "metrics", path: path, json: `{"tag":"t1","include_metrics":true}`, want: `{"items":[` + item("T1", "", `"accepted_count":2,**"delivered_count":2,**"delivered_rate":"1.0000",**`) + `],` + recent},
		{name: "no sort", path: path, json: `{"pagination":{"sort":"x"}}`, status: 400, want: `{"message":"'sort' parameter is invalid: **"}`},
		{name: "broken JSON", path: path, json: `{`, status: 400, want: `{"message":"unable to parse request: **"}`},
		{name: "limits", path: path + "/limits", want: `{"limit":100000,"count":2,"limit_reached":false}`},
		{name: "describe", method: "PUT", path: path, json: `{"tag":"t1","description":"both"}`, want: `{"message":"Tag updated"}`},
		{name: "described", path: "/v3/example.org/tags/t1", want: `{"tag":"T1","description":"both",**`},
		{name: "describe unknown", method: "PUT", path: path, json: `{"tag":"none","description":"x"}`, status: 404, want: noTag},
		{name: "no tag", method: "DELETE", path: path, json: `{}`, status: 400, want: `{"message":"Missing mandatory parameter: tag"}`},
		{name: "analyst reads", as: "basic", path: path, json: `{}`},
		{name: "analyst does not write", as: "basic", method: "DELETE", path: path, json: `{"tag":"t1"}`, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: path, json: `{}`, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: path, json: `{"tag":"T1"}`, want: `{"message":"Tag deleted"}`},
		{name: "delete again", method: "DELETE", path: path, json: `{"tag":"t1"}`, status: 404, want: noTag},
		{name: "deleted everywhere", path: "/v3/example.org/tags/t1", status: 404, want: noTag},
		{name: "GET", path: path, status: 404, want: `{"error":"not found"}`},
		{name: "PATCH", method: "PATCH", path: path, status: 404, want: `{"error":"not found"}`},
	})
}

// What becomes of mail is counted for its tags: delivered, put off, refused, not
// attempted. The tags go with their domain.
func TestScenarioTagOutcomes(t *testing.T) {
	s := newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.tag.example", apptest.Script{Rcpt: map[string]apptest.Step{
		"bad@tag.example": "550 5.1.1 no such user", "slow@tag.example": "450 4.2.0 later"}})
	s.World.MX(t, "tag.example", k.Host)
	for _, who := range []string{"ok", "bad", "slow", "bad"} {
		to := who + "@tag.example"
		s.Outcome(s.Send("example.com", apptest.Fields{"to", to, "o:tag", "mixed"}), to, 1)
	}
	s.run(t, []probe{{name: "counted", path: "/v3/example.com/tags/mixed/stats?event=accepted&event=delivered&event=failed&duration=1h&resolution=month",
		want: `{"tag":"mixed",**"accepted":{"incoming":0,"outgoing":4,"total":4},"delivered":{"smtp":1,"http":0,"optimized":0,"total":1},` +
			`"failed":{"temporary":{"espblock":0,"total":1},"permanent":{"suppress-bounce":1,"suppress-unsubscribe":0,"suppress-complaint":0,"bounce":1,"delayed-bounce":0,"webhook":0,"optimized":0,"total":2}}}]}`}})
	s.run(t, []probe{
		{name: "delete the domain", method: "DELETE", path: "/v3/domains/example.com", want: `{"message":"Domain will be deleted in the background"}`},
		{name: "no tags are left", path: "/v1/analytics/tags/limits", want: `{"limit":100000,"count":0,"limit_reached":false}`},
	})
}

// Mail without tags leaves nothing to count.
func TestScenarioUntagged(t *testing.T) {
	s := newStage(t, config.Serve)
	s.seed("a@example.net")
	n := 0
	err := s.Parts.DB.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT (SELECT COUNT(*) FROM tag_delta) + (SELECT COUNT(*) FROM tag) + (SELECT COUNT(*) FROM tag_stat)").Scan(&n)
	})
	if err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}
