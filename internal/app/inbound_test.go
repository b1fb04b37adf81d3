package app_test

import (
	"crypto/tls"
	"fmt"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

// inbox is a server that takes mail for in.example, and a host of far.example
// that mail goes on to.
type inbox struct {
	*apptest.Server
	far *apptest.Sink
}

func newInbox(t *testing.T, args ...string) *inbox {
	w := apptest.NewWorld(t)
	b := &inbox{far: w.Sink(t, "mx.far.example", apptest.Script{})}
	w.MX(t, "far.example", "mx.far.example")
	b.Server = apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Args: args})
	b.AddDomain("in.example")
	return b
}

func (b *inbox) route(t *testing.T, expression string, actions ...string) string {
	f := apptest.Fields{"expression", expression}
	for _, a := range actions {
		f = append(f, "action", a)
	}
	return decode[struct{ Route struct{ ID string } }](t, string(b.Must("POST", "/v3/routes", f))).Route.ID
}

// deliver hands a message over as another server would. The error is of the first
// step that was refused.
func (b *inbox) deliver(t *testing.T, from string, to []string, raw string) error {
	t.Helper()
	c, err := smtp.Dial(b.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("mx.elsewhere.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		return err
	}
	return w.Close()
}

func refusal(err error) string {
	if e, ok := err.(*textproto.Error); ok {
		return fmt.Sprintf("%d %s", e.Code, e.Msg)
	}
	return fmt.Sprint(err)
}

const note = "From: Ann <ann@elsewhere.example>\nTo: help@in.example\nSubject: A question\nMessage-ID: <q1@elsewhere.example>\n" +
	"Authentication-Results: mail.postroad.test; spf=pass\nX-Mailgun-Sflag: No\n\nHow does it work?\n"

func TestInboundForwardAndStore(t *testing.T) {
	b := newInbox(t)
	id := b.route(t, `match_recipient("(?P<user>.*)@in.example")`, `forward("\g<user>+box@far.example")`, `store()`)
	if err := b.deliver(t, "ann@elsewhere.example", []string{"help@in.example"}, note); err != nil {
		t.Fatal(err)
	}
	got := b.far.Await(t, 1)[0]
	if len(got.To) != 1 || got.To[0] != "help+box@far.example" || !strings.HasPrefix(got.From, "bounce+") || !strings.HasSuffix(got.From, "@in.example") {
		t.Errorf("envelope %q -> %q", got.From, got.To)
	}
	for _, want := range []string{"Received: from mx.elsewhere.example (unknown [127.0.0.1])\r\n\tby mail.postroad.test (Postroad) with UTF8SMTPS id ",
		"Authentication-Results: mail.postroad.test;", "X-Mailgun-Incoming: Yes\r\n", "X-Mailgun-Spf: ", "ARC-Seal: i=1;", "\r\n\r\nHow does it work?\r\n"} {
		if !strings.Contains(got.Data, want) {
			t.Errorf("no %q in\n%s", want, got.Data)
		}
	}
	if strings.Contains(got.Data, "spf=pass\r\n") || strings.Contains(got.Data, "Sflag") || strings.Contains(got.Data, "DKIM-Signature") {
		t.Errorf("forged or foreign fields in\n%s", got.Data)
	}
	is := func(e *event.Event, typ event.Type) bool {
		return e.Doc.Event == typ && e.Doc.Message.Headers.MessageID == "q1@elsewhere.example"
	}
	accepted := b.WaitFor(1, "accepted", func(e *event.Event) bool { return is(e, event.Accepted) })[0].Doc
	if !accepted.Flags.IsRouted || accepted.Flags.IsAuthenticated || accepted.Recipient != "help+box@far.example" || accepted.Envelope.Sender != "ann@elsewhere.example" ||
		len(accepted.Routes) != 1 || accepted.Routes[0].ID != id || accepted.Routes[0].Match.Recipient != "help@in.example" {
		t.Errorf("accepted: %+v %+v %+v", accepted, accepted.Flags, accepted.Routes)
	}
	b.WaitFor(1, "delivered", func(e *event.Event) bool { return is(e, event.Delivered) && e.Doc.Flags.IsRouted })
	stored := b.WaitFor(1, "stored", func(e *event.Event) bool { return is(e, event.Stored) })[0].Doc
	if stored.Recipient != "" || len(stored.Message.Recipients) != 1 || stored.Message.Recipients[0] != "help@in.example" {
		t.Errorf("stored: %+v", stored)
	}
	doc := decode[map[string]any](t, string(b.Must("GET", stored.Storage.URL[strings.Index(stored.Storage.URL, "/v3/"):], nil)))
	if doc["sender"] != "ann@elsewhere.example" || doc["recipients"] != "help@in.example" || doc["stripped-text"] != "How does it work?" {
		t.Errorf("stored message: %v", doc)
	}
}

// TestInboundRefusals: nobody relays here, and what nothing takes is refused
// before it is sent.
func TestInboundRefusals(t *testing.T) {
	b := newInbox(t)
	b.route(t, `match_recipient("^help@")`, `stop()`)
	b.route(t, `match_header("subject", "urgent") and match_recipient("^desk@")`, `stop()`)
	for to, want := range map[string]string{
		"help@in.example":                     "<nil>",
		"HELP@IN.example":                     "<nil>",
		"nobody@in.example":                   "550 5.1.1",
		"desk@in.example":                     "550 5.7.1 no route takes", // known at DATA only
		"user@far.example":                    "550 5.7.1 relaying denied",
		"user%far.example@mail.postroad.test": "550 5.1.1",
		"user%far.example@in.example":         "550 5.1.1",
		"far.example!user@in.example":         "550 5.1.1",
		`"user@far.example"@in.example`:       "550 5.1.1",
		"@in.example:user@far.example":        "550 5.7.1",
		"user@[127.0.0.1]":                    "553 5.1.3",
		"user@localhost":                      "550 5.7.1",
		"bounce+0123456789abc@in.example":     "550 5.1.1",
		"fbl@mail.postroad.test":              "550 5.7.1 fbl@mail.postroad.test takes feedback reports", // a letter is none
	} {
		err := b.deliver(t, "ann@elsewhere.example", []string{to}, note)
		if got := refusal(err); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	loop := strings.Repeat("Received: from a by b; Mon, 02 Mar 2026 09:00:00 +0000\n", 60) + note
	if got := refusal(b.deliver(t, "ann@elsewhere.example", []string{"help@in.example"}, loop)); !strings.HasPrefix(got, "550 5.7.1 the message went through 60 servers") {
		t.Errorf("a loop: %s", got)
	}
	if n := len(b.Recorded(func(*event.Event) bool { return true })); n != 0 {
		t.Errorf("%d events of mail that went nowhere", n)
	}
}

// bounceOf is a report that a message could not be delivered after all.
func bounceOf(address, status, id string) string {
	return "From: MAILER-DAEMON@mx.far.example\nTo: <>\nSubject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nIt could not be delivered.\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.far.example\n\n" +
		"Final-Recipient: rfc822; " + address + "\nAction: failed\nStatus: " + status + "\nDiagnostic-Code: smtp; 550 " + status + " No such user\n\n" +
		"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <" + id + ">\n\n--b--\n"
}

func TestInboundBounce(t *testing.T) {
	b := newInbox(t)
	id := strings.Trim(b.Send("in.example", apptest.Fields{"from", "me@in.example", "to", "jane@far.example", "subject", "x", "text", "y"}), "<>")
	path := b.far.Await(t, 1)[0].From
	b.Outcome("<"+id+">", "jane@far.example", 1)

	// What the return path does not name is no business of the report.
	if err := b.deliver(t, "", []string{path}, bounceOf("other@far.example", "5.1.1", id)); err != nil {
		t.Fatal(err)
	}
	// Neither is one without our signature.
	if got := refusal(b.deliver(t, "", []string{altered(path)}, bounceOf("jane@far.example", "5.1.1", id))); !strings.HasPrefix(got, "550 5.1.1") {
		t.Errorf("a forged return path: %s", got)
	}
	if err := b.deliver(t, "", []string{path}, bounceOf("jane@far.example", "5.1.1", id)); err != nil {
		t.Fatal(err)
	}
	d := b.WaitFor(1, "delayed bounce", func(e *event.Event) bool { return e.Doc.Event == event.Failed })[0].Doc
	if !d.Flags.IsDelayedBounce || d.Severity != event.Permanent || d.Reason != "bounce" || d.Recipient != "jane@far.example" || d.DeliveryStatus.Code != 550 ||
		d.DeliveryStatus.EnhancedCode != "5.1.1" || !strings.HasPrefix(d.DeliveryStatus.Message, "smtp; 550 5.1.1") {
		t.Errorf("%+v %+v", d, d.DeliveryStatus)
	}
	list := string(b.Must("GET", "/v3/in.example/bounces", nil))
	if !strings.Contains(list, "jane@far.example") || strings.Contains(list, "other@far.example") {
		t.Errorf("bounces: %s", list)
	}
}

// altered is the address with the last character of its local part changed.
func altered(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	last := "0"
	if strings.HasSuffix(local, last) {
		last = "1"
	}
	return local[:len(local)-1] + last + "@" + domain
}

func complaintOf(address, id, sid string) string {
	return "From: fbl@far.example\nTo: fbl@mail.postroad.test\nSubject: FW: x\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nThis is an abuse report.\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: Far/1\nVersion: 1\n" +
		"Original-Rcpt-To: " + address + "\n\n--b\nContent-Type: message/rfc822\n\nFrom: me@in.example\nTo: " + address + "\nSubject: x\nMessage-ID: <" + id + ">\nX-Mailgun-Sid: " + sid + "\n\ny\n--b--\n"
}

func TestInboundComplaint(t *testing.T) {
	b := newInbox(t)
	id := strings.Trim(b.Send("in.example", apptest.Fields{"from", "me@in.example", "to", "jane@far.example", "subject", "x", "text", "y"}), "<>")
	raw := b.far.Await(t, 1)[0].Data
	_, rest, _ := strings.Cut(raw, "X-Mailgun-Sid: ")
	sid, _, _ := strings.Cut(rest, "\r\n")
	b.Outcome("<"+id+">", "jane@far.example", 1)
	for _, c := range []string{complaintOf("jane@far.example", id, "guessed"), complaintOf("other@far.example", id, sid), "Auto-Submitted: auto-replied\n" + note} {
		if err := b.deliver(t, "fbl@far.example", []string{"fbl@mail.postroad.test"}, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.deliver(t, "fbl@far.example", []string{"FBL@mail.postroad.test"}, complaintOf("jane@far.example", id, sid)); err != nil {
		t.Fatal(err)
	}
	got := b.WaitFor(1, "complained", func(e *event.Event) bool { return e.Doc.Event == event.Complained })
	if len(got) != 1 || got[0].Doc.Recipient != "jane@far.example" {
		t.Errorf("%d complaints, first for %s", len(got), got[0].Doc.Recipient)
	}
	if list := string(b.Must("GET", "/v3/in.example/complaints", nil)); !strings.Contains(list, "jane@far.example") || strings.Contains(list, "other@") {
		t.Errorf("complaints: %s", list)
	}
}

// TestInboundList: lists and routes on one address both fire.
func TestInboundList(t *testing.T) {
	b := newInbox(t)
	b.Must("POST", "/v3/lists", apptest.Fields{"address", "team@in.example", "access_level", "everyone"})
	for _, m := range []string{"one@far.example", "two@far.example"} {
		b.Must("POST", "/v3/lists/team@in.example/members", apptest.Fields{"address", m})
	}
	b.route(t, `match_recipient("team@in.example")`, `forward("archive@far.example")`)
	if err := b.deliver(t, "ann@elsewhere.example", []string{"team@in.example"}, note); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range b.far.Await(t, 3) {
		for _, to := range m.To {
			got[to] = m.Data
		}
	}
	for to, listed := range map[string]bool{"one@far.example": true, "two@far.example": true, "archive@far.example": false} {
		if text, ok := got[to]; !ok || strings.Contains(text, "List-Id:") != listed {
			t.Errorf("%s: %v\n%s", to, ok, text)
		}
	}
	if got := refusal(b.deliver(t, "", []string{"team@in.example"}, "Auto-Submitted: auto-replied\n"+note)); got != "<nil>" { // the route takes it, the list does not
		t.Error(got)
	}
}
