package panel

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// client is a browser without scripts: it keeps cookies.
type client struct {
	t       *testing.T
	h       http.Handler
	cookies map[string]*http.Cookie
	remote  string
}

func newClient(t *testing.T, h http.Handler) *client {
	return &client{t: t, h: h, cookies: map[string]*http.Cookie{}, remote: "192.0.2.1:40000"}
}

func (c *client) do(r *http.Request) *httptest.ResponseRecorder {
	c.t.Helper()
	r.RemoteAddr = c.remote
	for _, k := range c.cookies {
		r.AddCookie(k)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() {
		if k.MaxAge < 0 {
			delete(c.cookies, k.Name)
		} else {
			c.cookies[k.Name] = k
		}
	}
	return w
}

func (c *client) get(path string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.do(httptest.NewRequest("GET", "http://localhost:8025"+path, nil))
}

func (c *client) post(path string, form url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest("POST", "http://localhost:8025"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

// csrf reads the token out of any form of the page.
func (c *client) csrf(path string) string {
	c.t.Helper()
	for _, n := range elements(c.t, c.get(path).Body.Bytes()) {
		if n.Data == "input" && attr(n, "name") == "csrf" {
			return attr(n, "value")
		}
	}
	c.t.Fatalf("no token on %s", path)
	return ""
}

func (c *client) login(key string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.post("/login", url.Values{"csrf": {c.csrf("/login")}, "key": {key}})
}

func elements(t *testing.T, page []byte) []*html.Node {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// allPages are the addresses of every page, tab and state.
func allPages() []string {
	pages := []string{"/", "/messages", "/messages?q=receipt&status=failed", "/messages?q=zzz", "/messages?before=x", "/messages?done=cleared",
		"/webhooks", "/webhooks?status=failed", "/webhooks?q=zzz&status=pending", "/domains", "/system", "/nothing/here"}
	for _, tab := range []string{"timeline", "smtp", "preview", "text", "headers", "raw", "attachments", "webhooks", "request", "json", "bogus"} {
		pages = append(pages, "/messages/202603041229.8f2a?tab="+tab, "/messages/202603041225.8f2a?rcpt=bob@outlook.com&tab="+tab)
	}
	for _, id := range []string{"28", "27", "26", "24", "23", "22", "21", "20", "19"} {
		pages = append(pages, "/messages/2026030412"+id+".8f2a", "/messages/2026030412"+id+".8f2a?tab=smtp")
	}
	return append(pages, "/messages/202603041229.8f2a?tab=preview&width=phone&scheme=dark&remote=1")
}

// eachPage renders every page in dev mode, empty dev mode and serve mode.
func eachPage(t *testing.T, check func(t *testing.T, c *client, w *httptest.ResponseRecorder)) {
	empty := newStore(fixedNow())
	empty.messages, empty.calls, empty.domains, empty.sys = nil, nil, nil, System{Started: fixedNow()}
	served := newClient(t, newHandler(newStore(fixedNow()), false))
	served.login("key-good")
	for name, c := range map[string]*client{"dev": newClient(t, newHandler(newStore(fixedNow()), true)),
		"empty": newClient(t, newHandler(empty, true)), "serve": served, "gate": newClient(t, newHandler(newStore(fixedNow()), false))} {
		pages := allPages()
		if name == "gate" {
			pages = []string{"/login", "/login?next=/system"}
		}
		for _, path := range pages {
			t.Run(name+path, func(t *testing.T) {
				c.t = t
				check(t, c, c.get(path))
			})
		}
	}
}

func TestPages(t *testing.T) {
	eachPage(t, func(t *testing.T, c *client, w *httptest.ResponseRecorder) {
		if w.Code != 200 && w.Code != 404 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		h := w.Header()
		if got := h.Get("Content-Security-Policy"); got != pagePolicy {
			t.Errorf("policy %q", got)
		}
		for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8"} {
			if h.Get(key) != want {
				t.Errorf("%s: %q", key, h.Get(key))
			}
		}
		if strings.Contains(w.Body.String(), "ZgotmplZ") || strings.Contains(w.Body.String(), "<no value>") {
			t.Error("a template value was refused or missing")
		}
		var z bytes.Buffer
		gz := gzip.NewWriter(&z)
		_, _ = gz.Write(w.Body.Bytes())
		if gz.Close() != nil || z.Len() > 20_000 {
			t.Errorf("%d octets compressed", z.Len())
		}
	})
}

// Every page must live under its own policy and be usable without sight.
func TestMarkup(t *testing.T) {
	eachPage(t, func(t *testing.T, c *client, w *httptest.ResponseRecorder) {
		nodes := elements(t, w.Body.Bytes())
		ids, labels := map[string]int{}, map[string]bool{}
		for _, n := range nodes {
			if id := attr(n, "id"); id != "" {
				ids[id]++
			}
			if n.Data == "label" {
				labels[attr(n, "for")] = true
			}
		}
		for id, count := range ids {
			if count > 1 {
				t.Errorf("id %q used %d times", id, count)
			}
		}
		for _, n := range nodes {
			checkInline(t, n)
			checkNames(t, n, labels)
			for _, key := range []string{"commandfor", "for", "aria-describedby", "aria-labelledby"} {
				if v := attr(n, key); v != "" && ids[v] == 0 {
					t.Errorf("<%s %s=%q> points nowhere", n.Data, key, v)
				}
			}
		}
	})
}

func checkInline(t *testing.T, n *html.Node) {
	for _, a := range n.Attr {
		leads := a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction"
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" || leads && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
			t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
		}
	}
	if n.Data == "style" || n.Data == "script" && (!strings.HasPrefix(attr(n, "src"), "/assets/") || text(n) != "") {
		t.Errorf("inline <%s>", n.Data)
	}
	if n.Data == "iframe" && attr(n, "sandbox") != "allow-popups allow-popups-to-escape-sandbox" {
		t.Errorf("iframe sandbox %q", attr(n, "sandbox"))
	}
}

func checkNames(t *testing.T, n *html.Node, labels map[string]bool) {
	named := text(n) != "" || has(n, "aria-label")
	switch n.Data {
	case "button", "a", "summary", "h1", "h2", "th":
		if !named {
			t.Errorf("<%s> without a name: %v", n.Data, n.Attr)
		}
	case "img", "iframe":
		if !has(n, "alt") && !has(n, "title") {
			t.Errorf("<%s> without alt or title", n.Data)
		}
	case "input":
		inLabel := n.Parent != nil && n.Parent.Data == "label"
		if attr(n, "type") != "hidden" && !inLabel && !labels[attr(n, "id")] {
			t.Errorf("<input name=%q> without label", attr(n, "name"))
		}
	case "form":
		if strings.EqualFold(attr(n, "method"), "post") && !hasToken(n) {
			t.Errorf("form %q without token", attr(n, "action"))
		}
	}
}

func hasToken(form *html.Node) bool {
	for d := range form.Descendants() {
		if d.Data == "input" && attr(d, "name") == "csrf" && attr(d, "value") != "" {
			return true
		}
	}
	return false
}

// Every link and every form must lead somewhere.
func TestTargets(t *testing.T) {
	seen := map[string]bool{}
	eachPage(t, func(t *testing.T, c *client, w *httptest.ResponseRecorder) {
		missing := w.Code == http.StatusNotFound
		for _, n := range elements(t, w.Body.Bytes()) {
			for _, key := range []string{"href", "src"} {
				path := attr(n, key)
				if !strings.HasPrefix(path, "/") || seen[path] || missing {
					continue
				}
				seen[path] = true
				if got := c.get(path).Code; got != 200 && got != 303 {
					t.Errorf("%s=%q answers %d", key, path, got)
				}
			}
			if n.Data != "form" || attr(n, "method") != "post" || seen["POST "+attr(n, "action")] {
				continue
			}
			action := attr(n, "action")
			seen["POST "+action] = true
			form := url.Values{"to": {"jane@example.org"}, "key": {"key-good"}}
			for d := range n.Descendants() {
				if d.Data == "input" && attr(d, "type") == "hidden" {
					form.Set(attr(d, "name"), attr(d, "value"))
				}
			}
			if action == "/logout" || action == "/messages/clear" { // would end the walk; tested on their own
				continue
			}
			if got := c.post(action, form); got.Code != http.StatusSeeOther {
				t.Errorf("POST %s answers %d", action, got.Code)
			}
		}
	})
}

func TestCaptureIsUnmistakable(t *testing.T) {
	dev, served := newClient(t, newHandler(newStore(fixedNow()), true)), newClient(t, newHandler(newStore(fixedNow()), false))
	served.login("key-good")
	for _, path := range allPages() {
		if body := dev.get(path).Body.String(); !strings.Contains(body, "Mail is captured, never delivered.") || !strings.Contains(body, `class="framed"`) {
			t.Errorf("%s does not say that mail is captured", path)
		}
		if body := served.get(path).Body.String(); strings.Contains(body, "never delivered.</span>") {
			t.Errorf("%s says capture in serve mode", path)
		}
	}
}

func TestListFilters(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, true))
	body := c.get("/messages?q=to:bob+hello&status=deferred&before=abc").Body.String()
	if s.last.Before != "abc" || s.last.Limit != pageSize || s.last.Search != "to:bob hello" ||
		!slices.Equal(s.last.Filter.To, []string{"bob"}) || !slices.Equal(s.last.Filter.Statuses, []Status{Deferred}) {
		t.Errorf("query %+v", s.last)
	}
	if !strings.Contains(body, `value="to:bob hello"`) {
		t.Error("the search box forgot the search")
	}
	c.get("/messages?status=%3Cscript%3E")
	if len(s.last.Filter.Statuses) != 0 {
		t.Errorf("unknown status passed on: %v", s.last.Filter.Statuses)
	}
	if body := c.get("/messages").Body.String(); !strings.Contains(body, "before=cursor%2B1%2F%26") {
		t.Error("cursor is not escaped")
	}
}
