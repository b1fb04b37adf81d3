package deliver_test

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/core/domain"
	"postroad/internal/core/message"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/mime"
)

const trackBase = "https://email.sender.test"

// tracking is everything that can be put into copies.
func tracking(t *domain.Tracking) {
	t.Click.Active, t.Open.Active = domain.ClickYes, true
	t.Unsubscribe = domain.UnsubscribeTracking{Active: true, HTMLFooter: `<p><a href="%unsubscribe_url%">unsubscribe</a></p>`,
		TextFooter: "\n\nTo unsubscribe click: <%unsubscribe_url%>\n"}
}

// followed submits a message that is tracked.
func (b *bed) followed(t *testing.T, draft mime.Draft, meta message.Meta, to ...message.Recipient) *message.Message {
	t.Helper()
	b.Messages.UnsubscribeAddress = func(_ *message.Message, recipient string) string {
		return "unsub+" + strings.Replace(recipient, "@", "-", 1) + "@" + from
	}
	draft.Header = append([]mime.Field{{Name: "From", Value: "boss@" + from}, {Name: "Subject", Value: "Hi"}, {Name: "Message-Id", Value: "<1.track@" + from + ">"}}, draft.Header...)
	raw, err := draft.Build()
	if err != nil {
		t.Fatal(err)
	}
	b.Messages.TrackBase = func(*domain.Domain) string { return trackBase }
	dom, err := b.Domains.SetTracking(t.Context(), b.dom, tracking)
	if err != nil {
		t.Fatal(err)
	}
	meta.From = "boss@" + from
	for _, r := range to {
		meta.Recipients = append(meta.Recipients, r.Address)
	}
	m, _, err := b.Messages.Submit(context.Background(), &message.Submission{Domain: dom, MIME: raw, MessageID: "1.track@" + from, Recipients: to, Meta: meta})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var tokenAt = regexp.MustCompile(regexp.QuoteMeta(trackBase) + `/([cou])/([A-Za-z0-9_-]+)`)

// links returns what the links of a copy say, each once, and checks that they are
// of that message and recipient.
func (b *bed) links(t *testing.T, m *message.Message, recipient, text string) (out []string) {
	t.Helper()
	kinds := map[string]linktoken.Kind{"c": linktoken.Click, "o": linktoken.Open, "u": linktoken.Unsubscribe}
	for _, found := range tokenAt.FindAllStringSubmatch(text, -1) {
		tok, ok := b.Messages.LinkKey.Open(found[2])
		if !ok || tok.Message != m.ID || tok.Recipient != recipient || tok.Kind != kinds[found[1]] {
			t.Errorf("for %s there is %s: %+v %v", recipient, found[0], tok, ok)
		}
		if s := found[1] + " " + tok.URL; !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func body(t *testing.T, data string) *mime.Message {
	t.Helper()
	m, err := mime.Parse([]byte(data), mime.Limits{})
	if err != nil || m.Broken {
		t.Fatal(err, data)
	}
	return m
}

// TestTracked: each recipient of a tracked message gets own links, with a
// signature over the way out; an archive gets the message as it was sent.
func TestTracked(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "there.test", script{})
		meta := message.Meta{Options: message.Options{ArchiveTo: "log@there.test"}}
		draft := mime.Draft{Header: []mime.Field{{Name: "To", Value: "ann@there.test, bob@there.test"}}, Text: "Hi %recipient%, https://x.test/text.",
			HTML: `<html><body>Grüße <a href="https://x.test/?a=1&amp;b=2">x</a> <a href="mailto:a@b.test">m</a> %unsubscribe_email%</body></html>`}
		m := b.followed(t, draft, meta, message.Recipient{Address: "ann@there.test"}, message.Recipient{Address: "bob@there.test"})
		for _, got := range k.Await(t, 3) {
			b.verify(t, got.Data)
			to, p := got.To[0], body(t, got.Data)
			if len(got.To) != 1 || !strings.Contains(p.Text, "Hi %recipient%, ") {
				t.Errorf("to %v:\n%s", got.To, p.Text)
			}
			if to == "log@there.test" {
				if strings.Contains(got.Data, trackBase) || header(got.Data, "List-Unsubscribe") != "" || !strings.Contains(p.HTML, "%unsubscribe_email%") {
					t.Errorf("archive copy:\n%s", got.Data)
				}
				continue
			}
			if l := b.links(t, m, to, p.HTML); !slices.Equal(l, []string{"c https://x.test/?a=1&b=2", "o ", "u "}) {
				t.Errorf("links of the HTML part: %q", l)
			}
			if l := b.links(t, m, to, p.Text); !slices.Equal(l, []string{"c https://x.test/text", "u "}) {
				t.Errorf("links of the text part: %q", l)
			}
			address := "unsub+" + strings.Replace(to, "@", "-", 1) + "@" + from
			if !strings.Contains(p.HTML, address) || !strings.Contains(p.HTML, "Grüße") || !strings.Contains(p.HTML, `<a href="mailto:a@b.test">`) {
				t.Errorf("HTML part:\n%s", p.HTML)
			}
			leave := header(got.Data, "List-Unsubscribe")
			if l := b.links(t, m, to, leave); len(l) != 1 || l[0] != "u " || !strings.HasSuffix(leave, ">, <mailto:"+address+">") || header(got.Data, "List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
				t.Errorf("way out: %s", leave)
			}
			signed := strings.ToLower(strings.ReplaceAll(header(got.Data, "DKIM-Signature"), " ", ""))
			if !strings.Contains(signed, "list-unsubscribe:list-unsubscribe-post") {
				t.Errorf("signed: %s", signed)
			}
		}
		copied, err := b.Messages.CopyFor(m, "ann@there.test")
		if err != nil || strings.Contains(string(copied), trackBase) {
			t.Errorf("what people look at later: %v\n%s", err, copied)
		}
		b.Idle()
	})
}

// TestTrackedAgain: a retry sends the same bytes, with the signature made for the
// first.
func TestTrackedAgain(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "slow.test", script{Dot: "451 4.3.0 not now"})
	m := b.followed(t, mime.Draft{Text: "x", HTML: `<a href="https://x.test/">x</a>`}, message.Meta{}, message.Recipient{Address: "a@slow.test"}, message.Recipient{Address: "b@slow.test"})
	for _, to := range m.Meta.Recipients {
		temporary(451, "4.3.0", "not now").check(t, b.Outcome(m.MessageID, to, 1))
	}
	k.Set(script{})
	b.Advance(20 * time.Minute)
	k.Await(t, 2)
	seen := map[string][]string{}
	for _, got := range k.All() {
		seen[got.To[0]] = append(seen[got.To[0]], got.Data)
	}
	for to, list := range seen {
		if len(list) != 2 || list[0] != list[1] || !strings.Contains(list[0], trackBase) {
			t.Errorf("%s got %d different:\n%s", to, len(list), strings.Join(list, "\n----\n"))
		}
		b.verify(t, list[1])
	}
}

// TestTrackedBatch: values and links are those of each copy, a link with a value
// leads where that recipient's does, and the cc follows its own.
func TestTrackedBatch(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "batch.test", script{})
	one := func(to, id string) message.Recipient {
		return message.Recipient{Address: to, Header: to, Vars: json.RawMessage(`{"id":"` + id + `"}`)}
	}
	m := b.followed(t, mime.Draft{Text: "https://x.test/%recipient.id%/ %unsubscribe_url%", HTML: `<a href="https://x.test/?id=%recipient.id%&amp;to=%recipient%">%recipient.id%</a>`}, message.Meta{Batch: true},
		one("ann@batch.test", "1 2"), one("bob@batch.test", "b"), message.Recipient{Address: "cc@batch.test", Copy: true})
	want := map[string]string{"ann@batch.test": "1%202", "bob@batch.test": "b"}
	for _, got := range k.Await(t, 4) {
		b.verify(t, got.Data)
		to, p := header(got.Data, "To"), body(t, got.Data)
		if l := b.links(t, m, got.To[0], p.HTML); !slices.Contains(l, "c https://x.test/?id="+want[to]+"&to="+to) {
			t.Errorf("%s as %s: %q", got.To[0], to, l)
		}
		if l := b.links(t, m, got.To[0], p.Text); strings.Contains(p.Text, "To unsubscribe") || len(l) == 0 || l[len(l)-1] != "u " || (to == "bob@batch.test") != (l[0] == "c https://x.test/b/") {
			t.Errorf("%s as %s: %q in %s", got.To[0], to, l, p.Text)
		}
	}
	b.Idle()
}
