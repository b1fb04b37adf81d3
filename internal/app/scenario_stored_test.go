package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/config"
)

// eventPage is a page of events as clients read it.
type eventPage struct {
	Items []struct {
		Event, ID string
		Recipient string
		Storage   struct{ URL, Key string }
	}
	Paging map[string]string
}

// accepted sends the probe's message and returns its accepted event.
func (s *stage) storedURL(t *testing.T, p probe) string {
	t.Helper()
	p.want = queued
	id := strings.Trim(decode[struct{ ID string }](t, s.check(t, p)).ID, "<>")
	page := decode[eventPage](t, string(s.Must("GET", "/v3/example.com/events", []string{"message-id", id, "event", "accepted"})))
	if len(page.Items) == 0 {
		t.Fatal("no accepted event")
	}
	return s.local(t, page.Items[0].Storage.URL)
}

func TestScenarioStored(t *testing.T) {
	s := newStage(t, config.Serve)
	path := s.storedURL(t, probe{path: "/v3/example.com/messages", parts: with(letter, "html", "<p>rich", "o:testmode", "yes", "h:Message-Id", "<own@id.example>"),
		files: []upload{{"attachment", "r\u00e9sum\u00e9.pdf", "application/pdf", "PDF"}, {"attachment", "../../etc/passwd", "text/html", "<script>"}}})
	if !strings.HasPrefix(path, "/v3/domains/example.com/messages/BAAB") {
		t.Errorf("storage.url: %s", path)
	}
	const gone, asMIME = `{"message":"Message not found"}`, "message/rfc2822"
	s.run(t, []probe{
		{name: "parts", path: path, want: "{\n  \"Content-Type\": \"multipart/mixed;**\"From\": \"Me <me@example.com>\",\n  \"Message-Id\": \"<own@id.example>\",**\"attachments\": [**\"body-html\": \"<p>rich\"," +
			"\n  \"body-plain\": \"Hello.\"**\"content-id-map\": {}**\"message-headers\": [\n    [\n      \"Date\",**\"recipients\": \"jane@example.net\",\n  \"sender\": \"me@example.com\",**\"subject\": \"Hi\"\n}"},
		{name: "attachment listed", path: path, want: `**"content-type": "application/pdf",**"name": "` + "r\u00e9sum\u00e9.pdf" + `",**"size": 3,**"url": "` + s.URL + path + `/attachments/0"**`},
		{name: "MIME", path: path, head: [][2]string{{"Accept", asMIME}}, want: "{\n  \"body-mime\": \"**\\r\\n\\r\\n**\",\n  \"from\": \"Me <me@example.com>\",\n  \"recipients\": \"jane@example.net\",\n  \"sender\": \"me@example.com\",\n  \"subject\": \"Hi\"\n}"},
		{name: "attachment", path: path + "/attachments/0", want: "PDF", header: "Content-Type: application/pdf"},
		{name: "attachment is no page", path: path + "/attachments/1", want: "<script>", header: "Content-Security-Policy: sandbox; default-src 'none'"},
		{name: "no attachment", path: path + "/attachments/2", status: 404, want: `{"message":"Attachment not found"}`},
		{name: "no number", path: path + "/attachments/x", status: 400},
		{name: "wrong key of the message", path: path + "x", status: 404, want: gone},
		{name: "under another domain", path: strings.Replace(path, "example.com", "example.org", 1), status: 404, want: gone},
		{name: "under no domain", path: strings.Replace(path, "example.com", "elsewhere.example", 1), status: 404, want: `{"message":"**not found"}`},
		{name: "analyst reads", as: "basic", path: path, want: "{**"},
		{name: "sending key does not", as: "sending", path: path, status: 401, want: forbidden},
		{name: "nobody", as: "nobody", path: path, status: 401, want: forbidden},
		{name: "send again", path: path, parts: []string{"to", "again@example.net"}, want: queued},
		{name: "send again to nobody", path: path, parts: []string{"x", "y"}, status: 400, want: `{"message":"to parameter is missing"}`},
		{name: "send again to no address", path: path, form: []string{"to", "x"}, status: 400, want: `{"message":"to` + badAddress},
		{name: "analyst sends again", as: "basic", path: path, form: []string{"to", "a@example.net"}, status: 401, want: forbidden},
		{name: "analyst deletes", as: "basic", method: "DELETE", path: path, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: path, want: `{"message":"Message has been deleted"}`},
		{name: "deleted", path: path, status: 404, want: gone},
	})
}

// A stored reply tells what its writer wrote.
func TestScenarioStoredReply(t *testing.T) {
	s := newStage(t, config.Serve)
	const above = "On Mon, Mar 4, 2024 at 9:41 AM Jane <jane@example.net> wrote:"
	path := s.storedURL(t, probe{path: "/v3/example.com/messages", parts: with(without(letter, "text"), "text", "Yes.\n\nRegards,\nMe\n\n"+above+"\n> Really?\n",
		"html", "<p>Yes.</p><p>"+above+`</p><blockquote type="cite">Really?</blockquote>`, "o:testmode", "yes")})
	s.run(t, []probe{{name: "stripped", path: path, want: `**"body-plain": "Yes.**Really?**"stripped-html": "<p>Yes.</p>",` + "\n  \"stripped-signature\": \"Regards,\\r\\nMe\",\n  \"stripped-text\": \"Yes.\"**"}})
	path = s.storedURL(t, probe{path: "/v3/example.com/messages", parts: with(without(letter, "text"), "html", `<p>Yes, <a href="https://example.com/x">this</a>.</p>`, "o:testmode", "yes")})
	s.run(t, []probe{{name: "text made of HTML", path: path, want: `**"body-plain": "Yes, this <https://example.com/x>.",**"stripped-text": "Yes, this <https://example.com/x>.",**`}})
}

// Mail nobody should be able to choke on stays readable.
func TestScenarioStoredMonsters(t *testing.T) {
	s := newStage(t, config.Serve)
	var deep strings.Builder
	deep.WriteString("From: a@example.com\r\n")
	for range 10_000 {
		deep.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
	}
	for name, eml := range map[string]string{
		"deep": deep.String(),
		"wide": "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 20_000) + "--b--\r\n",
		"odd":  "From: a@example.com\r\nContent-Type: text/plain; charset=klingon\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff\xfe***\r\n",
	} {
		path := s.storedURL(t, probe{name: name, path: "/v3/example.com/messages.mime", parts: []string{"to", name + "@example.net", "o:testmode", "yes"}, files: []upload{{"message", "m", "", eml}}})
		s.run(t, []probe{
			{name: name, path: path, want: "{\n**\"recipients\": \"" + name + "@example.net\",**}"},
			{name: name + " as MIME", path: path, head: [][2]string{{"Accept", "message/rfc2822"}}, want: "{\n  \"body-mime\": \"**}"},
		})
	}
}

func TestScenarioQueues(t *testing.T) {
	s := newStage(t, config.Serve)
	s.run(t, []probe{
		{path: "/v3/domains/example.com/sending_queues", want: `{"regular":{"is_disabled":false,"disabled":{"until":"","reason":""}},"scheduled":{"is_disabled":false,"disabled":{"until":"","reason":""}}}`},
		{path: "/v3/domains/elsewhere.example/sending_queues", status: 404, want: `{"message":"Domain not found"}`},
		{name: "queues as analyst", as: "basic", path: "/v3/domains/example.com/sending_queues"},
		{name: "queues with sending key", as: "sending", path: "/v3/domains/example.com/sending_queues", status: 401, want: forbidden},
		{name: "schedule", path: "/v3/example.com/messages", form: with(letter, "o:deliverytime", fmt.Sprint(time.Now().Add(time.Hour).Unix()), "h:Message-Id", "<later@id.example>"), want: queued},
		{method: "DELETE", path: "/v3/elsewhere.example/envelopes", status: 404, want: `{"message":"domain not found"}`},
		{name: "cancel as support", as: "support", method: "DELETE", path: "/v3/example.com/envelopes", status: 401, want: forbidden},
	})
	if n := len(s.Waiting("later@id.example")); n != 1 {
		t.Errorf("%d scheduled deliveries", n)
	}
	s.check(t, probe{method: "DELETE", path: "/v3/example.com/envelopes", want: `{"message":"done"}`})
	if n := len(s.Waiting("later@id.example")); n != 0 {
		t.Errorf("%d deliveries after all were cancelled", n)
	}
}
