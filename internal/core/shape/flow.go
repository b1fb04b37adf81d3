package shape

import (
	"sync"
	"time"
)

// maxBuckets bounds the memory of senders' limits.
const maxBuckets = 20_000

// flows are the buckets of senders' limits.
type flows struct {
	mu      sync.Mutex
	buckets map[flowKey]*bucket
}

// flowKey is a rule and what it matched: a rule for "*" has a bucket for each.
type flowKey struct {
	rule  int64
	match string
}

// flowBurst is how far a sender may be ahead of the even pace: a tenth of the
// period, so that a limit per day allows a tenth of it at once.
func flowBurst(r *Rule) time.Duration { return r.Period / 10 }

// TakeFlow asks leave for one delivery of a sender: its account, its domain and
// the message's first tag. 0 means go, and the delivery is counted by every
// limit; otherwise it is how long to wait, at most an hour.
func (s *Service) TakeFlow(accountID string, domainID int64, tag string) time.Duration {
	rs := s.rules.Load()
	if len(rs.senders) == 0 {
		return 0
	}
	now := s.clock.Now()
	var wait time.Duration
	var room [8]flowBucket
	take := room[:0]
	s.flow.mu.Lock()
	defer s.flow.mu.Unlock()
	rs.flows(accountID, domainID, tag, func(r *Rule, match string) {
		switch {
		case r.expired(now):
		case r.Kind == Pause && r.ExpiresAt.IsZero():
			wait = maxWait
		case r.Kind == Pause:
			wait = max(wait, r.ExpiresAt.Sub(now))
		default:
			b := s.flow.bucket(flowKey{r.ID, match}, now)
			wait = max(wait, b.wait(now, flowBurst(r)))
			take = append(take, flowBucket{b, r})
		}
	})
	if wait > 0 {
		return bounded(wait)
	}
	for _, x := range take {
		x.take(now, 1, x.rule.rate(), flowBurst(x.rule))
	}
	return 0
}

type flowBucket struct {
	*bucket
	rule *Rule
}

// bucket returns a bucket, a level one if it was not used lately.
func (f *flows) bucket(k flowKey, now time.Time) *bucket {
	b := f.buckets[k]
	if b == nil {
		if len(f.buckets) >= maxBuckets {
			f.forget(now)
		}
		b = &bucket{}
		f.buckets[k] = b
	}
	return b
}

// forget drops the buckets that are level. If none is, all go: a limit that
// begins anew does less harm than memory without bound.
func (f *flows) forget(now time.Time) {
	for k, b := range f.buckets {
		if !b.due.After(now) {
			delete(f.buckets, k)
		}
	}
	if len(f.buckets) >= maxBuckets {
		clear(f.buckets)
	}
}
