package panel

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// In dev mode people look at the mail they made, otherwise at what happened.
func TestFirstTab(t *testing.T) {
	s := newStore(fixedNow())
	path := "/messages/" + s.messages[0].ID
	dev := newClient(t, newHandler(s, true))
	if got := dev.get(path).Body.String(); !strings.Contains(got, `data-part=""`) || !strings.Contains(got, "<iframe") {
		t.Error("dev mode does not open with the preview")
	}
	serve := newClient(t, newHandler(s, false))
	serve.login("key-good")
	if got := serve.get(path).Body.String(); !strings.Contains(got, `<ol class="timeline">`) {
		t.Error("serve mode does not open with the timeline")
	}
}

// A time that was chosen for a recipient is shown with the reason, of one
// recipient at a time.
func TestChosenTime(t *testing.T) {
	s := newStore(fixedNow())
	m := &s.messages[0]
	m.Recipients = []Recipient{{Address: "a@example.org", Status: Scheduled, Chosen: fixedNow(), WhyChosen: "09:00 in <Asia/Kolkata>"}, {Address: "b@example.org", Status: Accepted}}
	c := newClient(t, newHandler(s, true))
	for query, want := range map[string]bool{"": false, "?rcpt=a@example.org": true, "?rcpt=b@example.org": false} {
		got := c.get("/messages/" + m.ID + query).Body.String()
		if strings.Contains(got, "<dt>Time chosen</dt>") != want || strings.Contains(got, "<bdi>09:00 in &lt;Asia/Kolkata&gt;</bdi>") != want {
			t.Errorf("%q: chosen time shown: %v", query, !want)
		}
	}
}

// Every view of a recipient's copy asks for that copy.
func TestRecipientCopies(t *testing.T) {
	s := newStore(fixedNow())
	m := &s.messages[0]
	m.Personal = true
	m.Recipients = []Recipient{{Address: "a@example.org", Status: Captured}, {Address: "b+c@example.org", Status: Captured}}
	c := newClient(t, newHandler(s, true))
	path := "/messages/" + m.ID
	body := func(w *httptest.ResponseRecorder) string { return w.Body.String() }
	if got := body(c.get(path)); !strings.Contains(got, "This is the one for <bdi>a@example.org</bdi>") {
		t.Error("the page does not say whose copy it shows")
	}
	for _, cse := range []struct{ query, want string }{
		{"?rcpt=b%2Bc@example.org", "/preview?rcpt=b%2Bc%40example.org&amp;scheme=light"},
		{"?rcpt=b%2Bc@example.org", `href="` + path + `/raw?rcpt=b%2Bc%40example.org"`},
		{"?rcpt=b%2Bc@example.org&tab=text", "rcpt=a%40example.org&amp;tab=text"},
		{"?rcpt=B%2BC@Example.org&tab=attachments", "?rcpt=b%2bc%40example.org"},
	} {
		got := body(c.get(path + cse.query))
		if !strings.Contains(got, cse.want) {
			t.Errorf("%s: no %q", cse.query, cse.want)
		}
		if strings.Contains(got, "This is the one for") {
			t.Errorf("%s: a chosen copy is called another's", cse.query)
		}
	}
	if got := s.copies(); len(got) < 2 || got[len(got)-1] != "B+C@Example.org" {
		t.Errorf("the source was asked for the copies of %q", got)
	}
}

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":[1,"<b>"]}`: "{\n  \"a\": [\n    1,\n    \"<b>\"\n  ]\n}",
		`{"a":`:           `{"a":`,
		"thank you":       "thank you",
		"":                "",
	} {
		if got := readable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestReused(t *testing.T) {
	hello := Line{Text: "220 mx"}
	mail := Line{Client: true, Text: "MAIL FROM:<a@example.org>"}
	for _, c := range []struct {
		lines []Line
		want  bool
	}{{nil, false}, {[]Line{hello, mail}, false}, {[]Line{mail}, true}} {
		if got := reused(Attempt{Transcript: c.lines}); got != c.want {
			t.Errorf("%v: %v", c.lines, got)
		}
	}
}

func TestSamplesWithoutSMTP(t *testing.T) {
	for _, addr := range []string{"", "localhost:1025"} {
		p := &panel{Config: Config{SMTPAddr: addr}}
		found := false
		for _, s := range p.samples() {
			found = found || s.ID == "smtp"
		}
		if found != (addr != "") {
			t.Errorf("SMTP at %q: sample shown: %v", addr, found)
		}
	}
}
