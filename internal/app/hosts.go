package app

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/core/message"
	"postroad/internal/core/trackhost"
	"postroad/internal/edge/httpapi"
	"postroad/internal/mail/linktoken"
)

// hsts has browsers come back over HTTPS for a year (RFC 6797). Names below the
// tracking host are not ours to decide on.
const hsts = "max-age=31536000"

// makeTrackHosts makes what decides on the hosts of links.
func (a *App) makeTrackHosts() {
	c := trackhost.Config{DB: a.db, Domains: a.domains, Clock: a.clock, Logger: a.log, Capture: a.dev(),
		Server: linkServer(a.apiBase(), a.cfg.Hostname, a.dev()), Own: a.ownHosts()}
	c.HTTPPort, c.HTTPSPort = linkPort("http", a.cfg.PanelURL, string(a.cfg.HTTP)), linkPort("https", a.cfg.PanelURL, string(a.cfg.HTTPS))
	a.hosts = trackhost.New(c)
}

// linkHint says why links of a domain do not have its own host.
func (a *App) linkHint(d *domain.Domain) string { return a.hosts.WhyNot(d) }

// ownHosts are the names the API and the panel have.
func (a *App) ownHosts() []string {
	out := a.cfg.CertNames()
	if u, err := url.Parse(a.apiBase()); err == nil {
		out = append(out, strings.ToLower(u.Hostname()))
	}
	return out
}

// linkServer is the base of links that have no host of their domain: that of the
// API, unless nobody but this machine could follow them.
func linkServer(api, hostname string, dev bool) string {
	u, err := url.Parse(api)
	if err != nil || dev || !loopback(u.Hostname()) {
		return api
	}
	return u.Scheme + "://" + hostname
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// linkPort is what follows the host in links, ":8080" or nothing: the port of the
// public URL where that has the scheme, none where it has the other one, else that
// of our listener.
func linkPort(scheme, public, listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		port = ""
	}
	if u, err := url.Parse(public); public != "" && err == nil {
		if port = ""; u.Scheme == scheme {
			port = u.Port()
		}
	}
	if port == "" || port == "80" && scheme == "http" || port == "443" && scheme == "https" {
		return ""
	}
	return ":" + port
}

// linkPath reports whether a path is one of links in mail.
func linkPath(path string) bool {
	return below(path, message.ClickPath) || below(path, message.OpenPath) || below(path, message.UnsubscribePath)
}

// below reports whether a path is dir and one name.
func below(path, dir string) bool {
	name, ok := strings.CutPrefix(path, dir)
	return ok && !strings.Contains(name, "/")
}

// hostGate stands before everything else. On the tracking host of a domain there
// are its links and nothing else: not the API, not the panel. On the server's own
// hosts there is everything. Any other name has what it had before tracking; links
// it has if mail sent earlier may name it, or where every host may. On a name of a
// domain only links of its account work.
type hostGate struct {
	next    http.Handler
	domains *domain.Service
	own     []string
	any     bool // links on every host
	links   *linktoken.Key
	proxies []netip.Prefix
}

func (g *hostGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, host := httpapi.Addressed(g.proxies, r)
	host = bareHost(host)
	if g.isOwn(host) {
		g.next.ServeHTTP(w, r)
		return
	}
	h, err := g.domains.ByHost(r.Context(), host)
	link := linkPath(r.URL.Path)
	switch {
	case err != nil: // the database: what is behind will say so
		g.next.ServeHTTP(w, r)
	case link && h.Domain != nil && g.foreign(r, h.Domain):
		http.NotFound(w, r)
	case h.Current:
		g.tracking(w, r, link, scheme == "https" && h.Domain.Settings.WebScheme == "https")
	case link && h.Domain == nil && !g.any:
		http.NotFound(w, r)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// foreign reports whether a link is of another account's mail, or of nobody knows
// whose. On a host of d it would lend that name to wherever it leads.
func (g *hostGate) foreign(r *http.Request, d *domain.Domain) bool {
	_, token, _ := strings.Cut(r.URL.Path[1:], "/")
	t, ok := g.links.Open(token)
	if !ok || t.Domain == d.ID {
		return false
	}
	of, err := g.domains.ByID(r.Context(), t.Domain)
	return errs.Is(err, errs.NotFound) || err == nil && of.AccountID != d.AccountID
}

// tracking serves a tracking host. A link asked for over http is answered there:
// it may be in mail from before the domain had https, and a detour would only cost
// time.
func (g *hostGate) tracking(w http.ResponseWriter, r *http.Request, link, secure bool) {
	if secure {
		w.Header().Set("Strict-Transport-Security", hsts)
	}
	switch {
	case link, below(r.URL.Path, "/unsubscribe/list/"):
		g.next.ServeHTTP(w, r)
	case r.URL.Path == "/robots.txt":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "User-agent: *\nDisallow: /\n")
	default:
		http.NotFound(w, r)
	}
}

// bareHost is a host in lower case, without port and final dot.
func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isOwn reports whether a host is the server itself: one of its names, this
// machine, an address.
func (g *hostGate) isOwn(host string) bool {
	if host == "" || host == "localhost" || slices.Contains(g.own, host) {
		return true
	}
	if last := host[len(host)-1]; last != ']' && (last < '0' || last > '9') {
		return false // not an address
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
