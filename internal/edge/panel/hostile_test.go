package panel

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// corpus is text a stranger may put anywhere. Each contains the mark, so that
// a test can tell it was shown at all.
func corpus() []string {
	return []string{
		`<script>alert("mark")</script>`,
		`"><img src=x onerror=alert("mark")>`,
		`'-alert("mark")-'`,
		`</pre></textarea></title><svg/onload=alert("mark")>`,
		`javascript:alert("mark")`,
		`{{.mark}}<!--`,
		"mark\u202etxt.exe \u2066\x00\x1b[31m",
		`" autofocus onfocus=alert("mark") x="`,
		`</script><style>body{display:none}</style>mark`,
		"\xff\xfe<b>mark</b>",
	}
}

// hostile puts the text into every field a page shows.
func hostile(text string) *store {
	now := fixedNow()
	s := newStore(now)
	a := Attempt{Time: now, Outcome: Failed, MX: text, IP: text, LocalIP: text, TLS: text, Code: 550, Enhanced: text, Reply: text,
		Transcript: []Line{{Client: true, Text: text}, {Text: text}}}
	pairs := [][2]string{{text, text}}
	call := WebhookCall{ID: "hostile", Event: text, URL: text, Domain: text, MessageID: "h", Recipient: text, Created: now, State: CallPending,
		Attempts: []CallAttempt{{Time: now, Status: 200, RequestHeaders: pairs, ResponseHeaders: pairs, RequestBody: text, ResponseBody: text}, {Time: now, Error: text}}}
	m := MessageDetail{ID: "h", MessageID: text, Accepted: now, From: text, Sender: text, Subject: text, Domain: text, Tags: []string{text}, Via: text,
		Recipients: []Recipient{{Address: text, Status: Failed, Attempts: []Attempt{a}, Reason: text}, {Address: "two@example.org", Status: Suppressed, Reason: text, Listed: &Listed{Since: now, Because: text, ID: text, Subject: text}}},
		Events:     []Event{{Time: now, Name: text, Recipient: text, Text: text, JSON: []byte(`{"a":"` + "mark</script>" + `"}`)}},
		Headers:    pairs, Text: text, HTML: text, Parts: []Part{{Index: 1, Name: text, ContentType: text, ContentID: text}},
		Webhooks: []WebhookCall{call}, Newer: text, Older: text,
		Request: &Request{ID: text, Time: now, Method: text, Path: text, KeyID: text, IP: text, UserAgent: text, Fields: pairs, Response: text}}
	s.messages, s.calls = []MessageDetail{m}, []WebhookCall{call}
	s.raws["h"], s.contents["h/1"] = text, []byte(text)
	s.domains = []Domain{{Name: text, State: text, Checked: now, Links: text, Records: []Record{{Purpose: text, Type: text, Name: text, Value: text, Found: []string{text}, State: RecordWrong, Server: text, Note: text}}}}
	s.sys = System{Revision: text, Started: now, Hostname: text, DataDir: text, Database: text, Listeners: []Listener{{text, text, text}},
		Settings: []Setting{{text, text, text, true}}, Warnings: []Warning{{text, text, true}, {text, text, false}}}
	return s
}

func TestHostileText(t *testing.T) {
	paths := []string{"/", "/webhooks", "/domains", "/system", "/messages?q="}
	for _, tab := range []string{"timeline", "smtp", "preview", "text", "headers", "raw", "attachments", "webhooks", "request", "json"} {
		paths = append(paths, "/messages/h?tab="+tab)
	}
	paths = append(paths, "/messages/h?rcpt=two@example.org")
	// What the page contains when the text is harmless.
	calm := map[string][]string{}
	c := newClient(t, newHandler(hostile("mark"), true))
	for _, path := range paths {
		calm[path] = outline(t, c.get(path))
	}
	for _, text := range corpus() {
		c := newClient(t, newHandler(hostile(text), true))
		for _, path := range paths {
			w := c.get(path)
			if w.Code != 200 {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			if path != "/messages?q=" && !strings.Contains(w.Body.String(), "mark") && !strings.Contains(path, "tab=preview") {
				t.Errorf("%s does not show the text", path)
			}
			if got := outline(t, w); !slices.Equal(got, calm[path]) {
				t.Errorf("%s: %q changed the structure of the page", path, text)
			}
			for _, n := range elements(t, w.Body.Bytes()) {
				checkInline(t, n)
			}
		}
	}
}

// outline is the sequence of elements and attribute names of a page.
func outline(t *testing.T, w *httptest.ResponseRecorder) []string {
	var all []string
	for _, n := range elements(t, w.Body.Bytes()) {
		s := n.Data
		for _, a := range n.Attr {
			s += " " + a.Key
		}
		all = append(all, s)
	}
	return all
}

func TestHostileSearch(t *testing.T) {
	c := newClient(t, newHandler(newStore(fixedNow()), true))
	w := c.get("/messages?q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&before=%22%3E%3Cb%3E&after=%27")
	if strings.Contains(w.Body.String(), "<script>alert") || strings.Contains(w.Body.String(), `"><b>`) {
		t.Error("the search came back unescaped")
	}
}

func TestPreviewPolicy(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, true))
	w := c.get("/messages/202603041229.8f2a/preview")
	policy := w.Header().Get("Content-Security-Policy")
	want := "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
	if policy != want {
		t.Errorf("policy %q", policy)
	}
	if w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("headers %v", w.Header())
	}
	body := w.Body.String()
	if !strings.Contains(body, `src="data:image/png;base64,iVBOR`) || !strings.Contains(body, `target="_blank" rel="noopener noreferrer"`) {
		t.Error("inline image or link was not rewritten")
	}
	remote := c.get("/messages/202603041229.8f2a/preview?remote=1").Header().Get("Content-Security-Policy")
	if !strings.Contains(remote, "img-src data: https: http:;") || !strings.HasPrefix(remote, "sandbox allow-popups ") || strings.Contains(remote, "script") {
		t.Errorf("policy %q", remote)
	}
	if page := c.get("/messages/202603041229.8f2a?tab=preview").Body.String(); !strings.Contains(page, "Load remote images") {
		t.Error("remote images are not offered")
	}
}

func TestPreviewBounds(t *testing.T) {
	s := newStore(fixedNow())
	s.messages[0].HTML = strings.Repeat("x", maxPreview+1)
	c := newClient(t, newHandler(s, true))
	if w := c.get("/messages/202603041229.8f2a/preview"); w.Body.Len() > 10_000 || !strings.Contains(w.Body.String(), "too large") {
		t.Errorf("%d octets", w.Body.Len())
	}
	// One large image mentioned many times must not multiply.
	s.messages[0].HTML = strings.Repeat(`<img src="cid:logo@example.com">`, 100)
	s.contents["202603041229.8f2a/3"] = make([]byte, 1<<20)
	if w := c.get("/messages/202603041229.8f2a/preview"); w.Body.Len() > maxImages+(1<<20) {
		t.Errorf("%d octets", w.Body.Len())
	}
	// Text of a mail without HTML is text.
	s.messages[0].HTML, s.messages[0].Text = "", "a <script>b</script> & c"
	if w := c.get("/messages/202603041229.8f2a/preview"); !strings.Contains(w.Body.String(), "a &lt;script&gt;b&lt;/script&gt; &amp; c") {
		t.Error(w.Body)
	}
}

func TestDownloads(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, true))
	for _, path := range []string{"/messages/202603041229.8f2a/parts/4", "/messages/202603041229.8f2a/raw"} {
		w := c.get(path)
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Security-Policy") != attachmentPolicy || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename=") {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
	for _, path := range []string{"/messages/202603041229.8f2a/parts/99", "/messages/202603041229.8f2a/parts/-1", "/messages/202603041229.8f2a/parts/x", "/messages/none/raw", "/messages/none/preview", "/messages/none"} {
		if w := c.get(path); w.Code != 404 || w.Header().Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"a.pdf":              `attachment; filename=a.pdf`,
		"two words.pdf":      `attachment; filename="two words.pdf"`,
		"../../etc/passwd":   `attachment; filename=_.._etc_passwd`,
		"x\r\nSet-Cookie: a": `attachment; filename="x__Set-Cookie_ a"`,
		"":                   `attachment; filename=attachment`,
		"...":                `attachment; filename=attachment`,
		"r\u00e9sum\u00e9":   `attachment; filename*=utf-8''r%C3%A9sum%C3%A9`,
		"gpj.\u202eexe":      `attachment; filename*=utf-8''gpj.%EF%BF%BDexe`,
	} {
		if got := disposition(name); got != want {
			t.Errorf("disposition(%q) = %s, want %s", name, got, want)
		}
	}
	if got := disposition(strings.Repeat("x", 10_000) + ".pdf"); len(got) > 250 || !strings.HasSuffix(got, ".pdf") {
		t.Errorf("%d octets", len(got))
	}
}

func TestMasked(t *testing.T) {
	got := masked([][2]string{{"to", "a"}, {"v:Reset-Token", "x"}, {"h:Authorization", "y"}, {"smtp_password", "z"}})
	if got[0][1] != "a" || got[1][1] != "(hidden)" || got[2][1] != "(hidden)" || got[3][1] != "(hidden)" {
		t.Errorf("%v", got)
	}
}

func TestTimelineIsInOrder(t *testing.T) {
	now := fixedNow()
	got := timeline([]Event{{Time: now.Add(time.Second), Name: "b"}, {Time: now, Name: "a"}, {Time: now, Name: "x", Recipient: "other@example.org"}}, "me@example.org")
	if len(got) != 2 || got[0].Name != "a" || !got[0].First || got[1].Since != time.Second {
		t.Errorf("%+v", got)
	}
}
