package deliver_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/deliver"
	"postroad/internal/core/event"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
	"postroad/internal/mail/classify"
	"postroad/internal/mail/smtp"
)

// TestSourceRemoved: mail that waits for a source or pool that is no longer
// configured leaves by the default pool.
func TestSourceRemoved(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		o.Args = []string{"--source=a=127.0.0.2,helo=a.mail.test", "--source=b=127.0.0.3,pool=bulk,helo=b.mail.test"}
		b := start(t, o)
		k := b.site(t, "site.test", script{})
		send := func(to string) string {
			return b.Send(from, fields{"to", to, "o:sending-ip-pool", "bulk", "o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)})
		}
		first := send("first@site.test")
		b.Advance(time.Hour)
		d := b.Outcome(first, "first@site.test", 1)
		ok().check(t, d)
		if got := k.Await(t, 1)[0]; got.Remote != "127.0.0.3" || got.Helo != "b.mail.test" || d.Envelope.SendingIP != "127.0.0.3" {
			t.Errorf("from %s as %s, the event says %s", got.Remote, got.Helo, d.Envelope.SendingIP)
		}
		pool, other := send("pool@site.test"), b.Send(from, fields{"to", "other@site.test"})
		ok().check(t, b.Outcome(other, "other@site.test", 1))
		if got := k.Await(t, 2)[1]; got.Remote != "127.0.0.2" {
			t.Errorf("the default pool sent from %s", got.Remote)
		}
		b.Stop()
		b.Clock.Advance(time.Hour)
		again := apptest.Start(t, apptest.Options{Mode: config.Serve, World: b.World, Data: b.Data, Clock: b.Clock, DB: o.DB,
			Args: []string{"--source=c=127.0.0.4"}})
		ok().check(t, again.Outcome(pool, "pool@site.test", 1))
		if got := k.Await(t, 3)[2]; got.Remote != "127.0.0.4" {
			t.Errorf("after the pool was removed from %s", got.Remote)
		}
	})
}

// TestSourceAsked: a message leaves from the address or the pool it asks for,
// and from the default pool when there is no such.
func TestSourceAsked(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--source=a=127.0.0.2", "--source=b=127.0.0.3,pool=bulk"}})
	k := b.site(t, "site.test", script{})
	for i, c := range []struct {
		opt  fields
		want string
	}{
		{nil, "127.0.0.2"},
		{fields{"o:sending-ip-pool", "bulk"}, "127.0.0.3"},
		{fields{"o:sending-ip", "127.0.0.3"}, "127.0.0.3"},
		{fields{"o:sending-ip", "127.0.0.2", "o:sending-ip-pool", "bulk"}, "127.0.0.2"},
		{fields{"o:sending-ip", "192.0.2.1"}, "127.0.0.2"},
		{fields{"o:sending-ip-pool", "gone"}, "127.0.0.2"},
	} {
		ok().check(t, b.Outcome(b.Send(from, append(fields{"to", "x@site.test"}, c.opt...)), "x@site.test", 1))
		if got := k.Await(t, i+1)[i]; got.Remote != c.want {
			t.Errorf("%v: from %s, want %s", c.opt, got.Remote, c.want)
		}
	}
}

// TestSourceOfAnother: an address this machine does not have is an error at the
// start.
func TestSourceOfAnother(t *testing.T) {
	w := apptest.NewWorld(t)
	cfg, _, _, err := config.Parse(config.Serve, []string{"--data=" + t.TempDir(), "--http=127.0.0.1:0", "--source=x=203.0.113.77", "--dns=" + w.Resolver()}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = app.New(context.Background(), cfg, app.Options{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "this machine cannot send from 203.0.113.77") {
		t.Errorf("%v", err)
	}
}

// TestBlockedSource: a site that refuses one of our addresses gets the mail from
// the other, what waits in the lane as well.
func TestBlockedSource(t *testing.T) {
	o := apptest.Options{Args: []string{"--source=a=127.0.0.2", "--source=b=127.0.0.3", "--lane-start=1", "--lane-sessions=1"}}
	b := start(t, o)
	const no = "554 5.7.1 Service unavailable; Client host [127.0.0.2] blocked using zen.spamhaus.org"
	k := b.site(t, "site.test", script{})
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "x@site.test"}), "x@site.test", 1))
	mine := k.Await(t, 1)[0].Remote
	b.Until("the session to end", func() bool { b.Advance(time.Minute); return b.Queue.Depth().Sessions == 0 })
	k.Set(script{Mail: apptest.Hold, Block: map[string]apptest.Step{mine: no}})
	one, two := b.Send(from, fields{"to", "one@site.test"}), b.Send(from, fields{"to", "two@site.test"})
	temporary(554, "5.7.1", "spamhaus").check(t, b.Outcome(one, "one@site.test", 1))
	k.Release()
	d := b.Outcome(two, "two@site.test", 1)
	ok().check(t, d)
	if d.DeliveryStatus.AttemptNo != 1 || d.Envelope.SendingIP == mine {
		t.Errorf("attempt %d from %s", d.DeliveryStatus.AttemptNo, d.Envelope.SendingIP)
	}
	b.Advance(2 * time.Minute)
	d = b.Outcome(one, "one@site.test", 2)
	ok().check(t, d)
	if d.Envelope.SendingIP == mine {
		t.Errorf("again from %s", mine)
	}
	if len(b.Listed(b.dom, "bounces")) != 0 {
		t.Error("listed as bounced")
	}
}

// TestShaping: a complaint about the pace slows the lane, its reason can be asked
// for, and it recovers with time.
func TestShaping(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--lane-start=8", "--lane-sessions=8"}})
	k := b.site(t, "gmail.test", script{Mail: "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address."})
	const lane = "mx:mx.gmail.test"
	id := b.Send(from, fields{"to", "x@gmail.test"})
	temporary(421, "4.7.28", "unusual rate").check(t, b.Outcome(id, "x@gmail.test", 1))
	if n := b.Shape.Sessions(lane); n != 4 {
		t.Errorf("%d sessions after the complaint, want half of 8", n)
	}
	said := false
	for _, r := range b.Shape.Explain(lane) {
		said = said || strings.Contains(r.Text, "unusual rate") && r.Origin == shape.Auto
	}
	if !said {
		t.Errorf("explained by %v", b.Shape.Explain(lane))
	}
	k.Set(script{})
	for range 30 {
		b.Advance(time.Minute)
	}
	ok().check(t, b.Outcome(id, "x@gmail.test", 2))
	if n := b.Shape.Sessions(lane); n != 8 {
		t.Errorf("%d sessions after half an hour", n)
	}
}

// TestTiedToBlocked: mail that a rule ties to a blocked source waits; the source's
// other mail going on elsewhere is no reason to try.
func TestTiedToBlocked(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--source=a=127.0.0.2", "--source=b=127.0.0.3"}})
	k := b.site(t, "tied.test", script{})
	if _, err := b.Shape.Create(context.Background(), shape.Rule{Scope: shape.ScopeRecipientDomain, Match: "tied.test", Kind: shape.Reroute,
		Target: "source:a", Reason: "allowed there", CreatedBy: "op"}); err != nil {
		t.Fatal(err)
	}
	b.Shape.Report("mx:mx.tied.test@a", "mx.tied.test", shape.Report{Verdict: classify.Verdict{Class: classify.Blocklisted}, Code: 554, Text: "listed"})
	id := b.Send(from, fields{"to", "x@tied.test"})
	b.Until("the delivery to be put off", func() bool {
		w := b.Waiting(id)
		return len(w) == 1 && w[0].Due > b.Clock.Now().UnixMicro()
	})
	if n, _ := k.Conns(); n != 0 || len(b.Outcomes(id)) != 0 {
		t.Errorf("%d connections from a blocked source", n)
	}
	b.Until("the suspension to end", func() bool {
		if w := b.Waiting(id); len(w) == 1 && w[0].Due > b.Clock.Now().UnixMicro() { // no attempt that time would run away from
			b.Advance(time.Minute)
		}
		return len(b.Outcomes(id)) > 0
	})
	d := b.Outcome(id, "x@tied.test", 1)
	ok().check(t, d)
	if d.Envelope.SendingIP != "127.0.0.2" || d.DeliveryStatus.AttemptNo != 1 {
		t.Errorf("attempt %d from %s", d.DeliveryStatus.AttemptNo, d.Envelope.SendingIP)
	}
}

// TestRuleMovesWaiting: a rule holds for what waits in memory, too.
func TestRuleMovesWaiting(t *testing.T) {
	w := apptest.NewWorld(t)
	relay := w.SinkAt(t, "localhost", w.Address(), script{})
	b := start(t, apptest.Options{World: w, Args: []string{"--lane-start=1", "--lane-sessions=1"}})
	k := b.site(t, "moved.test", script{Dot: apptest.Hold})
	var ids []string
	for _, to := range []string{"a@moved.test", "b@moved.test", "c@moved.test"} {
		ids = append(ids, b.Send(from, fields{"to", to}))
	}
	k.AwaitHeld(t, 1)
	if _, err := b.Shape.Create(context.Background(), shape.Rule{Scope: shape.ScopeRecipientDomain, Match: "moved.test", Kind: shape.Reroute,
		Target: "relay:localhost:" + port(t, relay), Reason: "their request", CreatedBy: "op"}); err != nil {
		t.Fatal(err)
	}
	k.Release()
	for i, to := range []string{"a@moved.test", "b@moved.test", "c@moved.test"} {
		d := b.Outcome(ids[i], to, 1)
		ok().check(t, d)
		if d.DeliveryStatus.AttemptNo != 1 {
			t.Errorf("attempt %d", d.DeliveryStatus.AttemptNo)
		}
	}
	if n, m := len(k.Messages()), len(relay.Messages()); n != 1 || m != 2 {
		t.Errorf("%d messages at the site and %d at the relay", n, m)
	}
}

// TestPausedExpires: mail that an operator holds back ends on time.
func TestPausedExpires(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "held.test", script{})
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "before@held.test"}), "before@held.test", 1))
	if _, err := b.Shape.Create(context.Background(), shape.Rule{Scope: shape.ScopeSite, Match: "mx:mx.held.test", Kind: shape.Pause, Reason: "moving", CreatedBy: "op"}); err != nil {
		t.Fatal(err)
	}
	id := b.Send(from, fields{"to", "x@held.test", "o:deliver-within", "10m"})
	b.Until("the delivery to expire", func() bool { b.Advance(time.Minute); return len(b.Outcomes(id)) > 0 })
	permanent("old", 602, "", "Too old").check(t, b.Outcome(id, "x@held.test", 1))
	if len(k.Messages()) != 1 {
		t.Error("delivered while paused")
	}
}

// TestOrders: an operator's orders make events, and list nobody as bounced.
func TestOrders(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		b.site(t, "order.test", script{})
		later := fields{"o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)}
		bounced := b.Send(from, append(fields{"to", "b@order.test"}, later...))
		dropped := b.Send(from, append(fields{"to", "d@order.test"}, later...))
		for to, kind := range map[string]queue.OrderKind{"b@order.test": queue.Bounce, "d@order.test": queue.Drop} {
			if n, err := b.Queue.Order(context.Background(), queue.Selector{Recipient: to}, queue.Order{Kind: kind, Reason: "by mistake"}); n != 1 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
		}
		permanent("generic", 554, "5.0.0", "returned by the operator: by mistake").check(t, b.Outcome(bounced, "b@order.test", 1))
		permanent("generic", 650, "", "dropped by the operator: by mistake").check(t, b.Outcome(dropped, "d@order.test", 1))
		if len(b.Waiting(bounced))+len(b.Waiting(dropped))+len(b.Listed(b.dom, "bounces")) != 0 {
			t.Error("still queued, or listed as bounced")
		}
	})
}

// TestTrace: conversations can be watched, by lane or message, without secrets.
func TestTrace(t *testing.T) {
	w := apptest.NewWorld(t)
	k := w.SinkAt(t, "localhost", w.Address(), script{User: "user", Pass: "secret-word"})
	b := start(t, apptest.Options{World: w, Args: []string{"--relay=relayed.test=smtp://user:secret-word@localhost:" + port(t, k)}})
	b.site(t, "other.test", script{})
	lines, end := b.Trace.Subscribe(deliver.Filter{Destination: "relayed.test"})
	defer end()
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "y@other.test"}), "y@other.test", 1))
	id := b.Send(from, fields{"to", "x@relayed.test"})
	ok().check(t, b.Outcome(id, "x@relayed.test", 1))
	end()
	var text strings.Builder
	for l := range lines {
		if l.Destination != "relayed.test" || l.MessageID != strings.Trim(id, "<>") || l.Recipient != "x@relayed.test" || l.Sender != from || !strings.HasPrefix(l.Lane, "relay:localhost:") {
			t.Errorf("%+v", l)
		}
		text.WriteString(string(l.Dir) + " " + l.Text + "\n")
	}
	for _, want := range []string{"AUTH PLAIN ***", "S 220 localhost", "C MAIL FROM:<", "C RCPT TO:<x@relayed.test>", "S 250 2.0.0 taken", string(smtp.Note)} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "secret-word") || strings.Contains(text.String(), "Hello") {
		t.Errorf("a secret or the message:\n%s", text.String())
	}
}

// TestPace: what a reply means sets the time of the next attempt.
func TestPace(t *testing.T) {
	b := start(t, apptest.Options{})
	for i, c := range []struct {
		reply string
		want  time.Duration
	}{
		{"450 4.2.0 try later", 630 * time.Second},
		{"451 4.7.1 Greylisting in action, please come back in 00:02:00", 126 * time.Second},
		{"450 4.2.0 <x@y>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/", 315 * time.Second},
		{"452 4.2.2 mailbox full", 63 * time.Minute},
	} {
		name := string(rune('a'+i)) + "pace.test"
		b.site(t, name, script{Any: apptest.Step(c.reply)})
		d := b.Outcome(b.Send(from, fields{"to", "x@" + name}), "x@"+name, 1)
		if got := time.Duration(d.DeliveryStatus.RetrySeconds) * time.Second; d.Severity != event.Temporary || got != c.want {
			t.Errorf("%s: again in %s, want %s", c.reply, got, c.want)
		}
	}
	// A refusal of our address at RCPT is not the recipient's fault.
	b.site(t, "list.test", script{Any: "550 Blocked, your IP 127.0.0.1 is listed at zen.spamhaus.org"})
	permanent("generic", 550, "", "spamhaus").check(t, b.Outcome(b.Send(from, fields{"to", "x@list.test"}), "x@list.test", 1))
	if got := b.Listed(b.dom, "bounces"); len(got) != 0 {
		t.Errorf("bounces %v", got)
	}
}

func port(t *testing.T, k *apptest.Sink) string {
	t.Helper()
	_, port, err := net.SplitHostPort(k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
