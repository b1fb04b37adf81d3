package deliver_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/suppress"
)

// TestHardBounce: one attempt, the address is listed, the next message to it
// fails without one. Mailgun: behaviour of hard bounces, code 605.
func TestHardBounce(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "bounce.test", script{Any: "550 5.1.1 no such user"})
		c := b.Catch(from, "permanent_fail")
		d := b.Outcome(b.Send(from, fields{"to", "gone@bounce.test"}), "gone@bounce.test", 1)
		permanent("bounce", 550, "5.1.1", "no such user").check(t, d)
		if d.DeliveryStatus.BounceType != "hard" {
			t.Errorf("bounce-type %q", d.DeliveryStatus.BounceType)
		}
		if got := c.Await(event.Failed, "gone@bounce.test"); got.Event.Severity != event.Permanent || got.Event.ID != d.ID {
			t.Errorf("webhook %+v", got.Event)
		}
		if got := b.Listed(b.dom, "bounces"); !slices.Equal(got, []string{"gone@bounce.test"}) {
			t.Fatalf("bounces %v", got)
		}
		k.Set(script{})
		conns, _ := k.Conns()
		d = b.Outcome(b.Send(from, fields{"to", "GONE@bounce.test"}), "GONE@bounce.test", 1)
		permanent("suppress-bounce", 605, "", "Not delivering to previously bounced address").check(t, d)
		if n, _ := k.Conns(); n != conns || len(k.Messages()) != 0 {
			t.Errorf("an attempt was made: %d connections more", n-conns)
		}
	})
}

func TestSuppressed(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "listed.test", script{})
	add := func(kind suppress.Kind, address, tag string) {
		t.Helper()
		if err := b.DB.Write(context.Background(), func(tx *db.Tx) error {
			return b.Suppress.Add(tx, suppress.Entry{Kind: kind, DomainID: b.dom.ID, Address: address, Tag: tag})
		}); err != nil {
			t.Fatal(err)
		}
	}
	add(suppress.Unsubscribes, "u@listed.test", "*")
	add(suppress.Unsubscribes, "tag@listed.test", "news")
	add(suppress.Complaints, "c@listed.test", "")
	add(suppress.Allowlist, "w@listed.test", "")
	k.Set(script{Rcpt: map[string]apptest.Step{"w@listed.test": "550 5.1.1 no"}})
	id := b.Send(from, fields{"to", "u@listed.test,c@listed.test,tag@listed.test,fine@listed.test,w@listed.test", "o:tag", "news"})
	permanent("suppress-unsubscribe", 606, "", "Not delivering to unsubscribed address").check(t, b.Outcome(id, "u@listed.test", 1))
	permanent("suppress-unsubscribe", 606, "", "Not delivering to unsubscribed address").check(t, b.Outcome(id, "tag@listed.test", 1))
	permanent("suppress-complaint", 607, "", "spam").check(t, b.Outcome(id, "c@listed.test", 1))
	permanent("bounce", 550, "5.1.1", "no").check(t, b.Outcome(id, "w@listed.test", 1))
	ok().check(t, b.Outcome(id, "fine@listed.test", 1))
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "tag@listed.test", "o:tag", "receipt"}), "tag@listed.test", 1))
	if got := b.Listed(b.dom, "bounces"); len(got) != 0 {
		t.Errorf("an allowed address was listed: %v", got)
	}
}

func TestTestMode(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "test.test", script{})
	d := b.Outcome(b.Send(from, fields{"to", "x@test.test", "o:testmode", "yes"}), "x@test.test", 1)
	want{event: event.Delivered, code: 650, message: "test mode"}.check(t, d)
	if !d.Flags.IsTestMode {
		t.Error("is-test-mode is not set")
	}
	if n, _ := k.Conns(); n != 0 {
		t.Errorf("%d connections", n)
	}
	b.Idle()
}

// TestDomainDeleted: queued mail of a deleted domain goes with it, whether it
// waits in the table, in the window, or in a session.
func TestDomainDeleted(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		o.Args = []string{"--workers=1"}
		b := start(t, o)
		k := b.site(t, "held.test", script{Dot: apptest.Hold})
		b.Send(from, fields{"to", "sent@held.test"})
		k.AwaitHeld(t, 1)
		b.Send(from, fields{"to", "window@held.test"}) // the only session is busy
		b.Send(from, fields{"to", "table@held.test", "o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)})
		b.Must("DELETE", "/v4/domains/"+from, nil)
		k.Release()
		b.Idle()
		if got := k.Messages(); len(got) != 1 || got[0].To[0] != "sent@held.test" {
			t.Errorf("delivered: %+v", got)
		}
		if code, _ := b.Do("POST", "/v3/"+from+"/messages", fields{"from", "a@" + from, "to", "b@held.test", "text", "x"}); code != http.StatusUnauthorized {
			t.Errorf("sending from it: %d", code)
		}
		b.Until("the window to be empty", func() bool { return b.Queue.Depth().Held == 0 })
	})
}

func TestDomainDisabled(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "off.test", script{})
	id := b.Send(from, fields{"to", "x@off.test", "o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)})
	if err := b.DB.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE domain SET state = 'disabled' WHERE id = ?", b.dom.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b.Advance(time.Hour)
	permanent("generic", 550, "5.7.1", "domain "+from+" is disabled").check(t, b.Outcome(id, "x@off.test", 1))
	if len(k.Messages())+len(b.Listed(b.dom, "bounces")) != 0 {
		t.Error("delivered, or listed as bounced")
	}
}

// TestSmuggling submits messages with the ends of data that some servers see
// and others do not; each reaches the sink as one message without any of them.
func TestSmuggling(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "victim.test", script{})
	evil := "MAIL FROM:<evil@x.test>\r\nRCPT TO:<smuggled@victim.test>\r\nDATA\r\nSubject: smuggled\r\n\r\ngot you\r\n"
	n := 0
	for _, end := range []string{"\n.\n", "\r.\r", "\r.\n", "\n.\r", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r", "\r\n\x00.\r\n",
		"\r\n.\x00\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n.\r\n"} {
		raw := "From: a@" + from + "\r\nTo: x@victim.test\r\nSubject: s\r\n\r\nbody" + end + evil
		code, body := b.TryMIME(from, raw, fields{"to", "x@victim.test"})
		if strings.Contains(end, "\x00") {
			if code != http.StatusBadRequest {
				t.Errorf("%q: answered %d %s", end, code, body)
			}
			continue
		}
		if code != http.StatusOK {
			t.Errorf("%q: answered %d %s", end, code, body)
			continue
		}
		n++
		got := k.Await(t, n)
		if len(got) != n || !slices.Equal(got[n-1].To, []string{"x@victim.test"}) {
			t.Fatalf("%q: %d messages, want %d: %+v", end, len(got), n, got)
		}
		data := strings.TrimSuffix(got[n-1].Raw, "\r\n.\r\n")
		if rest := strings.ReplaceAll(data, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Errorf("%q: a bare CR or LF went out: %q", end, data)
		}
		if strings.Contains(data, "\r\n.\r\n") || !strings.Contains(data, "RCPT TO:<smuggled@victim.test>") {
			t.Errorf("%q: went out as %q", end, data)
		}
	}
}

// TestDeletedWhileQueued: a stored message that is deleted, or whose retention
// ends, is still delivered if it is on its way.
func TestDeletedWhileQueued(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--retention=1h"}})
	k := b.site(t, "late.test", script{Any: "450 4.2.0 later"})
	id := b.Send(from, fields{"to", "x@late.test"})
	d := b.Outcome(id, "x@late.test", 1)
	b.Must("DELETE", "/v3/domains/"+from+"/messages/"+d.Storage.Key, nil)
	if code, _ := b.Do("GET", "/v3/domains/"+from+"/messages/"+d.Storage.Key, nil); code != http.StatusNotFound {
		t.Errorf("deleted, and answered %d", code)
	}
	for i := range 3 { // retention runs every ten minutes
		b.Advance(time.Duration(b.Outcome(id, "x@late.test", i+1).DeliveryStatus.RetrySeconds) * time.Second)
	}
	b.Outcome(id, "x@late.test", 4)
	k.Set(script{})
	b.Advance(time.Hour)
	ok().check(t, b.Outcome(id, "x@late.test", 5))
	b.verify(t, k.Await(t, 1)[0].Data)
}

// TestIdempotency: a request repeated a hundred times at once is one message.
func TestIdempotency(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "same.test", script{})
		form := url.Values{"from": {"a@" + from}, "to": {"x@same.test"}, "subject": {"s"}, "text": {"t"}}.Encode()
		answers := make(chan string, 100)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				req, err := http.NewRequest("POST", b.URL+"/v3/"+from+"/messages", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				req.SetBasicAuth("api", b.Key)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("Idempotency-Key", "the-key")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%d %s %v", res.StatusCode, body, err)
				}
				answers <- string(body)
			})
		}
		wg.Wait()
		close(answers)
		first := <-answers
		for a := range answers {
			if a != first {
				t.Errorf("answered %s and %s", first, a)
			}
		}
		b.Idle()
		if n := len(k.Messages()); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}
