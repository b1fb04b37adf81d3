package app_test

import (
	"fmt"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

// receive sends a form and returns what the recipients' server got.
func (s *stage) receive(t *testing.T, n int, p probe) []apptest.Message {
	t.Helper()
	s.hosts++
	host := fmt.Sprintf("r%d.example.net", s.hosts)
	k := s.World.Sink(t, "mx."+host, apptest.Script{})
	s.World.MX(t, host, k.Host)
	for i := range p.form {
		p.form[i] = strings.ReplaceAll(p.form[i], "HOST", host)
	}
	for i := range p.parts {
		p.parts[i] = strings.ReplaceAll(p.parts[i], "HOST", host)
	}
	p.want = queued
	s.check(t, p)
	got := k.Await(t, n)
	for i := range got {
		got[i].Data = strings.ReplaceAll(got[i].Data, host, "HOST")
		for j := range got[i].To {
			got[i].To[j] = strings.ReplaceAll(got[i].To[j], host, "HOST")
		}
	}
	return got
}

// head returns the header of a message, unfolded.
func head(data string) string {
	h, _, _ := strings.Cut(data, "\r\n\r\n")
	return strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(h) + "\r\n"
}

func has(t *testing.T, data string, list ...string) {
	t.Helper()
	for _, part := range list {
		if !strings.Contains(data, part) {
			t.Errorf("%q is missing in\n%.3000s", part, data)
		}
	}
}

func hasNot(t *testing.T, data string, list ...string) {
	t.Helper()
	for _, part := range list {
		if strings.Contains(strings.ToLower(data), strings.ToLower(part)) {
			t.Errorf("%q is in\n%.3000s", part, data)
		}
	}
}

// What leaves the machine.
func TestScenarioWire(t *testing.T) {
	s := newStage(t, config.Serve)
	from := []string{"from", "Me <me@example.com>"}

	t.Run("parts", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages", parts: with(from, "to", "Ann <a@HOST>, \"B, C\" <b@HOST>", "cc", "c@HOST", "bcc", "d@HOST", "bcc", "a@HOST",
			"subject", "Hi", "text", "plain", "html", "<p>rich", "amp-html", "<html amp4email>", "h:Reply-To", "r@example.com", "h:X-My", "mine", "o:tag", "t1", "o:tag", "T1", "v:a", "1"),
			files: []upload{{"attachment", `a "b" c.pdf`, "application/pdf", "PDF"}, {"inline", "pic.png", "image/png", "PNG"}, {"attachment", "", "application/octet-stream", ""}}})[0]
		if got := strings.Join(m.To, " "); got != "a@HOST b@HOST c@HOST d@HOST" {
			t.Errorf("envelope: %s", got)
		}
		h := head(m.Data)
		has(t, h, "From: Me <me@example.com>\r\n", "To: Ann <a@HOST>, \"B, C\" <b@HOST>\r\n", "Cc: c@HOST\r\n", "Subject: Hi\r\n", "Reply-To: r@example.com\r\n", "X-My: mine\r\n",
			"X-Mailgun-Tag: t1\r\n", `X-Mailgun-Variables: {"a":"1"}`, "MIME-Version: 1.0\r\n", "DKIM-Signature: v=1; a=rsa-sha256;", "multipart/mixed")
		hasNot(t, h, "Bcc:", "d@HOST", "X-Mailgun-Tag: T1\r\nX-Mailgun-Tag")
		has(t, m.Data, "Content-ID: <pic.png>", `filename="a \"b\" c.pdf"`, "UERG")
		plain, amp, rich := strings.Index(m.Data, "text/plain"), strings.Index(m.Data, "text/x-amp-html"), strings.Index(m.Data, "text/html")
		if plain < 0 || amp < plain || rich < amp {
			t.Errorf("order of the alternatives: %d %d %d", plain, amp, rich)
		}
		hasNot(t, m.Data, `filename="attachment"`) // the input in which no file was chosen
	})
	t.Run("names of files outside ASCII", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages", parts: with(from, "to", "a@HOST", "text", "x"), files: []upload{{"attachment", "\u00fc\u20ac.txt", "text/plain", "x"}}})[0]
		has(t, m.Data, "filename*=utf-8''%C3%BC%E2%82%AC.txt")
	})
	t.Run("batch", func(t *testing.T) {
		list := s.receive(t, 2, probe{path: "/v3/example.com/messages", form: with(from, "to", "Ann <a@HOST>, b@HOST", "subject", "Hi %recipient.n%", "text", "%recipient.n% %recipient% %recipient.evil%.",
			"h:List-Unsubscribe", "<https://x.example/%recipient.n%>", "h:X-Evil", "%recipient.evil%", "v:id", "%recipient.n%",
			"recipient-variables", `{"A@HOST":{"n":"Ann","evil":"x\r\nBcc: q@example.org\u0000"},"b@HOST":{"n":7}}`)})
		for _, m := range list {
			h := head(m.Data)
			hasNot(t, h, "\r\nBcc", "\x00", "recipient-variables")
			switch m.To[0] {
			case "a@HOST":
				has(t, h, "To: Ann <a@HOST>\r\n", "Subject: Hi Ann\r\n", "List-Unsubscribe: <https://x.example/Ann>", `X-Mailgun-Variables: {"id":"Ann"}`)
				hasNot(t, h, "b@HOST")
			default:
				has(t, m.Data, "To: b@HOST\r\n", "Subject: Hi 7\r\n", "7 b@HOST %recipient.evil%.")
				hasNot(t, h, "Ann")
			}
		}
	})
	t.Run("without recipient variables all see one another", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages", form: with(from, "to", "a@HOST, b@HOST", "text", "%recipient%")})[0]
		has(t, m.Data, "To: a@HOST, b@HOST\r\n")
	})
	t.Run("options leave no trace in another header", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages", form: with(from, "to", "a@HOST", "text", "x", "o:tag", "a\r\nX-Evil: 1", "v:b", "c\r\nX-Evil: 1", "o:dkim", "no")})[0]
		hasNot(t, m.Data, "\nX-Evil", "DKIM-Signature")
	})
	t.Run("suppressed headers", func(t *testing.T) {
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages", form: with(from, "to", "a@HOST", "text", "x", "o:tag", "t", "v:b", "c", "o:suppress-headers", "all")})[0]
		hasNot(t, m.Data, "X-Mailgun-")
	})
	t.Run("MIME", func(t *testing.T) {
		eml := "From: a@example.com\nTo: x@y.z\nBcc: hidden@y.z\nSubject: s\nX-Mailgun-Tag: t\nX-Mailgun-Dkim: no\nX-Mailgun-Variables: {\"a\":1}\n\n.\n..\nend"
		m := s.receive(t, 1, probe{path: "/v3/example.com/messages.mime", parts: []string{"to", "a@HOST"}, files: []upload{{"message", "m", "", eml}}})[0]
		has(t, m.Data, "To: x@y.z\r\n", "X-Mailgun-Tag: t\r\n", `X-Mailgun-Variables: {"a":1}`, "\r\n\r\n.\r\n..\r\nend")
		hasNot(t, m.Data, "hidden@y.z", "X-Mailgun-Dkim", "DKIM-Signature")
	})
}
