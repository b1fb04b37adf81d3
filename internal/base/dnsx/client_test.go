package dnsx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
)

// fakeClock is a time that only the test moves.
type fakeClock struct{ offset atomic.Int64 }

func (c *fakeClock) Now() time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(c.offset.Load()))
}

func (c *fakeClock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

func newClient(t *testing.T, z *dnstest.Zone, change ...func(*dnsx.Config)) *dnsx.Client {
	t.Helper()
	config := dnsx.Config{Servers: []string{z.Start(t)}}
	for _, f := range change {
		f(&config)
	}
	c, err := dnsx.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sampleZone(t *testing.T) *dnstest.Zone {
	z := dnstest.New()
	z.Set(t, "example.com", "MX", "10 mx1.example.com.", "5 MX2.Example.com.")
	z.Set(t, "mx1.example.com", "A", "192.0.2.1", "192.0.2.2")
	z.Set(t, "mx1.example.com", "AAAA", "2001:db8::1")
	z.Set(t, "mx2.example.com", "AAAA", "2001:db8::2")
	z.Set(t, "text.example.com", "TXT", "v=spf1 -all", strings.Repeat("long ", 100), `quote " back\slash `+"\x00\xff")
	z.Set(t, "www.example.com", "CNAME", "hop.example.com.")
	z.Set(t, "hop.example.com", "CNAME", "mx1.example.com.")
	z.Set(t, "lost.example.com", "CNAME", "nowhere.example.org.")
	z.Set(t, "loop.example.com", "CNAME", "pool.example.com.")
	z.Set(t, "pool.example.com", "CNAME", "loop.example.com.")
	z.Set(t, "xn--bcher-kva.example", "A", "192.0.2.9")
	z.Set(t, "null.example", "MX", "0 .")
	z.Set(t, "1.2.0.192.in-addr.arpa", "CNAME", "1.0/25.2.0.192.in-addr.arpa.") // RFC 2317
	z.Set(t, "1.0/25.2.0.192.in-addr.arpa", "PTR", "MX1.example.com.", `no\032host.example.com.`, ".", "also.example.com.")
	z.Set(t, "1."+strings.Repeat("0.", 23)+"8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "mx1.example.com.")
	z.Set(t, "2.2.0.192.in-addr.arpa", "PTR", ".")
	return z
}

func TestRecords(t *testing.T) {
	z := sampleZone(t)
	c := newClient(t, z)
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare=%v", bare), func(t *testing.T) {
			z.Bare(bare)
			c.Flush()
			mx, err := c.MX(t.Context(), "Example.COM.")
			check(t, err, mx, []dnsx.MX{{Name: "mx1.example.com", Preference: 10}, {Name: "mx2.example.com", Preference: 5}})
			mx, err = c.MX(t.Context(), "null.example")
			check(t, err, mx, []dnsx.MX{{}})
			texts, err := c.TXT(t.Context(), "text.example.com")
			check(t, err, texts, []string{"v=spf1 -all", strings.Repeat("long ", 100), `quote " back\slash ` + "\x00\xff"})
			name, err := c.CNAME(t.Context(), "www.example.com")
			check(t, err, name, "hop.example.com")
			names, err := c.PTR(t.Context(), netip.MustParseAddr("::ffff:192.0.2.1"))
			check(t, err, names, []string{"mx1.example.com", "also.example.com"})
			names, err = c.PTR(t.Context(), netip.MustParseAddr("2001:db8::1"))
			check(t, err, names, []string{"mx1.example.com"})
			checkAddrs(t, c, "www.example.com", "192.0.2.1 192.0.2.2", "2001:db8::1")
			checkAddrs(t, c, "mx2.example.com", "", "2001:db8::2")
			checkAddrs(t, c, "B\u00dccher.example", "192.0.2.9", "")
		})
	}
}

func TestPTRWithoutName(t *testing.T) {
	c := newClient(t, sampleZone(t))
	for addr, kind := range map[string]dnsx.Kind{"192.0.2.2": dnsx.NoData, "192.0.2.3": dnsx.NotFound} {
		names, err := c.PTR(t.Context(), netip.MustParseAddr(addr))
		var e *dnsx.Error
		if !errors.As(err, &e) || e.Kind != kind || names != nil {
			t.Errorf("%s: %q, %v", addr, names, err)
		}
	}
	if _, err := c.PTR(t.Context(), netip.Addr{}); !dnsx.IsNotFound(err) {
		t.Error(err)
	}
}

func check[T any](t *testing.T, err error, got, want T) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func checkAddrs(t *testing.T, r dnsx.Resolver, host, want4, want6 string) {
	t.Helper()
	v4, v6, err := r.Addrs(t.Context(), host)
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	check(t, nil, join(v4), want4)
	check(t, nil, join(v6), want6)
}

func join(addrs []netip.Addr) string {
	texts := make([]string, 0, len(addrs))
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

func TestFailures(t *testing.T) {
	z := sampleZone(t)
	z.Fail("broken.example", dns.RcodeServerFailure)
	z.Fail("refused.example", dns.RcodeRefused)
	z.Silence("silent.example")
	z.Set(t, "half.example", "A", "192.0.2.3")
	c := newClient(t, z, func(c *dnsx.Config) { c.Timeout = 50 * time.Millisecond })
	long := strings.Repeat("a", 64)
	tests := []struct {
		name string
		want dnsx.Kind
	}{
		{"nowhere.example.org", dnsx.NotFound},
		{"lost.example.com", dnsx.NotFound},
		{"mx1.example.com", dnsx.NoData},
		{"example", dnsx.NoData}, // exists because names below it do
		{"broken.example", dnsx.Temporary},
		{"refused.example", dnsx.Temporary},
		{"silent.example", dnsx.Temporary},
		{"loop.example.com", dnsx.NoData},
		{"", dnsx.BadName},
		{".", dnsx.BadName},
		{"a..b", dnsx.BadName},
		{"a b.example", dnsx.BadName},
		{"a\r\n.example", dnsx.BadName},
		{`a\.b.example`, dnsx.BadName},
		{long + ".example", dnsx.BadName},
		{strings.Repeat("a.", 127) + "a", dnsx.BadName},
		{strings.Repeat("\u00fc", 3000), dnsx.BadName},
		{"\u00ad\u200d.example", dnsx.BadName},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.20q", tt.name), func(t *testing.T) {
			records, err := c.MX(t.Context(), tt.name)
			var e *dnsx.Error
			if !errors.As(err, &e) || e.Kind != tt.want || records != nil {
				t.Fatalf("got %v, %v; want %v", records, err, tt.want)
			}
			if e.Type != "MX" || e.Kind != dnsx.BadName && (e.Name != tt.name || e.Server == "" && tt.name != "loop.example.com") {
				t.Errorf("incomplete error: %+v", e)
			}
			if dnsx.IsNotFound(err) == (tt.want == dnsx.Temporary) {
				t.Errorf("IsNotFound(%v) is wrong", err)
			}
		})
	}
}

func TestAddrsErrors(t *testing.T) {
	z := sampleZone(t)
	z.Fail("broken.example", dns.RcodeServerFailure)
	z.Set(t, "hollow.example", "A", `\# 0`) // records without an address in them
	z.Set(t, "hollow.example", "AAAA", `\# 0`)
	c := newClient(t, z)
	for name, want := range map[string]dnsx.Kind{
		"hollow.example":      dnsx.NoData,
		"nowhere.example.org": dnsx.NotFound,
		"example.com":         dnsx.NoData,
		"broken.example":      dnsx.Temporary,
	} {
		_, _, err := c.Addrs(t.Context(), name)
		var e *dnsx.Error
		if !errors.As(err, &e) || e.Kind != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestAliasLoopWithoutRecursion(t *testing.T) {
	z := sampleZone(t)
	z.Bare(true)
	c := newClient(t, z)
	_, err := c.MX(t.Context(), "loop.example.com")
	var e *dnsx.Error
	if !errors.As(err, &e) || e.Kind != dnsx.Temporary {
		t.Fatalf("got %v", err)
	}
	if n := z.Queries(t, "loop.example.com", "MX") + z.Queries(t, "pool.example.com", "MX"); n > 10 {
		t.Errorf("%d queries for a loop", n)
	}
}

func TestTruncatedGoesToTCP(t *testing.T) {
	z := sampleZone(t)
	z.Truncate(true)
	c := newClient(t, z)
	checkAddrs(t, c, "mx1.example.com", "192.0.2.1 192.0.2.2", "2001:db8::1")
	if z.TCPQueries() != 2 {
		t.Errorf("%d queries over TCP, want 2", z.TCPQueries())
	}
}

func TestLargeAnswer(t *testing.T) {
	z := dnstest.New()
	var values []string
	for i := range 200 {
		values = append(values, fmt.Sprintf("10 mail-exchanger-%d.example.net.", i))
	}
	z.Set(t, "large.example", "MX", values...)
	c := newClient(t, z)
	hosts, err := c.MX(t.Context(), "large.example")
	if err != nil || len(hosts) != 200 || z.TCPQueries() == 0 {
		t.Errorf("%d hosts, %d over TCP, %v", len(hosts), z.TCPQueries(), err)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	z := sampleZone(t)
	z.RefuseEDNS(true)
	c := newClient(t, z)
	checkAddrs(t, c, "mx2.example.com", "", "2001:db8::2")
}

func TestNextServer(t *testing.T) {
	broken := dnstest.New()
	broken.Fail("mx2.example.com", dns.RcodeServerFailure)
	good := sampleZone(t)
	c, err := dnsx.New(dnsx.Config{Servers: []string{broken.Start(t), good.Start(t)}})
	if err != nil {
		t.Fatal(err)
	}
	checkAddrs(t, c, "mx2.example.com", "", "2001:db8::2")
}

func TestCacheByAge(t *testing.T) {
	z := dnstest.New()
	z.SetTTL(300)
	z.Set(t, "a.example", "A", "192.0.2.1")
	z.Set(t, "a.example", "AAAA", "2001:db8::1")
	var clock fakeClock
	c := newClient(t, z, func(c *dnsx.Config) { c.Clock = clock.Now })
	checkAddrs(t, c, "a.example", "192.0.2.1", "2001:db8::1")
	z.Set(t, "a.example", "A", "192.0.2.2")
	clock.Advance(299 * time.Second)
	checkAddrs(t, c, "A.Example.", "192.0.2.1", "2001:db8::1")
	if n := z.Queries(t, "a.example", "A"); n != 1 {
		t.Errorf("%d queries within the TTL, want 1", n)
	}
	clock.Advance(time.Second)
	checkAddrs(t, c, "a.example", "192.0.2.2", "2001:db8::1")
	z.Set(t, "a.example", "A", "192.0.2.3")
	c.Flush()
	checkAddrs(t, c, "a.example", "192.0.2.3", "2001:db8::1")
}

func TestCacheOfAbsence(t *testing.T) {
	z := dnstest.New()
	z.SetTTL(60)
	var clock fakeClock
	c := newClient(t, z, func(c *dnsx.Config) { c.Clock = clock.Now })
	for range 3 {
		if _, err := c.TXT(t.Context(), "x.example"); !dnsx.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if n := z.Queries(t, "x.example", "TXT"); n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
	z.Set(t, "x.example", "TXT", "here")
	clock.Advance(time.Minute)
	texts, err := c.TXT(t.Context(), "x.example")
	check(t, err, texts, []string{"here"})
}

func TestFailureIsNotCached(t *testing.T) {
	z := sampleZone(t)
	z.Fail("mx2.example.com", dns.RcodeServerFailure)
	c := newClient(t, z)
	if _, _, err := c.Addrs(t.Context(), "mx2.example.com"); dnsx.IsNotFound(err) || err == nil {
		t.Fatal(err)
	}
	z.Fail("mx2.example.com", dns.RcodeSuccess)
	checkAddrs(t, c, "mx2.example.com", "", "2001:db8::2")
}

func TestZeroTTLIsNotCached(t *testing.T) {
	z := dnstest.New()
	z.SetTTL(0)
	z.Set(t, "a.example", "TXT", "one")
	c := newClient(t, z)
	for range 3 {
		if _, err := c.TXT(t.Context(), "a.example"); err != nil {
			t.Fatal(err)
		}
	}
	if n := z.Queries(t, "a.example", "TXT"); n != 3 {
		t.Errorf("%d queries, want 3", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	z := dnstest.New()
	for i := range 4 {
		z.Set(t, fmt.Sprintf("n%d.example", i), "TXT", "x")
	}
	c := newClient(t, z, func(c *dnsx.Config) { c.CacheSize = 2 })
	for _, i := range []int{0, 1, 0, 2, 0, 1} { // 2 displaces 1, not 0
		if _, err := c.TXT(t.Context(), fmt.Sprintf("n%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{1, 2, 1} {
		if n := z.Queries(t, fmt.Sprintf("n%d.example", i), "TXT"); n != want {
			t.Errorf("n%d asked %d times, want %d", i, n, want)
		}
	}
}

func TestOneExchangeForManyCallers(t *testing.T) {
	z := dnstest.New()
	z.SetTTL(0) // so that only the shared exchange can save queries
	z.Set(t, "slow.example", "TXT", "x")
	end := z.Silence("slow.example")
	c := newClient(t, z, func(c *dnsx.Config) { c.Timeout = 200 * time.Millisecond; c.Attempts = 20 })
	given, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.TXT(given, "slow.example")
		first <- err
	}()
	for z.Queries(t, "slow.example", "TXT") == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if texts, err := c.TXT(t.Context(), "slow.example"); err != nil || len(texts) != 1 {
				t.Errorf("got %v, %v", texts, err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("caller that gave up got %v", err)
	}
	end()
	wg.Wait()
	// Late callers may need exchanges of their own, but not one each.
	if n := z.Queries(t, "slow.example", "TXT"); n > 25 {
		t.Errorf("%d queries for 51 callers", n)
	}
}

func TestContextEnds(t *testing.T) {
	z := dnstest.New()
	z.Silence("silent.example")
	c := newClient(t, z, func(c *dnsx.Config) { c.Timeout = 5 * time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := c.Addrs(ctx, "silent.example"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := c.MX(ctx, "silent.example"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	for _, server := range []string{"", "127.0.0.1", "localhost:53", "127.0.0.1:99999"} {
		if _, err := dnsx.New(dnsx.Config{Servers: []string{server}}); err == nil {
			t.Errorf("server %q was taken", server)
		}
	}
}

func TestSystemServers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if _, err := dnsx.SystemServers(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("search example.com\n")
	if _, err := dnsx.SystemServers(file); err == nil {
		t.Error("a file without servers was taken")
	}
	write("# comment\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n")
	servers, err := dnsx.SystemServers(file)
	check(t, err, servers, []string{"192.0.2.53:53", "[2001:db8::53]:53"})
}

func TestASCIIName(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM.":                    "example.com",
		"s1._domainkey.example.com":       "s1._domainkey.example.com",
		"stra\u00dfe.example":             "xn--strae-oqa.example",
		"\u4f8b\u3048.\u30c6\u30b9\u30c8": "xn--r8jz45g.xn--zckzah",
	} {
		got, err := dnsx.ASCIIName(in)
		check(t, err, got, want)
	}
}

func FuzzASCIIName(f *testing.F) {
	for _, s := range []string{"example.com", "B\u00fccher.example.", "_dmarc.x", "\u200d.x", "xn--a.b", strings.Repeat("a.", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := dnsx.ASCIIName(s)
		if err != nil {
			if !dnsx.IsNotFound(err) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if _, ok := dns.IsDomainName(name); !ok || len(name) > 253 || strings.ContainsAny(name, " \r\n\\\x00") {
			t.Fatalf("%q became %q", s, name)
		}
		again, err := dnsx.ASCIIName(name)
		if err != nil || again != name {
			t.Fatalf("%q became %q, then %q, %v", s, name, again, err)
		}
	})
}

var compareAddr = cmpopts.EquateComparable(netip.Addr{})
