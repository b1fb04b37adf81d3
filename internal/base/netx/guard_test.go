package netx

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuardTable(t *testing.T) {
	tests := []struct {
		addr string
		ok   bool
	}{
		{"1.1.1.1", true}, {"8.8.8.8", true}, {"100.63.255.255", true}, {"100.128.0.1", true},
		{"172.15.255.255", true}, {"172.32.0.0", true}, {"192.167.255.255", true}, {"223.255.255.255", true},
		{"2606:4700:4700::1111", true}, {"2a00:1450:4001:81b::2004", true},
		// This host, loopback, unspecified.
		{"0.0.0.0", false}, {"0.1.2.3", false}, {"127.0.0.1", false}, {"127.255.255.254", false}, {"::1", false}, {"::", false},
		// Private, shared, link-local, unique local, site-local.
		{"10.0.0.1", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"192.168.1.1", false},
		{"100.64.0.1", false}, {"100.127.255.255", false}, {"169.254.0.1", false},
		{"fe80::1", false}, {"fe80::1%eth0", false}, {"fc00::1", false}, {"fd12:3456::1", false}, {"fec0::1", false},
		// Metadata services.
		{"169.254.169.254", false}, {"100.100.100.200", false}, {"192.0.0.192", false}, {"168.63.129.16", false}, {"fd00:ec2::254", false},
		// IPv4 within IPv6.
		{"::ffff:127.0.0.1", false}, {"::ffff:8.8.8.8", false}, {"::127.0.0.1", false}, {"64:ff9b::7f00:1", false},
		{"64:ff9b::808:808", false}, {"64:ff9b:1::a00:1", false}, {"2002:7f00:1::", false}, {"2002:808:808::", false},
		{"2001::1", false}, {"2001:0:4136:e378:8000:63bf:3fff:fdd2", false},
		// Multicast, reserved, documentation, benchmarking, broadcast.
		{"224.0.0.1", false}, {"239.255.255.255", false}, {"240.0.0.1", false}, {"255.255.255.255", false},
		{"192.0.2.1", false}, {"198.51.100.1", false}, {"203.0.113.1", false}, {"198.18.0.1", false}, {"192.88.99.1", false},
		{"ff02::1", false}, {"2001:db8::1", false}, {"3fff::1", false}, {"100::1", false}, {"5f00::1", false}, {"4000::1", false},
	}
	g := newGuard(false, nil)
	for _, tt := range tests {
		addr := netip.MustParseAddr(tt.addr)
		err := g.check("host.example", addr)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.addr, err)
		}
		var forbidden *ForbiddenAddressError
		if !tt.ok && (!errors.Is(err, ErrForbiddenAddress) || !errors.As(err, &forbidden) || forbidden.Addr != addr) {
			t.Errorf("%s: error does not name the address: %v", tt.addr, err)
		}
		if err := g.control("tcp", netip.AddrPortFrom(addr, 443).String(), nil); (err == nil) != tt.ok {
			t.Errorf("%s: control: %v", tt.addr, err)
		}
	}
	if err := g.control("tcp", "localhost:80", nil); err == nil {
		t.Error("control lets a name through")
	}
}

func TestGuardExceptions(t *testing.T) {
	g := newGuard(false, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")})
	for addr, ok := range map[string]bool{"10.1.2.3": true, "10.2.0.1": false, "fd00::1": true, "::ffff:10.1.2.3": false, "127.0.0.1": false, "1.1.1.1": true} {
		if err := g.check("", netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := newGuard(true, nil).check("", netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Errorf("private addresses allowed: %v", err)
	}
}
