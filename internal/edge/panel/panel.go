package panel

import (
	"crypto/rand"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config is what the panel needs to know. The zero value of every field but
// Source is usable.
type Config struct {
	Source Source
	// Dev means capture mode: there is no login, every page says that mail is
	// captured, and requests for strange host names are refused (see Hosts).
	Dev      bool
	Version  string
	APIBase  string // as SDKs take it, such as "http://localhost:8025"
	SMTPAddr string // host and port for SMTP submission
	// Hosts are host names, beyond local ones and that of APIBase, under which
	// the panel may be opened in dev mode. Without a login this is what keeps
	// a web page from reading captured mail by DNS rebinding.
	Hosts  []string
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
}

// panel is the state behind the handler.
type panel struct {
	Config
	pages    map[string]*template.Template
	assets   assets
	sessions *sessions
	logins   *limiter
	secret   []byte // signs CSRF tokens; new with every process
	streams  chan struct{}
	beat     time.Duration // between heartbeats of a stream
}

// maxStreams bounds the live connections; beyond it browsers poll.
const maxStreams = 128

// New returns the panel. It serves "/", "/messages", "/webhooks", "/domains",
// "/system", "/login", "/logout", "/theme", "/events/stream" and "/assets",
// and answers 404 with a page for every other path.
func New(c Config) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &panel{
		Config:   c,
		assets:   loadAssets(),
		sessions: newSessions(c.Now),
		logins:   newLimiter(c.Now),
		secret:   make([]byte, 32),
		streams:  make(chan struct{}, maxStreams),
		beat:     20 * time.Second,
	}
	_, _ = rand.Read(p.secret) // never fails: crypto/rand ends the process instead
	p.pages = p.parse()
	return p.secure(p.guard(p.routes()))
}

// routes is the panel on one screen.
func (p *panel) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.messages)
	mux.HandleFunc("GET /messages", p.messages)
	mux.HandleFunc("POST /messages/clear", p.clear)
	mux.HandleFunc("GET /messages/{id}", p.message)
	mux.HandleFunc("GET /messages/{id}/preview", p.preview)
	mux.HandleFunc("GET /messages/{id}/raw", p.raw)
	mux.HandleFunc("GET /messages/{id}/parts/{index}", p.part)
	mux.HandleFunc("POST /messages/{id}/delete", p.deleteMessage)
	mux.HandleFunc("POST /messages/{id}/resend", p.resend)
	mux.HandleFunc("GET /webhooks", p.webhooks)
	mux.HandleFunc("POST /webhooks/{id}/replay", p.replay)
	mux.HandleFunc("GET /domains", p.domains)
	mux.HandleFunc("POST /domains/{name}/verify", p.verify)
	mux.HandleFunc("GET /system", p.system)
	mux.HandleFunc("GET /login", p.loginForm)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("POST /logout", p.logout)
	mux.HandleFunc("POST /theme", p.theme)
	mux.HandleFunc("GET /events/stream", p.stream)
	mux.HandleFunc("GET /assets/{file}", p.assets.serve)
	mux.HandleFunc("/", p.missing)
	return mux
}

// pagePolicy is the Content-Security-Policy of every page of the panel.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure sets the headers every answer carries. Handlers that serve content of
// others replace the policy by a stricter one.
func (p *panel) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		// Without this, browsers look up the host names of links in mails.
		h.Set("X-DNS-Prefetch-Control", "off")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// localHost reports whether a Host header may reach a panel without a login.
// A page of an attacker can make its own host name resolve to this machine,
// but it cannot make a browser send another name than its own; so names that
// nobody can register publicly, and addresses, are safe.
func (p *panel) localHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" || net.ParseIP(host) != nil || !strings.Contains(host, ".") {
		return true
	}
	// RFC 2606 and RFC 6761 names, RFC 6762, and the private-use .internal.
	for _, suffix := range []string{".localhost", ".test", ".local", ".internal"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	for _, allowed := range p.Hosts {
		if strings.EqualFold(host, allowed) {
			return true
		}
	}
	base, err := url.Parse(p.APIBase)
	return err == nil && strings.EqualFold(base.Hostname(), host)
}

// httpsOnly reports whether cookies may be limited to HTTPS.
func (p *panel) httpsOnly(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(p.APIBase, "https://")
}

// localPath returns s if it is a path on this server, otherwise "/". Browsers
// read "//host" and "/\host" as another host.
func localPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\r\n\t") || len(s) > 2000 {
		return "/"
	}
	if u, err := url.Parse(s); err != nil || u.Host != "" || u.Scheme != "" {
		return "/"
	}
	return s
}
