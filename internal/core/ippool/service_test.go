package ippool

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
)

func sources(names ...string) (out []Source) {
	for i, n := range names {
		name, pool, _ := strings.Cut(n, "/")
		out = append(out, Source{Name: name, Pool: pool, V4: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	return out
}

func open(t testing.TB, c Config) *Service {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNoSources(t *testing.T) {
	s := open(t, Config{})
	src, ok := s.Pick("a", 1, "bulk", "mx:x.test")
	if local, can := src.Local(netip.MustParseAddr("2001:db8::1")); !ok || src.Name != "" || local.IsValid() || !can || !s.Single() {
		t.Errorf("%+v %v %v %v", src, ok, local, can)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		list []Source
		want string
	}{
		{sources("a", "a"), "two sources"},
		{sources("a@b"), "without spaces and @"},
		{sources(""), "without spaces and @"},
		{[]Source{{Name: "a"}}, "no address"},
	} {
		if _, err := New(Config{Sources: c.list}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.list, err)
		}
	}
}

// TestSpread: a domain keeps its source, domains spread by weight, and what a
// removed source had goes to the others without moving the rest.
func TestSpread(t *testing.T) {
	list := sources("a", "b", "c")
	list[2].Weight = 2
	all, less := open(t, Config{Sources: list}), open(t, Config{Sources: list[:2]})
	const n = 20000
	got := map[string]int{}
	for i := range int64(n) {
		src, ok := all.Pick("acc", i, "", "mx:x.test")
		again, _ := all.Pick("acc", i, Default, "mx:x.test")
		if !ok || again != src {
			t.Fatalf("domain %d: %s, then %s", i, src.Name, again.Name)
		}
		got[src.Name]++
		if other, _ := less.Pick("acc", i, "", "mx:x.test"); src.Name != "c" && other.Name != src.Name {
			t.Fatalf("domain %d moved from %s to %s because c was removed", i, src.Name, other.Name)
		}
	}
	for name, share := range map[string]float64{"a": .25, "b": .25, "c": .5} {
		if math.Abs(float64(got[name])/n-share) > .02 {
			t.Errorf("%s has %d of %d", name, got[name], n)
		}
	}
}

// TestBlocked: a blocked source is replaced and comes back.
func TestBlocked(t *testing.T) {
	now := clock.NewFake(time.Unix(1e9, 0))
	bad := map[string]time.Time{}
	s := open(t, Config{Sources: sources("a", "b", "c/other"), Clock: now, Usable: func(site, source string) (time.Time, string) {
		if until := bad[site+" "+source]; until.After(now.Now()) {
			return until, "listed"
		}
		return time.Time{}, ""
	}})
	first, _ := s.Pick("x", 7, "", "mx:x.test")
	bad["mx:x.test "+first.Name] = now.Now().Add(time.Hour)
	second, ok := s.Pick("x", 7, "", "mx:x.test")
	if !ok || second.Name == first.Name || second.Name == "c" {
		t.Fatalf("%s after %s, %v", second.Name, first.Name, ok)
	}
	if elsewhere, _ := s.Pick("x", 7, "", "mx:y.test"); bad["mx:y.test "+elsewhere.Name] != (time.Time{}) {
		t.Error("blocked at another site")
	}
	bad["mx:x.test "+second.Name] = now.Now().Add(time.Hour)
	if wait, ok := s.Pick("x", 7, "", "mx:x.test"); ok || wait.Name != first.Name {
		t.Errorf("all blocked: %s %v, want to wait for %s", wait.Name, ok, first.Name)
	}
	now.Advance(time.Hour)
	if back, ok := s.Pick("x", 7, "", "mx:x.test"); !ok || back.Name != first.Name {
		t.Errorf("afterwards %s %v", back.Name, ok)
	}
}

// TestGone: a pool or source that was removed is replaced by the default pool,
// and the log says so once.
func TestGone(t *testing.T) {
	var log bytes.Buffer
	s := open(t, Config{Sources: sources("a", "b/bulk"), Clock: clock.NewFake(time.Unix(1e9, 0)), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		if src, ok := s.Pick("x", 7, "gone", "mx:x.test"); !ok || src.Name != "a" {
			t.Fatalf("%s %v", src.Name, ok)
		}
		if src := s.Named("old", "x", 7, "mx:x.test"); src.Name != "a" {
			t.Fatalf("%s", src.Name)
		}
	}
	if src := s.Named("b", "x", 7, "mx:x.test"); src.Name != "b" {
		t.Fatalf("%s", src.Name)
	}
	if n := strings.Count(log.String(), "takes over"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	named := open(t, Config{Sources: sources("a/x", "b/y")}) // no default pool: all of them
	got := map[string]bool{}
	for i := range int64(64) {
		src, _ := named.Pick("x", i, "", "mx:x.test")
		got[src.Name] = true
	}
	if len(got) != 2 {
		t.Errorf("default pool: %v", got)
	}
}

// TestDaily: what is over the limit of the day goes out by the others, and when
// all are at theirs it still goes.
func TestDaily(t *testing.T) {
	now := clock.NewFake(time.Unix(1e9, 0))
	limit := NewDaily(now, func(source, site string) int {
		if source == "new" {
			return 10
		}
		return 0
	})
	s := open(t, Config{Sources: sources("new", "old"), Clock: now, Limiter: limit})
	count := func() (n int) {
		for i := range int64(100) {
			if src, _ := s.Pick("x", i, "", "mx:x.test"); src.Name == "new" {
				s.Count("new", "mx:x.test", 1)
				n++
			}
		}
		return n
	}
	if n := count(); n != 10 {
		t.Errorf("%d by the new one", n)
	}
	if n := count(); n != 0 || limit.Left("new", "mx:y.test") != 10 || limit.Left("old", "mx:x.test") != -1 {
		t.Errorf("%d more", n)
	}
	now.Advance(24 * time.Hour)
	if n := count(); n != 10 {
		t.Errorf("%d the next day", n)
	}
	alone := open(t, Config{Sources: sources("new"), Clock: now, Limiter: limit})
	if src, ok := alone.Pick("x", 1, "", "mx:x.test"); !ok || src.Name != "new" {
		t.Errorf("%s %v", src.Name, ok)
	}
}

func TestLocal(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	s := Source{Name: "a", V4: four}
	if a, ok := s.Local(netip.MustParseAddr("198.51.100.1")); !ok || a != four {
		t.Error(a, ok)
	}
	if _, ok := s.Local(six); ok {
		t.Error("an IPv4 source reaches IPv6")
	}
	if a, ok := s.Local(netip.MustParseAddr("::ffff:198.51.100.1")); !ok || a != four {
		t.Error(a, ok)
	}
}

func TestCheckLocal(t *testing.T) {
	here := []Source{{Name: "here", V4: netip.MustParseAddr("127.0.0.1")}}
	if err := CheckLocal(here); err != nil {
		t.Fatal(err)
	}
	err := CheckLocal(append(here, Source{Name: "far", V4: netip.MustParseAddr("203.0.113.77")}))
	if err == nil || !strings.Contains(err.Error(), "source far: this machine cannot send from 203.0.113.77") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v", err)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("mx%d", i))
			}
			s := open(b, Config{Sources: sources(names...)})
			b.ReportAllocs()
			for i := range b.N {
				s.Pick("0123456789abcdef", int64(i%100), "", "mx:mx1.example.com,mx2.example.com")
			}
		})
	}
}
