package compat

import (
	"bytes"
	"fmt"
	"io"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
)

// send submits a message and checks the answer.
func send(t *testing.T, s *server, m mailgun.Message) string {
	t.Helper()
	resp, err := s.mg.Send(t.Context(), m)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	if resp.Message != "Queued. Thank you." {
		t.Errorf("message = %q", resp.Message)
	}
	if !strings.HasPrefix(resp.ID, "<") || !strings.HasSuffix(resp.ID, "@"+domain+">") {
		t.Errorf("id = %q, want <...@%s>", resp.ID, domain)
	}
	return strings.Trim(resp.ID, "<>")
}

// event waits for the one event of a type about a message and a recipient.
func event[T events.Event](t *testing.T, s *server, kind, id, recipient string) T {
	t.Helper()
	var found T
	eventually(t, "there is one "+kind+" event for "+recipient, func() error {
		it := s.mg.ListEvents(domain, &mailgun.ListEventOptions{Filter: map[string]string{
			"event": kind, "message-id": id, "recipient": recipient}})
		var all, page []events.Event
		for it.Next(t.Context(), &page) {
			all = append(all, page...)
		}
		if err := it.Err(); err != nil {
			t.Fatalf("events: %v", err)
		}
		if len(all) != 1 {
			return fmt.Errorf("there are %d", len(all))
		}
		e, ok := all[0].(T)
		if !ok {
			t.Fatalf("the event is %T", all[0])
		}
		found = e
		return nil
	})
	return found
}

func TestSend(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		m := mailgun.NewMessage(domain, "Ann <ann@example.com>", "Grüße", "plain words", "bob@example.net")
		m.AddCC("cc@example.net")
		m.AddBCC("bcc@example.net")
		m.SetHTML("<p>rich <b>words</b></p>")
		m.SetReplyTo("answers@example.com")
		m.AddHeader("X-Own", "value of mine")
		m.AddBufferAttachment("numbers.csv", []byte("a,b\n1,2\n"))
		m.AddReaderInline("dot.png", io.NopCloser(strings.NewReader("not really a picture")))
		if err := m.AddTag("first", "second"); err != nil {
			t.Fatal(err)
		}
		if err := m.AddVariable("order", map[string]any{"id": 17}); err != nil {
			t.Fatal(err)
		}
		id := send(t, s, m)

		accepted := event[*events.Accepted](t, s, "accepted", id, "bob@example.net")
		if accepted.Method != "HTTP" && accepted.Method != "http" {
			t.Errorf("method = %q", accepted.Method)
		}
		if !slices.Equal(accepted.Tags, []string{"first", "second"}) {
			t.Errorf("tags = %q", accepted.Tags)
		}
		if accepted.RecipientDomain != "example.net" || accepted.Message.Headers.Subject != "Grüße" {
			t.Errorf("recipient-domain = %q, subject = %q", accepted.RecipientDomain, accepted.Message.Headers.Subject)
		}
		for _, to := range []string{"bob@example.net", "cc@example.net", "bcc@example.net"} {
			delivered := event[*events.Delivered](t, s, "delivered", id, to)
			if delivered.DeliveryStatus.Code != 250 {
				t.Errorf("%s: code = %d", to, delivered.DeliveryStatus.Code)
			}
		}
		checkStored(t, s, accepted.Storage.URL)
		if s.out != nil {
			checkDelivered(t, s, s.out.wait(t, "bob@example.net"), id)
		}
	})
}

// checkStored looks at the message of TestSend as the server keeps it.
func checkStored(t *testing.T, s *server, url string) {
	t.Helper()
	stored, err := s.mg.GetStoredMessage(t.Context(), url)
	if err != nil {
		t.Fatalf("stored message: %v", err)
	}
	if stored.Subject != "Grüße" || !strings.Contains(stored.From, "ann@example.com") ||
		strings.TrimSpace(stored.BodyPlain) != "plain words" || !strings.Contains(stored.BodyHtml, "<b>words</b>") {
		t.Errorf("stored message = %+v", stored)
	}
	var names []string
	for _, a := range stored.Attachments {
		names = append(names, a.Name)
		if a.Name != "numbers.csv" {
			continue
		}
		data, err := s.mg.GetStoredAttachment(t.Context(), a.URL)
		if err != nil || string(data) != "a,b\n1,2\n" {
			t.Errorf("attachment = %q, %v", data, err)
		}
	}
	if !slices.Contains(names, "numbers.csv") {
		t.Errorf("attachments = %q", names)
	}
	raw, err := s.mg.GetStoredMessageRaw(t.Context(), url)
	if err != nil {
		t.Fatalf("stored message, raw: %v", err)
	}
	parsed, err := netmail.ReadMessage(strings.NewReader(raw.BodyMime))
	if err != nil {
		t.Fatalf("body-mime: %v", err)
	}
	if parsed.Header.Get("X-Own") != "value of mine" || parsed.Header.Get("Reply-To") == "" {
		t.Errorf("header = %v", parsed.Header)
	}
}

// checkDelivered looks at the message of TestSend as the receiver got it.
func checkDelivered(t *testing.T, s *server, got mail, id string) {
	t.Helper()
	parsed, err := netmail.ReadMessage(bytes.NewReader(got.data))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header.Get("Message-Id") != "<"+id+">" || parsed.Header.Get("Bcc") != "" {
		t.Errorf("header = %v", parsed.Header)
	}
	if !strings.HasSuffix(got.from, "@"+domain) {
		t.Errorf("envelope sender = %q: it must be of the sending domain, for SPF", got.from)
	}
	verifySignature(t, s, got.data)
}

// verifySignature checks DKIM with the record the API says to publish.
func verifySignature(t *testing.T, s *server, data []byte) {
	t.Helper()
	d, err := s.mg.GetDomain(t.Context(), domain, nil)
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]string{}
	for _, r := range d.SendingDNSRecords {
		published[strings.TrimSuffix(r.Name, ".")] = r.Value
	}
	lookup := func(name string) ([]string, error) {
		if value, ok := published[strings.TrimSuffix(name, ".")]; ok {
			return []string{value}, nil
		}
		return nil, fmt.Errorf("%s is not among the records to publish: %v", name, published)
	}
	found, err := dkim.VerifyWithOptions(bytes.NewReader(data), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil || len(found) == 0 {
		t.Fatalf("DKIM: %d signatures, %v", len(found), err)
	}
	for _, v := range found {
		if v.Err != nil || v.Domain != domain {
			t.Errorf("DKIM: signature of %s: %v", v.Domain, v.Err)
		}
	}
}

func TestBatch(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		m := mailgun.NewMessage(domain, "ann@example.com", "For %recipient.name%", "Dear %recipient.name%, %recipient.n%")
		names := []string{"Eve", "Dan", "Joy"}
		for i, name := range names {
			if err := m.AddRecipientAndVariables(strings.ToLower(name)+"@example.net", map[string]any{"name": name, "n": i}); err != nil {
				t.Fatal(err)
			}
		}
		id := send(t, s, m)
		for i, name := range names {
			to := strings.ToLower(name) + "@example.net"
			event[*events.Delivered](t, s, "delivered", id, to)
			if s.out == nil {
				continue
			}
			text := string(s.out.wait(t, to).data)
			if !strings.Contains(text, fmt.Sprintf("Dear %s, %d", name, i)) || !strings.Contains(text, "Subject: For "+name) {
				t.Errorf("message to %s:\n%s", to, text)
			}
			for _, other := range names {
				if other != name && strings.Contains(text, strings.ToLower(other)+"@example.net") {
					t.Errorf("message to %s names %s", to, other)
				}
			}
		}
	})
}

func TestSendMIME(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		const text = "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: As it is\r\nMIME-Version: 1.0\r\n" +
			"Content-Type: text/plain; charset=utf-8\r\n\r\nKept  byte for byte.\r\n.\r\nA dot above.\r\n"
		m := mailgun.NewMIMEMessage(domain, io.NopCloser(strings.NewReader(text)), "bob@example.net")
		id := send(t, s, m)
		delivered := event[*events.Delivered](t, s, "delivered", id, "bob@example.net")
		stored, err := s.mg.GetStoredMessageRaw(t.Context(), delivered.Storage.URL)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stored.BodyMime, "Kept  byte for byte.") || stored.Subject != "As it is" {
			t.Errorf("stored: %+v", stored)
		}
		if s.out != nil {
			data := s.out.wait(t, "bob@example.net").data
			if !bytes.HasSuffix(data, []byte("\r\n\r\nKept  byte for byte.\r\n.\r\nA dot above.\r\n")) {
				t.Errorf("delivered:\n%s", data)
			}
			verifySignature(t, s, data)
		}
	})
}

func TestResend(t *testing.T) {
	s := start(t, "serve")
	id := send(t, s, mailgun.NewMessage(domain, "ann@example.com", "Once more", "words", "bob@example.net"))
	url := event[*events.Accepted](t, s, "accepted", id, "bob@example.net").Storage.URL
	if _, err := s.mg.ReSend(t.Context(), url, "carol@example.net"); err != nil {
		t.Fatal(err)
	}
	if text := string(s.out.wait(t, "carol@example.net").data); !strings.Contains(text, "Once more") {
		t.Errorf("delivered:\n%s", text)
	}
}

// TestRefused checks that errors reach the caller of the library as Mailgun's
// would.
func TestRefused(t *testing.T) {
	s := start(t, "serve")
	for _, c := range []struct {
		name   string
		mg     *mailgun.Client
		m      mailgun.Message
		status int
	}{
		{"wrong key", s.client(t, "key-00000000000000000000000000000000"),
			mailgun.NewMessage(domain, "ann@example.com", "s", "t", "bob@example.net"), 401},
		// Mailgun: a domain that is not the caller's looks like a wrong key.
		{"unknown domain", s.mg, mailgun.NewMessage("unknown.example", "ann@example.com", "s", "t", "bob@example.net"), 401},
		{"bad recipient", s.mg, mailgun.NewMessage(domain, "ann@example.com", "s", "t", "not an address"), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.mg.Send(t.Context(), c.m)
			if got := mailgun.GetStatusFromErr(err); got != c.status {
				t.Errorf("status = %d (%v), want %d", got, err, c.status)
			}
		})
	}
}
