package panel

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frame is what every page has around its content.
type frame struct {
	Title   string
	Active  string // section of the navigation
	Dev     bool
	Who     string
	Theme   string // "auto", "light" or "dark"
	Next    string // the theme after it
	Back    string // this page's URL
	CSRF    string
	Version string
	CSS, JS string // URLs
	Icon    string
	Live    bool   // the page listens for changes
	Notice  string // outcome of the action that led here
}

func (p *panel) frame(w http.ResponseWriter, r *http.Request, title, active string) frame {
	f := frame{
		Title: title, Active: active, Dev: p.Dev, Who: Who(r.Context()),
		Back: localPath(r.URL.RequestURI()), CSRF: p.csrf(w, r), Version: p.Version,
		CSS: p.assets.url("app.css"), JS: p.assets.url("app.js"), Icon: p.assets.url("icon.svg"),
		Theme: "auto", Notice: outcome(r.URL.Query().Get("done")),
	}
	if r.Method != http.MethodGet {
		f.Back = "/"
	}
	if c, err := r.Cookie(themeCookie); err == nil {
		f.Theme = themeName(c.Value)
	}
	f.Next = map[string]string{"auto": "light", "light": "dark", "dark": "auto"}[f.Theme]
	return f
}

// outcome turns the code left in the URL after an action into a sentence. The
// codes are fixed, so a crafted link can say nothing else.
func outcome(code string) string {
	switch code {
	case "resent":
		return "Submitted again. This is the new message."
	case "deleted":
		return "Message deleted."
	case "cleared":
		return "All messages deleted."
	case "replayed":
		return "Replay scheduled."
	case "verified":
		return "Records looked up just now."
	}
	return ""
}

// parse compiles one set of templates per page. A mistake in an embedded
// template is a mistake in the program; the tests execute every page.
func (p *panel) parse() map[string]*template.Template {
	base := template.Must(template.New("base").Funcs(p.funcs()).
		ParseFS(templateFiles, "templates/base.html", "templates/shared.html"))
	pages := map[string]*template.Template{}
	for _, name := range []string{"messages", "message", "webhooks", "domains", "system", "login", "error"} {
		t := template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
		pages[name] = t
	}
	// The message page has a file for its tabs.
	template.Must(pages["message"].ParseFS(templateFiles, "templates/tabs.html"))
	return pages
}

func (p *panel) funcs() template.FuncMap {
	return template.FuncMap{
		"ago":       func(t time.Time) string { return ago(t, p.Now()) },
		"utc":       func(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04:05 UTC") },
		"clock":     func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"iso":       func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"span":      span,
		"size":      size,
		"thousands": thousands,
		"icon":      icon,
		"tone":      Status.tone,
		"callTone":  callTone,
		"eventTone": func(name string) string { return Status(name).tone() },
		"segment":   url.PathEscape,
		"readable":  readable,
		"inc":       func(n int) int { return n + 1 },
		"list":      func(v ...any) []any { return v },
	}
}

// readable indents a body that is JSON; what was sent had other white space and
// the same meaning. Anything else is shown as it is.
func readable(body string) string {
	var b bytes.Buffer
	if len(body) > maxRaw || !strings.HasPrefix(strings.TrimSpace(body), "{") || json.Indent(&b, []byte(body), "", "  ") != nil {
		return body
	}
	return b.String()
}

// render executes a page completely before the first octet goes out, so a
// failing template cannot leave half a page.
func (p *panel) render(w http.ResponseWriter, r *http.Request, status int, name string, page any) {
	var b bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&b, "base", page); err != nil {
		p.Logger.ErrorContext(r.Context(), "panel page failed", "page", name, "error", err)
		http.Error(w, "This page could not be made. The log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader has gone; nothing left to do
}

// errorPage says what went wrong and what to do next.
type errorPage struct {
	Frame  frame
	Status int
	Title  string
	Text   string
}

func (p *panel) fail(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	p.render(w, r, status, "error", &errorPage{Frame: p.frame(w, r, title, ""), Status: status, Title: title, Text: text})
}

func (p *panel) missing(w http.ResponseWriter, r *http.Request) {
	p.fail(w, r, http.StatusNotFound, "Nothing here", "There is no page at this address.")
}

// broken answers an error from the Source.
func (p *panel) broken(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *Refusal
	switch {
	case errors.Is(err, ErrNotFound):
		p.fail(w, r, http.StatusNotFound, "Not found", "It does not exist, or it was deleted.")
	case errors.As(err, &refusal):
		p.fail(w, r, http.StatusUnprocessableEntity, "That was not possible", refusal.Text)
	case r.Context().Err() != nil: // the reader left before the answer
		http.Error(w, "cancelled", http.StatusServiceUnavailable)
	default:
		p.Logger.ErrorContext(r.Context(), "panel request failed", "path", r.URL.Path, "error", err)
		p.fail(w, r, http.StatusInternalServerError, "Something failed here",
			"The server's log has the reason. Nothing you did was lost, but it may not have been done.")
	}
}

// printable makes text of others safe to show: valid UTF-8, and no characters
// that reorder or hide the text around them.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t' || c == '\r':
			return c
		case c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0), c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return '\uFFFD'
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
