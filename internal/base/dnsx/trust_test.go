package dnsx

import (
	"net/netip"
	"testing"
)

func TestTrust(t *testing.T) {
	for addr, loopback := range map[string]bool{
		"127.0.0.1": true, "127.0.0.53": true, "::1": true, "::ffff:127.0.0.1": true,
		"192.0.2.53": false, "10.0.0.1": false, "169.254.1.1": false, "::": false, "0.0.0.0": false, "fe80::1": false,
	} {
		a := netip.MustParseAddr(addr)
		for mode, want := range map[string]bool{"": loopback, TrustAuto: loopback, TrustAlways: true, TrustNever: false} {
			if got, err := trust(mode, a); err != nil || got != want {
				t.Errorf("%s %q: %v, %v", addr, mode, got, err)
			}
		}
	}
}
