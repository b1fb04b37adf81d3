package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/base/errs"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/list"
)

const (
	devs     = "/v3/lists/devs@example.com"
	listDate = `"created_at": "**, ** -0000"`
)

// listJSON is a list as it is shown. Mailgun: indented, members sorted.
func listJSON(access, address, description string, members int, name, reply string) string {
	return fmt.Sprintf("{\n    \"access_level\": %q,\n    \"address\": %q,\n    %s,\n    \"description\": %q,\n    \"members_count\": %d,\n    \"name\": %q,\n    \"reply_preference\": %q\n  }",
		access, address, listDate, description, members, name, reply)
}

func TestScenarioLists(t *testing.T) {
	s := newStage(t, config.Serve)
	msg := func(text string) string { return `{"message":"` + text + `"}` }
	page := func(q string) string { return s.URL + "/v3/lists/pages?page=" + q }
	s.run(t, []probe{
		{name: "none", path: "/v3/lists", want: "{\n  \"items\": [],\n  \"total_count\": 0\n}"},
		{name: "create", path: "/v3/lists", parts: []string{"address", "Devs@example.com", "description", "Mailgun developers list"},
			want: "{\n  \"list\": " + listJSON("readonly", "Devs@example.com", "Mailgun developers list", 0, "", "list") + ",\n  \"message\": \"Mailing list has been created\"\n}"},
		{name: "again", path: "/v3/lists", form: []string{"address", "devs@EXAMPLE.com"}, status: 400, want: msg("Duplicate object")},
		{name: "named", path: "/v3/lists", form: []string{"address", "Ann's list <ann@example.com>", "access_level", "everyone", "reply_preference", "sender"},
			want: "{\n  \"list\": " + listJSON("everyone", "ann@example.com", "", 0, "Ann's list", "sender") + ",**"},
		{name: "no address", path: "/v3/lists", form: []string{"name", "x"}, status: 400, want: msg("Missing mandatory parameter: address")},
		{name: "bad address", path: "/v3/lists", form: []string{"address", "x"}, status: 400, want: msg("'address' parameter is invalid: **")},
		{name: "no domain of ours", path: "/v3/lists", form: []string{"address", "x@elsewhere.example"}, status: 400, want: msg("'address' parameter is invalid: elsewhere.example is no domain of this account")},
		{name: "a way out", path: "/v3/lists", form: []string{"address", "unsub+x@example.com"}, status: 400},
		{name: "access level", path: "/v3/lists", form: []string{"address", "x@example.com", "access_level", "fake_access_level"}, status: 400,
			want: msg("Invalid access level 'fake_access_level'. It can be any of: 'readonly', 'members', 'everyone'.")},
		{name: "reply preference", path: "/v3/lists", form: []string{"address", "x@example.com", "reply_preference", "wrong_preference"}, status: 400,
			want: msg("Invalid reply preference 'wrong_preference'. It can be any of: 'sender', 'list'")},
		{name: "two lines", path: "/v3/lists", form: []string{"address", "x@example.com", "name", "a\r\nBcc: b"}, status: 400},
		{name: "get", path: devs, want: "{\n  \"list\": " + listJSON("readonly", "Devs@example.com", "Mailgun developers list", 0, "", "list") + "\n}"},
		{name: "get escaped", path: "/v3/lists/DEVS%40example.com", want: "{\n  \"list\": {**"},
		{name: "unknown", path: "/v3/lists/no@example.com", status: 404, want: msg("Mailing list no@example.com not found")},
		{name: "list", path: "/v3/lists?limit=1&skip=1", want: "{\n  \"items\": [\n    {**\"Devs@example.com\"**}\n  ],\n  \"total_count\": 2\n}"},
		{name: "one address", path: "/v3/lists?address=ANN@example.com", want: "{\n  \"items\": [\n    {**\"ann@example.com\"**}\n  ],\n  \"total_count\": 1\n}"},
		{name: "first page", path: "/v3/lists/pages?limit=1", want: "{\n  \"items\": [\n    {**\"ann@example.com\"**}\n  ],\n  \"paging\": {\n    \"first\": \"" + page("first&limit=1") + "\",\n    \"last\": \"" + page("last&limit=1") +
			"\",\n    \"next\": \"" + page("next&address=ann%40example.com&limit=1") + "\",\n    \"previous\": \"" + page("prev&address=ann%40example.com&limit=1") + "\"\n  }\n}"},
		{name: "next page", path: "/v3/lists/pages?page=next&address=ann%40example.com&limit=1", want: "**\"Devs@example.com\"**"},
		{name: "after the last", path: "/v3/lists/pages?page=next&address=devs%40example.com&limit=1", want: "{\n  \"items\": [],\n**"},
		{name: "previous page", path: "/v3/lists/pages?page=prev&address=devs%40example.com&limit=1", want: "**\"ann@example.com\"**"},
		{name: "last page", path: "/v3/lists/pages?page=last&limit=1", want: "**\"Devs@example.com\"**"},
		{name: "update", method: "PUT", path: devs, form: []string{"name", "Developers", "access_level", "members"},
			want: "{\n  \"list\": " + listJSON("members", "Devs@example.com", "Mailgun developers list", 0, "Developers", "list") + ",\n  \"message\": \"Mailing list has been updated\"\n}"},
		{name: "update to a taken address", method: "PUT", path: devs, form: []string{"address", "ann@example.com"}, status: 400, want: msg("Duplicate object")},
		{name: "bad update", method: "PUT", path: devs, form: []string{"access_level", "x"}, status: 400},
		{name: "move", method: "PUT", path: devs, form: []string{"address", "crew@example.org"}, want: "**\"crew@example.org\"**\"Developers\"**"},
		{name: "moved", path: devs, status: 404},
		{name: "move back", method: "PUT", path: "/v3/lists/crew@example.org", parts: []string{"address", "devs@example.com", "description", ""}, want: "**\"description\": \"\"**"},
		{name: "update of none", method: "PUT", path: "/v3/lists/no@example.com", form: []string{"name", "x"}, status: 404, want: msg("Mailing list no@example.com not found")},
		{name: "analyst reads", as: "basic", path: "/v3/lists"},
		{name: "analyst does not write", as: "basic", path: "/v3/lists", form: []string{"address", "b@example.com"}, status: 401, want: forbidden},
		{name: "support writes", as: "support", method: "PUT", path: devs, form: []string{"name", "Developers"}},
		{name: "sending key", as: "sending", path: "/v3/lists", status: 401, want: forbidden},
		{name: "stranger", as: "nobody", method: "DELETE", path: devs, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: "/v3/lists/ann@example.com", want: "{\n  \"address\": \"ann@example.com\",\n  \"message\": \"Mailing list has been removed\"\n}"},
		{name: "delete again", method: "DELETE", path: "/v3/lists/ann@example.com", status: 404, want: msg("Mailing list ann@example.com not found")},
		{name: "its address is free", path: "/v3/lists", form: []string{"address", "ann@example.com"}},
		{name: "PATCH", method: "PATCH", path: devs, status: 405},
	})
}

func TestScenarioListMembers(t *testing.T) {
	s := newStage(t, config.Serve)
	s.check(t, probe{path: "/v3/lists", form: []string{"address", "devs@example.com"}})
	msg := func(text string) string { return `{"message":"` + text + `"}` }
	member := func(address, name string, subscribed bool, vars string) string {
		return fmt.Sprintf("\"member\": {\n    \"address\": %q,\n    \"name\": %q,\n    \"subscribed\": %v,\n    \"vars\": %s\n  }", address, name, subscribed, vars)
	}
	const members, bar = devs + "/members", devs + "/members/bar@example.com"
	s.run(t, []probe{
		{name: "none", path: members, want: "{\n  \"items\": [],\n  \"total_count\": 0\n}"},
		{name: "add", path: members, parts: []string{"subscribed", "True", "address", "Bar@example.com", "name", "Bob Bar", "description", "Developer", "vars", `{"age": 26}`},
			want: "{\n  " + member("Bar@example.com", "Bob Bar", true, "{\n      \"age\": 26\n    }") + ",\n  \"message\": \"Mailing list member has been created\"\n}"},
		{name: "again", path: members, form: []string{"address", "bar@example.com"}, status: 400, want: msg("Address already exists 'bar@example.com'")},
		{name: "upsert", path: members, form: []string{"address", "bar@example.com", "upsert", "yes", "subscribed", "no"}, want: "{\n  " + member("bar@example.com", "Bob Bar", false, "**") + ",**"},
		{name: "spec", path: members, form: []string{"address", "Alice <alice@example.com>", "vars", "null"}, want: "{\n  " + member("alice@example.com", "Alice", true, "{}") + ",**"},
		{name: "no address", path: members, form: []string{"name", "x"}, status: 400, want: msg("Missing mandatory parameter: address")},
		{name: "bad address", path: members, form: []string{"address", "x"}, status: 400, want: msg("'address' parameter is invalid: **")},
		{name: "bad vars", path: members, form: []string{"address", "x@example.com", "vars", "[1]"}, status: 400, want: msg("'vars' parameter is not a valid JSON")},
		{name: "bad subscribed", path: members, form: []string{"address", "x@example.com", "subscribed", "maybe"}, status: 400},
		{name: "no list", path: "/v3/lists/no@example.com/members", form: []string{"address", "x@example.com"}, status: 404, want: msg("Mailing list no@example.com not found")},
		{name: "get", path: devs + "/members/BAR%40example.com", want: "{\n  " + member("bar@example.com", "Bob Bar", false, "**") + "\n}"},
		{name: "no member", path: devs + "/members/x@example.com", status: 404, want: msg("Member x@example.com of mailing list devs@example.com not found")},
		{name: "list", path: members + "?limit=1&skip=1", want: "{\n  \"items\": [\n    {\n      \"address\": \"bar@example.com\",**\n  ],\n  \"total_count\": 2\n}"},
		{name: "subscribed", path: members + "?subscribed=yes", want: "{\n  \"items\": [\n    {\n      \"address\": \"alice@example.com\",**\n  ],\n  \"total_count\": 1\n}", not: "bar@"},
		{name: "not subscribed", path: members + "?subscribed=false", want: "**\"bar@example.com\"**\"total_count\": 1**", not: "alice"},
		{name: "by address", path: members + "?address=alice@example.com", want: "**alice**\"total_count\": 1**"},
		{name: "first page", path: members + "/pages?limit=1", want: "{\n  \"items\": [\n    {\n      \"address\": \"alice@example.com\",**\"paging\": {\n    \"first\": \"" + s.URL + members + "/pages?page=first&limit=1\",**" +
			"\"next\": \"" + s.URL + members + "/pages?page=next&address=alice%40example.com&limit=1\",**"},
		{name: "next page", path: members + "/pages?page=next&address=alice%40example.com&limit=1", want: "**\"bar@example.com\"**"},
		{name: "page of subscribed", path: members + "/pages?subscribed=no", want: "**\"bar@example.com\"**?page=next&address=bar%40example.com&limit=100&subscribed=no\"**", not: "alice"},
		{name: "last page", path: members + "/pages?page=last&limit=1", want: "**\"bar@example.com\"**"},
		{name: "update", method: "PUT", path: bar, parts: []string{"subscribed", "yes", "vars", `{"a":"b"}`},
			want: "{\n  " + member("bar@example.com", "Bob Bar", true, "{\n      \"a\": \"b\"\n    }") + ",\n  \"message\": \"Mailing list member has been updated\"\n}"},
		{name: "update to a member's address", method: "PUT", path: bar, form: []string{"address", "alice@example.com"}, status: 400, want: msg("Address already exists 'alice@example.com'")},
		{name: "update the address", method: "PUT", path: bar, form: []string{"address", "foo@example.com"}, want: "{\n  " + member("foo@example.com", "Bob Bar", true, "**") + ",**"},
		{name: "update of none", method: "PUT", path: bar, form: []string{"name", "x"}, status: 404, want: msg("Member bar@example.com of mailing list devs@example.com not found")},
		{name: "counted", path: devs, want: "**\"members_count\": 2,**"},
		{name: "analyst", as: "basic", path: members},
		{name: "analyst does not write", as: "basic", method: "DELETE", path: devs + "/members/foo@example.com", status: 401, want: forbidden},
		{name: "support writes", as: "support", path: members, form: []string{"address", "s@example.com"}},
		{name: "sending key", as: "sending", path: members, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: devs + "/members/foo@example.com", want: "{\n  \"member\": {\n    \"address\": \"foo@example.com\"\n  },\n  \"message\": \"Mailing list member has been deleted\"\n}"},
		{name: "delete again", method: "DELETE", path: devs + "/members/foo@example.com", status: 404, want: msg("Member foo@example.com of mailing list devs@example.com not found")},
		{name: "counted again", path: devs, want: "**\"members_count\": 2,**"},
	})
}

func TestScenarioListUpload(t *testing.T) {
	s := newStage(t, config.Serve)
	s.check(t, probe{path: "/v3/lists", form: []string{"address", "devs@example.com"}})
	msg := func(text string) string { return `{"message":"` + text + `"}` }
	const js, csv = devs + "/members.json", devs + "/members.csv"
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m%d@example.net"`, i)
		}
		return "[" + b.String()[1:] + "]"
	}
	s.run(t, []probe{
		{name: "addresses", path: js, parts: []string{"members", `["alice@example.com","Bob <bob@example.com>"]`},
			want: "{\n  \"list\": {**\"members_count\": 2,**},\n  \"message\": \"Mailing list has been updated\"\n}"},
		{name: "objects", path: js, form: []string{"upsert", "yes", "members", `[{"name":"Bob Bar","address":"bob@example.com","subscribed":false,"vars":"{\"a\":1}"},{"address":"carol@example.com","vars":{"b":2}}]`},
			want: "**\"members_count\": 3,**"},
		{name: "as they were sent", path: devs + "/members?subscribed=no", want: "**\"name\": \"Bob Bar\",**\"a\": 1**"},
		{name: "in the query", method: "POST", path: js + "?members=" + url.QueryEscape(`["dave@example.com"]`), want: "**\"members_count\": 4,**"},
		{name: "strict", path: js, form: []string{"members", `["new@example.com","alice@example.com"]`}, status: 400, want: msg("Address already exists 'alice@example.com'")},
		{name: "none was added", path: devs, want: "**\"members_count\": 4,**"},
		{name: "bad member", path: js, form: []string{"members", `["new@example.com", 5]`}, status: 400, want: msg("a member must be an address or an object with an address")},
		{name: "not JSON", path: js, form: []string{"members", `[`}, status: 400, want: msg("'members' parameter is not a valid JSON array")},
		{name: "nothing", path: js, form: []string{"upsert", "yes"}, status: 400, want: msg("Missing mandatory parameter: members")},
		{name: "1,001 members", path: js, form: []string{"members", many(1001)}, status: 400, want: msg("Too many members, max is 1000")},
		{name: "no list", path: "/v3/lists/no@example.com/members.json", form: []string{"members", "[]"}, status: 404, want: msg("Mailing list 'no@example.com' not found")},
		{name: "CSV of no list", path: "/v3/lists/no@example.com/members.csv", parts: []string{"upsert", "yes"}, status: 404, want: msg("Mailing list 'no@example.com' not found")},
		{name: "no CSV", path: csv, parts: []string{"upsert", "yes"}, status: 400, want: msg("Missing mandatory parameter: members")},
		{name: "large CSV", path: csv, parts: []string{}, files: []upload{{"members", "m.csv", "text/csv", strings.Repeat("a,", 5<<20/2+1)}}, status: 400, want: msg("CSV file is too big, max allowed size is 5 MB")},
		{name: "sending key", as: "sending", path: js, form: []string{"members", "[]"}, status: 401, want: forbidden},
		{name: "analyst", as: "basic", path: csv, parts: []string{"upsert", "yes"}, status: 401, want: forbidden},
	})

	task := func(body string) string {
		t.Helper()
		return decode[struct {
			Task string `json:"task-id"`
		}](t, body).Task
	}
	over := func(id string) *event.Doc {
		t.Helper()
		return &s.WaitFor(1, "the upload "+id, func(e *event.Event) bool { return e.Doc.Event == event.ListUploaded && e.Doc.TaskID == id })[0].Doc
	}
	body := s.check(t, probe{path: js, form: []string{"members", strings.TrimSuffix(many(150), "]") + `,"alice@example.com",{"address":"x"}]`},
		want: "{\n  \"list\": {**},\n  \"message\": \"Mailing list upload started in background\",\n  \"task-id\": \"**\"\n}"})
	id := task(body)
	if d := over(id); *d.UpsertedCount != 150 || *d.FailedCount != 2 || d.Format != "json" || *d.IsUpsert || !*d.Subscribed || d.MailingList.Address != "devs@example.com" || d.LogLevel != "info" {
		t.Errorf("%+v %+v", d, d.Upload)
	}
	wrong := s.WaitFor(2, "errors", func(e *event.Event) bool { return e.Doc.Event == event.ListMemberUploadError && e.Doc.TaskID == id })
	if d := wrong[0].Doc; d.Error.Message != "Address already exists 'alice@example.com'" || d.MemberDescription != `"alice@example.com"` || d.LogLevel != "error" || d.Format != "json" {
		t.Errorf("%+v %+v", d, d.Upload)
	}
	if n := len(s.WaitFor(150, "members", func(e *event.Event) bool { return e.Doc.Event == event.ListMemberUploaded && e.Doc.TaskID == id })); n != 150 {
		t.Errorf("%d members uploaded", n)
	}

	body = s.check(t, probe{path: csv, parts: []string{"upsert", "yes", "subscribed", "no"}, files: []upload{{"members", "m.csv", "text/csv",
		"\xef\xbb\xbfEmail,name,City,vars\r\neve@example.com,\"Eve, Adams\",Bonn,\"{\"\"age\"\":5}\"\r\nnobody\r\nALICE@example.com,Alice B,Rome,\r\n"}}})
	id = task(body)
	if d := over(id); *d.UpsertedCount != 2 || *d.FailedCount != 1 || d.Format != "csv" || !*d.IsUpsert || *d.Subscribed {
		t.Errorf("%+v", d.Upload)
	}
	s.run(t, []probe{
		{name: "new from CSV", path: devs + "/members/eve@example.com", want: "{\n  \"member\": {\n    \"address\": \"eve@example.com\",\n    \"name\": \"Eve, Adams\",\n    \"subscribed\": false,\n    \"vars\": {\n      \"City\": \"Bonn\",\n      \"age\": 5\n    }\n  }\n}"},
		{name: "one that was there stays subscribed", path: devs + "/members/alice@example.com", want: "**\"name\": \"Alice B\",\n    \"subscribed\": true,**\"City\": \"Rome\"**"},
		{name: "its event", path: "/v3/example.com/events?pretty=no&event=list_member_uploaded&limit=1", want: `{"items":[{"event":"list_member_uploaded",**"log-level":"info",**"mailing-list":{"address":"devs@example.com","list-id":"**"},` +
			`"member":{"subscribed":true,"address":"ALICE@example.com","name":"Alice B","vars":["City"]},"task-id":"` + id + `",**`},
		{name: "counted", path: devs, want: "**\"members_count\": 155,**"},
	})
}

// crew makes a list of three members, one of whom has left.
func (s *stage) crew(t *testing.T, access, reply string) {
	t.Helper()
	s.check(t, probe{path: "/v3/lists", form: []string{"address", "devs@example.com", "name", "Dev Team", "access_level", access, "reply_preference", reply}})
	s.check(t, probe{method: "PUT", path: devs, form: []string{"list_id", "x"}})
	s.check(t, probe{path: devs + "/members.json", form: []string{"members", `[{"address":"ann@example.net","name":"Ann B. Clark","vars":{"age":26}},{"address":"bob@example.net"},{"address":"gone@example.net","subscribed":false}]`}})
}

func TestScenarioListPost(t *testing.T) {
	const base = "https://mail.example.com"
	s := newStage(t, config.Serve, "--panel-url="+base)
	s.crew(t, "members", "list")
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", "mx.example.net")
	id := s.Send("example.com", []string{"to", "Devs@example.com, carl@example.net", "bcc", "dora@example.net", "subject", "For %recipient_fname%", "reply-to", "x",
		"text", "%recipient_name%|%recipient_lname%|%recipient.age%|%recipient_email%|%recipient%|%mailing_list_unsubscribe_url%|%unsubscribe_email%.", "v:who", "%recipient_email%"})
	got := map[string]apptest.Message{}
	for _, m := range sink.Await(t, 4) {
		for _, to := range m.To {
			got[to] = m
		}
	}
	if len(got) != 4 {
		t.Fatalf("%d messages", len(got))
	}
	ann := got["ann@example.net"].Data
	has(t, ann, "To: Devs@example.com, carl@example.net\r\n", "Subject: For Ann\r\n", "List-Id: Dev Team <devs.example.com>\r\n", "List-Post: <mailto:devs@example.com>\r\n",
		"Precedence: list\r\n", "Reply-To: Dev Team <devs@example.com>\r\n", "List-Help: <"+base, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "X-Postroad-List: devs@example.com\r\n", "Message-Id: "+id+"\r\n", "DKIM-Signature:")
	text := strings.ReplaceAll(strings.ReplaceAll(ann[strings.Index(ann, "\r\n\r\n"):], "=\r\n", ""), "=3D", "=")
	link := regexp.MustCompile(`\|(https://\S+/unsubscribe/list/[0-9a-v]{52})\|(unsub\+[0-9a-v]{52}@example.com)\.`).FindStringSubmatch(text)
	if link == nil {
		t.Fatalf("no link in %q", text)
	}
	has(t, text, "Ann B. Clark|B. Clark|26|ann@example.net|\"Ann B. Clark\" <ann@example.net>|https")
	has(t, strings.ReplaceAll(ann, "\r\n ", " "), "List-Unsubscribe: <"+link[1]+">, <mailto:"+link[2]+">")
	hasNot(t, got["carl@example.net"].Data, "List-Id", "Reply-To", "X-Postroad-List")
	has(t, got["bob@example.net"].Data, "Subject: For\r\n", "||%recipient.age%|bob@example.net|bob@example.net|https")

	s.Outcome(id, "ann@example.net", 1)
	s.Outcome(id, "carl@example.net", 1)
	s.run(t, []probe{
		{name: "the post is accepted", path: "/v3/example.com/events?pretty=no&event=accepted&recipient=devs@example.com", want: `{"items":[{"event":"accepted",**"method":"http",**"mailing-list":{"address":"devs@example.com","list-id":"x","sid":"**"},"recipient":"devs@example.com",**`},
		{name: "a copy is delivered", path: "/v3/example.com/events?pretty=no&event=delivered&recipient=ann@example.net", want: `{"items":[{"event":"delivered",**"headers":{"to":"Devs@example.com, carl@example.net","message-id":"**","from":"**","subject":"For Ann"},**` +
			`"mailing-list":{"address":"devs@example.com","list-id":"x","sid":"**"},"recipient":"ann@example.net",**"user-variables":{"who":"ann@example.net"}}],**`},
		{name: "not for the others", path: "/v3/example.com/events?pretty=no&event=delivered&recipient=carl@example.net", want: `{"items":[{"event":"delivered",**`, not: "mailing-list"},
	})
	s.leave(t, strings.TrimPrefix(link[1], base))
}

// leave is a member's way out: to look changes nothing, to click does.
func (s *stage) leave(t *testing.T, path string) {
	t.Helper()
	subscribed := func(want string) probe {
		return probe{name: "subscribed " + want, path: devs + "/members/ann@example.net", want: "**\"subscribed\": " + want + ",**"}
	}
	end := path[len(path)-1:]
	other := map[bool]string{true: "1", false: "0"}[end == "0"]
	s.run(t, []probe{
		{name: "look", as: "nobody", path: path, want: "<!DOCTYPE html>**<form method=\"post\">**", header: "Content-Security-Policy: **frame-ancestors 'none'**"},
		subscribed("true"),
		{name: "altered", as: "nobody", method: "POST", path: path[:len(path)-1] + other, status: 404, want: "**<h1>This link does not work</h1>**"},
		{name: "cut", as: "nobody", path: path[:len(path)-1], status: 404, want: "**This link does not work**"},
		subscribed("true"),
		{name: "one click", as: "nobody", path: path, form: []string{"List-Unsubscribe", "One-Click"}, want: "You are unsubscribed", header: "Content-Type: text/plain; charset=utf-8"},
		subscribed("false"),
		{name: "again", as: "nobody", method: "POST", path: path, want: "**<h1>You are unsubscribed</h1>**ann@example.net**Dev Team &lt;devs@example.com&gt;**", not: "<form"},
		{name: "look again", as: "nobody", path: path, head: [][2]string{{"Accept-Language", "de"}}, want: "**<h1>Sie sind abgemeldet</h1>**", not: "<form"},
		{name: "the event, once", path: "/v3/example.com/events?pretty=no&event=unsubscribed", want: `{"items":[{"event":"unsubscribed",**"mailing-list":{"address":"devs@example.com","list-id":"x"},"recipient":"ann@example.net",**}],"paging"**`},
		{name: "other mail still goes", path: "/v3/example.com/unsubscribes/ann@example.net", status: 404},
		{name: "removed", method: "DELETE", path: devs + "/members/ann@example.net"},
		{name: "of nobody", as: "nobody", path: path, status: 404},
	})
}

// A post by authenticated SMTP, here in dev mode, is one like any other.
func TestScenarioListSMTP(t *testing.T) {
	s := newStage(t, config.Dev)
	s.crew(t, "readonly", "list")
	c, err := smtp.Dial(s.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body, err := io.WriteCloser(nil), errors.Join(c.Mail("me@example.com"), c.Rcpt("devs@example.com"), c.Rcpt("eve@example.net"))
	if err == nil {
		body, err = c.Data()
	}
	if err == nil {
		_, err = io.WriteString(body, "From: me@example.com\r\nTo: devs@example.com\r\nSubject: s\r\nMessage-Id: <one@example.com>\r\n\r\nb\r\n")
		err = errors.Join(err, body.Close(), c.Quit())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ann@example.net", "bob@example.net", "eve@example.net"} {
		d := s.Outcome("<one@example.com>", to, 1)
		if viaList := d.MailingList != nil; d.Event != event.Delivered || viaList == (to == "eve@example.net") {
			t.Errorf("%s: %s, %+v", to, d.Event, d.MailingList)
		}
	}
	s.check(t, probe{path: "/v3/example.com/events?pretty=no&event=accepted&recipient=devs@example.com", want: `{"items":[{"event":"accepted",**"method":"smtp",**"is-authenticated":true,**`})
}

func TestScenarioListRefuses(t *testing.T) {
	s := newStage(t, config.Serve)
	s.crew(t, "members", "sender")
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", "mx.example.net")
	ctx := context.Background()
	post := func(header string) error {
		sub, err := s.Lists.Prepare(ctx, list.Inbound{To: "devs@example.com", Sender: "ann@example.net", Raw: []byte(header + "Subject: s\r\n\r\nb\r\n")})
		if err == nil {
			_, _, err = s.Messages.Submit(ctx, sub)
		}
		return err
	}
	const from = "From: Ann <ann@example.net>\r\n"
	for _, c := range []struct{ name, header, text string }{
		{"no member", "From: eve@example.net\r\n", "takes mail from its subscribed members only"},
		{"who has left", "From: gone@example.net\r\n", "takes mail from its subscribed members only"},
		{"two authors", "From: ann@example.net, bob@example.net\r\n", "takes mail from its subscribed members only"},
		{"automatic", from + "Auto-Submitted: auto-replied\r\n", "automatic replies, reports and bulk mail"},
		{"bulk", from + "Precedence: bulk\r\n", "automatic replies, reports and bulk mail"},
		{"loop", from + "X-Postroad-List: Devs@example.com\r\n", "has been sent to mailing list devs@example.com already"},
		{"loop by List-Id", from + "List-Id: The list <devs.example.com>\r\n", "automatic replies, reports and bulk mail"},
		{"many lists", from + strings.Repeat("X-Postroad-List: x@y.z\r\n", 5), "went through 5 mailing lists"},
	} {
		if err := post(c.header); !errs.Is(err, errs.Forbidden) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := s.Lists.Prepare(ctx, list.Inbound{To: "devs@example.com", Raw: []byte(from + "\r\n")}); !errs.Is(err, errs.Forbidden) {
		t.Errorf("null sender: %v", err)
	}
	if _, err := s.Lists.Prepare(ctx, list.Inbound{To: "no@example.com", Sender: "a@b.c", Raw: []byte(from + "\r\n")}); !errs.Is(err, errs.NotFound) {
		t.Errorf("no list: %v", err)
	}
	if err := post(from + "X-Mailgun-Drop-Message: yes\r\nX-Postroad-List: other@example.org\r\nPrecedence: list\r\nList-Unsubscribe: <https://elsewhere.example/>\r\nReply-To: me@example.net\r\n"); err != nil {
		t.Fatal(err)
	}
	for _, m := range sink.Await(t, 2) {
		has(t, m.Data, "Reply-To: me@example.net\r\n", "X-Postroad-List: other@example.org\r\n", "X-Postroad-List: devs@example.com\r\n", "unsubscribe/list/")
		hasNot(t, m.Data, "elsewhere.example", "List-Unsubscribe-Post", // the server is not reached by HTTPS
			"Drop-Message")
	}
	s.run(t, []probe{
		{name: "who posted was not authenticated", path: "/v3/example.com/events?pretty=no&event=accepted&recipient=devs@example.com", want: `{"items":[{"event":"accepted",**"method":"smtp",**"is-authenticated":false,**}],**`},
		{name: "readonly", method: "PUT", path: devs, form: []string{"access_level", "readonly"}},
		{name: "domain key", as: "sending", path: "/v3/example.com/messages", form: []string{"from", "x@example.com", "to", "devs@example.com", "text", "t"}},
		{name: "loop by API", path: "/v3/example.com/messages", form: []string{"from", "x@example.com", "to", "devs@example.com", "text", "t", "h:X-Postroad-List", "devs@example.com"}, status: 403},
	})
	sink.Await(t, 4)
	if err := post(from); !errs.Is(err, errs.Forbidden) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("readonly: %v", err)
	}
	s.byMail(t, sink.Messages()[3].Data)
}

// byMail leaves the list by a message to the address in List-Unsubscribe.
func (s *stage) byMail(t *testing.T, data string) {
	t.Helper()
	ctx := context.Background()
	address := regexp.MustCompile(`unsub\+[0-9a-v]+@example\.com`).FindString(data)
	d, err := s.Domains.ByName(ctx, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Lists.Takes(ctx, d.ID, strings.ToUpper(address[:8])+address[8:]); !ok || err != nil {
		t.Fatalf("%q is not taken: %v", address, err)
	}
	for to, want := range map[string]bool{"devs@example.com": true, "DEVS@Example.com": true, "no@example.com": false, "devs@example.org": false, "unsub+x@example.com": false, "x": false} {
		if ok, err := s.Lists.Takes(ctx, d.ID, to); ok != want || err != nil {
			t.Errorf("takes %q: %v %v", to, ok, err)
		}
	}
	if ok, err := s.Lists.Takes(ctx, d.ID+1, "devs@example.com"); ok || err != nil {
		t.Errorf("taken for another domain: %v %v", ok, err)
	}
	for i, in := range []list.Inbound{{Sender: "", Raw: []byte("\r\n")}, {Sender: "ann@example.net", Raw: []byte("Auto-Submitted: auto-replied\r\n\r\n")}, {Sender: "ann@example.net", Raw: []byte("\r\n")}} {
		in.To = address
		if m, err := s.Lists.Prepare(ctx, in); m != nil || err != nil {
			t.Fatal(m, err)
		}
		var left struct {
			Total int `json:"total_count"`
		}
		_, body := s.Do("GET", devs+"/members", apptest.Fields{"subscribed", "no"})
		if err := json.Unmarshal(body, &left); err != nil || left.Total != 1+i/2 {
			t.Errorf("message %d: %d have left, %v", i, left.Total, err)
		}
	}
	if _, err := s.Lists.Prepare(ctx, list.Inbound{To: "unsub+" + strings.Repeat("0", 52) + "@example.com", Sender: "ann@example.net", Raw: []byte("\r\n")}); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
}

// A domain that is deleted takes its lists along.
func TestScenarioListsOfADeletedDomain(t *testing.T) {
	s := newStage(t, config.Serve)
	s.crew(t, "readonly", "list")
	s.run(t, []probe{
		{name: "delete the domain", method: "DELETE", path: "/v3/domains/example.com"},
		{name: "no list", path: devs, status: 404},
		{name: "no lists", path: "/v3/lists", want: "{\n  \"items\": [],**"},
	})
}

func TestScenarioLeaveHeaders(t *testing.T) {
	s := newStage(t, config.Serve)
	res, err := http.Head(s.URL + "/unsubscribe/list/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 404 || len(b) != 0 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %q %v", res.StatusCode, b, res.Header)
	}
}
