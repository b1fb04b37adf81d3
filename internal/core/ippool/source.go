package ippool

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Default is the pool of sources without one, and of mail that asks for none.
const Default = "default"

// Source is where mail leaves from. The zero Source leaves the choice of the
// address to the operating system.
type Source struct {
	Name   string     // "" for the system's choice
	V4, V6 netip.Addr // addresses of this machine; one of them may be invalid
	HELO   string     // name to greet with, "" for the server's
	Pool   string     // "" means Default
	Weight int        // share of the pool's mail; 0 means 1
}

// Local returns the address to bind for a connection to a peer, invalid for the
// system's choice. ok is false when the source has no address of that family.
func (s *Source) Local(to netip.Addr) (local netip.Addr, ok bool) {
	if s.Name == "" {
		return netip.Addr{}, true
	}
	local = s.V4
	if to.Is6() && !to.Is4In6() {
		local = s.V6
	}
	return local, local.IsValid()
}

// addrs are the addresses the source has.
func (s *Source) addrs() (out []netip.Addr) {
	for _, a := range []netip.Addr{s.V4, s.V6} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// CheckLocal reports sources whose addresses this machine does not have, by
// binding each. It is for the start: a program that cannot send from its
// addresses says so at once instead of filling its queue.
func CheckLocal(list []Source) error {
	for i := range list {
		for _, a := range list[i].addrs() {
			l, err := net.Listen("tcp", net.JoinHostPort(a.String(), "0"))
			if err != nil {
				return fmt.Errorf("source %s: this machine cannot send from %s: %w; add the address to an interface or remove the source (addresses here: %s)",
					list[i].Name, a, err, machine())
			}
			if err := l.Close(); err != nil {
				return fmt.Errorf("source %s: %w", list[i].Name, err)
			}
		}
	}
	return nil
}

// machine lists the addresses of the interfaces, for messages.
func machine() string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return "unknown: " + err.Error()
	}
	out := make([]string, 0, len(list))
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p.Addr().String())
		}
	}
	return strings.Join(out, ", ")
}
