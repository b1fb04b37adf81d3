package panel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Cookies of the panel.
const (
	sessionCookie = "postroad_session"
	visitorCookie = "postroad_visitor" // ties CSRF tokens to a browser
	themeCookie   = "postroad_theme"
)

// maxForm bounds the body of a form, in octets.
const maxForm = 64 << 10

// guard lets a request through if it may see the panel, and a change only if
// it comes from the panel's own form.
func (p *panel) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			next.ServeHTTP(w, r)
			return
		}
		if p.Dev && !p.localHost(r.Host) {
			p.fail(w, r, http.StatusMisdirectedRequest, "Unknown host name",
				"In capture mode the panel answers only to local names. Allow this one in the configuration, or open it by its IP address.")
			return
		}
		r = p.admit(w, r)
		if r == nil {
			return
		}
		if r.Method == http.MethodPost && (cross.Check(r) != nil || !p.validForm(w, r)) {
			p.fail(w, r, http.StatusForbidden, "This form has expired",
				"Nothing was changed. Go back, reload the page and try again.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admit returns the request with the name of the person in its context, or
// answers it and returns nil.
func (p *panel) admit(w http.ResponseWriter, r *http.Request) *http.Request {
	if p.Dev {
		return r
	}
	who, ok := p.current(r)
	if ok {
		return r.WithContext(withWho(r.Context(), who))
	}
	if r.URL.Path == "/login" || r.URL.Path == "/theme" {
		return r
	}
	if r.URL.Path == "/events/stream" || r.Header.Get("X-Live") != "" {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return nil
	}
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// current returns the person behind the session cookie. Now and then it asks
// whether the key is still accepted, so that revoking a key ends its sessions.
func (p *panel) current(r *http.Request) (string, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", false
	}
	live := r.Header.Get("X-Live") != "" || r.URL.Path == "/events/stream"
	s, ok := p.sessions.get(c.Value, !live)
	if !ok {
		return "", false
	}
	if p.Now().Sub(s.checked) < sessionRecheck {
		return s.who, true
	}
	who, err := p.Source.Authenticate(r.Context(), s.key)
	switch {
	case errors.Is(err, ErrKey) || (err == nil && who != s.who):
		p.sessions.close(c.Value)
		return "", false
	case err != nil: // the store is in trouble, the key is not
		p.Logger.WarnContext(r.Context(), "cannot check the key of a panel session", "error", err)
		return s.who, true
	}
	p.sessions.confirm(c.Value)
	return s.who, true
}

// validForm reads the form and compares its token with the visitor's.
func (p *panel) validForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil {
		return false
	}
	c, err := r.Cookie(visitorCookie)
	if err != nil || c.Value == "" {
		return false
	}
	want := p.formToken(c.Value, r)
	return hmac.Equal([]byte(want), []byte(r.PostForm.Get("csrf")))
}

// formToken signs the visitor together with the session, so that a token from
// before a login is worth nothing after it.
func (p *panel) formToken(visitor string, r *http.Request) string {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write([]byte(visitor + "\x00"))
	if c, err := r.Cookie(sessionCookie); err == nil {
		mac.Write([]byte(c.Value))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// csrf returns the token for a form on the page being made, giving the visitor
// a cookie first if there is none.
func (p *panel) csrf(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(visitorCookie); err == nil && len(c.Value) >= 43 {
		return p.formToken(c.Value, r)
	}
	v := token()
	http.SetCookie(w, p.cookie(r, visitorCookie, v))
	return p.formToken(v, r)
}

// cookie returns a cookie of this panel: for this host, for no script, for no
// request another site makes.
func (p *panel) cookie(r *http.Request, name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/",
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: p.httpsOnly(r),
	}
}
