package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

// addressList is what differs between the lists of addresses.
type addressList struct {
	kind           string
	one            string // answer to one address, after its brace
	many           string // answer to three
	view           string // of a@example.net as it was added first
	full           string // of d@example.net, added with everything
	removed, clear string
	missing        string
}

var addressLists = []addressList{
	{"bounces", `"message":"Address has been added to the bounces table","address":"A@Example.net"}`, "3 addresses have been added to the bounces table",
		`{"address":"A@Example.net","code":"550","error":"","created_at":"**UTC"}`, `{"address":"d@example.net","code":"552","error":"full","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`,
		"Bounced address has been removed", "Bounced addresses for this domain have been removed", "Address not found in bounces table"},
	{"complaints", `"address":"A@Example.net","message":"Address has been added to the complaints table"}`, "3 complaint addresses have been added to the complaints table",
		`{"address":"A@Example.net","created_at":"**UTC"}`, `{"address":"d@example.net","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`,
		"Spam complaint has been removed", "Complaint addresses for this domain have been removed", "No spam complaints found for this address"},
	{"unsubscribes", `"address":"A@Example.net","message":"Address has been added to the unsubscribes table"}`, "3 addresses have been added to the unsubscribes table",
		`{"address":"A@Example.net","tags":["*"],"created_at":"**UTC"}`, `{"address":"d@example.net","tags":["x","y"],"created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}`,
		"Unsubscribe event has been removed", "Unsubscribe addresses for this domain have been removed", "Address not found in unsubscribers table"},
}

func TestScenarioSuppressions(t *testing.T) {
	s := newStage(t, config.Serve)
	for _, l := range addressLists {
		t.Run(l.kind, func(t *testing.T) { s.run(t, l.probes(s.URL)) })
	}
}

func (l *addressList) probes(base string) []probe {
	path := "/v3/example.com/" + l.kind
	link := base + path
	empty := `{"items":[],"paging":{"first":"LINK","last":"LINK","next":"LINK","previous":"LINK"}}`
	msg := func(s string) string { return `{"message":"` + s + `"}` }
	return []probe{
		{name: "empty list", path: path, want: strings.ReplaceAll(empty, "LINK", link+"?limit=100&term=")},
		{name: "add", path: path, parts: []string{"address", "A@Example.net"}, want: "{" + l.one},
		{name: "add again", path: path, form: []string{"address", "A@Example.net"}, want: "{" + l.one},
		{name: "add three", path: path, json: `[{"address":"b@example.net"},{"address":"c+1@example.net"},{"address":"d@example.net","code":"552","error":"full","tags":["x","y"],"created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}]`, want: msg(l.many)},
		{name: "a list of one", path: path, json: `[{"address":"b@example.net"}]`, want: msg(strings.Replace(l.many, "3", "1", 1))},
		{name: "get", path: path + "/a@example.net", want: l.view},
		{name: "get escaped", path: path + "/A%40example.net", want: l.view},
		{name: "get in full", path: path + "/d@example.net", want: l.full},
		{name: "plus", path: path + "/c+1@example.net", want: `{"address":"c+1@example.net",**`},
		{name: "plus escaped", path: path + "/c%2B1@example.net", want: `{"address":"c+1@example.net",**`},
		{name: "first page", path: path + "?limit=2", want: `{"items":[{"address":"A@Example.net",**},{"address":"b@example.net",**}],"paging":{"first":"` + link + `?limit=2&term=","last":"` + link + `?page=last&limit=2&term=",` +
			`"next":"` + link + `?page=next&address=b%40example.net&limit=2&term=","previous":"` + link + `?page=previous&address=A%40Example.net&limit=2&term="}}`},
		{name: "next page", path: path + "?page=next&address=b%40example.net&limit=2&term=", want: `{"items":[{"address":"c+1@example.net",**},{"address":"d@example.net",**}],**`},
		{name: "after the last", path: path + "?page=next&address=d%40example.net&limit=2&term=", want: `{"items":[],"paging":{"first":"**","last":"**","next":"**","previous":"**"}}`},
		{name: "previous page", path: path + "?page=previous&address=c%2B1%40example.net&limit=2", want: `{"items":[{"address":"A@Example.net",**},{"address":"b@example.net",**`},
		{name: "last page", path: path + "?page=last&limit=3", want: `{"items":[{"address":"b@example.net",**},{"address":"c+1@**},{"address":"d@**`},
		{name: "prefix", path: path + "?term=c", want: `{"items":[{"address":"c+1@example.net",**}],"paging":{"first":"` + link + `?limit=100&term=c",**`},
		{name: "limit", path: path + "?limit=1001", status: 400, want: msg("'limit' parameter is invalid: must be between 1 and 1000")},
		{name: "1,001 addresses", path: path, json: "[" + strings.TrimSuffix(strings.Repeat(`{"address":"x@example.net"},`, 1001), ",") + "]", status: 400, want: msg("Batch size should be less than 1000")},
		{name: "no address", path: path, form: []string{"x", "y"}, status: 400, want: msg("Missing mandatory parameter: address")},
		{name: "bad address", path: path, form: []string{"address", "x"}, status: 400, want: msg("'address' parameter is invalid: **")},
		{name: "one bad address adds none", path: path, json: `[{"address":"new@example.net"},{"address":"x"}]`, status: 400, want: msg("'address' parameter is invalid: **")},
		{name: "none added", path: path + "/new@example.net", status: 404, want: msg(l.missing)},
		{name: "bad date", path: path, form: []string{"address", "x@example.net", "created_at", "junk"}, status: 400, want: msg("'created_at' parameter is invalid: junk is not an RFC-2822 compliant date")},
		{name: "two lines", path: path, form: []string{"address", "x@example.net\r\nBcc: y"}, status: 400},
		{name: "NUL", path: path, form: []string{"address", "x\x00@example.net"}, status: 400},
		{name: "broken JSON", path: path, json: `[{`, status: 400, want: msg("unable to parse request: **")},
		{name: "not an address", path: path, json: `[{"address":1}]`, status: 400, want: msg("'address' parameter is invalid: must be a string")},
		{name: "remove", method: "DELETE", path: path + "/a@example.net", want: `{"address":"a@example.net","message":"` + l.removed + `"}`},
		{name: "remove again", method: "DELETE", path: path + "/a@example.net", status: 404, want: msg(l.missing)},
		{name: "get removed", path: path + "/a@example.net", status: 404, want: msg(l.missing)},
		{name: "other domain", path: "/v3/example.org/" + l.kind + "/b@example.net", status: 404, want: msg(l.missing)},
		{name: "no domain", path: "/v3/elsewhere.example/" + l.kind, status: 404, want: msg("Domain not found")},
		{name: "analyst", as: "basic", path: path, status: 401, want: forbidden},
		{name: "support writes", as: "support", path: path, form: []string{"address", "s@example.net"}},
		{name: "sending key", as: "sending", path: path, status: 401, want: forbidden},
		{name: "remove all", method: "DELETE", path: path, want: msg(l.clear)},
		{name: "all removed", path: path, want: `{"items":[],**`},
		{name: "PUT", method: "PUT", path: path, status: 405},
	}
}

func TestScenarioUnsubscribeTags(t *testing.T) {
	s := newStage(t, config.Serve)
	const path = "/v3/example.com/unsubscribes"
	s.run(t, []probe{
		{name: "a form has tag", path: path, form: []string{"address", "a@example.net", "tag", "t1", "tag", "t2"}},
		{name: "the first counts", path: path + "/a@example.net", want: `{"address":"a@example.net","tags":["t1"],**`},
		{name: "a form has no tags", path: path, form: []string{"address", "b@example.net", "tags", "t1"}},
		{name: "so all", path: path + "/b@example.net", want: `{"address":"b@example.net","tags":["*"],**`},
		{name: "JSON has no tag", path: path, json: `[{"address":"c@example.net","tag":"t1"}]`},
		{name: "so all again", path: path + "/c@example.net", want: `{"address":"c@example.net","tags":["*"],**`},
		{name: "another tag", method: "DELETE", path: path + "/a@example.net?tag=t9", status: 404, want: `{"message":"Unsubscribe event for this tag does not exist"}`},
		{name: "its tag", method: "DELETE", path: path + "/a@example.net?tag=t1", want: `{"address":"a@example.net","message":"Unsubscribe event has been removed"}`},
		{name: "gone with its last tag", path: path + "/a@example.net", status: 404},
	})
}

func TestScenarioAllowlist(t *testing.T) {
	s := newStage(t, config.Serve)
	const path, added = "/v3/example.com/whitelists", `{"message":"Address/Domain has been added to the allowlists table",`
	const missing = `{"message":"Address/Domain not found in allowlist table"}`
	s.run(t, []probe{
		{name: "address", path: path, parts: []string{"address", "a@example.net", "reason", "friend"}, want: added + `"type":"address","value":"a@example.net"}`},
		{name: "domain", path: path, form: []string{"domain", "example.net"}, want: added + `"type":"domain","value":"example.net"}`},
		{name: "neither", path: path, form: []string{"reason", "x"}, status: 400, want: `{"message":"Missing mandatory parameter: address/domain"}`},
		{name: "no domain name", path: path, form: []string{"domain", "a b"}, status: 400, want: `{"message":"'domain' parameter is invalid: **"}`},
		{name: "get", path: path + "/a@example.net", want: `{"type":"address","value":"a@example.net","reason":"friend","createdAt":"**UTC"}`},
		{name: "list", path: path, want: `{"items":[{"type":"address",**},{"type":"domain","value":"example.net","reason":"","createdAt":"**UTC"}],"paging":{"first":"**`},
		{name: "unknown", path: path + "/b@example.net", status: 404, want: missing},
		{name: "analyst reads", as: "basic", path: path, want: `{"items":[**`},
		{name: "analyst does not write", as: "basic", path: path, form: []string{"domain", "example.org"}, status: 401, want: forbidden},
		{name: "support writes", as: "support", path: path, form: []string{"domain", "example.org"}},
		{name: "sending key", as: "sending", path: path, status: 401, want: forbidden},
		{name: "remove", method: "DELETE", path: path + "/example.net", want: `{"message":"Allowlist address/domain has been removed","value":"example.net"}`},
		{name: "remove again", method: "DELETE", path: path + "/example.net", status: 404, want: missing},
		{name: "remove all", method: "DELETE", path: path, want: `{"message":"Allowlist addresses/domains for this domain have been removed"}`},
	})
}

// What is on the lists is not sent to; the events say why.
func TestScenarioSuppressed(t *testing.T) {
	s := newStage(t, config.Serve)
	for i, c := range []struct{ list, reason, text string }{
		{"bounces", "suppress-bounce", "Not delivering to previously bounced address"},
		{"unsubscribes", "suppress-unsubscribe", "Not delivering to unsubscribed address"},
		{"complaints", "suppress-complaint", "Not delivering to a user who marked your messages as spam"},
	} {
		to := c.list + "@example.net"
		s.check(t, probe{path: "/v3/example.com/" + c.list, form: []string{"address", strings.ToUpper(to)}})
		s.Outcome(s.Send("example.com", []string{"to", to}), to, 1)
		s.run(t, []probe{{name: c.list, path: "/v3/example.com/events?pretty=no&event=failed&recipient=" + to,
			want: fmt.Sprintf(`{"items":[{"event":"failed",**"log-level":"error","severity":"permanent","reason":"%s",**"delivery-status":{**"code":%d,**"message":"**",**`, c.reason, 605+i)},
			{name: c.list + " text", path: "/v3/example.com/events?pretty=no&event=failed&recipient=" + to, want: "**" + c.text + "**"}})
	}
}

// One of several recipients is suppressed: of a message, of a batch, of a list.
func TestScenarioSuppressedAmongOthers(t *testing.T) {
	s := newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.many.test", apptest.Script{})
	s.World.MX(t, "many.test", k.Host)
	const gone, fine = "gone@many.test", "fine@many.test"
	s.Must("POST", "/v3/example.com/bounces", []string{"address", "Gone@many.test"})
	s.Must("POST", "/v3/lists", []string{"address", "l@example.com"})
	for _, a := range []string{gone, fine} {
		s.Must("POST", "/v3/lists/l@example.com/members", []string{"address", a})
	}
	for n, form := range [][]string{{"to", gone + "," + fine}, {"to", gone, "to", fine, "recipient-variables", `{"gone@many.test":{"a":"1"},"fine@many.test":{"a":"2"}}`, "subject", "%recipient.a%"},
		{"to", "l@example.com"}} {
		s.Send("example.com", form)
		s.WaitFor(n+1, "failures", func(e *event.Event) bool {
			return e.Doc.Event == event.Failed && e.Doc.Recipient == gone && e.Doc.Reason == "suppress-bounce" && e.Doc.DeliveryStatus.Code == 605
		})
		for _, m := range k.Await(t, n+1) {
			if len(m.To) != 1 || m.To[0] != fine {
				t.Errorf("sent to %q", m.To)
			}
		}
	}
}

func TestScenarioImport(t *testing.T) {
	s := newStage(t, config.Serve)
	const taken = `{"message":"file uploaded successfully for processing. standby..."}`
	csv := func(data string) []upload { return []upload{{"file", "l.csv", "text/csv", data}} }
	for _, list := range []string{"bounces", "complaints", "unsubscribes", "whitelists"} {
		path := "/v3/example.com/" + list + "/import"
		s.run(t, []probe{
			{name: list, path: path, files: csv("address\na@example.net\nnobody\n"), status: 202, want: taken, header: "Location: /v1/postroad/suppression-imports/**"},
			{name: "bad header", path: path, files: csv("mail\na@example.net\n"), status: 400, want: `{"message":"while reading csv header"}`, header: "X-Hint: the first line must name a column address**"},
			{name: "no file", path: path, parts: []string{"x", "y"}, status: 400, want: `{"message":"Missing mandatory parameter: file"}`},
			{name: "too large", path: path, files: csv("address\n" + strings.Repeat("xxxxxxxxxxxxxxx\n", 25<<16)), status: 400, want: `{"message":"CSV file is too big, max allowed size is 25 MB"}`},
			{name: "no domain", path: "/v3/elsewhere.example/" + list + "/import", files: csv("address\n"), status: 404, want: `{"message":"Domain not found"}`},
			{name: "analyst", as: "basic", path: path, files: csv("address\n"), status: 401, want: forbidden},
			{name: "sending key", as: "sending", path: path, files: csv("address\n"), status: 401, want: forbidden},
			{name: "support", as: "support", path: path, files: csv("address\nb@example.net"), status: 202, want: taken},
		})
	}
	const path = "/v1/postroad/suppression-imports"
	s.Until("the imports to end", func() bool {
		_, body := s.Do("GET", path, nil)
		return strings.Count(string(body), `"state":"finished"`) == 8
	})
	list := decode[struct {
		Items []struct{ ID, List, File string }
	}](t, s.check(t, probe{path: path, as: "support", want: `{"items":[{"id":"**","domain":"example.com","list":"whitelists","file":"l.csv","key-id":"**","state":"finished",` +
		`"size":21,"done":21,"imported":1,"failed":0,"created":"**Z","started":"**Z","finished":"**Z"},**`}))
	first := path + "/" + list.Items[len(list.Items)-1].ID
	s.run(t, []probe{
		{name: "one", path: first, want: `{"id":"**","domain":"example.com","list":"bounces",**"imported":1,"failed":1,**`},
		{name: "its errors", path: first + "/errors", want: `{"items":[{"line":3,"reason":"**domain missing","content":"nobody"}],"failed":1}`},
		{name: "as CSV", path: first + "/errors?format=csv", want: "line,reason,content\n3,**domain missing\",nobody", header: "Content-Type: text/csv**"},
		{name: "unknown", path: path + "/1", status: 404, want: `{"message":"Import not found"}`},
		{name: "analyst reads none", as: "basic", path: first, status: 401, want: forbidden},
		{name: "imported", path: "/v3/example.com/complaints/A@example.net", want: `{"address":"a@example.net",**`},
	})
}

// A bounce, and what is said about it when the next message is not sent.
func TestScenarioWhy(t *testing.T) {
	s := newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.bounce.test", apptest.Script{Any: "550 5.1.1 no such user"})
	s.World.MX(t, "bounce.test", k.Host)
	const to = "gone@bounce.test"
	id := s.Send("example.com", []string{"to", to, "subject", "First"})
	first := s.Outcome(id, to, 1)
	conns, _ := k.Conns()
	second := s.Outcome(s.Send("example.com", []string{"to", to, "subject", "Second"}), to, 1)
	if n, _ := k.Conns(); n != conns || second.DeliveryStatus.Code != 605 {
		t.Errorf("%d attempts more, %+v", n-conns, second.DeliveryStatus)
	}
	const path = "/v1/postroad/domains/example.com/suppressions/"
	said := s.check(t, probe{path: path + "GONE@bounce.test", want: `{"address":"GONE@bounce.test","suppressed":true,"code":605,"reason":"suppress-bounce","allowed":false,"items":[{"list":"bounces",` +
		`"value":"gone@bounce.test","since":"**Z","code":"550","text":"no such user","because":"the recipient's server refused a message for good: 550 no such user",` +
		`"means":"No message of the domain is sent to it.","cause":{"by":"event","event":"failed","event-id":"` + first.ID + `","message-id":"` + first.Message.Headers.MessageID +
		`","message":"**","storage-key":"` + first.Storage.Key + `","subject":"First"}}]}`})
	cause := decode[struct {
		Items []struct{ Cause struct{ Message string } }
	}](t, said).Items[0].Cause.Message
	s.run(t, []probe{
		{name: "the message named", path: "/v1/postroad/messages/" + cause, want: `{"id":"` + cause + `","message-id":"` + first.Message.Headers.MessageID + `",**`},
		{name: "not listed", path: path + "fine@bounce.test", want: `{"address":"fine@bounce.test","suppressed":false,"allowed":false,"items":[]}`},
		{name: "no address", path: path + "x", status: 400},
		{name: "other domain", path: "/v1/postroad/domains/elsewhere.example/suppressions/" + to, status: 404, want: `{"message":"Domain not found"}`},
		{name: "analyst", as: "basic", path: path + to, status: 401, want: forbidden},
		{name: "support", as: "support", path: path + to},
		{name: "test mode is not kept back", path: "/v3/example.com/messages", form: []string{"from", "a@example.com", "to", to, "text", "x", "o:testmode", "yes"}},
	})
	page := s.panel(t, second.Message.Headers.MessageID)
	link := `<a href="/messages/` + cause + `"><bdi>First</bdi></a>`
	if !strings.Contains(page, "Listed ") || !strings.Contains(page, "refused a message for good: 550 no such user") || !strings.Contains(page, link) {
		t.Errorf("the page of the second message does not say why:\n%s", page[:min(len(page), 3000)])
	}
	s.Must("DELETE", "/v3/example.com/bounces/"+to, nil)
	if page := s.panel(t, second.Message.Headers.MessageID); !strings.Contains(page, "The address is no longer on the list.") {
		t.Error("the page does not say that the address is off the list")
	}
}

// panel returns the page of a message as an administrator sees it.
func (s *stage) panel(t *testing.T, id string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Jar: jar}
	get := func(res *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
		return string(b)
	}
	form := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(get(c.Get(s.URL + "/login")))
	values := url.Values{"key": {s.Key}}
	if form != nil {
		values.Set("csrf", form[1])
	}
	get(c.PostForm(s.URL+"/login", values))
	return get(c.Get(s.URL + "/messages/" + url.PathEscape(id)))
}
