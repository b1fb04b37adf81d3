package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/mail/linktoken"
)

// tracked is a program that delivered a message, and what seals links in it.
type tracked struct {
	*stage
	key *linktoken.Key
	row int64 // of the message
}

const reader = "reader@example.net"

func newTracked(t *testing.T) *tracked {
	t.Helper()
	w := apptest.NewWorld(t)
	w.MX(t, "example.net", "mx.example.net")
	w.Sink(t, "mx.example.net", apptest.Script{})
	s := &stage{Server: apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Clock: clock.NewFake(apptest.Begin())}), t: t}
	s.keys = map[string]string{"": s.Key}
	s.AddDomain("example.com")
	id := s.Send("example.com", apptest.Fields{"to", reader, "to", "other@example.net", "html", "<a href='https://shop.example'>x</a>", "o:tag", "t1", "v:k", "v"})
	if d := s.Outcome(id, reader, 1); d.Event != event.Delivered {
		t.Fatalf("%s %s", d.Event, d.Reason)
	}
	s.Advance(time.Minute)
	return &tracked{stage: s, key: linkKey(t, s.Data), row: s.Recorded(func(e *event.Event) bool { return apptest.IsFor(e, id, "") })[0].MessageID}
}

func linkKey(t *testing.T, data string) *linktoken.Key {
	t.Helper()
	secret, err := os.ReadFile(filepath.Join(data, "secret"))
	if err == nil {
		var k *linktoken.Key
		if k, err = linktoken.NewKey(secret); err == nil {
			return k
		}
	}
	t.Fatal(err)
	return nil
}

func (s *tracked) link(url string) string {
	return "/c/" + s.key.Seal(linktoken.Token{Kind: linktoken.Click, Message: s.row, Recipient: reader, URL: url})
}

func (s *tracked) pixel() string {
	return "/o/" + s.key.Seal(linktoken.Token{Kind: linktoken.Open, Message: s.row, Recipient: reader}) + ".png"
}

// visit loads what stands in the message as a browser does, without a key.
func (s *tracked) visit(t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("GET", s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func opens(e *event.Event) bool { return e.Doc.Event == event.Opened || e.Doc.Event == event.Clicked }

func TestScenarioTracking(t *testing.T) {
	s := newTracked(t)
	if res := s.visit(t, s.pixel()); res.StatusCode != 200 || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("pixel: %d %v", res.StatusCode, res.Header)
	}
	s.Advance(time.Second)
	if res := s.visit(t, s.link("https://shop.example/a?b=c")); res.StatusCode != 302 || res.Header.Get("Location") != "https://shop.example/a?b=c" {
		t.Errorf("link: %d %v", res.StatusCode, res.Header)
	}
	s.WaitFor(2, "an open and a click", opens)
	const tail = `"recipient":"reader@example.net","recipient-domain":"example.net","ip":"127.0.0.1",**"client-info":{"client-type":"browser","client-os":"Windows","device-type":"desktop","client-name":"Firefox",` +
		`"user-agent":"Mozilla/5.0 **","bot":""},"geolocation":{"country":"Unknown","region":"Unknown","city":"Unknown"},"tags":["t1"],"campaigns":[],"user-variables":{"k":"v"}}],**`
	s.run(t, []probe{
		{name: "opened", path: "/v3/example.com/events?event=opened&pretty=no", want: `{"items":[{"event":"opened",**` + tail, not: `"url"`},
		{name: "clicked", path: "/v3/example.com/events?event=clicked&pretty=no", want: `{"items":[{"event":"clicked",**` + strings.Replace(tail, "**", `"url":"https://shop.example/a?b=c",`, 1)},
		{name: "HEAD", method: "HEAD", as: "nobody", path: s.pixel(), header: "Content-Length: 68"},
		{name: "altered link", as: "nobody", path: s.link("https://x.example") + "A", status: 404, want: "This link does not work.**", header: "Content-Type: text/plain; charset=utf-8"},
		{name: "altered pixel", as: "nobody", path: "/o/x.png", header: "Content-Type: image/png"},
		{name: "POST", as: "nobody", method: "POST", path: s.pixel(), status: 405},
		{name: "metrics", path: "/metrics", want: `**postroad_track_events_total{bot="",event="opened"} 1**postroad_track_lost_total 0**`},
	})
}

// TestTrackingAcrossBackup: hits that are no events yet are in a backup, and those
// that are do not come twice.
func TestTrackingAcrossBackup(t *testing.T) {
	s := newTracked(t)
	s.visit(t, s.link("https://shop.example/1"))
	s.WaitFor(1, "a click", opens)
	s.Advance(time.Minute)
	for range 3 {
		s.visit(t, s.pixel())
	}
	root := t.TempDir()
	if _, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, s.Data), To: filepath.Join(root, "copy"), Version: "test"}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := app.Restore(t.Context(), app.RestoreOptions{From: filepath.Join(root, "copy"), Data: filepath.Join(root, "data")}); err != nil {
		t.Fatal(err)
	}
	second := apptest.Start(t, apptest.Options{Mode: config.Serve, World: s.World, Data: filepath.Join(root, "data"), Clock: clock.NewFake(apptest.Begin().Add(time.Hour))})
	again := &tracked{stage: &stage{Server: second, t: t}, key: s.key, row: s.row}
	again.visit(t, again.link("https://shop.example/2"))
	second.WaitFor(1, "the last click", func(e *event.Event) bool { return e.Doc.URL == "https://shop.example/2" })
	body := string(second.Must("GET", "/v3/example.com/events", apptest.Fields{"event", "opened OR clicked"}))
	if o, c := strings.Count(body, `"event": "opened"`), strings.Count(body, `"event": "clicked"`); o != 3 || c != 2 {
		t.Errorf("%d opens and %d clicks, want 3 and 2", o, c)
	}
}

// In capture mode the panel shows the copy that would have gone out, and its links
// work.
func TestScenarioTrackedCapture(t *testing.T) {
	s := newStage(t, config.Dev)
	id := s.Send("example.com", apptest.Fields{"to", reader, "to", "other@example.net", "html", `<a href="https://shop.example/">x</a> <a href="%unsubscribe_url%">leave</a>`, "o:tracking", "yes"})
	s.Outcome(id, reader, 1)
	row := s.Recorded(func(e *event.Event) bool { return apptest.IsFor(e, id, reader) })[0].MessageID
	raw := string(s.Must("GET", fmt.Sprintf("/messages/%d/raw", row), nil))
	text := strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(raw)
	for name, link := range map[string]*regexp.Regexp{"click": regexp.MustCompile(`<a href="https?://[^"/]+(/c/[^"]+)"`), "leave": regexp.MustCompile(`<a href="https?://[^"/]+(/u/[^"]+)"`)} {
		found := link.FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("%s: no link in\n%s", name, raw)
		}
		if res := (&tracked{stage: s}).visit(t, found[1]); res.StatusCode != 302 && res.StatusCode != 200 {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	s.WaitFor(1, "clicked", func(e *event.Event) bool { return e.Doc.Event == event.Clicked && e.Doc.Recipient == reader })
	s.run(t, []probe{{name: "whose copy", path: fmt.Sprintf("/messages/%d", row), want: "**This is the one for <bdi>" + reader + "</bdi>**"}})
}
