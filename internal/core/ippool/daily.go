package ippool

import (
	"sync"
	"time"

	"postroad/internal/base/clock"
)

// maxCounted bounds the pairs of source and site that Daily counts.
const maxCounted = 50_000

// Daily is a Limiter that counts in memory, by the UTC day. A restart begins the
// day anew.
type Daily struct {
	clock clock.Clock
	limit func(source, site string) int // deliveries a day; 0 means no limit

	mu   sync.Mutex
	day  int64
	used map[pair]int
}

type pair struct{ source, site string }

// NewDaily returns a limiter with the limits that limit gives, 0 for none.
func NewDaily(c clock.Clock, limit func(source, site string) int) *Daily {
	return &Daily{clock: c, limit: limit, used: map[pair]int{}}
}

// Left implements Limiter.
func (d *Daily) Left(source, site string) int {
	limit := d.limit(source, site)
	if limit <= 0 {
		return -1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn()
	return max(0, limit-d.used[pair{source, site}])
}

// Count implements Limiter.
func (d *Daily) Count(source, site string, n int) {
	if d.limit(source, site) <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn()
	key := pair{source, site}
	if _, ok := d.used[key]; ok || len(d.used) < maxCounted {
		d.used[key] += n
	}
}

// turn forgets the day before.
func (d *Daily) turn() {
	if day := d.clock.Now().Unix() / int64(24*time.Hour/time.Second); day != d.day {
		d.day = day
		clear(d.used)
	}
}
