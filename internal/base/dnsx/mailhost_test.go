package dnsx_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
)

func unshuffled(int, func(i, j int)) {}

func reversed(n int, swap func(i, j int)) {
	for i := range n / 2 {
		swap(i, n-1-i)
	}
}

func TestMailHosts(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "two.example", "MX", "20 b.example.", "10 c.example.", "10 a.example.")
	z.Set(t, "alias.example", "CNAME", "two.example.")
	z.Set(t, "implicit.example", "A", "192.0.2.1")
	z.Set(t, "implicit6.example", "AAAA", "2001:db8::1")
	z.Set(t, "same.example", "MX", "20 a.example.", "10 A.example.", "30 a.example.")
	z.Set(t, "partly.example", "MX", "0 .", "5 192.0.2.7.", "10 a.example.")
	z.Set(t, "xn--bcher-kva.example", "MX", "10 a.example.")
	c := newClient(t, z)
	tests := []struct {
		domain  string
		shuffle dnsx.Shuffle
		want    []dnsx.Host
	}{
		{"two.example", unshuffled, []dnsx.Host{{Name: "a.example", Preference: 10}, {Name: "c.example", Preference: 10}, {Name: "b.example", Preference: 20}}},
		{"TWO.example.", reversed, []dnsx.Host{{Name: "c.example", Preference: 10}, {Name: "a.example", Preference: 10}, {Name: "b.example", Preference: 20}}},
		{"alias.example", unshuffled, []dnsx.Host{{Name: "a.example", Preference: 10}, {Name: "c.example", Preference: 10}, {Name: "b.example", Preference: 20}}},
		{"implicit.example", nil, []dnsx.Host{{Name: "implicit.example", Implicit: true}}},
		{"implicit6.example", nil, []dnsx.Host{{Name: "implicit6.example", Implicit: true}}},
		{"same.example", nil, []dnsx.Host{{Name: "a.example", Preference: 10}}},
		{"partly.example", nil, []dnsx.Host{{Name: "a.example", Preference: 10}}},
		{"b\u00fccher.example", nil, []dnsx.Host{{Name: "a.example", Preference: 10}}},
		{"[192.0.2.1]", nil, []dnsx.Host{{Name: "[192.0.2.1]", Addr: netip.MustParseAddr("192.0.2.1")}}},
		{"[IPv6:2001:db8::1]", nil, []dnsx.Host{{Name: "[IPv6:2001:db8::1]", Addr: netip.MustParseAddr("2001:db8::1")}}},
	}
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			got, err := dnsx.MailHosts(t.Context(), c, tt.domain, tt.shuffle)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compareAddr); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMailHostsErrors(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "null.example", "MX", "0 .")
	z.Set(t, "text.example", "TXT", "x")
	z.Set(t, "addresses.example", "MX", "1 192.0.2.1.", "2 .")
	z.Set(t, "half.example", "TXT", "x")
	z.Fail("broken.example", dns.RcodeServerFailure)
	c := newClient(t, z)
	sentinels := map[string]error{
		"null.example":         dnsx.ErrNullMX,
		"text.example":         dnsx.ErrNoMailHost,
		"addresses.example":    dnsx.ErrBadMX,
		"[192.0.2.1":           dnsx.ErrBadLiteral,
		"[":                    dnsx.ErrBadLiteral,
		"[]":                   dnsx.ErrBadLiteral,
		"[a.example]":          dnsx.ErrBadLiteral,
		"[2001:db8::1]":        dnsx.ErrBadLiteral,
		"[IPv6:192.0.2.1]":     dnsx.ErrBadLiteral,
		"[IPv6:fe80::1%eth0]":  dnsx.ErrBadLiteral,
		"[192.0.2.1].example]": dnsx.ErrBadLiteral,
	}
	for domain, want := range sentinels {
		if hosts, err := dnsx.MailHosts(t.Context(), c, domain, nil); !errors.Is(err, want) || hosts != nil {
			t.Errorf("%s: %v, %v; want %v", domain, hosts, err, want)
		}
	}
	kinds := map[string]dnsx.Kind{
		"nowhere.example": dnsx.NotFound,
		"broken.example":  dnsx.Temporary,
		"a b":             dnsx.BadName,
		"192.0.2.1":       dnsx.BadName,
	}
	for domain, want := range kinds {
		_, err := dnsx.MailHosts(t.Context(), c, domain, nil)
		var e *dnsx.Error
		if !errors.As(err, &e) || e.Kind != want {
			t.Errorf("%s: %v, want %v", domain, err, want)
		}
	}
}

func TestMailHostsLimit(t *testing.T) {
	z := dnstest.New()
	var values []string
	for i := range 120 {
		values = append(values, fmt.Sprintf("%d mx%d.example.", 120-i, i))
	}
	z.Set(t, "many.example", "MX", values...)
	hosts, err := dnsx.MailHosts(t.Context(), newClient(t, z), "many.example", nil)
	if err != nil || len(hosts) != dnsx.MaxMailHosts {
		t.Fatalf("%d hosts, %v", len(hosts), err)
	}
	for i, h := range hosts {
		if int(h.Preference) != i+1 {
			t.Fatalf("host %d has preference %d: not the best ones were kept", i, h.Preference)
		}
	}
}

// TestShuffleIsFair: over many calls each of the equal hosts comes first about as
// often as the others.
func TestShuffleIsFair(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "four.example", "MX", "1 a.example.", "1 b.example.", "1 c.example.", "1 d.example.", "2 z.example.")
	c := newClient(t, z)
	r := rand.New(rand.NewPCG(1, 1))
	first := map[string]int{}
	for range 4000 {
		hosts, err := dnsx.MailHosts(t.Context(), c, "four.example", r.Shuffle)
		if err != nil {
			t.Fatal(err)
		}
		if hosts[4].Name != "z.example" {
			t.Fatalf("last is %v", hosts[4])
		}
		first[hosts[0].Name]++
	}
	for _, name := range strings.Fields("a.example b.example c.example d.example") {
		if n := first[name]; n < 800 || n > 1200 {
			t.Errorf("%s came first %d times of 4000", name, n)
		}
	}
}
