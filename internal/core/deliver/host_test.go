package deliver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/core/ippool"
)

func names(list []dnsx.Host) string {
	var out []string
	for _, h := range list {
		out = append(out, h.Name)
	}
	return strings.Join(out, " ")
}

// reverse shuffles in a way a test can foresee.
func reverse(n int, swap func(i, j int)) {
	for i := range n / 2 {
		swap(i, n-1-i)
	}
}

// TestHostOrder: by preference, equals as shuffled, those that failed lately last,
// longer each time, and only for the source that failed.
func TestHostOrder(t *testing.T) {
	now := clock.NewFake(time.Unix(1e9, 0))
	h := newHosts(now)
	list := []dnsx.Host{{Name: "a", Preference: 10}, {Name: "b", Preference: 10}, {Name: "c", Preference: 20}}
	check := func(source, want string) {
		t.Helper()
		if got := names(h.order(list, source, reverse)); got != want {
			t.Errorf("order %s, want %s", got, want)
		}
	}
	check("", "b a c")
	h.failed("b", "")
	check("", "a c b")
	check("other", "b a c")
	h.failed("a", "")
	h.failed("c", "")
	check("", "b a c") // all failed: as if none had
	now.Advance(troubleFirst)
	check("", "b a c")
	for range 10 {
		h.failed("b", "")
	}
	now.Advance(troubleMost - time.Second)
	check("", "a c b")
	now.Advance(time.Second)
	check("", "b a c")
	h.doubt("b", "")
	check("", "a c b")
	h.well("b", "")
	check("", "b a c")
	if names(list) != "a b c" {
		t.Errorf("the site's list was changed: %s", names(list))
	}
}

func TestAddressOrder(t *testing.T) {
	now := clock.NewFake(time.Unix(1e9, 0))
	h := newHosts(now)
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	v4, v6 := addrs("192.0.2.1", "192.0.2.2", "192.0.2.3"), addrs("2001:db8::1")
	check := func(want ...string) {
		t.Helper()
		got := h.addrs("mx", "", v4, v6)
		for i, a := range addrs(want...) {
			if i >= len(got) || got[i] != a {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
	check("2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	h.failed("192.0.2.1", "")
	check("2001:db8::1", "192.0.2.2", "192.0.2.3", "192.0.2.1")
	h.raced("mx", v4[1], true) // IPv4 was faster although it began later
	check("192.0.2.2", "2001:db8::1")
	now.Advance(familyFor)
	check("2001:db8::1")
	for range sixFails { // nothing answers by IPv6 anywhere
		h.six.failed(now.Now())
	}
	check("192.0.2.1", "2001:db8::1")
	h.raced("elsewhere", v6[0], false)
	check("2001:db8::1")
}

// TestRace: the first connection wins, a refusal begins the next at once, a panic
// is an error, and what comes too late is closed.
func TestRace(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	closed := make(chan struct{})
	late := &slowConn{closed: closed}
	one, _ := net.Pipe()
	for _, c := range []struct {
		name string
		dial func(ctx context.Context, addr string) (net.Conn, error)
		conn net.Conn
		err  string
	}{
		{"refused, then well", func(_ context.Context, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "192.0.2.1:") {
				return nil, errors.New("refused")
			}
			return one, nil
		}, one, ""},
		{"panic, then well", func(_ context.Context, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "192.0.2.1:") {
				panic("x")
			}
			return one, nil
		}, one, ""},
		{"both refused", func(context.Context, string) (net.Conn, error) { return nil, errors.New("refused") }, nil, "refused"},
		{"the loser is closed", func(ctx context.Context, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "192.0.2.1:") {
				<-ctx.Done()
				return late, nil
			}
			return one, nil
		}, one, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &Engine{clock: clock.System{}, hosts: newHosts(clock.System{})}
			e.Logger, e.Port = slog.New(slog.DiscardHandler), "25"
			e.Dial = func(ctx context.Context, _, addr string, _ netip.Addr) (net.Conn, error) { return c.dial(ctx, addr) }
			w := &wire{e: e, source: ippool.Source{}}
			conn, addr, err := w.race(context.Background(), "mx", []netip.Addr{a, b}, time.Minute)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || conn != c.conn || addr != b {
				t.Errorf("%v %v %v", conn, addr, err)
			}
		})
	}
	<-closed
}

// slowConn is a connection that comes too late.
type slowConn struct {
	net.Conn
	closed chan struct{}
}

func (c *slowConn) Close() error {
	close(c.closed)
	return nil
}

// TestTraceBounds: a reader that does not read loses lines and holds nobody up;
// too many readers are turned away.
func TestTraceBounds(t *testing.T) {
	var h Trace
	if h.watched() {
		t.Fatal("watched by nobody")
	}
	c, end := h.Subscribe(Filter{Lane: "mx:a"})
	for range 2 * traceBuffer {
		h.publish(&Line{Lane: "mx:a@src"})
		h.publish(&Line{Lane: "mx:ab"})
	}
	end()
	end()
	n := 0
	for range c {
		n++
	}
	if n != traceBuffer || h.watched() {
		t.Errorf("%d lines, still watched %v", n, h.watched())
	}
	for range maxReaders {
		_, end := h.Subscribe(Filter{})
		defer end()
	}
	if c, _ := h.Subscribe(Filter{}); len(c) != 0 {
		t.Error("a reader too many")
	} else if _, open := <-c; open {
		t.Error("a reader too many was let in")
	}
}

func BenchmarkTraceUnwatched(b *testing.B) {
	w := &wire{e: &Engine{}}
	w.e.Trace = &Trace{}
	b.ReportAllocs()
	for range b.N {
		w.line('C', "MAIL FROM:<a@b.example>")
	}
}
