package cli

import (
	"runtime"
	"testing"
)

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 300, 1 << 20: 300, 40 << 20: 300, 64 << 20: 200, 128 << 20: 100, 256 << 20: 50, 1 << 30: 40, 1 << 40: 40} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MB in use: %d %%, want %d", live>>20, got, want)
		}
	}
}

// TestCollectorIsWatched: each collection is seen, and only changes that matter
// are made.
func TestCollectorIsWatched(t *testing.T) {
	seen := make(chan int, 100)
	watchCollector(&collector{percent: 1, set: func(p int) int { seen <- p; return 1 }})
	for range 2 {
		runtime.GC()
	}
	if got := <-seen; got < gcLeast || got > gcPercent {
		t.Errorf("set to %d %%", got)
	}
	c := &collector{percent: 100, set: func(int) int { t.Error("a small change was made"); return 0 }}
	c.collected(125 << 20)
}
