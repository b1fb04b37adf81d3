package deliver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postroad/internal/apptest"
)

// TestBatch: with recipient variables each recipient gets an own copy with its
// own To and values; cc and bcc get one of each. Mailgun: batch sending.
func TestBatch(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "batch.test", script{})
		id := b.Send(from, fields{"to", "Ann Lee <ann@batch.test>, bob@batch.test", "cc", "boss@batch.test", "bcc", "log@batch.test",
			"subject", "Hi %recipient.name%", "text", "Dear %recipient.name%, you owe %recipient.sum%. %recipient.none%",
			"recipient-variables", `{"ann@batch.test":{"name":"Änn","sum":12.5},"bob@batch.test":{"name":"Bob\r\nBcc: x@y.test","sum":{"a":1}}}`})
		for _, to := range []string{"ann@batch.test", "bob@batch.test"} {
			ok().check(t, b.Outcome(id, to, 1))
		}
		for _, to := range []string{"boss@batch.test", "log@batch.test"} { // a copy of each
			ok().check(t, b.Outcome(id, to, 2))
		}
		copies := map[string]int{}
		for _, m := range k.Await(t, 6) {
			b.verify(t, m.Data)
			to := header(m.Data, "To")
			if len(m.To) != 1 {
				t.Errorf("one copy for %v", m.To)
			}
			copies[m.To[0]+" as "+to]++
			switch to {
			case "Ann Lee <ann@batch.test>":
				if strings.Contains(m.Data, "Bob") || !strings.Contains(m.Data, "12.5") {
					t.Errorf("Ann's copy:\n%s", m.Data)
				}
			case "bob@batch.test":
				if strings.Contains(m.Data, "12.5") || header(m.Data, "Bcc") != "" || !strings.Contains(m.Data, `{"a":1}`) {
					t.Errorf("Bob's copy:\n%s", m.Data)
				}
			default:
				t.Errorf("To: %s", to)
			}
			if !strings.Contains(m.Data, "%recipient.none%") || header(m.Data, "Message-Id") != id {
				t.Errorf("copy:\n%s", m.Data)
			}
		}
		for _, to := range []string{"Ann Lee <ann@batch.test>", "bob@batch.test"} {
			mailbox := strings.Trim(strings.TrimPrefix(to, "Ann Lee "), "<>")
			for _, rcpt := range []string{mailbox, "boss@batch.test", "log@batch.test"} {
				if copies[rcpt+" as "+to] != 1 {
					t.Errorf("%d copies to %s as %s", copies[rcpt+" as "+to], rcpt, to)
				}
			}
		}
		b.Idle()
	})
}

// TestThousand: a full batch and a full list, in the fewest transactions.
func TestThousand(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "big.test", script{})
	var to []string
	vars := map[string]map[string]int{}
	for i := range 1000 {
		a := fmt.Sprintf("u%d@big.test", i)
		to = append(to, a)
		vars[a] = map[string]int{"n": i}
	}
	b.Send(from, fields{"to", strings.Join(to, ",")})
	b.Idle()
	if got := k.Messages(); len(got) != 10 {
		t.Errorf("%d transactions for 1000 recipients, want 10", len(got))
	}
	text, err := json.Marshal(vars)
	if err != nil {
		t.Fatal(err)
	}
	b.Send(from, fields{"to", strings.Join(to, ","), "text", "number %recipient.n%.", "recipient-variables", string(text), "o:dkim", "no"})
	b.Idle()
	seen := map[string]int{}
	for _, m := range k.Messages()[10:] {
		seen[m.To[0]]++
		if n := strings.TrimSuffix(strings.TrimPrefix(m.To[0], "u"), "@big.test"); !strings.Contains(m.Data, "number "+n+".") {
			t.Fatalf("copy of %s:\n%s", m.To[0], m.Data)
		}
	}
	for _, a := range to {
		if seen[a] != 1 {
			t.Errorf("%s got %d copies", a, seen[a])
		}
	}
}
