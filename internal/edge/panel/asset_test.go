package panel

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAssets(t *testing.T) {
	a := loadAssets()
	if len(a.files) != 3 {
		t.Fatalf("%d files", len(a.files))
	}
	c := newClient(t, newHandler(newStore(fixedNow()), false)) // not signed in
	for name, kind := range map[string]string{"app.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		w := c.get(a.url(name))
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/assets/app.css", "/assets/..%2fpanel.go", "/assets/"} {
		if w := c.get(path); w.Code == 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// The script must stay small and must not make markup or code out of text.
func TestScript(t *testing.T) {
	b, err := assetFiles.ReadFile("assets/app.js")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n > 300 {
		t.Errorf("%d lines", n)
	}
	for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "http://", "https://"} {
		if strings.Contains(string(b), word) {
			t.Errorf("app.js uses %s", word)
		}
	}
	css, err := assetFiles.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(css), "url(") || strings.Contains(string(css), "@import") {
		t.Error("app.css loads something")
	}
}

// Contrast of text and of borders of controls, WCAG 2.2 criteria 1.4.3 and
// 1.4.11, in both schemes.
func TestContrast(t *testing.T) {
	b, err := assetFiles.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	colour := map[string][2]float64{}
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)`).FindAllStringSubmatch(string(b), -1) {
		colour[m[1]] = [2]float64{luminance(t, m[2]), luminance(t, m[3])}
	}
	check := func(front, back string, least float64) {
		t.Helper()
		for i, scheme := range []string{"light", "dark"} {
			f, ok := colour[front]
			g, ok2 := colour[back]
			if !ok || !ok2 {
				t.Fatalf("no colour %s or %s", front, back)
			}
			ratio := (math.Max(f[i], g[i]) + 0.05) / (math.Min(f[i], g[i]) + 0.05)
			if ratio < least {
				t.Errorf("%s on %s, %s: %.2f, want %.1f", front, back, scheme, ratio, least)
			}
		}
	}
	for _, back := range []string{"bg", "side", "raise", "hover"} {
		for _, front := range []string{"text", "muted", "accent", "good", "warn", "bad", "calm", "capture"} {
			check(front, back, 4.5)
		}
	}
	for _, tone := range []string{"good", "warn", "bad", "calm", "capture"} {
		check(tone, tone+"-bg", 4.5)
		check("text", tone+"-bg", 4.5)
		check("muted", tone+"-bg", 4.5)
	}
	check("on-accent", "accent", 4.5)
	check("bg", "bad", 4.5) // label of a dangerous button
	check("edge", "bg", 3)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	part := func(s string) float64 {
		n, err := strconv.ParseUint(s, 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		if v := float64(n) / 255; v > 0.04045 {
			return math.Pow((v+0.055)/1.055, 2.4)
		} else {
			return v / 12.92
		}
	}
	return 0.2126*part(hex[:2]) + 0.7152*part(hex[2:4]) + 0.0722*part(hex[4:])
}

func TestStream(t *testing.T) {
	s := newStore(fixedNow())
	srv := httptest.NewServer(newHandler(s, true))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("type %q", resp.Header.Get("Content-Type"))
	}
	s.notices <- Notice{Kind: NoticeMessage, ID: "a\nevent: forged"}
	s.notices <- Notice{Kind: "odd\nkind", ID: "b"}
	s.notices <- Notice{Kind: NoticeWebhook, ID: "c"}
	close(s.notices)
	var got []string
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() { // ends because the source closed the channel
		if l := lines.Text(); strings.HasPrefix(l, "event:") || strings.HasPrefix(l, "data:") {
			got = append(got, l)
		}
	}
	want := []string{"event: message", `data: "a\nevent: forged"`, "event: message", `data: "b"`, "event: webhook", `data: "c"`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q", got)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p := &panel{Config: Config{Source: newStore(fixedNow()), Dev: true}, streams: make(chan struct{}, 1), beat: time.Hour}
	p.streams <- struct{}{}
	w := httptest.NewRecorder()
	p.stream(w, httptest.NewRequest("GET", "/events/stream", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d", w.Code)
	}
}

// A stream must not outlive the session it was opened with.
func TestStreamEndsWithSession(t *testing.T) {
	s := newStore(fixedNow())
	p := &panel{Config: Config{Source: s, Now: func() time.Time { return s.now }}, streams: make(chan struct{}, 1), beat: time.Millisecond}
	p.sessions = newSessions(p.Now)
	r := httptest.NewRequest("GET", "/events/stream", nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "never opened"})
	done := make(chan struct{})
	go func() { p.stream(httptest.NewRecorder(), r); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on")
	}
}

func TestSamplesRun(t *testing.T) {
	p := &panel{Config: Config{Dev: true, APIBase: "http://localhost:9000/", SMTPAddr: "0.0.0.0:2525"}}
	for _, s := range p.samples() {
		if strings.ContainsAny(s.Code, "\u201c\u201d") || regexp.MustCompile(`\{[A-Z]+\}`).MatchString(s.Code) {
			t.Errorf("%s has gaps: %s", s.ID, s.Code)
		}
		if s.ID == "smtp" && !strings.Contains(s.Code, "smtp://localhost:2525") || s.ID == "curl" && !strings.Contains(s.Code, "http://localhost:9000/v3/you.test/messages") {
			t.Errorf("%s: %s", s.ID, s.Code)
		}
	}
}

func TestRelative(t *testing.T) {
	for _, c := range [][3]string{
		{"mx1._domainkey.example.com", "example.com", "mx1._domainkey"}, {"example.com", "example.com", "@"},
		{"mx1._domainkey.mail.example.co.uk", "mail.example.co.uk", "mx1._domainkey.mail"}, {"mail.example.com", "mail.example.com", "mail"},
		{"other.example.net", "example.com", "other.example.net"}, {"notexample.com", "example.com", "notexample.com"}, {"a.b", "b", "a"},
	} {
		if got := relative(c[0], c[1]); got != c[2] {
			t.Errorf("relative(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
