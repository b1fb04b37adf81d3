package deliver_test

import (
	"errors"
	"io"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/core/event"
)

// TestMagicRecipients goes through the outcomes a recipient can ask for in dev
// mode, with the events, webhooks and suppressions each has.
func TestMagicRecipients(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Clock: clock.NewFake(apptest.Begin())})
	b := &bed{Server: s, t: t}
	const dom = "app.test"
	b.Send(dom, fields{"to", "first@x.test"}) // makes the domain
	c := b.Catch(dom, "delivered", "permanent_fail", "temporary_fail", "opened", "clicked", "unsubscribed", "complained")
	captured := want{event: event.Delivered, code: 250, enhanced: "2.0.0"}
	for _, k := range []struct {
		to    string
		want  want
		after []event.Type // after delivered
		list  string
	}{
		{"plain@x.test", captured, nil, ""},
		{"news+weekly@x.test", captured, nil, ""},
		{"a+bounce@x.test", permanent("bounce", 550, "5.1.1", "does not exist"), nil, "bounces"},
		{"a+BOUNCE@y.test", permanent("bounce", 550, "5.1.1", "does not exist"), nil, "bounces"},
		{"a+complain@x.test", captured, []event.Type{event.Complained}, "complaints"},
		{"a+unsubscribe@x.test", captured, []event.Type{event.Unsubscribed}, "unsubscribes"},
		{"a+open@x.test", captured, []event.Type{event.Opened}, ""},
		{"a+click@x.test", captured, []event.Type{event.Opened, event.Clicked}, ""},
		{"a+552@x.test", permanent("generic", 552, "5.0.0", "simulated"), nil, ""},
		{"a+550@x.test", permanent("bounce", 550, "5.0.0", "simulated"), nil, "bounces"},
		{"a+421@x.test", temporary(421, "4.0.0", "simulated"), nil, ""},
		{"a+reject@x.test", want{event: event.Rejected}, nil, ""},
	} {
		t.Run(k.to, func(t *testing.T) {
			id := b.Send(dom, fields{"to", k.to})
			d := b.Outcome(id, k.to, 1)
			k.want.check(t, d)
			if d.Event != event.Rejected {
				c.Await(d.Event, k.to)
			}
			for _, e := range k.after {
				got := b.WaitFor(1, string(e), func(got *event.Event) bool { return got.Doc.Event == e && got.Doc.Recipient == k.to })
				if first := e == event.Opened || e == event.Clicked; got[0].First != first {
					t.Errorf("%s counts as unique: %v", e, got[0].First)
				}
				c.Await(e, k.to)
			}
			dom, err := b.Domains.ByName(t.Context(), dom)
			if err != nil {
				t.Fatal(err)
			}
			for _, list := range []string{"bounces", "complaints", "unsubscribes"} {
				if got := slices.Contains(b.Listed(dom, list), k.to); got != (list == k.list) {
					t.Errorf("on %s: %v", list, got)
				}
			}
		})
	}
	if got := b.World.Dialed(); len(got) != 0 {
		t.Errorf("connections were made: %v", got)
	}
}

func TestMagicTime(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Clock: clock.NewFake(apptest.Begin())})
	b := &bed{Server: s, t: t}
	id := b.Send("app.test", fields{"to", "a+defer@x.test"})
	d := b.Outcome(id, "a+defer@x.test", 1)
	temporary(451, "4.7.1", "simulated").check(t, d)
	if d.DeliveryStatus.RetrySeconds != 2 {
		t.Errorf("retry-seconds %d", d.DeliveryStatus.RetrySeconds)
	}
	b.Advance(2 * time.Second)
	want{event: event.Delivered, code: 250, enhanced: "2.0.0"}.check(t, b.Outcome(id, "a+defer@x.test", 2))

	id = b.Send("app.test", fields{"to", "a+slow@x.test"})
	b.Until("the delivery to be under way", func() bool { return b.Queue.Depth().Held == 1 })
	if n := len(b.Outcomes(id)); n != 0 {
		t.Fatalf("%d outcomes before its time", n)
	}
	b.Until("five seconds", func() bool {
		b.Clock.Advance(time.Second)
		return len(b.Outcomes(id)) == 1
	})
	if d := b.Outcome(id, "a+slow@x.test", 1); d.DeliveryStatus.SessionSeconds < 5 {
		t.Errorf("session-seconds %v", d.DeliveryStatus.SessionSeconds)
	}
}

// TestCaptureSMTP: mail that comes by SMTP goes the same way.
func TestCaptureSMTP(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	b := &bed{Server: s, t: t}
	raw := "From: Me <me@app.test>\r\nTo: you@x.test\r\nSubject: by SMTP\r\nMessage-Id: <one@app.test>\r\n\r\nHello.\r\n"
	submit(t, b.SMTP.String(), raw, "you@x.test", "a+bounce@x.test")
	want{event: event.Delivered, code: 250, enhanced: "2.0.0"}.check(t, b.Outcome("<one@app.test>", "you@x.test", 1))
	permanent("bounce", 550, "5.1.1", "").check(t, b.Outcome("<one@app.test>", "a+bounce@x.test", 1))
	if got := string(b.Must("GET", "/v1/postroad/messages/one@app.test", nil)); !strings.Contains(got, `"captured"`) || !strings.Contains(got, `"failed"`) {
		t.Errorf("view: %s", got)
	}
}

// submit hands a message to the program by SMTP, in the clear.
func submit(t *testing.T, addr, raw string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Mail("me@app.test")
	for _, r := range to {
		err = errors.Join(err, c.Rcpt(r))
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, raw); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), c.Quit()); err != nil {
		t.Fatal(err)
	}
}
