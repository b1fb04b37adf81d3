package app_test

import (
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

// seed sends one message that is delivered in test mode and waits for that.
func (s *stage) seed(to string, more ...string) {
	s.t.Helper()
	id := s.Send("example.com", with([]string{"to", to, "from", "Me <me@example.com>", "subject", "Hi", "o:testmode", "yes"}, more...))
	s.Outcome(id, to, 1)
}

func TestScenarioEvents(t *testing.T) {
	s := newStage(t, config.Serve)
	for _, who := range []string{"a", "b", "c"} {
		s.seed(who+"@example.net", "o:tag", "tag-"+who, "v:id", who, "h:Message-Id", "<"+who+"@id.example>")
	}
	const path, compact = "/v3/example.com/events", "&pretty=no"
	const shape = `"id":"**","timestamp":**,"log-level":"info",`
	s.run(t, []probe{
		{name: "pretty", path: path + "?limit=1", want: "{\n  \"items\": [\n    {\n      \"event\": \"delivered\",**\n  \"paging\": {\n    \"first\": \"" + s.URL + path + "/**\",\n    \"last\": \"**\",\n    \"next\": \"**\",\n    \"previous\": \"**\"\n  }\n}"},
		{name: "accepted", path: path + "?event=accepted&recipient=a@example.net" + compact, want: `{"items":[{"event":"accepted",` + shape + `"method":"http","api-key-id":"**","originating-ip":"127.0.0.1",` +
			`"envelope":{"sender":"me@example.com","transport":"smtp","targets":"a@example.net"},"flags":{**"is-authenticated":true,**"is-test-mode":true},` +
			`"message":{"headers":{"to":"a@example.net","message-id":"a@id.example","from":"Me <me@example.com>","subject":"Hi"},"attachments":[],"recipients":["a@example.net"],"size":**},` +
			`"storage":{"url":"` + s.URL + `/v3/domains/example.com/messages/BAAB**","region":"**","key":"BAAB**","env":"**"},"recipient":"a@example.net","recipient-domain":"example.net",` +
			`"tags":["tag-a"],"campaigns":[],"user-variables":{"id":"a"}}],"paging":{"first":"**","last":"**","next":"**","previous":"**"}}`},
		{name: "delivered", path: path + "?event=delivered&recipient=b@example.net" + compact, want: `{"items":[{"event":"delivered",` + shape + `**"delivery-status":{**"code":650,**"attempt-no":1,**},` +
			`"message":{"headers":{**},"attachments":[],"size":**`, not: `"recipients":[`},
		{name: "filter expression", path: path + "?recipient=a@example.net+OR+b@example.net&event=accepted" + compact, want: `{"items":[{**"b@example.net"**},{**"a@example.net"**}],**`, not: "c@example.net"},
		{name: "by tag", path: path + "?tags=tag-c&event=accepted" + compact, want: `{"items":[{**"c@example.net"**}],**`, not: "a@example.net"},
		{name: "by message id", path: path + "?message-id=c@id.example" + compact, want: `**"c@example.net"**`, not: "a@example.net"},
		{name: "oldest first", path: path + "?begin=1000000000&ascending=yes&event=accepted" + compact, want: `**a@id.example**b@id.example**c@id.example**`},
		{name: "RFC 2822", path: path + "?begin=Fri,+13+Oct+2000+10:00:00+-0000&ascending=yes&limit=1" + compact, want: `{"items":[{**a@id.example**`},
		{name: "nothing", path: path + "?event=clicked" + compact, want: `{"items":[],"paging":{"first":"**","last":"**","next":"**","previous":"**"}}`},
		{name: "more than a page holds", path: path + "?limit=301&event=accepted" + compact, want: `{"items":[**`},
		{name: "unknown parameters", path: path + "?foo=bar&limit=1" + compact, want: `{"items":[**`},
		{name: "no limit", path: path + "?limit=x", status: 400, want: `{"message":"'limit' parameter is invalid: must be an integer"}`},
		{name: "no date", path: path + "?begin=junk", status: 400, want: `{"message":"Invalid value for parameter 'begin': junk"}`},
		{name: "contradiction", path: path + "?begin=1700000000&end=1600000000&ascending=yes", status: 400, want: `{"message":"'ascending' contradicts 'begin' and 'end'"}`},
		{name: "broken expression", path: path + "?event=(delivered+OR+failed", status: 400, want: `{"message":"Invalid filter expression for 'event': **"}`},
		{name: "no page", path: path + "/junk", status: 400, want: `{"message":"Invalid page token"}`},
		{name: "no domain", path: "/v3/elsewhere.example/events", status: 404, want: `{"message":"Domain not found"}`},
		{name: "analyst", as: "basic", path: path, want: "{**"},
		{name: "sending key", as: "sending", path: path, status: 401, want: forbidden},
		{name: "POST", method: "POST", path: path, status: 405},
	})
}

// Clients follow next until a page is empty, and poll it later.
func TestScenarioEventPages(t *testing.T) {
	s := newStage(t, config.Serve)
	for _, who := range []string{"a", "b", "c", "d", "e"} {
		s.seed(who + "@example.net")
	}
	walk := func(path, link string) (seen []string, last eventPage) {
		for range 20 {
			last = decode[eventPage](t, s.check(t, probe{path: path}))
			if len(last.Items) == 0 {
				return seen, last
			}
			for _, e := range last.Items {
				seen = append(seen, e.Recipient[:1])
			}
			path = s.local(t, last.Paging[link])
		}
		t.Fatal("no end of pages")
		return nil, last
	}
	get := func(q string) string { return "/v3/example.com/events?event=accepted&" + q }
	down, _ := walk(get("limit=2"), "next")
	if got := strings.Join(down, ""); got != "edcba" {
		t.Errorf("newest first: %s", got)
	}
	up, last := walk(get("limit=2&begin=1000000000&ascending=yes"), "next")
	if got := strings.Join(up, ""); got != "abcde" {
		t.Errorf("oldest first: %s", got)
	}
	s.seed("f@example.net")
	if got, _ := walk(s.local(t, last.Paging["next"]), "next"); strings.Join(got, "") != "f" {
		t.Errorf("the empty page's next, later: %s", got)
	}
	first := decode[eventPage](t, s.check(t, probe{path: get("limit=2")}))
	other := strings.Replace(s.local(t, first.Paging["next"]), "example.com", "example.org", 1)
	if got := decode[eventPage](t, s.check(t, probe{path: other})); len(got.Items) != 0 {
		t.Error("a page of one domain shows another's events")
	}
}

func TestScenarioLogs(t *testing.T) {
	s := newStage(t, config.Serve)
	s.seed("a@example.net", "v:id", "1")
	s.seed("b@example.net")
	const path = "/v1/analytics/logs"
	const window = `"start":"Wed, 25 Jun 2025 00:00:00 -0000","end":"Wed, 25 Jun 2097 00:00:00 -0000"`
	by := func(attribute, value string) string {
		return `{"events":["accepted"],"filter":{"AND":[{"attribute":"` + attribute + `","comparator":"=","values":[{"label":"x","value":"` + value + `"}]}]}}`
	}
	s.run(t, []probe{
		{name: "window is echoed", path: path, json: `{` + window + `}`, want: `{` + window + `,"items":[**],"pagination":{**},"aggregates":{}}`},
		{name: "item", path: path, json: by("recipient", "a@example.net"), want: `{"start":"**","end":"**","items":[{"id":"**","event":"accepted","@timestamp":"20**-**-**T**:**:**.**Z","account":{"id":"**"},**"storage":{**"url":["` + s.URL + `/**"]},**"user-variables":"{\"id\":\"1\"}",**`, not: "b@example.net"},
		{name: "method in capitals", path: path, json: by("domain", "example.com"), want: `**"method":"HTTP"**`},
		{name: "other domain", path: path, json: by("domain", "example.org"), want: `**"items":[],**`},
		{name: "one page has no tokens", path: path, json: by("recipient", "a@example.net"), want: `**"pagination":{},"aggregates":{}}`},
		{name: "page", path: path, json: `{"events":["accepted"],"pagination":{"limit":1,"sort":"timestamp:asc"}}`, want: `**a@example.net**"pagination":{"next":"**","first":"**","last":"**"},**`, not: "b@example.net"},
		{name: "nothing said", path: path, json: `{}`, want: `{"start":"**`},
		{name: "unknown attribute", path: path, json: by("test", "x"), status: 400, want: `{"message":"'test' is not a valid filter predicate attribute"}`},
		{name: "no date", path: path, json: `{"start":"junk"}`, status: 400, want: `{"message":"Invalid value for parameter 'start': junk"}`},
		{name: "no sort", path: path, json: `{"pagination":{"sort":"x"}}`, status: 400, want: `{"message":"'x' is not a valid sort"}`},
		{name: "no token", path: path, json: `{"pagination":{"token":"x"}}`, status: 400, want: `{"message":"invalid pagination token"}`},
		{name: "broken JSON", path: path, json: `{`, status: 400, want: `{"message":"unable to parse request: **"}`},
		{name: "analyst", as: "basic", path: path, json: `{}`},
		{name: "sending key", as: "sending", path: path, json: `{}`, status: 401, want: forbidden},
		{name: "GET", path: path, status: 404, want: `{"error":"not found"}`},
	})
}

// The documents of what becomes of a message: delivered, refused, put off.
func TestScenarioEventShapes(t *testing.T) {
	s := newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.shape.example", apptest.Script{Rcpt: map[string]apptest.Step{
		"bad@shape.example": "550 5.1.1 no such user", "slow@shape.example": "450 4.2.0 later"}})
	s.World.MX(t, "shape.example", k.Host)
	const head = `{"items":[{"event":"EVENT","id":"**","timestamp":**,"log-level":"LEVEL",`
	const envelope = `"envelope":{"sender":"sender@example.com","transport":"smtp","targets":"TO","sending-ip":"**"},"flags":{"is-routed":false,"is-authenticated":true,"is-system-test":false,"is-test-mode":false},`
	const tail = `"message":{"headers":{"to":"TO","message-id":"**@example.com","from":"Sender <sender@example.com>","subject":"Greetings"},"attachments":[],"size":**},` +
		`"storage":{"url":"**","region":"**","key":"**","env":"**"},"recipient":"TO","recipient-domain":"shape.example","tags":[],"campaigns":[],"user-variables":{}}],**`
	const session = `"mx-host":"mx.shape.example","code":CODE,"description":"**","session-seconds":**,"utf8":**,"attempt-no":1,"message":"MESSAGE","certificate-verified":false,`
	for _, c := range []struct{ to, event, level, more, code, message, rest string }{
		{"ok", "delivered", "info", "", "250", "OK", `**"enhanced-code":"2.0.0"**`},
		{"bad", "failed", "error", `"severity":"permanent","reason":"bounce",`, "550", "**no such user", `**"enhanced-code":"5.1.1"**`},
		{"slow", "failed", "warn", `"severity":"temporary","reason":"generic",`, "450", "**later", `**"enhanced-code":"4.2.0","retry-seconds":**`},
	} {
		to := c.to + "@shape.example"
		s.Outcome(s.Send("example.com", apptest.Fields{"to", to}), to, 1)
		want := replace(head+c.more+envelope+`"delivery-status":{"tls":false,`+session+c.rest+`},`+tail, "EVENT", c.event, "LEVEL", c.level, "TO", to, "CODE", c.code, "MESSAGE", c.message)
		s.run(t, []probe{{name: c.to, path: "/v3/example.com/events?pretty=no&event=" + c.event + "&recipient=" + to, want: want}})
	}
	s.run(t, []probe{
		{name: "the refused address is on the list", path: "/v3/example.com/bounces", want: `{"items":[{"address":"bad@shape.example","code":"550","error":"**no such user","created_at":"**UTC"}],**`},
		{name: "too many variables", path: "/v3/example.com/messages", form: with(letter, "v:big", strings.Repeat("x", 5000), "o:testmode", "yes", "h:Message-Id", "<big@id.example>"), want: queued},
		{name: "are left out", path: "/v3/example.com/events?pretty=no&message-id=big@id.example", want: `**"user-variables":"Could not load user-variables. They were either truncated or invalid JSON"}**`},
		{name: "many tags", path: "/v3/example.com/messages", form: with(letter, "o:tag", strings.Repeat("t", 200), "o:tag", "\u00fcber", "o:tag", "BER", "o:testmode", "yes", "h:Message-Id", "<tag@id.example>"), want: queued},
		{name: "are cut and stripped", path: "/v3/example.com/events?pretty=no&event=accepted&message-id=tag@id.example", want: `**"tags":["` + strings.Repeat("t", 128) + `","ber"],**`},
	})
}

// In a batch each recipient's events are about its own copy, as nobody else's.
func TestScenarioBatchEvents(t *testing.T) {
	s := newStage(t, config.Serve)
	send := probe{path: "/v3/example.com/messages", want: queued, parts: []string{"from", "me@example.com", "to", "Ann <ann@example.net>, bob@example.net", "text", "x",
		"subject", "Order %recipient.id% of %recipient.none%", "v:order", "%recipient.id%", "v:big", "%recipient.big%", "o:testmode", "yes",
		"recipient-variables", `{"ann@example.net":{"id":"a\"1","big":"x"},"bob@example.net":{"id":2,"big":"` + strings.Repeat("x", 5000) + `"}}`}}
	id := decode[struct{ ID string }](t, s.check(t, send)).ID
	s.Outcome(id, "ann@example.net", 1)
	s.Outcome(id, "bob@example.net", 1)
	for _, e := range []string{"accepted", "delivered"} {
		path := "/v3/example.com/events?pretty=no&event=" + e + "&recipient="
		s.run(t, []probe{
			{name: e + " ann", path: path + "ann@example.net", want: `**"headers":{"to":"Ann <ann@example.net>",**"subject":"Order a\"1 of %recipient.none%"},**"batch":{"id":"**"},**"user-variables":{"order":"a\"1","big":"x"}}],**`, not: "bob@"},
			{name: e + " bob", path: path + "bob@example.net", want: `**"headers":{"to":"bob@example.net",**"subject":"Order 2 of %recipient.none%"},**"user-variables":"Could not load user-variables. They were either truncated or invalid JSON"}],**`, not: "ann@"},
		})
	}
}
