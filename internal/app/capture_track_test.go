package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

// TestCapturedLinks: captured mail is looked at as its recipient would get it, with
// links that work on this machine.
func TestCapturedLinks(t *testing.T) {
	s := newStage(t, config.Dev)
	s.Send("example.com", []string{"from", "a@example.com", "to", "b@example.net", "subject", "Hi", "o:tracking", "yes",
		"html", `<a href="https://example.org/?a=1&amp;b=2">x</a> <a href="%unsubscribe_url%">leave</a>`})
	e := s.WaitFor(1, "accepted", func(e *event.Event) bool { return e.Doc.Event == event.Accepted })[0]
	var stored struct {
		HTML string `json:"body-html"`
	}
	if err := json.Unmarshal(s.Must("GET", "/v3/domains/example.com/messages/"+e.Doc.Storage.Key, nil), &stored); err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(stored.HTML, -1)
	if len(links) != 3 {
		t.Fatalf("links of %s", stored.HTML)
	}
	web := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(link string) (*http.Response, string) {
		u := s.URL + link[strings.Index(link[len("http://"):], "/")+len("http://"):]
		resp, err := web.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	if resp, _ := get(links[0][1]); resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "https://example.org/?a=1&b=2" {
		t.Errorf("click: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	if resp, body := get(links[1][1]); resp.StatusCode != http.StatusOK || !strings.Contains(body, "b@example.net") {
		t.Errorf("page: %s %s", resp.Status, body)
	}
	if resp, _ := get(links[2][1]); resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("pixel: %s", resp.Status)
	}
	for _, kind := range []event.Type{event.Opened, event.Clicked} {
		s.WaitFor(1, string(kind), func(e *event.Event) bool { return e.Doc.Event == kind && e.Doc.Recipient == "b@example.net" })
	}
}

// TestOneClickWithoutHTTPS: links of the domain's host are not HTTPS; the one click
// needs it, so that it goes to the server's own address (RFC 8058 section 3.1).
func TestOneClickWithoutHTTPS(t *testing.T) {
	s := newStage(t, config.Serve, "--panel-url=https://mail.example.com")
	s.Must("PUT", "/v4/domains/example.com", []string{"web_scheme", "http"})
	s.Must("PUT", "/v3/domains/example.com/tracking/unsubscribe", []string{"active", "yes"})
	sink := s.World.Sink(t, "mx.example.net", apptest.Script{})
	s.World.MX(t, "example.net", "mx.example.net")
	s.Send("example.com", []string{"from", "a@example.com", "to", "b@example.net", "subject", "Hi", "text", "Hi"})
	raw := strings.ReplaceAll(sink.Await(t, 1)[0].Data, "\r\n ", " ")
	has(t, raw, "\r\nList-Unsubscribe: <https://mail.example.com/u/", "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "http://email.example.com")
}
