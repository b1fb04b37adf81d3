package deliver_test

import (
	"slices"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/core/event"
)

// TestArchiveCopy: the archive's server gets each message once, as the recipients
// do and signed; one that refuses it changes nothing for them.
func TestArchiveCopy(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "batch.test", script{})
		archive := b.site(t, "keep.test", script{})
		refusing := b.site(t, "full.test", script{Any: "550 5.1.1 no such user"})
		id := b.Send(from, fields{"to", "ann@batch.test, bob@batch.test", "text", "hello", "o:archive-to", "log@keep.test, no@full.test"})
		second := b.Send(from, fields{"to", "ann@batch.test, bob@batch.test", "text", "dear %recipient.n%", "o:archive-to", "log@keep.test",
			"recipient-variables", `{"ann@batch.test":{"n":"Ann"},"bob@batch.test":{"n":"Bob"}}`})
		for _, to := range []string{"ann@batch.test", "bob@batch.test"} {
			ok().check(t, b.Outcome(id, to, 1))
			ok().check(t, b.Outcome(second, to, 1))
		}
		b.Idle()
		own := k.Messages()
		for _, m := range archive.Await(t, 2) {
			b.verify(t, m.Data)
			if len(m.To) != 1 || m.To[0] != "log@keep.test" {
				t.Errorf("to %v", m.To)
			}
			switch header(m.Data, "Message-Id") {
			case id:
				if !slices.ContainsFunc(own, func(o apptest.Message) bool { return o.Data == m.Data }) {
					t.Errorf("not what the recipients got:\n%s", m.Data)
				}
			case second:
				if !strings.Contains(m.Data, "dear %recipient.n%") || strings.Contains(m.Data, "Ann") || header(m.Data, "To") != "undisclosed-recipients:;" {
					t.Errorf("of the batch:\n%s", m.Data)
				}
			default:
				t.Errorf("%s", m.Data)
			}
		}
		if n := len(archive.Messages()); n != 2 {
			t.Errorf("%d copies", n)
		}
		if n := len(refusing.Messages()); n != 0 {
			t.Errorf("%d messages were taken", n)
		}
		for _, e := range b.Recorded(func(*event.Event) bool { return true }) {
			if r := e.Doc.Recipient; r != "ann@batch.test" && r != "bob@batch.test" {
				t.Errorf("an event about %s", r)
			}
		}
	})
}
