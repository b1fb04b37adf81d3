package deliver

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/recent"
)

// How long a host or address that failed is tried after the others.
const (
	troubleFirst = time.Minute // doubled by each failure that follows
	troubleMost  = 15 * time.Minute
	doubtFor     = 30 * time.Second // as long as a connection to it hangs
)

// hosts remembers which hosts and addresses did not serve us lately, and which
// family of addresses does better. A host is never left out on that account,
// only tried last.
type hosts struct {
	clock  clock.Clock
	bad    *recent.Map[string, trouble] // by name or address, and source
	family *recent.Map[string, familyChoice]
	six    six
}

type trouble struct {
	fails int
	until time.Time
}

// familyChoice says that IPv4 came first in the last race to a host.
type familyChoice struct {
	until time.Time
}

func newHosts(c clock.Clock) *hosts {
	return &hosts{clock: c, bad: recent.New[string, trouble](4096), family: recent.New[string, familyChoice](4096)}
}

// key tells sources apart: a host may refuse one of our addresses only.
func key(what, source string) string {
	if source == "" {
		return what
	}
	return what + "@" + source
}

// failed puts a host or address behind the others, longer each time.
func (h *hosts) failed(what, source string) {
	k := key(what, source)
	t, _ := h.bad.Get(k)
	t.fails = min(t.fails+1, 16)
	t.until = h.clock.Now().Add(min(troubleFirst<<(t.fails-1), troubleMost))
	h.bad.Put(k, t)
}

// doubt puts what lets a connection hang behind the others for the next ones,
// before it is known how that one ends.
func (h *hosts) doubt(what, source string) {
	k := key(what, source)
	t, _ := h.bad.Get(k)
	if until := h.clock.Now().Add(doubtFor); t.until.Before(until) {
		t.until = until
		h.bad.Put(k, t)
	}
}

func (h *hosts) well(what, source string) {
	k := key(what, source)
	if _, ok := h.bad.Get(k); ok {
		h.bad.Drop(k)
	}
}

func (h *hosts) suspect(what, source string) bool {
	t, ok := h.bad.Get(key(what, source))
	return ok && h.clock.Now().Before(t.until)
}

// order returns the hosts in the order to try: by preference, equals in the
// order that shuffle makes, those that failed lately last.
func (h *hosts) order(list []dnsx.Host, source string, shuffle dnsx.Shuffle) []dnsx.Host {
	if len(list) == 1 {
		return list
	}
	out := slices.Clone(list)
	shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b dnsx.Host) int { return cmp.Compare(a.Preference, b.Preference) })
	last := make([]dnsx.Host, 0, len(out))
	rest := out[:0]
	for _, x := range out {
		if h.suspect(x.Name, source) {
			last = append(last, x)
		} else {
			rest = append(rest, x)
		}
	}
	return append(rest, last...)
}

// addrs orders the addresses of a host: families by turns, IPv6 first unless
// IPv4 did better here lately or IPv6 seems to lead nowhere, those that failed
// lately last.
func (h *hosts) addrs(host, source string, v4, v6 []netip.Addr) []netip.Addr {
	first, second := v6, v4
	if c, ok := h.family.Get(host); ok && h.clock.Now().Before(c.until) || h.six.dead(h.clock.Now()) {
		first, second = v4, v6
	}
	if len(first)+len(second) == 1 {
		return append(first[:len(first):len(first)], second...)
	}
	good1, bad1 := h.part(first, source)
	good2, bad2 := h.part(second, source)
	out := append(interleave(good1, good2), interleave(bad1, bad2)...)
	return out[:min(len(out), maxAddrs)]
}

// part tells addresses that failed lately from the others.
func (h *hosts) part(list []netip.Addr, source string) (good, bad []netip.Addr) {
	for _, a := range list {
		if h.suspect(a.String(), source) {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return good, bad
}

// interleave takes from the two lists by turns.
func interleave(a, b []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(a)+len(b))
	for i := 0; i < len(a) || i < len(b); i++ {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// raced remembers the outcome of a race between families.
func (h *hosts) raced(host string, winner netip.Addr, both bool) {
	if !winner.Is4() {
		h.six.works()
		if both {
			h.family.Drop(host)
		}
		return
	}
	if both {
		h.family.Put(host, familyChoice{h.clock.Now().Add(familyFor)})
	}
}

const (
	familyFor = 10 * time.Minute
	sixFor    = 5 * time.Minute // IPv6 comes last everywhere
	sixFails  = 5               // after that many failures without a success
)

// six remembers whether IPv6 leads anywhere at all.
type six struct {
	fails atomic.Int32
	until atomic.Int64 // nanoseconds
}

func (s *six) works() {
	if s.fails.Load() != 0 {
		s.fails.Store(0)
	}
	if s.until.Load() != 0 {
		s.until.Store(0)
	}
}

func (s *six) failed(now time.Time) {
	if s.fails.Add(1) >= sixFails {
		s.fails.Store(0)
		s.until.Store(now.Add(sixFor).UnixNano())
	}
}

func (s *six) dead(now time.Time) bool { return now.UnixNano() < s.until.Load() }
