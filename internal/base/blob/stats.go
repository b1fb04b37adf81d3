package blob

import (
	"sync/atomic"
	"time"
)

// syncBuckets is the number of bounded buckets in Stats.SyncBuckets.
const syncBuckets = 12

// SyncBounds gives the upper bounds of the buckets of Stats.SyncBuckets.
func SyncBounds() [syncBuckets]time.Duration {
	const us, ms = time.Microsecond, time.Millisecond
	return [syncBuckets]time.Duration{
		100 * us, 250 * us, 500 * us, ms, 2500 * us, 5 * ms,
		10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, time.Second,
	}
}

// Stats are counters since the store was opened. They only grow.
type Stats struct {
	// Batches is the number of groups made durable, each with one sync.
	Batches uint64
	// Records and Bytes count what was acknowledged; Bytes includes headers.
	Records, Bytes uint64
	// Failures counts groups that could not be made durable.
	Failures uint64
	// Corrupt counts reads that found a damaged record.
	Corrupt uint64
	// SyncTime is the time spent in sync calls, in all.
	SyncTime time.Duration
	// SyncBuckets counts syncs by duration, bucket i holding those up to
	// SyncBounds()[i] and above the bound before; the last holds the rest.
	SyncBuckets [syncBuckets + 1]uint64
}

type counters struct {
	batches, records, bytes, failures, corrupt, syncNanos atomic.Uint64

	buckets [syncBuckets + 1]atomic.Uint64
}

func (c *counters) synced(took time.Duration) {
	c.syncNanos.Add(uint64(max(took, 0)))
	bounds := SyncBounds()
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	c.buckets[i].Add(1)
}

// Stats reads the counters. The values are each exact but not of one instant.
func (s *Store) Stats() Stats {
	c := &s.count
	out := Stats{
		Batches: c.batches.Load(), Records: c.records.Load(), Bytes: c.bytes.Load(),
		Failures: c.failures.Load(), Corrupt: c.corrupt.Load(),
		SyncTime: time.Duration(c.syncNanos.Load()),
	}
	for i := range c.buckets {
		out.SyncBuckets[i] = c.buckets[i].Load()
	}
	return out
}
