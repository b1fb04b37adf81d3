package panel

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestFormsNeedTheToken(t *testing.T) {
	s := newStore(fixedNow())
	h := newHandler(s, true)
	c := newClient(t, h)
	good := c.csrf("/")
	other := newClient(t, h).csrf("/")
	paths := []string{"/messages/clear", "/messages/202603041229.8f2a/delete", "/messages/202603041229.8f2a/resend", "/webhooks/wc-1/replay", "/domains/example.com/verify", "/theme", "/logout", "/login"}
	for _, path := range paths {
		for _, bad := range []string{"", "x", other, good + "x"} {
			if w := c.post(path, url.Values{"csrf": {bad}, "to": {"a@b.example"}}); w.Code != http.StatusForbidden {
				t.Errorf("%s with token %q: %d", path, bad, w.Code)
			}
		}
		bare := newClient(t, h) // a visitor without the cookie
		if w := bare.post(path, url.Values{"csrf": {good}}); w.Code != http.StatusForbidden {
			t.Errorf("%s without cookie: %d", path, w.Code)
		}
		if w := c.get(path + "?csrf=" + good); w.Code == http.StatusSeeOther && path != "/login" {
			t.Errorf("%s changes by GET", path)
		}
		r := httptest.NewRequest("POST", "http://localhost:8025"+path, strings.NewReader("csrf="+good))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		if w := c.do(r); w.Code != http.StatusForbidden {
			t.Errorf("%s from another origin: %d", path, w.Code)
		}
		// A token in the address is not a token in the form.
		if w := c.post(path+"?csrf="+good, url.Values{}); w.Code != http.StatusForbidden {
			t.Errorf("%s with token in the address: %d", path, w.Code)
		}
	}
	if len(s.done) != 0 {
		t.Errorf("done: %v", s.done)
	}
	big := url.Values{"csrf": {good}, "to": {strings.Repeat("x", maxForm)}}
	if w := c.post("/messages/202603041229.8f2a/resend", big); w.Code != http.StatusForbidden {
		t.Errorf("large form: %d", w.Code)
	}
}

func TestActions(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, true))
	csrf := c.csrf("/")
	cases := []struct {
		path string
		form url.Values
		code int
		to   string
		did  string
	}{
		{"/messages/202603041229.8f2a/delete", nil, 303, "/messages?done=deleted", "delete 202603041229.8f2a"},
		{"/messages/none/delete", nil, 404, "", "delete none"},
		{"/messages/202603041229.8f2a/resend", url.Values{"to": {"a@x.example, b@x.example"}}, 303, "/messages/202603041229.8f2a?done=resent", "resend 202603041229.8f2a to a@x.example,b@x.example"},
		{"/messages/202603041229.8f2a/resend", url.Values{"to": {"nobody"}}, 422, "", ""},
		{"/messages/202603041229.8f2a/resend", url.Values{"to": {" ,; "}}, 422, "", ""},
		{"/messages/202603041229.8f2a/resend", url.Values{"to": {strings.Repeat("a@b.example,", 51)}}, 422, "", ""},
		{"/webhooks/wc-1/replay", url.Values{"back": {"/messages/x?tab=webhooks"}}, 303, "/messages/x?done=replayed&tab=webhooks#in-call-wc-1", "replay wc-1"},
		{"/webhooks/wc-1/replay", url.Values{"back": {"https://evil.example/"}}, 303, "/?done=replayed#in-call-wc-1", "replay wc-1"},
		{"/webhooks/none/replay", nil, 404, "", ""},
		{"/domains/example.com/verify", nil, 303, "/domains?done=verified#d-example.com", "verify example.com"},
		{"/domains/none/verify", nil, 404, "", ""},
		{"/messages/clear", nil, 303, "/messages?done=cleared", "clear"},
	}
	for _, x := range cases {
		s.done = nil
		form := url.Values{"csrf": {csrf}}
		for k, v := range x.form {
			form[k] = v
		}
		w := c.post(x.path, form)
		if did := strings.Join(s.done, ";"); w.Code != x.code || w.Header().Get("Location") != x.to || did != x.did {
			t.Errorf("%s: %d to %q, did %q", x.path, w.Code, w.Header().Get("Location"), did)
		}
	}
}

func TestClearOnlyInDev(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, false))
	c.login("key-good")
	if w := c.post("/messages/clear", url.Values{"csrf": {c.csrf("/")}}); w.Code != 404 || len(s.done) != 0 {
		t.Errorf("%d, did %v", w.Code, s.done)
	}
}

func TestServeModeNeedsLogin(t *testing.T) {
	c := newClient(t, newHandler(newStore(fixedNow()), false))
	for _, path := range allPages() {
		if w := c.get(path); w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "/login") || strings.Contains(w.Body.String(), "receipt #") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/messages/202603041229.8f2a/raw", "/messages/202603041229.8f2a/preview", "/messages/202603041229.8f2a/parts/4"} {
		if w := c.get(path); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := c.get("/events/stream"); w.Code != http.StatusUnauthorized {
		t.Errorf("stream: %d", w.Code)
	}
	if w := c.get("/login"); w.Code != 200 {
		t.Errorf("login: %d", w.Code)
	}
}

func TestLogin(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, false))
	c.cookies[sessionCookie] = &http.Cookie{Name: sessionCookie, Value: "planted"}
	if w := c.login("wrong"); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "not accepted") {
		t.Fatalf("wrong key: %d", w.Code)
	}
	before := c.csrf("/login?next=/system")
	w := c.post("/login", url.Values{"csrf": {before}, "key": {" key-good\n"}, "next": {"/system"}})
	if w.Code != 303 || w.Header().Get("Location") != "/system" {
		t.Fatalf("login: %d to %q", w.Code, w.Header().Get("Location"))
	}
	k := c.cookies[sessionCookie]
	if k.Value == "planted" || len(k.Value) < 43 || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Secure {
		t.Errorf("cookie %+v", k)
	}
	if body := c.get("/system").Body.String(); !strings.Contains(body, "ops@example.com") {
		t.Error("the page does not say who is signed in")
	}
	if w := c.post("/theme", url.Values{"csrf": {before}}); w.Code != http.StatusForbidden {
		t.Errorf("token from before the login: %d", w.Code)
	}
	old := *k
	if w := c.post("/logout", url.Values{"csrf": {c.csrf("/")}}); w.Code != 303 {
		t.Fatalf("logout: %d", w.Code)
	}
	c.cookies[sessionCookie] = &old
	if w := c.get("/"); w.Code != 303 {
		t.Errorf("the session outlived the logout: %d", w.Code)
	}
}

func TestLoginNextStaysHere(t *testing.T) {
	for in, want := range map[string]string{"/system?a=b": "/system?a=b", "": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/",
		"/\t/evil.example": "/", "javascript:alert(1)": "/", "/ok//x": "/ok//x", "/\n/x": "/"} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q", in, got)
		}
	}
}

func TestSecureCookies(t *testing.T) {
	h := New(Config{Source: newStore(fixedNow()), APIBase: "https://mail.example.com"})
	c := newClient(t, h)
	c.get("/login")
	if k := c.cookies[visitorCookie]; k == nil || !k.Secure {
		t.Errorf("cookie %+v", k)
	}
}

func TestLoginLimit(t *testing.T) {
	s := newStore(fixedNow())
	c := newClient(t, newHandler(s, false))
	for range 20 { // successes do not count
		if w := c.login("key-good"); w.Code != 303 {
			t.Fatalf("%d", w.Code)
		}
		c.cookies = map[string]*http.Cookie{}
	}
	for i := range loginPerNet {
		if w := c.login("wrong"); w.Code != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, w.Code)
		}
	}
	w := c.login("key-good")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "60" {
		t.Fatalf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	c.remote = "192.0.2.2:1"
	if w := c.login("key-good"); w.Code != 303 {
		t.Errorf("another address: %d", w.Code)
	}
	c.cookies, c.remote = map[string]*http.Cookie{}, "192.0.2.1:2"
	s.now = s.now.Add(loginWindow)
	if w := c.login("key-good"); w.Code != 303 {
		t.Errorf("after the window: %d", w.Code)
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1:5": "192.0.2.1/32", "[2001:db8::1]:5": "2001:db8::/64", "[2001:db8::ffff:1]:6": "2001:db8::/64", "[::ffff:192.0.2.1]:1": "192.0.2.1/32", "@": "invalid Prefix"} {
		if got := network(in).String(); got != want {
			t.Errorf("network(%q) = %s", in, got)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	start := func() (*store, *client) {
		s := newStore(fixedNow())
		c := newClient(t, newHandler(s, false))
		c.login("key-good")
		if w := c.get("/"); w.Code != 200 {
			t.Fatalf("%d", w.Code)
		}
		return s, c
	}
	s, c := start()
	s.now = s.now.Add(sessionIdle + time.Second)
	if w := c.get("/"); w.Code != 303 {
		t.Errorf("idle: %d", w.Code)
	}
	s, c = start()
	for range 13 {
		s.now = s.now.Add(time.Hour)
		c.get("/")
	}
	if w := c.get("/"); w.Code != 303 {
		t.Errorf("after 13 hours of use: %d", w.Code)
	}
	s, c = start()
	delete(s.keys, "key-good")
	s.now = s.now.Add(sessionRecheck)
	if w := c.get("/"); w.Code != 303 {
		t.Errorf("key revoked: %d", w.Code)
	}
	s, c = start()
	for range 3 { // a page left open does not keep the session alive
		s.now = s.now.Add(time.Hour)
		r := httptest.NewRequest("GET", "http://localhost:8025/", nil)
		r.Header.Set("X-Live", "1")
		c.do(r)
	}
	if w := c.get("/"); w.Code != 303 {
		t.Errorf("open page: %d", w.Code)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := fixedNow()
	s := newSessions(func() time.Time { return now })
	first := s.open("a", "k")
	for range maxSessions + 5 {
		now = now.Add(time.Millisecond)
		s.open("b", "k")
	}
	if len(s.all) > maxSessions {
		t.Errorf("%d sessions", len(s.all))
	}
	if _, ok := s.get(first, true); ok {
		t.Error("the oldest session was kept")
	}
}

func TestDevAnswersOnlyLocalNames(t *testing.T) {
	h := New(Config{Source: newStore(fixedNow()), Dev: true, APIBase: "http://mail.dev.example:8025", Hosts: []string{"panel.example.org"}})
	for host, want := range map[string]int{"localhost:8025": 200, "127.0.0.1:8025": 200, "[::1]:8025": 200, "192.168.1.5": 200, "postroad:8025": 200, "app.localhost": 200,
		"mail.test": 200, "mail.dev.example:8025": 200, "panel.example.org": 200, "evil.example:8025": 421, "localhost.evil.example": 421, "127.0.0.1.nip.io": 421} {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || want == 421 && strings.Contains(w.Body.String(), "receipt #") {
			t.Errorf("%s: %d, want %d", host, w.Code, want)
		}
	}
}

func TestSourceErrors(t *testing.T) {
	s := newStore(fixedNow())
	s.fail = errors.New("disk on fire at /secret/path")
	c := newClient(t, newHandler(s, true))
	for _, path := range []string{"/", "/messages/202603041229.8f2a", "/webhooks", "/domains", "/system"} {
		w := c.get(path)
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestTheme(t *testing.T) {
	c := newClient(t, newHandler(newStore(fixedNow()), true))
	w := c.post("/theme", url.Values{"csrf": {c.csrf("/")}, "theme": {"dark"}, "back": {"/system"}})
	if w.Code != 303 || w.Header().Get("Location") != "/system" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	if body := c.get("/").Body.String(); !strings.Contains(body, `data-theme="dark"`) {
		t.Error("the theme was not kept")
	}
	c.cookies[themeCookie] = &http.Cookie{Name: themeCookie, Value: `x"onload`}
	if body := c.get("/").Body.String(); !strings.Contains(body, `data-theme="auto"`) {
		t.Error("an unknown theme was taken over")
	}
}
