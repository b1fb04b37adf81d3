package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/mail/report"
)

// What cannot be stored whole is not stored in part: the client comes again, and
// nobody gets a second copy.
func TestAllOrNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.list(t, w.own, "team@in.example")
		w.route(t, w.own, `match_recipient("help@")`, `forward("box@far.example")`)
		w.route(t, w.other, `match_recipient("desk@")`, `forward("desk@far.example")`)
		to := []string{"team@in.example", "help@in.example", "desk@other.example"}
		full := errors.New("the disk is full")
		w.onEvent = func(e *event.Event) error {
			if e.Doc.Recipient == "desk@far.example" {
				return full
			}
			return nil
		}
		if err := w.receive(t, client, note, to...); !errs.Is(err, errs.Unavailable) {
			t.Errorf("with a full disk: %v", err)
		}
		if n := len(w.column(t, "SELECT id FROM message")); n != 0 {
			t.Errorf("%d messages of a refused one", n)
		}
		w.onEvent = nil
		check(t, w.receive(t, client, note, to...))
		if n := len(w.column(t, "SELECT id FROM message")); n != 3 {
			t.Errorf("%d messages, want 3", n)
		}
		if got := w.column(t, "SELECT recipient FROM delivery ORDER BY recipient"); !slices.Equal(got, []string{"box@far.example", "desk@far.example"}) {
			t.Errorf("deliveries: %q", got)
		}
	})
}

// More than what one message may become is refused, not cut.
func TestTooManyDeliveries(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var urls []string
		for i := range 50 {
			urls = append(urls, fmt.Sprintf("http://h%d.far.example", i))
		}
		w.route(t, w.own, `match_recipient(".*@in.example")`, `forward("`+strings.Join(urls, ",")+`")`)
		var to []string
		for i := range maxDeliveries/len(urls) + 1 {
			to = append(to, fmt.Sprintf("u%d@in.example", i))
		}
		check(t, w.receive(t, client, note, to[1:101]...))
		if n := len(w.column(t, "SELECT id FROM delivery")); n != 5000 {
			t.Errorf("%d deliveries, want 5000", n)
		}
		if err := w.receive(t, client, note, to...); !errs.Is(err, errs.Forbidden) {
			t.Errorf("too many: %v", err)
		}
		if n := len(w.column(t, "SELECT id FROM message")); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

func TestTenants(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		// A route is for the mail of its own account.
		w.route(t, w.other, `match_recipient(".*")`, `forward("spy@far.example")`)
		if _, err := w.target(t, "help@in.example"); !errs.Is(err, errs.NotFound) {
			t.Errorf("a route of another account: %v", err)
		}
		// Who names a subdomain of somebody's wildcard does not get its mail, and
		// does not hand on to it what is below a domain that is his.
		yes := true
		parent, err := w.Domains.ByName(t.Context(), "in.example")
		check(t, err)
		_, err = w.Domains.Update(t.Context(), parent, domain.UpdateRequest{Wildcard: &yes})
		check(t, err)
		w.route(t, w.own, `match_recipient(".*")`, `forward("box@far.example")`)
		_, err = w.unverified.Create(t.Context(), w.other.AccountID, domain.CreateRequest{Name: "grabbed.in.example"})
		check(t, err)
		_, err = w.unverified.Create(t.Context(), w.own.AccountID, domain.CreateRequest{Name: "mine.in.example"})
		check(t, err)
		w.list(t, w.other, "team@grabbed.in.example")
		if got, err := w.target(t, "team@grabbed.in.example"); err != nil || got.list || !got.route {
			t.Errorf("a list on a domain that was grabbed: %+v, %v", got, err)
		}
		w.domain(t, w.other, "sold.in.example")
		for to, want := range map[string]string{
			"a@in.example":         "in.example",
			"a@IN.Example":         "in.example",
			"a@x.in.example":       "in.example",
			"a@x.y.in.example":     "in.example",
			"a@grabbed.in.example": "in.example",
			"a@mine.in.example":    "mine.in.example",
			"a@sold.in.example":    "sold.in.example",
			"a@x.sold.in.example":  "",
			"a@other.example":      "other.example",
			"a@x.other.example":    "",
			"a@example":            "",
		} {
			got, err := w.target(t, to)
			name := ""
			if err == nil {
				name = got.domain.Name
			}
			if name != want || err != nil && !errs.Is(err, errs.Forbidden) {
				t.Errorf("%s: taken for %q, %v; want %q", to, name, err, want)
			}
		}
	})
}

// One message from outside has a body for each domain and list: not for any number.
func TestFits(t *testing.T) {
	dom := func(id int64) *domain.Domain { return &domain.Domain{ID: id} }
	var many []*Target
	for i := range 1000 {
		one := &Target{route: true, domain: dom(1)}
		if !Fits(many, one) {
			t.Fatalf("recipient %d of one domain does not fit", i)
		}
		many = append(many, one)
	}
	var lists, domains []*Target
	for i := range maxCopies {
		lists, domains = append(lists, &Target{list: true, domain: dom(1)}), append(domains, &Target{route: true, domain: dom(int64(i))})
	}
	for _, full := range [][]*Target{lists, domains} {
		for _, one := range []*Target{{list: true, domain: dom(1)}, {route: true, domain: dom(1000)}} {
			if Fits(full, one) || !Fits(full[1:], one) {
				t.Errorf("the bound is not at %d", maxCopies)
			}
		}
	}
	other := &Target{route: true, domain: &domain.Domain{ID: 1, AccountID: "other"}}
	path := &Target{bounce: &report.ID{}, domain: dom(1)}
	for _, c := range []struct {
		taken, t *Target
		fits     bool
	}{{many[0], &Target{leave: &report.ID{}, domain: dom(1)}, false}, {path, &Target{leave: &report.ID{}, domain: dom(1)}, true}, {many[0], other, false}, {other, many[0], false}, {many[0], path, false}, {path, many[0], false}, {path, path, true}, {&Target{feedback: true}, &Target{feedback: true}, true},
		{&Target{feedback: true}, many[0], false}} {
		if Fits([]*Target{c.taken}, c.t) != c.fits {
			t.Errorf("%+v with %+v: want %v", c.t, c.taken, c.fits)
		}
	}
	if !Fits(domains, &Target{route: true, domain: dom(0)}) {
		t.Error("one more of a domain that is there needs no room")
	}
}

// TestTrace: whatever a client or a name server says, one field comes of it, in
// ASCII unless the message need not be, and it names nobody's blind copies.
func TestTrace(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.route(t, w.own, `match_recipient(".*")`, `forward("box@far.example")`)
		evil := client
		evil.HELO = "x) by trusted.example\r\nX-Evil: <yes>; (\x00\x7f\u009b\u2028é\"\\"
		w.Resolver = names{"PTR 192.0.2.1": "mail.bank.example."}
		check(t, w.receive(t, evil, note, "help@in.example"))
		w.Resolver = names{"PTR 192.0.2.1": "mx.far.example.", "A mx.far.example": "192.0.2.1"}
		check(t, w.receive(t, client, note, "blind@in.example", "help@in.example"))
		got := w.stored(t)
		for i, want := range []string{
			"from x__by_trusted.example__X-Evil:__yes___________ (unknown [192.0.2.1])\r\n\tby mx.test (Postroad) with ESMTP id q1\r\n\tfor <help@in.example>; ",
			"from mx.far.example (mx.far.example [192.0.2.1])\r\n\tby mx.test (Postroad) with ESMTP id q1; "} {
			_, trace, _ := strings.Cut(got[i], "Received: ")
			if !strings.HasPrefix(trace, want) {
				t.Errorf("%q\nwant %q", trace[:min(len(trace), 250)], want)
			}
		}
		if strings.Contains(got[1], "blind") || strings.Contains(got[0], "\nX-Evil") {
			t.Errorf("%s\n%s", got[0], got[1])
		}
	})
}

// Fields that only we add are ours, however they are written.
func TestForgedFields(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.route(t, w.own, `match_recipient(".*")`, `forward("box@far.example")`)
		forged := "authentication-results: (x) MX.TEST ; dkim=pass header.d=bank.example\r\nAUTHENTICATION-RESULTS:\r\n\t\"mx.test\" 1; spf=pass\r\n" +
			"Authentication-Results: (mx.test; spf=pass\r\nX-MAILGUN-SFLAG : No\r\nx-mailgun-incoming: No\r\nX-Mailgun-Spf: Pass\r\nX-Mailgun-Dkim-Check-Result: Pass\r\nX-Mailgun-Sid: 1\r\n"
		check(t, w.receive(t, client, forged+"Authentication-Results: mx.other.example; spf=fail\r\n"+note, "help@in.example"))
		got := w.stored(t)[0]
		for _, bad := range []string{"pass", "Pass", "SFLAG", "incoming: No", "X-Mailgun-Sid: 1\r\n", "dkim=pass"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q in\n%s", bad, got)
			}
		}
		if !strings.Contains(got, "mx.other.example; spf=fail") || !strings.HasSuffix(got, note) {
			t.Errorf("what others said is gone, or the message is another:\n%s", got)
		}
	})
}

// Routes that forward to each other's addresses do not send a message on for ever.
func TestCircles(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.route(t, w.own, `match_recipient("(one|two)@in.example")`, `forward("one@in.example, two@in.example")`)
		raw, passes := note, 0
		for ; passes < 10; passes++ {
			err := w.receive(t, client, raw, "one@in.example")
			if errs.Is(err, errs.Forbidden) && strings.Contains(err.Error(), "in circles") {
				break
			}
			check(t, err)
			all := w.stored(t)
			raw = all[len(all)-1]
		}
		if passes != maxPasses {
			t.Errorf("went around %d times, want %d", passes, maxPasses)
		}
	})
}

// A feedback address is for reports. What a person writes to it is not thrown
// away without a word.
func TestFeedbackAddress(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		null := client
		null.Sender = ""
		for _, c := range []struct {
			in  Session
			raw string
			ok  bool
		}{
			{client, note, false},
			{null, note, true},
			{client, "Auto-Submitted: auto-replied\r\n" + note, true},
			{client, "Content-Type: multipart/report; boundary=b\r\n" + note, true},
		} {
			if err := w.receive(t, c.in, c.raw, "Abuse@MX.test"); (err == nil) != c.ok || err != nil && !errs.Is(err, errs.Forbidden) {
				t.Errorf("from %q: %v", c.in.Sender, err)
			}
		}
		for _, to := range []string{"postmaster@mx.test", "postmaster@in.example"} {
			if _, err := w.target(t, to); !errs.Is(err, errs.NotFound) {
				t.Errorf("%s without a route: %v", to, err)
			}
		}
		// Where the host name is a domain, its routes get what is no report.
		w.domain(t, w.own, "mx.test")
		w.route(t, w.own, `match_recipient("(abuse|postmaster)@mx.test")`, `forward("box@far.example")`)
		check(t, w.receive(t, client, note, "abuse@mx.test"))
		check(t, w.receive(t, client, note, "postmaster@mx.test"))
		if n := len(w.stored(t)); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
	})
}

// send submits a message of the account as a program would.
func (w *world) send(t testing.TB, messageID, sid, to string) *message.Message {
	t.Helper()
	d, err := w.Domains.ByName(t.Context(), "in.example")
	check(t, err)
	sub := &message.Submission{Domain: d, MessageID: messageID, Recipients: []message.Recipient{{Address: to, Header: to}},
		MIME: []byte("From: a@in.example\r\nTo: " + to + "\r\nX-Mailgun-Sid: " + sid + "\r\n\r\nHello\r\n")}
	sub.Meta.Method, sub.Meta.Recipients = "http", []string{to}
	m, _, err := w.Messages.Submit(t.Context(), sub)
	check(t, err)
	return m
}

func complaintAbout(fields string) string {
	return "From: fbl@far.example\r\nTo: fbl@mx.test\r\nSubject: FW\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nAbuse.\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: Far/1\r\nVersion: 1\r\n\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@in.example\r\nTo: somebody\r\n" + fields + "\r\nHello\r\n--b--\r\n"
}

// A complaint counts for a recipient of mail we sent, and of no other.
func TestComplaints(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var got []string
		w.onEvent = func(e *event.Event) error {
			if e.Doc.Event == event.Complained {
				got = append(got, e.Doc.Recipient)
			}
			return nil
		}
		w.send(t, "same@in.example", "s1", "first@far.example")
		w.send(t, "same@in.example", "s2", "second@far.example") // an earlier message of the same name does not hide it
		check(t, w.receive(t, client, complaintAbout("Message-ID: <same@in.example>\r\nX-Mailgun-Sid: s2\r\n"), "fbl@mx.test"))
		if !slices.Equal(got, []string{"second@far.example"}) {
			t.Errorf("complained: %q", got)
		}
		// Mail that came in is nobody's to complain about for the address it came to,
		// nor is a post for the list.
		got = nil
		w.route(t, w.own, `match_recipient("help@")`, `forward("box@far.example")`)
		w.list(t, w.own, "team@in.example")
		check(t, w.receive(t, client, note, "help@in.example", "team@in.example"))
		for _, id := range w.column(t, "SELECT sender FROM message ORDER BY id DESC LIMIT 2") {
			check(t, w.receive(t, client, complaintAbout("Return-Path: <"+id+">\r\n"), "fbl@mx.test"))
			check(t, w.receive(t, client, complaintAbout("Return-Path: <"+id+">\r\nTo: help@in.example\r\n"), id))
		}
		if len(got) != 0 {
			t.Errorf("complained: %q", got)
		}
	})
}

// A name in a bounce of forwarded mail is whom it was forwarded to, or nobody.
func TestBounceOfForward(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.route(t, w.own, `match_recipient("help@")`, `forward("box@far.example")`)
		check(t, w.receive(t, client, note, "help@in.example"))
		path := w.column(t, "SELECT sender FROM message")[0]
		var got []string
		w.onEvent = func(e *event.Event) error {
			if e.Doc.Event == event.Failed {
				got = append(got, e.Doc.Recipient)
			}
			return nil
		}
		for _, to := range []string{"help@in.example", "box@far.example", "ann@far.example"} {
			null := client
			null.Sender = ""
			check(t, w.receive(t, null, bounceOf(to), path))
		}
		if !slices.Equal(got, []string{"box@far.example"}) {
			t.Errorf("failed: %q", got)
		}
	})
}

// Who got a copy can say nothing about the copies of others.
func TestReportsOfOthersCopies(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		d, err := w.Domains.ByName(t.Context(), "in.example")
		check(t, err)
		sub := &message.Submission{Domain: d, MessageID: "id@in.example", MIME: []byte("From: a@in.example\r\n\r\nHello\r\n")}
		sub.Meta.Method, sub.Meta.Batch = "http", true
		for _, to := range []string{"mallory@far.example", "jane@far.example"} {
			sub.Recipients = append(sub.Recipients, message.Recipient{Address: to, Header: to})
			sub.Meta.Recipients = append(sub.Meta.Recipients, to)
		}
		m, _, err := w.Messages.Submit(t.Context(), sub)
		check(t, err)
		var got []string
		w.onEvent = func(e *event.Event) error {
			got = append(got, string(e.Doc.Event)+" "+e.Doc.Recipient)
			return nil
		}
		mine := w.Messages.ReturnPath(m, "Mallory@far.example")
		for _, to := range []string{"jane@far.example", "mallory@far.example"} {
			check(t, w.receive(t, client, bounceOf(to), mine))
			complaint := strings.Replace(complaintAbout("Return-Path: <"+mine+">\r\n"), "Version: 1\r\n", "Version: 1\r\nOriginal-Rcpt-To: "+to+"\r\n", 1)
			check(t, w.receive(t, client, complaint, mine))
			check(t, w.receive(t, client, complaint, "fbl@mx.test"))
		}
		if want := []string{"failed mallory@far.example", "complained mallory@far.example", "complained mallory@far.example"}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
	})
}

func bounceOf(to string) string {
	return "From: MAILER-DAEMON@far.example\r\nSubject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nNo.\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; far.example\r\n\r\n" +
		"Final-Recipient: rfc822; " + to + "\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
}

// A client that is gone does not keep the server busy.
func TestCancelled(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.route(t, w.own, `match_recipient(".*")`, `forward("box@far.example")`)
		one, err := w.target(t, "help@in.example")
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Receive(ctx, client, []*Target{one}, strings.NewReader(note)); err == nil {
			t.Error("taken for nobody")
		}
		if n := len(w.stored(t)); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

// An address is the same in every spelling of it.
func TestSpellings(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.domain(t, w.own, "bücher.example")
		w.list(t, w.own, "team@bücher.example")
		w.route(t, w.own, `match_recipient("help@xn--bcher-kva.example")`, `forward("box@far.example")`)
		for _, to := range []string{"help@bücher.example", "help@BÜCHER.example", "Help@XN--BCHER-KVA.Example", `"help"@bücher.example`, "bu@in.example",
			"team@bücher.example", "TEAM@xn--bcher-kva.example", `"team"@bücher.example`} {
			got, err := w.target(t, to)
			switch {
			case to == "bu@in.example":
				if !errs.Is(err, errs.NotFound) {
					t.Errorf("%s: %v", to, err)
				}
			case err != nil:
				t.Errorf("%s: %v", to, err)
			case got.list != strings.Contains(strings.ToLower(to), "team") || got.route == got.list || got.domain.Name != "xn--bcher-kva.example":
				t.Errorf("%s: %+v on %s", to, got, got.domain.Name)
			}
		}
	})
}

// Whoever writes to an address for leaving leaves the domain, once, whatever they
// write; what answers it does not.
func TestUnsubscribeByMail(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var got []string
		w.onEvent = func(e *event.Event) error {
			if d := &e.Doc; d.Event == event.Unsubscribed {
				got = append(got, d.Recipient+" "+d.IP+" "+strings.Join(e.Leave, ","))
				if d.MailingList != nil || d.Message != nil && d.Message.Headers.MessageID != "m@in.example" {
					t.Errorf("event %+v", d)
				}
			}
			return nil
		}
		const ask = "From: Ann <Ann@far.example>\r\nSubject: unsubscribe\r\n\r\n"
		m := w.send(t, "m@in.example", "s", "ann@far.example")
		address := w.OptOut.Address(m, "ANN@far.example")
		null, other := client, client
		null.Sender, other.Sender = "", "other@mx.example"
		for _, c := range []struct {
			in  Session
			raw string
			to  string
		}{
			{null, ask, address}, {client, "Auto-Submitted: auto-replied\r\n" + ask, address}, {client, "Auto-Submitted: auto-generated\r\n" + ask, address},
			{client, strings.Replace(bounceOf("ann@far.example"), "MAILER-DAEMON", "ann", 1), address},
			{client, ask, w.OptOut.Address(m, "nobody@far.example")},
		} {
			check(t, w.receive(t, c.in, c.raw, c.to))
		}
		if len(got) != 0 || w.Stats.Ignored.Load() != 5 || w.Stats.Left.Load() != 0 {
			t.Errorf("unsubscribed %q, ignored %d", got, w.Stats.Ignored.Load())
		}
		other.Sender = "jane@elsewhere.example" // the message was forwarded: it is still Ann's
		check(t, w.receive(t, other, "From: Jane <jane@elsewhere.example>\r\n\r\n", strings.ToUpper(address)))
		check(t, w.receive(t, client, ask, address))
		if want := []string{"ann@far.example 192.0.2.1 "}; !slices.Equal(got, want) || w.Stats.Left.Load() != 2 {
			t.Errorf("unsubscribed %q, want %q", got, want)
		}
		if tags := w.column(t, "SELECT tag FROM suppression"); !slices.Equal(tags, []string{"*"}) {
			t.Errorf("entries %q", tags)
		}
		for _, bad := range []string{"x" + address, address[:10] + "0" + address[11:], strings.Replace(address, "in.example", "other.example", 1), "unsub+@in.example"} {
			if _, err := w.target(t, bad); !errs.Is(err, errs.NotFound) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

// An address for leaving outlives its message: the sender says whose it is, or the
// events of the message do.
func TestUnsubscribeWithoutMessage(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var got []string
		w.onEvent = func(e *event.Event) error {
			if e.Doc.Event == event.Unsubscribed {
				id := ""
				if e.Doc.Message != nil {
					id = e.Doc.Message.Headers.MessageID
				}
				got = append(got, e.Doc.Recipient+" "+id)
			}
			return nil
		}
		d, err := w.Domains.ByName(t.Context(), "in.example")
		check(t, err)
		never := &message.Message{ID: 77, Domain: d.Name} // nothing is known of it
		for _, c := range []struct{ m, from string }{{"never", "ann@far.example"}, {"never", "mallory@far.example"}, {"gone", "bob@far.example"}} {
			m := never
			if c.m == "gone" {
				m = w.send(t, "gone@in.example", "s", "jane@far.example")
				check(t, w.Messages.Delete(t.Context(), m))
			}
			to := map[string]string{"never": "Ann@far.example", "gone": "jane@far.example"}[c.m]
			check(t, w.receive(t, client, "From: "+c.from+"\r\n\r\n", w.OptOut.Address(m, to)))
		}
		if want := []string{"ann@far.example ", "jane@far.example gone@in.example"}; !slices.Equal(got, want) {
			t.Errorf("unsubscribed %q, want %q", got, want)
		}
	})
}
