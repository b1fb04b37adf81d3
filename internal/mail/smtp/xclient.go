package smtp

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// xclient is what one XCLIENT command says (Postfix's XCLIENT_README).
type xclient struct {
	addr netip.Addr // invalid when not given
	port uint16
	name string // "" when not given or not known
	helo string
}

// mayXclient reports whether the client may say who its own client is. What
// counts is the address before any XCLIENT.
func (ss *session) mayXclient() bool { return within(ss.cfg.XClientNetworks, ss.peer) }

// xclient makes the session one of the proxy's client, from the beginning: who
// was logged in is not any more. The limits of the new address apply.
func (ss *session) xclient(args string) {
	switch {
	case !ss.mayXclient():
		ss.protest(550, "5.7.0", "not authorized to use XCLIENT")
		return
	case ss.tx.open:
		ss.protest(503, "5.5.1", "a transaction is open")
		return
	}
	x, ok := parseXclient(args)
	if !ok {
		ss.protest(501, "5.5.4", "bad XCLIENT attribute")
		return
	}
	ss.forget()
	ss.name, ss.alias = x.name, x.helo
	if x.addr.IsValid() {
		proxy := ss.peer
		refusal := ss.srv.recount(ss, net.TCPAddrFromAddrPort(netip.AddrPortFrom(x.addr, x.port)), ss.local)
		ss.peer = proxy
		if refusal != "" {
			ss.srv.Stats.Refused.Add(1)
			ss.reply(421, "4.3.2", ss.cfg.Hostname+" "+refusal)
			ss.quit = true
			return
		}
	}
	ss.reply(220, "", ss.cfg.Hostname+" ESMTP")
}

// parseXclient reads the attributes. LOGIN is refused: it would make a client
// authenticated. So is an address that is not known, as its place would be taken
// by that of the proxy, which is trusted.
func parseXclient(args string) (xclient, bool) {
	var x xclient
	if strings.TrimSpace(args) == "" {
		return x, false
	}
	for f := range strings.FieldsSeq(args) {
		name, value, ok := strings.Cut(f, "=")
		if !ok || !x.set(strings.ToUpper(name), value) {
			return x, false
		}
	}
	return x, x.addr.IsValid() || x.port == 0
}

func (x *xclient) set(name, value string) bool {
	value, ok := decodeXtext(value)
	if !ok || value == "" || len(value) > maxDomain {
		return false
	}
	unknown := strings.EqualFold(value, "[UNAVAILABLE]") || strings.EqualFold(value, "[TEMPUNAVAIL]")
	switch name {
	case "ADDR":
		if len(value) > 5 && strings.EqualFold(value[:5], "IPV6:") {
			value = value[5:]
		}
		ip, err := netip.ParseAddr(value)
		x.addr = ip.Unmap()
		return err == nil && ip.Zone() == ""
	case "PORT":
		if unknown {
			return true
		}
		n, err := strconv.ParseUint(value, 10, 16)
		x.port = uint16(n)
		return err == nil
	case "NAME":
		if unknown {
			return true
		}
		_, rest, err := parseDomain(value)
		x.name = value
		return err == nil && rest == ""
	case "HELO":
		if unknown {
			return true
		}
		x.helo = value
		return validHELO(value)
	case "PROTO": // no decision depends on it
		return strings.EqualFold(value, "SMTP") || strings.EqualFold(value, "ESMTP")
	}
	return false
}
