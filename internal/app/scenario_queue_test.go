package app_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/db"
	"postroad/internal/config"
)

const queueRoot = "/v1/queue"

// forbiddenQueue is what administrators of other accounts read.
const forbiddenQueue = `{"message":"The queue belongs to the installation: use an administrator's key of its first account"}`

// stranded is a stage with mail that cannot be delivered now, and the lane it is
// in.
func stranded(t *testing.T) (s *stage, lane string) {
	s = newStage(t, config.Serve)
	k := s.World.Sink(t, "mx.later.test", apptest.Script{Mail: "451 4.3.0 not now"})
	s.World.MX(t, "later.test", k.Host)
	lane = "mx:mx.later.test"
	for _, to := range []string{"a@later.test", "b@later.test"} {
		s.strand("example.com", to, "o:tag", "weekly")
	}
	s.strand("example.org", "c@later.test")
	return s, lane
}

// strand sends a message and waits until it was tried.
func (s *stage) strand(from, to string, more ...string) (id string) {
	s.t.Helper()
	id = s.Send(from, append(apptest.Fields{"to", to}, more...))
	s.Until("an attempt for "+to, func() bool {
		list := s.Waiting(id)
		return len(list) == 1 && list[0].Tries == 1
	})
	return id
}

// otherAdmin is a key of another account with all rights there.
func (s *stage) otherAdmin(t *testing.T) string {
	t.Helper()
	const key = "key-of-another-account"
	hash := sha256.Sum256([]byte(key))
	if err := s.DB.Write(context.Background(), func(tx *db.Tx) error {
		if _, err := tx.Exec("INSERT INTO account (id, name, signing_key, created_at) VALUES (?, ?, ?, ?)", "other", "Other", "", tx.Now); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO api_key (id, account_id, hash, tail, kind, role, domain, description, requestor, user_id, user_name, disabled, expires_at, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, '', '', '', '', '', 0, 0, ?, ?)`, "otherkey", "other", hash[:], "", "user", "admin", tx.Now, tx.Now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestScenarioQueueRoles(t *testing.T) {
	s := newStage(t, config.Serve)
	s.keys["other"] = s.otherAdmin(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/lanes", ""}, {"GET", "/lanes/x", ""}, {"GET", "/top", ""}, {"GET", "/deliveries", ""}, {"GET", "/deliveries/1", ""}, {"GET", "/rules", ""},
		{"GET", "/trace", ""}, {"DELETE", "/rules/1", ""}, {"POST", "/retry", `{"id":"1"}`}, {"POST", "/bounce", `{"id":"1","reason":"x"}`},
		{"POST", "/drop", `{"id":"1","reason":"x"}`}, {"POST", "/pause", `{"lane":"x","reason":"x"}`}, {"POST", "/resume", `{"lane":"x"}`},
		{"POST", "/limit", `{"lane":"x","sessions":1,"reason":"x"}`}, {"POST", "/reroute", `{"site":"x","target":"smtp://h","reason":"x"}`},
	} {
		for _, role := range []string{"basic", "developer", "support", "sending", "nobody"} {
			s.check(t, probe{as: role, method: c.method, path: queueRoot + c.path, json: c.body, status: 401, want: forbidden})
		}
		s.check(t, probe{as: "other", method: c.method, path: queueRoot + c.path, json: c.body, status: 403, want: forbiddenQueue})
	}
	s.check(t, probe{path: queueRoot + "/rules", want: `{"items":[]}`})
}

func TestScenarioQueueViews(t *testing.T) {
	s, lane := stranded(t)
	first := decode[struct {
		Items []struct{ ID, Message string }
	}](t, s.check(t, probe{path: queueRoot + "/deliveries?limit=1"})).Items[0]
	one := queueRoot + "/lanes/" + url.PathEscape(lane)
	s.run(t, []probe{
		{name: "lanes", path: queueRoot + "/lanes", want: `{"items":[{"name":"` + lane + `","site":"` + lane + `","source":"","state":"open","why":"sessions ** of **","queued":3,` +
			`"waiting":{"first":0,"again":0,"blocked":0,"routing":0,"in_hand":0,"due":0,"deferred":3},"sessions":{"now":**,"allowed":**,"most":**},"rate":{"limit":"","observed":0},` +
			`"oldest":"20**Z","next_due":"20**Z","last_reply":{"code":451,"enhanced":"4.3.0","text":"not now","class":"**","mx":"mx.later.test","at":"20**"},` +
			`"reasons":[{"what":"sessions","effect":"sessions**","reason":"**","origin":"default","limits":true}],"destinations":["later.test"]}],"total":1}`},
		{name: "lane", path: one, want: `{"name":"` + lane + `",**"destinations":["later.test"]}`},
		{name: "lane of a destination", path: queueRoot + "/lanes/LATER.test.", want: `{"name":"` + lane + `",**`},
		{name: "no lane", path: queueRoot + "/lanes/nowhere.test", status: 404, want: `{"message":"no lane nowhere.test: nothing waits for it and nothing was sent there lately"}`},
		{name: "lanes limit", path: queueRoot + "/lanes?limit=0", status: 400},
		{name: "top", path: queueRoot + "/top", want: `{"by":"destination","buckets":["5","10","20","40","80","160","320","640","640+"],"items":[{"name":"later.test","count":3,"oldest":"20**","ages":[3,0,0,0,0,0,0,0,0]}]}`},
		{name: "top by domain", path: queueRoot + "/top?by=domain&limit=1", want: `{"by":"domain",**"items":[{"name":"example.com","count":2,**}]}`, not: "example.org"},
		{name: "top by tag", path: queueRoot + "/top?by=tag", want: `{"by":"tag",**"items":[{"name":"weekly","count":2,**},{"name":"","count":1,**}]}`},
		{name: "top by recipient", path: queueRoot + "/top?by=recipient", status: 400},
		{name: "deliveries", path: queueRoot + "/deliveries?lane=" + url.QueryEscape(lane), want: `{"items":[{"id":"**","message":"**","account":"**","domain":"example.com","recipient":"a@later.test",` +
			`"destination":"later.test","tag":"weekly","lane":"` + lane + `","state":"deferred","accepted":"**","due":"**","deadline":"**","tries":1,"first_try":"**",` +
			`"last_reply":{"code":451,"enhanced":"4.3.0","text":"not now","class":"**","mx":"mx.later.test","at":"**"}},**"b@later.test"**"c@later.test"**]}`},
		{name: "deliveries of a domain", path: queueRoot + "/deliveries?domain=example.org", want: `{"items":[{**"c@later.test"**}]}`, not: "example.com"},
		{name: "deliveries of a recipient", path: queueRoot + "/deliveries?recipient=b@later.test", want: `{"items":[{**"b@later.test"**}]}`, not: "a@later.test"},
		{name: "deliveries of a message", path: queueRoot + "/deliveries?message=" + first.Message, want: `{"items":[{**"a@later.test"**}]}`, not: "b@later.test"},
		{name: "deliveries, next page", path: queueRoot + "/deliveries?limit=1&after=" + first.ID, want: `{"items":[{**"b@later.test"**}],"next":"**"}`},
		{name: "deliveries elsewhere", path: queueRoot + "/deliveries?destination=x.test&tag=weekly", want: `{"items":[]}`},
		{name: "deliveries of no domain", path: queueRoot + "/deliveries?domain=nobody.test", status: 404},
		{name: "deliveries of no message", path: queueRoot + "/deliveries?message=1", status: 404},
		{name: "deliveries to an address", path: queueRoot + "/deliveries?destination=a@later.test", status: 400, want: `{"message":"a destination is a domain: later.test, not an address"}`},
		{name: "deliveries after nonsense", path: queueRoot + "/deliveries?after=x", status: 400, want: `{"message":"\"x\" is not an id: ids are numbers"}`},
		{name: "delivery", path: queueRoot + "/deliveries/" + first.ID, want: `{"id":"` + first.ID + `",**"recipient":"a@later.test",**}`},
		{name: "no delivery", path: queueRoot + "/deliveries/1", status: 404, want: `{"message":"no unfinished delivery 1"}`},
	})
}

func TestScenarioQueueOrders(t *testing.T) {
	s, _ := stranded(t)
	const retry, bounce, drop = queueRoot + "/retry", queueRoot + "/bounce", queueRoot + "/drop"
	const nothing = `{"message":"say which deliveries: lane, destination, domain, account, tag, recipient, message or id"}`
	s.run(t, []probe{
		{name: "retry all", path: retry, json: `{}`, status: 400, want: nothing},
		{name: "retry with an unknown member", path: retry, json: `{"destination":"later.test","recipent":"a@later.test"}`, status: 400, want: `{"message":"unknown member \"recipent\""}`},
		{name: "retry with a parameter", path: retry + "?recipient=a@later.test", json: `{"destination":"later.test"}`, status: 400, want: `{"message":"this takes a JSON body and no parameters in the URL"}`},
		{name: "retry with a form", path: retry, form: []string{"destination", "later.test"}, status: 400},
		{name: "retry without a body", method: "POST", path: retry, status: 400, want: `{"message":"a JSON body is required"}`},
		{name: "retry elsewhere", path: retry, json: `{"destination":"x.test"}`, want: `{"message":"nothing that matches waits for a later time","count":0}`},
		{name: "count", path: bounce, json: `{"tag":"weekly","dry_run":true}`, want: `{"message":"2 deliveries match","count":2}`},
		{name: "bounce all", path: bounce, json: `{"reason":"x"}`, status: 400, want: nothing},
		{name: "bounce without a reason", path: bounce, json: `{"tag":"weekly","reason":" "}`, status: 400, want: `{"message":"a reason is required: the events of the messages carry it"}`},
		{name: "bounce with a long reason", path: bounce, json: `{"tag":"weekly","reason":"` + strings.Repeat("x", 501) + `"}`, status: 400},
		{name: "bounce", path: bounce, json: `{"tag":"weekly","recipient":"a@later.test","reason":"wrong list"}`, want: `{"message":"1 bounced","count":1}`},
		{name: "bounce again", path: bounce, json: `{"tag":"weekly","recipient":"a@later.test","reason":"wrong list"}`, want: `{"message":"0 bounced","count":0}`},
		{name: "drop without a reason", path: drop, json: `{"domain":"example.org"}`, status: 400},
		{name: "drop", path: drop, json: `{"domain":"example.org","reason":"test over"}`, want: `{"message":"1 dropped","count":1}`},
		{name: "left", path: queueRoot + "/deliveries", want: `{"items":[{**"b@later.test"**}]}`, not: "c@later.test"},
		{name: "bounced event", path: "/v3/example.com/events?event=failed&severity=permanent", want: `**"code": 554**wrong list**`},
		{name: "dropped event", path: "/v3/example.org/events?event=failed&severity=permanent", want: `**"code": 650**test over**`},
		{name: "no suppression", path: "/v3/example.com/bounces", want: `{"items":[],**}`},
		{name: "retry", path: retry, json: `{"destination":"later.test"}`, want: `{"message":"1 waiting for a later time are due now","count":1}`},
	})
	s.Until("the retry", func() bool {
		_, body := s.ask(t, probe{path: queueRoot + "/deliveries"})
		list := decode[struct{ Items []struct{ Tries int } }](t, body).Items
		return len(list) == 1 && list[0].Tries == 2
	})
}

func TestScenarioQueueRules(t *testing.T) {
	s, lane := stranded(t)
	const pause, resume, limit, reroute = queueRoot + "/pause", queueRoot + "/resume", queueRoot + "/limit", queueRoot + "/reroute"
	s.run(t, []probe{
		{name: "pause nothing", path: pause, json: `{"reason":"x"}`, status: 400, want: `{"message":"say what it is about: lane, site, destination, source, account, domain or tag"}`},
		{name: "pause two things", path: pause, json: `{"lane":"x","tag":"y","reason":"x"}`, status: 400},
		{name: "pause without a reason", path: pause, json: `{"lane":"x"}`, status: 400, want: `{"message":"a reason is required: whoever finds the rule must know why it is there"}`},
		{name: "pause with an unknown member", path: pause, json: `{"lane":"x","reson":"x"}`, status: 400, want: `{"message":"unknown member \"reson\""}`},
		{name: "pause until yesterday", path: pause, json: `{"lane":"x","reason":"x","expires":"2020-01-01T00:00:00Z"}`, status: 400, want: `{"message":"expires: 2020-01-01T00:00:00Z is over"}`},
		{name: "pause a domain that is not there", path: pause, json: `{"domain":"nobody.test","reason":"x"}`, status: 404},
		{name: "pause", path: pause, json: `{"lane":"` + lane + `","reason":"their migration","expires":"2h"}`,
			want: `{"message":"lane ` + lane + `: no deliveries","rule":{"id":"**","kind":"pause","scope":"lane","match":"` + lane + `","effect":"no deliveries","reason":"their migration",` +
				`"origin":"admin","by":"key **","created":"20**","expires":"20**"}}`},
		{name: "paused lane", path: queueRoot + "/lanes/" + lane, want: `**"state":"paused","why":"no deliveries: their migration**"suspended_until":"20**"reasons":[{"what":"pause",**"rule":"**"**`},
		{name: "retry a paused lane", path: queueRoot + "/retry", json: `{"lane":"` + lane + `"}`, want: `{"message":"3 waiting for a later time are due now","count":3,"note":"the lane ` + lane + ` is stopped until **: their migration"}`},
		{name: "pause again", path: pause, json: `{"lane":"` + lane + `","reason":"for good"}`, want: `**"reason":"for good"**"replaced":true}`, not: "expires"},
		{name: "pause by a slip", path: pause, json: `{"lane":"mx:nowhere","reason":"x"}`, want: `**"note":"no lane of that name is in use now"}`},
		{name: "resume what is not stopped", path: resume, json: `{"tag":"x"}`, status: 404, want: `{"message":"nothing stops tag x"}`},
		{name: "resume another way", path: resume, json: `{"destination":"later.test"}`, want: `{"message":"nothing was changed: what stops it is about something else","rules":[],"lanes":[],"still":[{"what":"pause",**`},
		{name: "pause a domain", path: pause, json: `{"domain":"example.org","reason":"abuse"}`, want: `**"scope":"domain","match":"example.org"**`},
		{name: "resume it", path: resume, json: `{"domain":"example.org","reason":"settled"}`, want: `{"message":"it goes on","rules":[{**}],"lanes":[],"still":[]}`},
		{name: "resume", path: resume, json: `{"lane":"` + lane + `"}`, want: `{"message":"it goes on","rules":[{**"for good"**}],**"still":[]}`},
		{name: "limit nothing", path: limit, json: `{"lane":"x","reason":"x"}`, status: 400},
		{name: "limit to no rate", path: limit, json: `{"lane":"x","rate":"fast","reason":"x"}`, status: 400, want: `{"message":"\"fast\" is not a rate: 5/s, 100/m, 1000/h, 20000/d or 50/10m"}`},
		{name: "limit sessions of a sender", path: limit, json: `{"tag":"x","sessions":3,"reason":"x"}`, status: 400},
		{name: "limit", path: limit, json: `{"site":"LATER.test","sessions":2,"rate":"100/m","per_connection":5,"reason":"gently"}`,
			want: `{"message":"site later.test: 2 sessions, 100/m, 5 messages per connection","rule":{**"sessions":2,"per_connection":5,"rate":"100/m","reason":"gently"**}}`},
		{name: "limited lane", path: queueRoot + "/lanes/" + lane, want: `**"most":2},"rate":{"limit":"100/m"**"reason":"gently"**`},
		{name: "reroute nowhere", path: reroute, json: `{"destination":"later.test","reason":"x"}`, status: 400},
		{name: "reroute to a login", path: reroute, json: `{"destination":"later.test","reason":"x","target":"smtp://u:p@h"}`, status: 400},
		{name: "reroute to no source", path: reroute, json: `{"destination":"later.test","reason":"x","target":"source:x"}`, status: 400, want: `{"message":"there is no source \"x\" in the settings"}`},
		{name: "reroute to no pool", path: reroute, json: `{"destination":"later.test","reason":"x","target":"pool:x"}`, status: 400},
		{name: "reroute a tag", path: reroute, json: `{"tag":"x","reason":"x","target":"smtp://h"}`, status: 400, want: `{"message":"only a site or a recipient domain can be rerouted, not a tag"}`},
		{name: "no rule", method: "DELETE", path: queueRoot + "/rules/1", status: 404, want: `{"message":"no shaping rule 1"}`},
		{name: "no id", method: "DELETE", path: queueRoot + "/rules/x", status: 400},
	})
	rules := decode[struct{ Items []struct{ ID, Match string } }](t, s.check(t, probe{path: queueRoot + "/rules"})).Items
	if len(rules) != 2 || rules[1].Match != "later.test" {
		t.Fatalf("%+v", rules)
	}
	s.check(t, probe{method: "DELETE", path: queueRoot + "/rules/" + rules[1].ID, want: `{"message":"rule removed","rule":{**"gently"**}}`})
	s.check(t, probe{method: "DELETE", path: queueRoot + "/rules/" + rules[1].ID, status: 404})
}

// TestScenarioReroute: what waits already goes the new way.
func TestScenarioReroute(t *testing.T) {
	s, _ := stranded(t)
	backup := s.World.SinkAt(t, "backup.test", s.World.Address(), apptest.Script{})
	s.check(t, probe{path: queueRoot + "/reroute", json: `{"destination":"later.test","target":"smtp://` + backup.Addr() + `","reason":"their MX is down"}`,
		want: `{"message":"destination later.test: by relay:` + backup.Addr() + `",**}`})
	s.check(t, probe{path: queueRoot + "/retry", json: `{"destination":"later.test"}`})
	backup.Await(t, 3)
}

func TestScenarioTrace(t *testing.T) {
	s := newStage(t, config.Serve)
	for _, name := range []string{"one.test", "two.test"} {
		k := s.World.Sink(t, "mx."+name, apptest.Script{})
		s.World.MX(t, name, k.Host)
	}
	for _, p := range []probe{
		{path: queueRoot + "/trace?message=1", status: 404},
		{path: queueRoot + "/trace?destination=a@one.test", status: 400},
		{path: queueRoot + "/trace?domain=.", status: 400},
	} {
		s.check(t, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+queueRoot+"/trace?destination=one.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("api", s.Key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	in := bufio.NewReader(res.Body)
	if line, err := in.ReadString('\n'); err != nil || line != ": watching\n" {
		t.Fatalf("%q %v", line, err)
	}
	s.Send("example.com", apptest.Fields{"to", "b@two.test"})
	s.Send("example.com", apptest.Fields{"to", "a@one.test"})
	var said strings.Builder
	for !strings.Contains(said.String(), "< 250 2.0.0") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after\n%s", err, said.String())
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var l struct{ Lane, Destination, Domain, Recipient, Direction, Text string }
		if err := json.Unmarshal([]byte(data), &l); err != nil || l.Destination != "one.test" || l.Lane != "mx:mx.one.test" || l.Domain != "example.com" {
			t.Fatalf("%v %s", err, data)
		}
		fmt.Fprintln(&said, l.Direction, l.Text)
	}
	for _, want := range []string{"< 220 ", "> EHLO mail.postroad.test\n", "> RCPT TO:<a@one.test>", "< 354 ", "> (message"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %q in\n%s", want, said.String())
		}
	}
	if strings.Contains(said.String(), "Hello.") {
		t.Errorf("contents in\n%s", said.String())
	}
	s.Stop() // ends the stream properly, and does not wait for it
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}
