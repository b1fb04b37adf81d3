package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
	"postroad/internal/core/replay"
	"postroad/internal/core/webhook"
)

// TestVectors: signatures others have published are taken at their time.
func TestVectors(t *testing.T) {
	fake := clock.NewFake(time.Unix(1403645220, 0))
	f := newFixture(t, coretest.SQLite(t, fake), fake, nil)
	// Mailgun: the vector its PHP client tests with.
	vector := `{"signature":{"timestamp":"1403645220","token":"5egbgr1vjgqxtrnp65xfznchgdccwh5d6i09vijqi3whgowmn6",` +
		`"signature":"9cfc5c41582e51246e73c88d34db3af0a3a2692a76fbab81492842f000256d33"},"event-data":` + mailgunData("v", "opened") + `}`
	f.want(200, stored1)(f.call("POST", "/api/webhooks/mailgun", "", vector))
	fake.Advance(time.Unix(1614265330, 0).Sub(fake.Now()))
	f.want(401, refused)(f.call("POST", "/api/webhooks/mailgun", "", vector))
	// The vector of Svix's documents; its body is no event.
	head := [][2]string{{"svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"}, {"svix-timestamp", "1614265330"}, {"svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}
	f.want(200, stored0)(f.call("POST", "/api/webhooks/resend", "", `{"test": 2432232314}`, head...))
	f.want(401, refused)(f.call("POST", "/api/webhooks/resend", "", `{"test": 2432232314} `, head...))
}

func TestMailgunWebhook(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		const path = "/api/webhooks/mailgun"
		now, data := f.fake.Now(), mailgunData("ea1", "delivered")
		body := signMailgun(mailgunKey, data, now)
		f.want(200, stored1)(f.call("POST", path, "", body))
		f.want(401, refused)(f.call("POST", path, "", body)) // a replay
		f.want(401, refused)(f.call("POST", path, "", strings.Replace(body, `"delivered"`, `"opened"`, 1)))
		f.want(200, stored0)(f.mailgun(data))                            // the same event in another attempt
		f.want(200, stored1)(f.mailgun(mailgunData("ea2", "delivered"))) // another event
		f.want(200, stored1)(f.call("POST", path, "", signMailgun("key-before", mailgunData("ea3", "opened"), now)))

		for name, sig := range map[string]webhook.Signature{
			"other key":  webhook.NewSignature("key-other", now),
			"no key":     webhook.NewSignature("", now),
			"old":        webhook.NewSignature(mailgunKey, now.Add(-webhook.Tolerance-time.Second)),
			"future":     webhook.NewSignature(mailgunKey, now.Add(webhook.Tolerance+time.Second)),
			"none":       {},
			"other time": {Timestamp: "1774526401", Token: "t", Signature: webhook.Sign(mailgunKey, "1774526400", "t")},
			"no token":   {Timestamp: "1774526400", Signature: webhook.Sign(mailgunKey, "1774526400", "")},
		} {
			text, err := json.Marshal(sig)
			must(t, err)
			if status, got := f.call("POST", path, "", `{"signature":`+string(text)+`,"event-data":`+mailgunData("x", "opened")+`}`); status != 401 || got != refused {
				t.Errorf("%s: %d %s", name, status, got)
			}
		}
		f.want(401, refused)(f.call("POST", path, "", `{"event-data":{}}`))
		f.want(401, refused)(f.call("POST", path, "", `{"signature":5,"event-data":{}}`))

		f.want(400, `{"error":"Invalid webhook payload"}`)(f.call("POST", path, "", ``))
		for _, bad := range []string{`[]`, `null`, `"x"`, `{`, `{"signature":{}}`, `{"event-data":[]}`, "{\"event-data\":{\"a\":\"\xff\"}}", `a=b`} {
			if status, got := f.call("POST", path, "", bad); status != 400 || !strings.HasPrefix(got, `{"error":"Invalid webhook payload","details":"`) {
				t.Errorf("%s: %d %s", bad, status, got)
			}
		}
		f.want(413, `{"error":"request body exceeds 1048576 bytes"}`)(f.call("POST", path, "", strings.Repeat(" ", 1<<20+1)))
		f.want(200, stored0)(f.mailgun(mailgunData("s", "stored")))
		if list, _ := f.list(""); len(list) != 3 {
			t.Errorf("%d events", len(list))
		}
	})
}

func TestResendWebhook(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		const path = "/api/webhooks/resend"
		now, body := f.fake.Now(), resendBody("email.delivered", "")
		head := signResend("msg_1", body, now)
		f.want(200, stored1)(f.call("POST", path, "", body, head...))
		f.want(401, refused)(f.call("POST", path, "", body, head...)) // the same request
		several := append(head[:2:2], [2]string{"svix-signature", "v1,AAAA " + head[2][1]})
		f.want(401, refused)(f.call("POST", path, "", body, several...)) // the same in other words
		f.fake.Advance(5 * time.Second)
		f.want(200, stored0)(f.resend("msg_1", body)) // another attempt
		f.want(200, stored1)(f.resend("msg_2", body)) // another event

		now = f.fake.Now()
		set := func(i int, v string) [][2]string {
			h := signResend("msg_3", body, now)
			h[i][1] = v
			return h
		}
		for name, h := range map[string][][2]string{
			"other id":     set(0, "msg_4"),
			"other time":   set(1, "1774526400"),
			"no signature": set(2, ""),
			"no fields":    nil,
			"garbage":      set(2, "v1,???"),
			"old":          signResend("msg_3", body, now.Add(-301*time.Second)),
			"future":       signResend("msg_3", body, now.Add(301*time.Second)),
			"other body":   signResend("msg_3", body+" ", now),
		} {
			if status, got := f.call("POST", path, "", body, h...); status != 401 || got != refused {
				t.Errorf("%s: %d %s", name, status, got)
			}
		}
		const damaged = `{"type":`
		f.want(400, `{"error":"Invalid webhook payload","details":"the JSON is damaged"}`)(f.resend("msg_5", damaged))
		f.want(200, stored0)(f.resend("msg_6", resendBody("email.scheduled", "")))
		f.want(413, "")(f.call("POST", path, "", strings.Repeat(" ", 1<<20+1), head...))
		if list, _ := f.list(""); len(list) != 2 {
			t.Errorf("%d events", len(list))
		}
	})
}

// TestNoKeys: without a key nothing is believed, least of all an empty one.
func TestNoKeys(t *testing.T) {
	each(t, func(c *Config) { c.MailgunKeys, c.ResendSecrets = nil, nil }, func(t *testing.T, f *fixture) {
		f.want(401, refused)(f.mailgun(mailgunData("a", "opened")))
		f.want(401, refused)(f.call("POST", "/api/webhooks/mailgun", "", signMailgun("", mailgunData("a", "opened"), f.fake.Now())))
		f.want(401, refused)(f.resend("msg_1", resendBody("email.sent", "")))
	})
}

// TestLocalKeys: where this program is Mailgun, the domain of the message says whose
// key it is.
func TestLocalKeys(t *testing.T) {
	local := func(c *Config) {
		c.MailgunKeys = nil
		c.LocalKey = func(_ context.Context, domain string) (string, error) {
			switch domain {
			case "example.com":
				return mailgunKey, nil
			case "broken.example":
				return "", errors.New("no store")
			}
			return "", nil
		}
	}
	each(t, local, func(t *testing.T, f *fixture) {
		f.want(200, stored1)(f.mailgun(mailgunData("a", "opened")))
		f.want(401, refused)(f.mailgun(strings.Replace(mailgunData("b", "opened"), "msg-abc123@example.com", "msg-abc123@example.org", 1)))
		f.want(401, refused)(f.mailgun(`{"event":"opened"}`))
		f.want(500, `{"error":"Internal Server Error"}`)(f.mailgun(strings.Replace(mailgunData("c", "opened"), "msg-abc123@example.com", "<x@broken.example>", 1)))
	})
}

// TestKnown: what an event does not say of its message is looked up.
func TestKnown(t *testing.T) {
	var asked []string
	var failing error
	known := func(c *Config) {
		c.Known = func(_ context.Context, provider, id, recipient string) (Known, bool, error) {
			asked = append(asked, provider+" "+id+" "+recipient)
			return Known{Metadata: json.RawMessage(`{"campaign_id":123}`), Tags: []string{"welcome"}, Sender: "a@example.com", Subject: "S"}, id == "m@example.com" || strings.HasPrefix(id, "5676"), failing
		}
	}
	each(t, known, func(t *testing.T, f *fixture) {
		asked = nil
		f.want(200, stored1)(f.mailgun(mailgunData("a", "delivered")))
		f.want(200, stored1)(f.mailgun(`{"id":"b","event":"opened","recipient":"r@example.com","message":{"headers":{"message-id":"<m@example.com>"}}}`))
		f.want(200, stored1)(f.mailgun(`{"id":"c","event":"opened","recipient":"r@example.com","message":{"headers":{"message-id":"other@example.com"}}}`))
		f.want(200, stored1)(f.resend("msg_1", resendBody("email.delivered", "")))
		if diff := cmp.Diff([]string{"mailgun m@example.com r@example.com", "mailgun other@example.com r@example.com"}, asked[:2]); diff != "" {
			t.Error(diff)
		}
		list, _ := f.list("campaign_id=123&type=opened")
		if len(list) != 1 || list[0].Sender != "a@example.com" || list[0].Subject != "S" || !cmp.Equal(list[0].Tags, []string{"welcome"}) || list[0].MessageID != "m@example.com" {
			t.Errorf("%+v", list)
		}
		if list, _ = f.list("messageId=56761188-7520-42d8-8898-ff6fc54ce618&campaign_id=123"); len(list) != 1 {
			t.Errorf("%+v", list)
		}
		failing = errors.New("no store")
		defer func() { failing = nil }()
		f.want(500, `{"error":"Internal Server Error"}`)(f.mailgun(`{"id":"d","event":"opened","message":{"headers":{"message-id":"m@example.com"}}}`))
	})
}

// TestEmailRecipients does what the documented handler does: it makes records of
// recipients from the metadata of events.
func TestEmailRecipients(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		f.subscribeTo(to.URL, "")
		stop := f.runWebhooks()
		defer stop()
		f.mailgun(mailgunData("1", "accepted"))
		f.mailgun(mailgunData("2", "delivered"))
		f.mailgun(mailgunData("3", "opened"))
		type record struct {
			recipient string
			status    Type
			at        map[Type]int64
		}
		records, last := map[string]*record{}, Type("")
		for range 3 {
			e := to.wait(t).event
			var m struct {
				Campaign    int `json:"campaign_id"`
				Participant int `json:"participant_id"`
			}
			must(t, json.Unmarshal(e.Metadata, &m))
			k := fmt.Sprint(m.Campaign, "_", m.Participant)
			if records[k] == nil {
				records[k] = &record{at: map[Type]int64{}}
			}
			records[k].recipient, records[k].status, last = e.Recipient, e.Type, e.Type
			records[k].at[e.Type] = e.Timestamp
		}
		r := records["123_456"]
		if len(records) != 1 || r == nil || r.recipient != "user@example.com" || r.status != last || len(r.at) != 3 || r.at[Sent] == 0 || r.at[Delivered] == 0 || r.at[Opened] == 0 {
			t.Errorf("%+v", records)
		}
	})
}

// TestConcurrent: of many requests at the same time with one event, and of many with
// one signature, one is taken.
func TestConcurrent(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		same := signMailgun(mailgunKey, mailgunData("same", "opened"), f.fake.Now())
		var wg sync.WaitGroup
		var mu sync.Mutex
		count := map[string]int{}
		for range 20 {
			for _, body := range []string{same, signMailgun(mailgunKey, mailgunData("other", "opened"), f.fake.Now())} {
				wg.Go(func() {
					_, got := f.call("POST", "/api/webhooks/mailgun", "", body)
					mu.Lock()
					count[got]++
					mu.Unlock()
				})
			}
		}
		wg.Wait()
		if diff := cmp.Diff(map[string]int{stored1: 2, stored0: 19, refused: 19}, count); diff != "" {
			t.Error(diff)
		}
	})
}

// TestClean: events go when their time is over, with what they are found by.
func TestClean(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		f.mailgun(mailgunData("1", "opened"))
		f.fake.Advance(Retention)
		f.mailgun(mailgunData("2", "opened"))
		f.fake.Advance(time.Second)
		must(t, f.Clean(t.Context()))
		if list, _ := f.list(""); len(list) != 1 {
			t.Errorf("%d events", len(list))
		}
		must(t, f.DB.Write(t.Context(), func(tx *db.Tx) error {
			var keys int
			if err := tx.QueryRow("SELECT COUNT(*) FROM feedback_key").Scan(&keys); err != nil || keys != 6 {
				t.Errorf("%d keys, %v", keys, err)
			}
			n, err := replay.Clean(tx)
			if n != 1 {
				t.Errorf("%d requests forgotten", n)
			}
			return err
		}))
	})
}

// receiver is a subscribed URL.
type receiver struct {
	*httptest.Server
	got chan received
}

type received struct {
	head  http.Header
	body  string
	event Event
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{got: make(chan received, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		x := received{head: req.Header, body: string(b)}
		if err := json.Unmarshal([]byte(x.body), &x.event); err != nil {
			t.Error(err)
		}
		r.got <- x
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) wait(t *testing.T) received {
	t.Helper()
	select {
	case x := <-r.got:
		return x
	case <-time.After(20 * time.Second):
		t.Fatal("no call came")
		panic("unreachable")
	}
}
