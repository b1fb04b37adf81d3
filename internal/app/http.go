package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postroad/internal/base/op"
	"postroad/internal/config"
	"postroad/internal/core/account"
	"postroad/internal/core/resend"
	"postroad/internal/edge/httpapi"
	"postroad/internal/edge/panel"
)

// Ops returns every operation of the program.
func (a *App) Ops() []op.Op {
	var out []op.Op
	for _, list := range [][]op.Op{a.messages.Ops(), a.domains.Ops(), a.hosts.Ops(), a.accounts.Ops(), a.events.Ops(ownedDomains{a}), a.webhooks.Ops(), a.routes.Ops(), a.suppress.Ops(ownedDomains{a}), a.timing.Ops(), a.tags.Ops(a.ownDomain, a.accounts.Account), a.optout.Ops(), a.lists.Ops(), a.resend.Ops(), a.workspaces.Ops(), a.feedback.Ops(), a.template.Ops(ownedDomains{a}), a.track.Ops(), a.admin().Ops()} {
		out = append(out, list...)
	}
	if a.cfg == nil || a.cfg.Gateway {
		out = append(out, a.gateway.Ops()...)
	}
	return out
}

func (a *App) makeHTTP(ctx context.Context) error {
	a.registerMetrics()
	pages := panel.New(panel.Config{Source: a.panelSource(), Dev: a.dev(), Version: a.opt.Version, APIBase: a.apiBase(),
		SMTPAddr: a.submitAddress(), Logger: a.log, Now: a.clock.Now})
	proxies, err := prefixes("--trusted-proxies", a.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	api, err := httpapi.New(httpapi.Config{Ops: a.Ops(), Auth: authenticator{a}, Logger: a.log, Metrics: a.registry, Now: a.clock.Now,
		DevHints: a.dev(), Bearer: httpapi.Dialect{Names: resend.Resources(), Fail: resend.Failure}, TrustedProxies: proxies, Fallback: clientOf(proxies, pages), Version: a.opt.Version, Extra: map[string]http.Handler{
			"/livez":   http.HandlerFunc(a.livez),
			"/readyz":  http.HandlerFunc(a.readyz),
			"/metrics": clientOf(proxies, a.private(promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))),
		}})
	if err != nil {
		return err
	}
	a.handler = api
	if !a.open() { // there every name is somebody's domain
		a.handler = &hostGate{next: api, domains: a.domains, own: a.ownHosts(), any: a.cfg.AnyTrackingHost, links: a.track.Key, proxies: proxies}
	}
	if a.open() {
		a.handler = localBrowsers(api, a.apiBase())
	}
	return nil
}

// prefixes reads a setting that lists networks.
func prefixes(flag, list string) (out []netip.Prefix, err error) {
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("%s: %q is neither an address nor a network", flag, s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// clientOf shows h the client's address instead of a trusted proxy's.
func clientOf(proxies []netip.Prefix, h http.Handler) http.Handler {
	if len(proxies) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := httpapi.ClientAddr(proxies, r); ip.IsValid() {
			r = r.WithContext(r.Context()) // a copy: the original belongs to the server
			r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
		}
		h.ServeHTTP(w, r)
	})
}

// localBrowsers refuses requests that a browser sends for a page of another
// site: where any key works, the address of the page is what tells the developer
// from a stranger. Programs are no browsers and not concerned.
func localBrowsers(h http.Handler, base string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if browser(r.Header) && !(localName(r.Host, base) && localOrigin(r.Header.Get("Origin"), base)) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"message":"Forbidden","hint":"capture mode answers web pages of this machine only"}`+"\n")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// browser reports whether a request looks like a browser's. Origin and Sec-Fetch
// are missing from some: a page read over plain http from its own origin.
func browser(h http.Header) bool {
	return h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" || h.Get("Accept-Language") != "" || strings.HasPrefix(h.Get("User-Agent"), "Mozilla/")
}

func localOrigin(origin, base string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil { // a page may come from any address, and most are strangers'
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsPrivate()
	}
	return localName(u.Host, base)
}

// localName reports whether a host is this machine, an address, or the host of
// the configured base URL.
func localName(host, base string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || host != "" && !strings.Contains(host, ".") { // a name without a dot is of this network
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	u, err := url.Parse(base)
	return err == nil && u.Hostname() == host
}

// authenticator puts the account service behind the HTTP edge.
type authenticator struct{ a *App }

func (t authenticator) Authenticate(ctx context.Context, _, password string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	c, inside := ctx.Value(insideKey{}).(*account.Caller)
	var err error
	if !inside {
		c, err = t.a.accounts.Authenticate(ctx, password)
	}
	if err != nil {
		return ctx, httpapi.Caller{}, err
	}
	return account.With(ctx, c), httpapi.Caller{KeyID: c.KeyID, AccountID: c.AccountID}, nil
}

func (authenticator) Authorize(ctx context.Context, o op.Op, domain string) error {
	return account.Authorize(account.From(ctx), o.Group, o.Access, domain)
}

// private serves callers on this machine or network, and others who show a key
// that may read the account.
func (a *App) private(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && (from.Addr().Unmap().IsLoopback() || from.Addr().Unmap().IsPrivate()) {
			h.ServeHTTP(w, r)
			return
		}
		_, key, _ := r.BasicAuth()
		c, err := a.accounts.Authenticate(r.Context(), key)
		if err != nil || !account.Allowed(c.Role, op.Account, op.Read) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Postroad"`)
			http.Error(w, "Forbidden", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// livez answers as long as the process does.
func (a *App) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// readyz answers 200 when mail can be taken, else 503 with the reasons; shedding
// means that it will be again without anybody doing anything.
func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	checks := map[string]string{"database": "ok", "memory": "ok", "disk": "ok", "queue": "ok", "state": "ok"}
	ok, status := true, "not ready"
	fail := func(name, reason string) { checks[name], ok = reason, false }
	if err := a.db.Ping(ctx); err != nil {
		fail("database", "does not answer")
		a.log.Error("readiness: database", "error", err)
	}
	if ok && a.shed.state.Load().any {
		status = "shedding"
	}
	for r, why := range a.shed.state.Load().why {
		if why != "" {
			fail(resource(r).String(), why)
		}
	}
	select {
	case <-a.stopping:
		fail("state", "stopping")
		status = "not ready"
	default:
	}
	out := struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}{"ready", checks}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		out.Status = status
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(out)
}

// Warnings names the settings in force that give up security.
func Warnings(cfg *config.Config) []string {
	var out []string
	for _, s := range cfg.Settings() {
		if s.Insecure && cfg.Mode == config.Serve {
			out = append(out, s.Name+": "+s.Risk)
		}
	}
	return out
}
