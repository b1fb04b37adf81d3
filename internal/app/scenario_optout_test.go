package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/mail/linktoken"
)

// exit is a link to leave by, as it is in the copy of a recipient.
func exit(s *apptest.Server, kind linktoken.Kind, m *message.Message, to string) string {
	t := linktoken.Token{Kind: kind, Message: m.ID, Domain: m.DomainID, Recipient: to}
	if kind == linktoken.UnsubscribeTag {
		t = linktoken.TagToken(m.ID, m.DomainID, to, m.Meta.Options.Tags)
	}
	return "/u/" + s.OptOut.Links.Seal(t)
}

// sent submits a message and returns it when its outcome is known.
func (s *stage) sent(t *testing.T, to string, f ...string) *message.Message {
	t.Helper()
	id := s.Send("example.com", with(f, "to", to))
	s.Outcome(id, to, 1)
	m, err := s.Messages.Lookup(context.Background(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestScenarioUnsubscribe(t *testing.T) {
	s := newStage(t, config.Serve)
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", sink.Host)
	const ann = "ann@example.net"
	m := s.sent(t, ann, "o:tag", "news", "v:user", "7")
	all, tag := exit(s.Server, linktoken.Unsubscribe, m, ann), exit(s.Server, linktoken.UnsubscribeTag, m, ann)
	entry := func(name, want string) probe {
		p := probe{name: name, path: "/v3/example.com/unsubscribes/" + ann, want: want}
		if want == "" {
			p.status = 404
		}
		return p
	}
	events := func(n int) probe {
		return probe{name: fmt.Sprint(n, " events"), path: "/v3/example.com/events?pretty=no&event=unsubscribed",
			want: `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"event":"unsubscribed",**},`, n), ",") + `],"paging"**`, not: strings.Repeat("unsubscribed", 1000)}
	}
	oneClick := []string{"List-Unsubscribe", "One-Click"}
	const ask, done, back, bad = "**<h1>Unsubscribe?</h1>**", "**<h1>You are unsubscribed</h1>**", "**<h1>You are subscribed again</h1>**", "**<h1>This link does not work</h1>**"
	s.run(t, []probe{
		{name: "look", as: "nobody", path: all, want: "<!DOCTYPE html>\n<html lang=\"en\" dir=\"ltr\">**any mail from this sender**ann@example.net**example.com**<form method=\"post\"><button name=\"action\" value=\"unsubscribe\">Unsubscribe</button>**",
			not: "news", header: "Content-Security-Policy: default-src 'none';**frame-ancestors 'none'**"},
		{name: "look at tags", as: "nobody", path: tag, want: "**on these topics**<li><bdi>news</bdi></li>**"},
		{name: "in Arabic", as: "nobody", path: all, head: [][2]string{{"Accept-Language", "xx, ar-EG;q=0.9, en;q=0.8"}}, want: "**<html lang=\"ar\" dir=\"rtl\">**", header: "Content-Language: ar"},
		{name: "HEAD", as: "nobody", method: "HEAD", path: all},
		entry("nothing has changed", ""),
		{name: "altered", as: "nobody", path: all[:len(all)-2] + "xx", form: oneClick, status: 404, want: "This link does not work"},
		{name: "cut", as: "nobody", path: all[:20], status: 404, want: bad, header: "Content-Type: text/html; charset=utf-8"},
		{name: "a click's", as: "nobody", method: "POST", path: exit(s.Server, linktoken.Click, m, ann), status: 404, want: bad},
		{name: "tags by a form", as: "nobody", path: tag, form: oneClick, want: "You are unsubscribed", header: "Content-Type: text/plain; charset=utf-8"},
		entry("tags", `{"address":"ann@example.net","tags":["news"],**}`),
		{name: "the event", path: "/v3/example.com/events?pretty=no&event=unsubscribed", want: `{"items":[{"event":"unsubscribed","id":"**","timestamp":**,"log-level":"info","message":{"headers":{"to":"","message-id":"` + m.MessageID +
			`","from":"","subject":""},"attachments":[],"size":0},"recipient":"ann@example.net","recipient-domain":"example.net","ip":"127.0.0.1","client-info":{**"user-agent":"Go-http-client/1.1","bot":""},"geolocation":{**},"tags":["news"],"campaigns":[],"user-variables":{"user":"7"}}],**`},
		{name: "again", as: "nobody", path: tag, form: oneClick, want: "You are unsubscribed"},
		events(1),
		{name: "all mail by multipart", as: "nobody", path: all, parts: oneClick, want: "You are unsubscribed"},
		events(2),
		entry("all", `{"address":"ann@example.net","tags":["news","*"],**}`),
		{name: "by the button", as: "nobody", path: all, form: []string{"action", "unsubscribe"}, want: done + "Unsubscribed by mistake?**value=\"resubscribe\"**"},
		events(2),
		{name: "tags of a domain that is left", as: "nobody", path: tag, form: []string{"action", "resubscribe"}, want: done, not: "<form"},
		{name: "subscribe again", as: "nobody", path: all, form: []string{"action", "resubscribe"}, want: back, not: "<form"},
		entry("none", ""),
		{name: "and again", as: "nobody", path: all, form: []string{"action", "resubscribe"}, want: back},
		{name: "asks again", as: "nobody", path: all, want: ask},
		{name: "POST without a body", as: "nobody", method: "POST", path: all, want: done},
		events(3),
		{name: "look", as: "nobody", path: all, want: done + "resubscribe**"},
		{name: "by hand", path: "/v3/example.com/unsubscribes", form: []string{"address", ann}},
		{name: "stays", as: "nobody", path: all, form: []string{"action", "resubscribe"}, want: done, not: "<form"},
		entry("stays", `{**"tags":["*"],**}`),
	})
}

// What follows: no attempt for the address, and for tags only where the message
// has one of them.
func TestScenarioUnsubscribedIsNotSentTo(t *testing.T) {
	s := newStage(t, config.Serve)
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", sink.Host)
	outcome := func(to string, f ...string) string {
		t.Helper()
		id := s.Send("example.com", with(f, "to", to))
		d := s.Outcome(id, to, 1)
		if d.Event == event.Failed {
			return fmt.Sprint(d.Reason, " ", d.DeliveryStatus.Code, " ", d.Severity)
		}
		return string(d.Event)
	}
	const no = "suppress-unsubscribe 606 permanent"
	one, two := s.sent(t, "one@example.net"), s.sent(t, "two@example.net", "o:tag", "news", "o:tag", "offers")
	none := s.sent(t, "none@example.net")
	for _, link := range []string{exit(s.Server, linktoken.Unsubscribe, one, "one@example.net"), exit(s.Server, linktoken.UnsubscribeTag, two, "two@example.net"),
		exit(s.Server, linktoken.UnsubscribeTag, none, "none@example.net")} { // a message without tags: the domain
		s.check(t, probe{as: "nobody", path: link, form: []string{"List-Unsubscribe", "One-Click"}})
	}
	before := len(sink.Messages())
	for _, c := range []struct {
		to, want string
		f        []string
	}{
		{"one@example.net", no, nil}, {"ONE@example.net", no, []string{"o:tag", "x"}}, {"two@example.net", "delivered", nil}, {"two@example.net", no, []string{"o:tag", "x", "o:tag", "Offers"}},
		{"two@example.net", "delivered", []string{"o:tag", "x"}}, {"none@example.net", no, nil},
	} {
		if got := outcome(c.to, c.f...); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.to, c.f, got, c.want)
		}
	}
	if n := len(sink.Messages()) - before; n != 2 {
		t.Errorf("%d were sent, want 2", n)
	}
}

// A link works when the message is gone, its events too, and for a domain that is
// not there any more it does not.
func TestScenarioUnsubscribeLater(t *testing.T) {
	fake := clock.NewFake(apptest.Begin())
	s := &stage{Server: apptest.Start(t, apptest.Options{Mode: config.Dev, Clock: fake}), t: t}
	s.keys = map[string]string{"": s.Key}
	const ann = "ann@example.net"
	m := s.sent(t, ann, "o:tag", "news", "v:user", "7")
	oldTag := linktoken.Token{Kind: linktoken.UnsubscribeTag, Message: m.ID, Domain: m.DomainID, Recipient: ann}
	gone := linktoken.TagToken(m.ID-1, m.DomainID, ann, []string{"ads"})
	s.check(t, probe{method: "DELETE", path: "/v3/domains/example.com/messages/" + m.StorageKey})
	fake.Advance(time.Second)
	seal := func(t linktoken.Token) string { return "/u/" + s.OptOut.Links.Seal(t) }
	s.run(t, []probe{
		{name: "tags of its events", as: "nobody", path: seal(oldTag), want: "**<h1>Unsubscribe?</h1>**news**"},
		{name: "all mail", as: "nobody", method: "POST", path: exit(s.Server, linktoken.Unsubscribe, m, ann), want: "**<h1>You are unsubscribed</h1>**resubscribe**"},
		{name: "with what its events say", path: "/v3/example.com/events?pretty=no&event=unsubscribed", want: `{"items":[{"event":"unsubscribed",**"message-id":"` + m.MessageID + `"**"tags":["news"],"campaigns":[],"user-variables":{"user":"7"}}],**`},
		{name: "subscribe again", as: "nobody", path: exit(s.Server, linktoken.Unsubscribe, m, ann), form: []string{"action", "resubscribe"}, want: "**<h1>You are subscribed again</h1>**"},
		{name: "nothing is known", as: "nobody", method: "POST", path: seal(gone), want: "**<h1>You are unsubscribed</h1>**ads**", not: "resubscribe"},
		{name: "the entry", path: "/v3/example.com/unsubscribes/" + ann, want: `{"address":"ann@example.net","tags":["ads"],**}`},
		{name: "the domain goes", method: "DELETE", path: "/v3/domains/example.com"},
		{name: "its links", as: "nobody", method: "POST", path: seal(gone), status: 404, want: "**<h1>This link does not work</h1>**"},
	})
}

// By mail: the addresses of domains and of lists begin the same, and each does what
// it is for.
func TestScenarioUnsubscribeByMail(t *testing.T) {
	b := newInbox(t)
	b.Must("POST", "/v3/lists", apptest.Fields{"address", "team@in.example"})
	b.Must("POST", "/v3/lists/team@in.example/members", apptest.Fields{"address", "bob@far.example"})
	b.Send("in.example", apptest.Fields{"to", "team@in.example"})
	id := b.Send("in.example", apptest.Fields{"to", "ann@far.example"})
	b.Outcome(id, "ann@far.example", 1)
	leave := ""
	for _, m := range b.far.Await(t, 2) {
		if a := regexp.MustCompile(`unsub\+[0-9a-v]+@in\.example`).FindString(m.Data); a != "" {
			leave = a
		}
	}
	m, err := b.Messages.Lookup(context.Background(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	stop := b.OptOut.Address(m, "ann@far.example")
	if local, _, _ := strings.Cut(leave, "@"); len(local) != 58 || len(stop) > 64 {
		t.Fatalf("addresses %q and %q", leave, stop)
	}
	ask := func(from string) string { return "From: " + from + "\nSubject: unsubscribe\n\n" }
	for _, c := range []struct{ from, to, refused string }{
		{"", stop, ""}, // forgotten
		{"ann@far.example", strings.Replace(stop, "unsub+", "unsub+0", 1), "550"},
		{"bob@far.example", leave, ""},
		{"ann@far.example", strings.ToUpper(stop), ""},
	} {
		if err := b.deliver(t, c.from, []string{c.to}, ask(c.from)); (err == nil) != (c.refused == "") || err != nil && !strings.HasPrefix(refusal(err), c.refused) {
			t.Errorf("from %q to %q: %v", c.from, c.to, err)
		}
	}
	got := b.WaitFor(2, "unsubscribed", func(e *event.Event) bool { return e.Doc.Event == event.Unsubscribed })
	if len(got) != 2 || got[0].Doc.Recipient != "bob@far.example" || got[0].Doc.MailingList == nil || got[1].Doc.Recipient != "ann@far.example" || got[1].Doc.MailingList != nil {
		t.Errorf("events %+v", got)
	}
	if code, body := b.Do("GET", "/v3/in.example/unsubscribes", nil); code != 200 || !strings.Contains(string(body), `"tags":["*"]`) || strings.Contains(string(body), "bob@") {
		t.Errorf("%d %s", code, body)
	}
	again := b.Send("in.example", apptest.Fields{"to", "ann@far.example"})
	if d := b.Outcome(again, "ann@far.example", 1); d.DeliveryStatus.Code != 606 {
		t.Errorf("sent again: %+v", d)
	}
}

func TestScenarioUnsubscribeHead(t *testing.T) {
	s := newStage(t, config.Serve)
	res, err := http.Head(s.URL + "/u/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 404 || len(b) != 0 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Vary") == "" {
		t.Errorf("%d %q %v", res.StatusCode, b, res.Header)
	}
}

// When the store does not answer, the page says so, and nothing of it has happened.
func TestScenarioUnsubscribeFails(t *testing.T) {
	s := newStage(t, config.Serve)
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", sink.Host)
	link := exit(s.Server, linktoken.Unsubscribe, s.sent(t, "ann@example.net"), "ann@example.net")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range s.OptOut.Ops() {
		in := reflect.New(o.In)
		in.Elem().FieldByName("Token").SetString(strings.TrimPrefix(link, "/u/"))
		out, err := o.Call(ctx, in.Interface())
		if err != nil {
			t.Fatal(err)
		}
		if p := out.(*optout.Page); p.State != optout.Fail || p.Respond().Status != 503 {
			t.Errorf("%s: %+v", o.Method, p)
		}
	}
	s.check(t, probe{as: "nobody", path: link, want: "**<h1>Unsubscribe?</h1>**"})
}
