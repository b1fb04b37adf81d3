package smtp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Sizes of a PROXY header (haproxy's proxy-protocol.txt, sections 2.1 and 2.2).
const (
	proxyMin1 = len("PROXY UNKNOWN\r\n")
	proxyMax1 = 107
	proxyHead = 16
	proxyMax2 = 2048 // addresses and TLVs; the specification expects all to fit in 536
)

// proxySignature begins a header of version 2.
var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// errProxyHeader is a connection of a proxy that does not begin as it must.
var errProxyHeader = errors.New("smtp: malformed PROXY header")

// proxied is what a header says; both addresses are invalid where it says that
// the connection is the proxy's own, or of a kind that has no addresses.
type proxied struct{ remote, local netip.AddrPort }

// readProxyHeader reads a header of either version and nothing behind it, since
// that may be TLS.
func readProxyHeader(r io.Reader) (proxied, error) {
	var b [proxyMax1]byte
	if _, err := io.ReadFull(r, b[:proxyMin1]); err != nil {
		return proxied{}, err
	}
	if bytes.HasPrefix(b[:], proxySignature) {
		return readProxy2(r, b[:proxyHead])
	}
	if !bytes.HasPrefix(b[:], []byte("PROXY ")) {
		return proxied{}, errProxyHeader
	}
	n := proxyMin1
	for ; b[n-1] != '\n'; n++ { // a short line, from a proxy only
		if n == len(b) {
			return proxied{}, errProxyHeader
		}
		if _, err := io.ReadFull(r, b[n:n+1]); err != nil {
			return proxied{}, err
		}
	}
	return parseProxy1(string(b[:n]))
}

func parseProxy1(line string) (proxied, error) {
	line, ok := strings.CutSuffix(line, crlf)
	f := strings.Split(line, " ")
	switch {
	case !ok || len(f) < 2 || f[0] != "PROXY":
		return proxied{}, errProxyHeader
	case f[1] == "UNKNOWN":
		return proxied{}, nil
	case len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6":
		return proxied{}, errProxyHeader
	}
	remote, ok1 := parseProxyAddr(f[2], f[4], f[1] == "TCP4")
	local, ok2 := parseProxyAddr(f[3], f[5], f[1] == "TCP4")
	if !ok1 || !ok2 {
		return proxied{}, errProxyHeader
	}
	return proxied{remote, local}, nil
}

func parseProxyAddr(host, port string, v4 bool) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(host)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || ip.Zone() != "" || ip.Is4() != v4 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), true
}

// readProxy2 reads a header of version 2, of which head holds the beginning.
func readProxy2(r io.Reader, head []byte) (proxied, error) {
	if _, err := io.ReadFull(r, head[proxyMin1:]); err != nil {
		return proxied{}, err
	}
	n := int(binary.BigEndian.Uint16(head[14:]))
	if head[12]>>4 != 2 || head[12]&15 > 1 || n > proxyMax2 {
		return proxied{}, errProxyHeader
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return proxied{}, err
	}
	if head[12]&15 == 0 { // LOCAL: the proxy itself, asking how we are
		return proxied{}, nil
	}
	size := 0
	switch head[13] {
	case 0x11:
		size = 4
	case 0x21:
		size = 16
	case 0x00: // UNSPEC
		return proxied{}, nil
	default:
		return proxied{}, errProxyHeader
	}
	if n < 2*size+4 {
		return proxied{}, errProxyHeader
	}
	end := func(addr, port []byte) netip.AddrPort {
		ip, _ := netip.AddrFromSlice(addr) // its length is right
		return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(port))
	}
	return proxied{end(body[:size], body[2*size:]), end(body[size:2*size], body[2*size+2:])}, nil
}

// admitted reads the header that a proxy must send, and applies the limits of
// the client's address. Where the header says nothing the proxy is the client.
func (ss *session) admitted(ctx context.Context) bool {
	if !within(ss.cfg.ProxyNetworks, ss.peer) {
		ss.srv.Stats.Accepted.Add(1)
		return true
	}
	ss.w.armRead(ss.cfg.Timeouts.Handshake)
	p, err := readProxyHeader(ss.w.raw)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			ss.warn("smtp PROXY header refused", "error", err)
		}
		ss.srv.Stats.Refused.Add(1)
		return false
	}
	if !p.remote.IsValid() {
		ss.srv.Stats.Accepted.Add(1)
		return true
	}
	refusal := ss.srv.recount(ss, net.TCPAddrFromAddrPort(p.remote), net.TCPAddrFromAddrPort(p.local))
	if refusal == "" {
		ss.srv.Stats.Accepted.Add(1)
		return true
	}
	ss.srv.Stats.Refused.Add(1)
	if !ss.cfg.ImplicitTLS {
		ss.reply(421, "4.3.2", ss.cfg.Hostname+" "+refusal)
		_ = ss.bw.Flush() // the connection ends either way
	}
	return false
}
