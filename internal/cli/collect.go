package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"postroad/internal/config"
)

// Bounds of the garbage a server lets lie. At full load the collector takes a
// sixth of the processor with Go's own setting; with four times what is in use
// that is a matter of some ten megabytes. When much is in use, as while a million
// deliveries are taken in, a multiple of it would be memory the mail needs.
const (
	gcPercent = 300       // of what is in use, before it is collected,
	gcRoom    = 128 << 20 // but not more than this
	gcLeast   = 40        // percent; less would have the collector run all the time
)

// collectSeldom sets the collector up for a server. GOGC in the environment goes
// before it; the memory limit bounds both where memory is short.
func collectSeldom(mode config.Mode) {
	if mode != config.Serve || os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	watchCollector(&collector{percent: gcPercent, set: debug.SetGCPercent})
}

// collector follows what is in use after each collection.
type collector struct {
	percent int
	set     func(percent int) int
}

// watchCollector has c look after each collection: an object that nothing refers
// to has its finalizer run then.
func watchCollector(c *collector) {
	type sentinel struct{ _ [16]byte }
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var again func(*sentinel)
	again = func(s *sentinel) {
		if metrics.Read(live); live[0].Value.Kind() == metrics.KindUint64 {
			c.collected(live[0].Value.Uint64())
		}
		runtime.SetFinalizer(s, again)
	}
	runtime.SetFinalizer(&sentinel{}, again)
}

// collected sets how much garbage may lie beside what is in use. Setting it stops
// the program for a moment, so small changes are let go.
func (c *collector) collected(live uint64) {
	want := percentFor(live)
	if d := want - c.percent; d*10 > c.percent || -d*10 > c.percent {
		c.percent = want
		c.set(want)
	}
}

// percentFor is the setting for so many bytes in use.
func percentFor(live uint64) int {
	return int(min(max(gcRoom*100/max(live, 1), gcLeast), gcPercent))
}
