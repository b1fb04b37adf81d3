package smtpd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postroad/internal/base/clock"
)

func TestLogins(t *testing.T) {
	c := clock.NewFake(time.Unix(1_000_000, 0))
	l := NewLogins(c)
	home, office := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("198.51.100.1/32")
	// guess tries a login until it is blocked, from one address or from many.
	guess := func(login string, from func(i int) netip.Prefix) int {
		for i := range 1000 {
			if !l.allow(login, from(i)) {
				return i
			}
			l.failed(login, from(i))
		}
		return 1000
	}
	l.succeeded("owner@ex.com", home)
	many := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
	}
	if n := guess("owner@ex.com", many); n != 20 {
		t.Errorf("%d guesses from many addresses", n)
	}
	if l.allow("owner@ex.com", office) || !l.allow("owner@ex.com", home) {
		t.Error("who guesses locks the owner out where they are known, or is let in elsewhere")
	}
	one := func(int) netip.Prefix { return office }
	if n := guess("nobody@ex.com", one); n != 20 {
		t.Errorf("%d guesses from one address", n)
	}
	for i := range 5 {
		if l.allow(fmt.Sprint(i, "@ex.com"), office) {
			t.Error("the address tries other logins")
		}
	}
	c.Advance(30 * time.Second)
	if n := guess("x@ex.com", one); n != 1 {
		t.Errorf("%d guesses after half a minute", n)
	}
	// Guesses made at once, before any of them failed, count as well.
	for range 500 {
		l.failed("y@ex.com", office)
	}
	c.Advance(20 * time.Minute)
	if l.allow("y@ex.com", office) {
		t.Error("hundreds at once are forgiven after minutes")
	}
	c.Advance(time.Hour)
	if !l.allow("y@ex.com", office) || !l.allow("owner@ex.com", office) {
		t.Error("blocked for ever")
	}
	if l.Stats.Succeeded.Load() != 1 || l.Stats.Failed.Load() != 541 || l.Stats.Blocked.Load() != 10 {
		t.Errorf("succeeded %d, failed %d, blocked %d", l.Stats.Succeeded.Load(), l.Stats.Failed.Load(), l.Stats.Blocked.Load())
	}
}
