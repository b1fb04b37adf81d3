package webhook

import (
	"container/heap"
	"math"
	"slices"
	"sync"
)

// never is the due time of a lane without waiting calls.
const never = math.MaxInt64

// lane is one receiver. It is in the scheduler's heap while it may claim, and
// in the parked list while it must wait for other troubled lanes.
type lane struct {
	name     string
	next     int64 // when its earliest known waiting call is due
	at       int64 // place in the heap: next, but not before its last turn
	turn     int64 // orders lanes of the same at by who waited longest
	index    int   // in the heap, -1 outside
	inflight int
	limit    int  // requests it may have in flight; grows from 1 with good answers
	troubled bool // did not answer, or slowly, when last asked
	parked   bool
}

// laneHeap orders lanes by at and turn.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].turn < h[j].turn
}
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop is for container/heap.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}

// outcome is what the end of an attempt tells of its lane.
type outcome struct {
	lane     string
	next     int64 // when the call is due again, 0 when it is finished
	troubled bool
}

// want is a lane's turn: up to n calls.
type want struct {
	lane *lane
	n    int
}

// schedule decides which lane may claim how many calls. It is plain memory,
// used by one goroutine.
type schedule struct {
	parallel    int // all requests
	perReceiver int
	lanes       map[string]*lane
	ready       laneHeap
	parked      []*lane
	turns       int64
	inflight    int
	troubled    int // requests in flight of troubled lanes
}

func newSchedule(parallel, perReceiver int) *schedule {
	return &schedule{parallel: parallel, perReceiver: min(perReceiver, parallel), lanes: map[string]*lane{}}
}

// due notes that a lane has a call due at the time given.
func (s *schedule) due(name string, at int64) {
	l := s.lanes[name]
	if l == nil {
		l = &lane{name: name, next: never, index: -1, limit: 1}
		s.lanes[name] = l
	}
	l.next = min(l.next, at)
	s.place(l)
}

// place puts a lane where its state says: into the heap when it has calls and
// room, out of memory when it has nothing at all.
func (s *schedule) place(l *lane) {
	if l.parked {
		return
	}
	if l.index >= 0 {
		heap.Remove(&s.ready, l.index)
	}
	switch {
	case l.next < never && l.inflight < l.limit:
		l.at = l.next
		heap.Push(&s.ready, l)
	case l.next == never && l.inflight == 0:
		delete(s.lanes, l.name)
	}
}

// troubledMax is the share of all requests that troubled lanes get together.
func (s *schedule) troubledMax() int { return max(1, s.parallel/2) }

// maxTurns bounds the lanes that claim in one transaction.
const maxTurns = 64

// pick takes the turns that may be had now and reserves their requests.
func (s *schedule) pick(now int64) []want {
	var out []want
	for len(out) < maxTurns && s.inflight < s.parallel && len(s.ready) > 0 && s.ready[0].at <= now {
		l := heap.Pop(&s.ready).(*lane)
		n := min(l.limit-l.inflight, s.parallel-s.inflight)
		if l.troubled {
			if n = min(n, s.troubledMax()-s.troubled); n <= 0 {
				l.parked = true
				s.parked = append(s.parked, l)
				continue
			}
		}
		s.reserve(l, n)
		out = append(out, want{l, n})
	}
	return out
}

func (s *schedule) reserve(l *lane, n int) {
	l.inflight += n
	s.inflight += n
	if l.troubled {
		s.troubled += n
	}
}

// settle ends a turn: got calls were claimed, next is when the lane has more.
func (s *schedule) settle(w want, got int, next, now int64) {
	s.reserve(w.lane, got-w.n)
	w.lane.next = next
	if next < now { // more is due: behind the lanes that have not had a turn
		w.lane.next = now
	}
	s.turns++
	w.lane.turn = s.turns
	s.place(w.lane)
}

// done ends one request.
func (s *schedule) done(o outcome) {
	l := s.lanes[o.lane]
	s.reserve(l, -1)
	if l.troubled != o.troubled {
		l.troubled = o.troubled
		if o.troubled {
			s.troubled += l.inflight
		} else {
			s.troubled -= l.inflight
		}
	}
	if !o.troubled {
		l.limit = min(2*l.limit, s.perReceiver)
	}
	if o.next > 0 {
		l.next = min(l.next, o.next)
	}
	s.unpark(l)
	s.place(l)
}

// unpark lets troubled lanes try again when there is room for them, those that
// waited longest first, and l if it is not troubled any more.
func (s *schedule) unpark(l *lane) {
	if l.parked && !l.troubled {
		i := slices.Index(s.parked, l)
		s.parked = slices.Delete(s.parked, i, i+1)
		l.parked = false
	}
	n := min(max(0, s.troubledMax()-s.troubled), len(s.parked))
	for _, p := range s.parked[:n] {
		p.parked = false
		s.place(p)
	}
	s.parked = slices.Delete(s.parked, 0, n)
}

// wait returns when the next lane may claim, never when only the end of a
// request can make room.
func (s *schedule) wait() int64 {
	if len(s.ready) == 0 || s.inflight >= s.parallel {
		return never
	}
	return s.ready[0].at
}

// wakes gathers the lanes that got new calls, for the scheduler to collect.
type wakes struct {
	mu sync.Mutex
	m  map[string]bool
	c  chan struct{} // holds one token while m is not empty
}

func (w *wakes) add(lane string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[string]bool{}
	}
	w.m[lane] = true
	select {
	case w.c <- struct{}{}:
	default:
	}
}

func (w *wakes) take() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.m
	w.m = nil
	return m
}
