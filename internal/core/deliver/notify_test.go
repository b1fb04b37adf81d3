package deliver_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/mail/report"
	"postroad/internal/mail/smtp"
)

// boss is who sends mail and gets the reports about it.
const boss = "boss@home.test"

// asking is a bed whose SMTP door is open to the tests, with the server of the
// reports.
func asking(t *testing.T, o apptest.Options) (*bed, *apptest.Sink) {
	t.Helper()
	o.Args = append(o.Args, "--smtp-trust=127.0.0.1")
	b := start(t, o)
	return b, b.site(t, "home.test", script{})
}

// ask submits a message by SMTP. What is asked of notifications is by recipient;
// the envelope sender is of the sending domain, as trusted clients need it.
func (b *bed) ask(t *testing.T, env smtp.Envelope) string {
	t.Helper()
	ctx := context.Background()
	conn, err := net.Dial("tcp", b.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(ctx, conn, smtp.ClientOptions{HELO: "client.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := strings.NewReplacer(" ", "", ":", "", "\u00fc", "u").Replace(t.Name()+env.To[0]) + "@client.test"
	res, err := c.Send(ctx, env, smtp.Message{[]byte("From: " + env.From + "\r\nTo: undisclosed-recipients:;\r\nSubject: Order\r\nMessage-Id: <" + id + ">\r\n\r\nThank you.\r\n")})
	if err != nil || res.Data.Code != 250 {
		t.Fatalf("submission: %v %+v", err, res)
	}
	return id
}

// told reads a report that a sink took.
func told(t *testing.T, b *bed, m apptest.Message) *report.Bounce {
	t.Helper()
	got, ok := report.ReadBounce([]byte(m.Data))
	if !ok || !got.Standard || m.From != "" || header(m.Data, "Auto-Submitted") != "auto-replied" || header(m.Data, "To") != m.To[0] ||
		header(m.Data, "From") != "Mail Delivery System <mailer-daemon@"+from+">" || !strings.HasSuffix(header(m.Data, "Message-Id"), "@"+from+">") ||
		got.ReportingMTA != "mail.postroad.test" {
		t.Fatalf("no proper report: %t %+v\nfrom <%s> to %v\n%s", ok, got, m.From, m.To, m.Data)
	}
	b.verify(t, m.Data)
	return got
}

func wish(n smtp.Notify) smtp.RcptOptions { return smtp.RcptOptions{Notify: n} }

// home makes the sending domain's own mail server the one of the reports.
func (b *bed) home(t *testing.T, k *apptest.Sink) { b.World.MX(t, from, k.Host) }

// TestNotifyPassedOn: a server that offers DSN gets what was asked, and success
// is its to report; what it refuses is ours.
func TestNotifyPassedOn(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b, k := asking(t, o)
		b.home(t, k)
		there := b.site(t, "there.test", script{Offer: []string{"PIPELINING", "ENHANCEDSTATUSCODES", "DSN"}, Rcpt: map[string]apptest.Step{"bad@there.test": "550 5.1.1 <bad@there.test>: no such user"}})
		id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"a@there.test", "b@there.test", "c@there.test", "bad@there.test"}, DSN: &smtp.DSN{Return: smtp.ReturnFull, EnvelopeID: "Q+1 x",
			Recipients: []smtp.RcptOptions{{Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalType: "rfc822", Original: "first@old.test"}, {Notify: smtp.NotifyNever}, {OriginalType: "rfc822", Original: "C@there.test"},
				{Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalType: "rfc822", Original: "bad+1@old.test"}}}})
		ok().check(t, b.Outcome(id, "a@there.test", 1))
		m := there.Await(t, 1)[0]
		if m.Params != "RET=FULL ENVID=Q+2B1+20x" || !slices.Equal(m.Asked, []string{"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@old.test", "NOTIFY=NEVER", ""}) {
			t.Errorf("passed on: %q %q", m.Params, m.Asked)
		}
		got := told(t, b, k.Await(t, 1)[0])
		r := got.Recipients[0]
		if len(got.Recipients) != 1 || r.Final != "bad@there.test" || r.Original != "bad+1@old.test" || r.Action != report.Failed || r.Status != "5.1.1" || r.Code != 550 || r.RemoteMTA != "mx.there.test" || !r.Hard ||
			!strings.Contains(r.Diagnostic, "no such user") || got.EnvelopeID != "Q+1 x" || got.Original.MessageID != id || !strings.Contains(k.Messages()[0].Data, "Thank you.") {
			t.Errorf("report %+v\nof %+v", got, r)
		}
		b.Idle()
		if got := b.Listed(b.dom, "bounces"); len(k.All()) != 1 || !slices.Equal(got, []string{"bad@there.test"}) {
			t.Errorf("%d reports; bounces %v", len(k.All()), got)
		}
	})
}

// TestNotify goes through what can be asked where the next server does not offer
// DSN.
func TestNotify(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	b.site(t, "there.test", script{Rcpt: map[string]apptest.Step{"bad@there.test": "550 5.1.1 no such user"}})
	all := smtp.NotifySuccess | smtp.NotifyFailure | smtp.NotifyDelay
	reports := 0
	for _, c := range []struct {
		to     string
		notify smtp.Notify
		sender string
		action report.Action
		told   bool
	}{
		{"a@there.test", smtp.NotifySuccess, "boss", report.Relayed, true},
		{"b@there.test", smtp.NotifyFailure | smtp.NotifyDelay, "boss", 0, false},
		{"c@there.test", smtp.NotifyNever, "boss", 0, false},
		{"d@there.test", 0, "boss", 0, false},
		{"bad@there.test", smtp.NotifyFailure, "boss", report.Failed, true},
		{"bad@there.test", smtp.NotifySuccess | smtp.NotifyDelay, "boss", 0, false},
		{"bad@there.test", 0, "boss", 0, false}, // on the suppression list by now
		{"bad@there.test", all, "boss", report.Failed, true},
	} {
		t.Run(c.to+" "+c.notify.String(), func(t *testing.T) {
			id := b.ask(t, smtp.Envelope{From: c.sender + "@" + from, To: []string{c.to}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{wish(c.notify)}}})
			b.Outcome(id, c.to, 1)
			b.Idle()
			if c.told {
				reports++
			}
			list := k.Messages()
			if len(list) != reports {
				t.Fatalf("%d reports, want %d", len(list), reports)
			}
			if !c.told {
				return
			}
			got := told(t, b, list[reports-1])
			if r := got.Recipients[0]; r.Action != c.action || r.Final != c.to || got.Original.MessageID != id || strings.Contains(list[reports-1].Data, "Thank you.") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestNotifyNotAsked: nothing is kept with a message that asks for nothing, also
// where a client always gives an ORCPT, or has no address to tell.
func TestNotifyNotAsked(t *testing.T) {
	b, _ := asking(t, apptest.Options{})
	b.site(t, "there.test", script{Offer: []string{"DSN"}})
	id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"a@there.test"}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{{OriginalType: "rfc822", Original: "A@There.test"}}}})
	m, err := b.Messages.Lookup(context.Background(), "", id)
	if err != nil || m.Meta.DSN != nil || m.Meta.ReturnTo != "" {
		t.Errorf("kept %+v, %v", m.Meta.DSN, err)
	}
}

// TestNotifyDelay: a sender who asked for it hears of a delay once, after four
// hours, and of the end.
func TestNotifyDelay(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b, k := asking(t, o)
		b.home(t, k)
		b.site(t, "slow.test", script{Any: "451 4.3.0 broken"})
		id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"x@slow.test", "y@slow.test"}, DSN: &smtp.DSN{
			Recipients: []smtp.RcptOptions{wish(smtp.NotifyDelay | smtp.NotifyFailure), wish(smtp.NotifyFailure)}}})
		began := b.Clock.Now()
		for i := 1; i <= 7; i++ {
			d := b.Outcome(id, "x@slow.test", i)
			b.Outcome(id, "y@slow.test", i)
			late := b.Clock.Now().Sub(began) >= 4*time.Hour
			if late {
				b.WaitFor(1, "the report of the delay", outcomeOf("boss@"+from)) // time must not pass in the middle of it
			}
			if n := len(k.All()); n > 0 && !late || n > 1 {
				t.Fatalf("%d reports after %s", n, b.Clock.Now().Sub(began))
			}
			b.Advance(time.Duration(d.DeliveryStatus.RetrySeconds) * time.Second)
		}
		permanent("old", 602, "4.3.0", "Too old").check(t, b.Outcome(id, "x@slow.test", 8))
		list := k.Await(t, 2)
		delay := told(t, b, list[0])
		r := delay.Recipients[0]
		if len(delay.Recipients) != 1 || r.Action != report.Delayed || r.Final != "x@slow.test" || r.Status != "4.3.0" || r.Code != 451 || !strings.Contains(list[0].Data, "Will-Retry-Until: ") {
			t.Errorf("delay %+v", delay)
		}
		end := told(t, b, list[1])
		if len(end.Recipients) != 2 || end.Recipients[0].Action != report.Failed || end.Recipients[1].Status != "4.4.7" || !strings.Contains(end.Recipients[0].Diagnostic, "broken") {
			t.Errorf("end %+v", end)
		}
		b.Idle()
		if len(k.All()) != 2 || len(b.Listed(b.dom, "bounces")) != 0 {
			t.Errorf("%d reports, bounces %v", len(k.All()), b.Listed(b.dom, "bounces"))
		}
	})
}

// TestReportBounces: a report that cannot be delivered is answered by nothing.
func TestReportBounces(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	k.Set(script{Any: "550 5.1.1 nobody here"})
	b.site(t, "there.test", script{Any: "550 5.1.1 no such user"})
	b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"x@there.test"}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{wish(smtp.NotifyFailure)}}})
	b.WaitFor(1, "the report to fail", outcomeOf("boss@"+from))
	b.Idle()
	failed := b.Recorded(func(e *event.Event) bool { return e.Doc.Event == event.Failed })
	accepted := b.Recorded(func(e *event.Event) bool { return e.Doc.Event == event.Accepted })
	if len(failed) != 2 || len(accepted) != 2 || accepted[1].Doc.Method != "smtp" {
		t.Errorf("%d failed, %d accepted", len(failed), len(accepted))
	}
}

// TestReportOrders: what an operator bounces is reported, what an operator drops
// is not.
func TestReportOrders(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	b.site(t, "slow.test", script{Any: "451 4.3.0 broken"})
	send := func(to string) string {
		id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{to}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{wish(smtp.NotifyFailure)}}})
		b.Outcome(id, to, 1)
		return id
	}
	send("drop@slow.test")
	id := send("back@slow.test")
	for to, kind := range map[string]queue.OrderKind{"drop@slow.test": queue.Drop, "back@slow.test": queue.Bounce} {
		if n, err := b.Queue.Order(context.Background(), queue.Selector{Recipient: to}, queue.Order{Kind: kind, Reason: "a loop"}); n != 1 || err != nil {
			t.Fatalf("%s: %d, %v", to, n, err)
		}
	}
	got := told(t, b, k.Await(t, 1)[0])
	if r := got.Recipients[0]; r.Action != report.Failed || r.Final != "back@slow.test" || got.Original.MessageID != id || !strings.Contains(r.Diagnostic, "a loop") {
		t.Errorf("%+v", got)
	}
	b.Idle()
	if n := len(k.All()); n != 1 {
		t.Errorf("%d reports", n)
	}
}

// forward submits mail from outside that a route sends on.
func (b *bed) forward(t *testing.T, returnTo string, r *message.Routed, to string) *message.Message {
	t.Helper()
	dom, err := b.Domains.ByName(context.Background(), from)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Messages.Submit(context.Background(), &message.Submission{Domain: dom, MIME: []byte("From: jane@out.test\r\nSubject: hi\r\nMessage-Id: <1." + to + ">\r\n\r\nhello\r\n"), MessageID: "1." + to,
		Recipients: []message.Recipient{{Address: to, Routed: r}}, Meta: message.Meta{Method: "smtp", From: "jane@out.test", Recipients: []string{r.Recipient}, Foreign: true, ReturnTo: returnTo}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestForwardFails: the sender of mail from outside hears that it failed, if it
// is known to be the sender, and not where it went; nothing of what others send
// again.
func TestForwardFails(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.site(t, "secret.test", script{Any: "550 5.1.1 <jim@secret.test> unknown"})
	r := &message.Routed{Recipient: "info@" + from, ID: "r1", Expression: "catch_all()"}
	m := b.forward(t, "", r, "jim@secret.test")
	b.Outcome(m.MessageID, "jim@secret.test", 1)
	m = b.forward(t, boss, r, "joe@secret.test")
	b.Outcome(m.MessageID, "joe@secret.test", 1)
	late := &report.Recipient{Final: "joe@secret.test", Action: report.Delayed} // was not asked for
	if err := b.Messages.Hear(context.Background(), m, "joe@secret.test", "", late); err != nil {
		t.Fatal(err)
	}
	list := k.Await(t, 1)
	got := told(t, b, list[0])
	if o := got.Recipients[0]; len(got.Recipients) != 1 || o.Final != "info@"+from || o.Action != report.Failed || o.Status != "5.0.0" || o.Hard || got.Original.MessageID != m.MessageID || strings.Contains(strings.ReplaceAll(list[0].Data, m.MessageID, ""), "secret.test") {
		t.Errorf("%+v\n%s", got, list[0].Data)
	}
	b.Must("POST", "/v3/domains/"+from+"/messages/"+m.StorageKey, fields{"to", "again@secret.test"})
	b.Outcome(m.MessageID, "again@secret.test", 1)
	b.Idle()
	if n := len(k.All()); n != 1 {
		t.Errorf("%d reports", n)
	}
}

// TestHear: what another server reports to our return path later reaches the
// sender who asked, once and in our words.
func TestHear(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b, k := asking(t, o)
		b.home(t, k)
		b.site(t, "there.test", script{Offer: []string{"DSN"}})
		id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"a@there.test"}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{wish(smtp.NotifySuccess)}}})
		ok().check(t, b.Outcome(id, "a@there.test", 1))
		m, err := b.Messages.Lookup(context.Background(), "", id)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []report.Recipient{
			{Final: "b@elsewhere.test", Action: report.Failed, Status: "5.1.1"}, // not asked for
			{Final: "a@there.test", Action: report.Delivered, Status: "2.1.5", Code: 250, Diagnostic: "smtp; 250 2.1.5 delivered to mailbox", RemoteMTA: "store.there.test"},
			{Final: "a@there.test", Action: report.Delivered, Status: "2.1.5"}, // again
		} {
			if err := b.Messages.Hear(context.Background(), m, "a@there.test", "", &r); err != nil {
				t.Fatal(err)
			}
		}
		b.Idle()
		list := k.Messages()
		if len(list) != 1 {
			t.Fatalf("%d reports", len(list))
		}
		got := told(t, b, list[0])
		if r := got.Recipients[0]; r.Action != report.Delivered || r.Final != "a@there.test" || r.Diagnostic != "smtp; 250 2.1.5 delivered to mailbox" || r.RemoteMTA != "store.there.test" || got.Original.MessageID != id {
			t.Errorf("%+v", got)
		}
	})
}

// TestNotifyList: a post has arrived when the list has it; what becomes of its
// copies is not the poster's to hear (RFC 3461 section 5.2.7.3).
func TestNotifyList(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	there := b.site(t, "there.test", script{Offer: []string{"DSN"}, Rcpt: map[string]apptest.Step{"bad@there.test": "550 5.1.1 no such user"}})
	b.Must("POST", "/v3/lists", fields{"address", "all@" + from})
	for _, m := range []string{"good@there.test", "bad@there.test"} {
		b.Must("POST", "/v3/lists/all@"+from+"/members", fields{"address", m})
	}
	id := b.ask(t, smtp.Envelope{From: "boss@" + from, To: []string{"All@" + from}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{wish(smtp.NotifySuccess | smtp.NotifyFailure)}}})
	b.Outcome(id, "good@there.test", 1)
	b.Outcome(id, "bad@there.test", 1)
	got := told(t, b, k.Await(t, 1)[0])
	if r := got.Recipients[0]; len(got.Recipients) != 1 || r.Action != report.Delivered || r.Final != "all@"+from || got.Original.MessageID != id {
		t.Errorf("%+v", got)
	}
	b.Idle()
	if m := there.Messages(); len(k.All()) != 1 || len(m) != 1 || m[0].Asked[0] != "" {
		t.Errorf("%d reports; members got %+v", len(k.All()), m)
	}
}

// TestReportInUTF8: a sender with an address beyond ASCII is told as well (RFC
// 6533).
func TestReportInUTF8(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	b.site(t, "there.test", script{Any: "550 5.1.1 no such user"})
	id := b.ask(t, smtp.Envelope{From: "b\u00f6rse@" + from, To: []string{"j\u00fcrgen@there.test"}, DSN: &smtp.DSN{Recipients: []smtp.RcptOptions{{Notify: smtp.NotifyFailure, OriginalType: "utf-8", Original: "j\u00fcrgen@old.test"}}}})
	got := told(t, b, k.Await(t, 1)[0])
	r := got.Recipients[0]
	if m := k.Messages()[0]; m.To[0] != "b\u00f6rse@"+from || !strings.Contains(m.Params, "SMTPUTF8") || r.Final != "j\u00fcrgen@there.test" || r.Original != "j\u00fcrgen@old.test" || got.Original.MessageID != id {
		t.Errorf("%+v\n%s %s", got, m.Params, m.Data)
	}
}
