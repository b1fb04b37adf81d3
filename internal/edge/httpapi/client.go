package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"postroad/internal/base/op"
)

// describe returns what an operation may know of r.
func (a *API) describe(r *http.Request, w http.ResponseWriter) *op.Request {
	peer := peerAddr(r.RemoteAddr)
	trusted := trusts(a.cfg.TrustedProxies, peer)
	req := &op.Request{
		ID: requestID(), Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		UserAgent: r.UserAgent(), Header: r.Header.Get, SetHeader: w.Header().Set,
	}
	scheme, host := addressed(r, trusted)
	if trusted {
		peer = forwardedFor(a.cfg.TrustedProxies, peer, r.Header.Values("X-Forwarded-For"))
	}
	req.BaseURL = scheme + "://" + host
	if peer.IsValid() {
		req.RemoteIP = peer.String()
	}
	return req
}

// Addressed returns scheme and host, with a port if it named one, as the client of
// r addressed us: as the request has it, or as trusted proxies say.
func Addressed(proxies []netip.Prefix, r *http.Request) (scheme, host string) {
	return addressed(r, len(proxies) > 0 && trusts(proxies, peerAddr(r.RemoteAddr)))
}

func addressed(r *http.Request, trusted bool) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted {
		return forwardedBase(r.Header, scheme, host)
	}
	return scheme, host
}

// peerAddr returns the address of the other end, or the zero Addr on a Unix
// socket.
func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// ClientAddr returns the address of the client of r: the other end of the
// connection, or what trusted proxies say of it. It is the zero Addr where there
// is no address.
func ClientAddr(proxies []netip.Prefix, r *http.Request) netip.Addr {
	peer := peerAddr(r.RemoteAddr)
	if trusts(proxies, peer) {
		peer = forwardedFor(proxies, peer, r.Header.Values("X-Forwarded-For"))
	}
	return peer
}

func trusts(proxies []netip.Prefix, addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// forwardedFor walks the chain of proxies from our side and returns the first
// address that is not a trusted proxy: what lies beyond it may be invented.
func forwardedFor(proxies []netip.Prefix, peer netip.Addr, headers []string) netip.Addr {
	for i := len(headers) - 1; i >= 0; i-- {
		hops := strings.Split(headers[i], ",")
		for j := len(hops) - 1; j >= 0; j-- {
			hop := strings.TrimSpace(hops[j])
			addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
			if err != nil {
				addr = peerAddr(hop)
			}
			if !addr.IsValid() {
				return peer
			}
			peer = addr.Unmap().WithZone("")
			if !trusts(proxies, peer) {
				return peer
			}
		}
	}
	return peer
}

func forwardedBase(h http.Header, scheme, host string) (string, string) {
	if p, _, _ := strings.Cut(h.Get("X-Forwarded-Proto"), ","); p == "http" || p == "https" {
		scheme = p
	}
	if f, _, _ := strings.Cut(h.Get("X-Forwarded-Host"), ","); validHost(strings.TrimSpace(f)) {
		host = strings.TrimSpace(f)
	}
	return scheme, host
}

// validHost accepts what can stand for a host and port in a URL.
func validHost(s string) bool {
	if s == "" || len(s) > 260 {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("-._:[]", c) < 0 {
			return false
		}
	}
	return true
}
