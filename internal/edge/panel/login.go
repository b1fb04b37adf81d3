package panel

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// loginPage is the form for an API key.
type loginPage struct {
	Frame   frame
	Next    string
	Problem string
}

func (p *panel) loginForm(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if p.Dev || Who(r.Context()) != "" {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	p.render(w, r, http.StatusOK, "login", &loginPage{Frame: p.frame(w, r, "Sign in", ""), Next: next})
}

// login opens a session for an accepted key. A session from before is closed,
// and the new one has a new token, so nobody can plant one.
func (p *panel) login(w http.ResponseWriter, r *http.Request) {
	if p.Dev {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	page := &loginPage{Frame: p.frame(w, r, "Sign in", ""), Next: localPath(r.PostForm.Get("next"))}
	wait, ok := p.logins.take(r.RemoteAddr)
	if !ok {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", fmt.Sprint(seconds))
		page.Problem = fmt.Sprintf("Too many attempts. Wait %d seconds, then try again.", seconds)
		p.render(w, r, http.StatusTooManyRequests, "login", page)
		return
	}
	key := strings.TrimSpace(r.PostForm.Get("key"))
	who, err := p.Source.Authenticate(r.Context(), key)
	switch {
	case errors.Is(err, ErrKey):
		page.Problem = "This key is not accepted. Keys are shown once, when they are created."
		p.render(w, r, http.StatusUnauthorized, "login", page)
		return
	case err != nil:
		p.broken(w, r, err)
		return
	}
	p.logins.giveBack(r.RemoteAddr)
	if old, err := r.Cookie(sessionCookie); err == nil {
		p.sessions.close(old.Value)
	}
	c := p.cookie(r, sessionCookie, p.sessions.open(who, key))
	c.MaxAge = int(sessionLife.Seconds())
	http.SetCookie(w, c)
	http.Redirect(w, r, page.Next, http.StatusSeeOther)
}

func (p *panel) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		p.sessions.close(c.Value)
	}
	c := p.cookie(r, sessionCookie, "")
	c.MaxAge = -1
	http.SetCookie(w, c)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// theme stores light, dark or auto and goes back to the page.
func (p *panel) theme(w http.ResponseWriter, r *http.Request) {
	c := p.cookie(r, themeCookie, themeName(r.PostForm.Get("theme")))
	c.MaxAge = 400 * 24 * 3600 // the longest browsers keep a cookie
	http.SetCookie(w, c)
	http.Redirect(w, r, localPath(r.PostForm.Get("back")), http.StatusSeeOther)
}

func themeName(s string) string {
	if s == "light" || s == "dark" {
		return s
	}
	return "auto"
}
