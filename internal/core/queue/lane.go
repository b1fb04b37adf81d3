package queue

import (
	"context"
	"slices"
	"time"
)

// Lane is one destination's share of the window.
type Lane struct {
	Name string

	q        *Queue
	first    schedule // never tried
	again    schedule // retries
	turn     int      // hands out a retry every fourth time while both wait
	held     int      // reserved in the window: waiting, in sessions, or being recorded
	retries  int      // of these
	sessions int
	leaving  int       // of these: told to end
	idle     []*waiter // sessions that wait for work, the latest last
	queued   bool      // in hungry or wanting
	grant    int       // how often its only session may still take work while others are hungry
	until    time.Time // the policy lets nothing go before
	stuck    []*flow   // flows whose sender may not send now
	recent   *flow     // the flow looked up last

	guests  int                 // deliveries of it that were let in beyond its share
	starved bool                // something found no room here
	missed  map[string]struct{} // destinations of what found none

	unknown   bool        // stands for a destination whose lane is not known yet
	asked     bool        // being resolved or in line for it
	pending   []*Delivery // wait for the lane to be known
	idleSince time.Time   // since when the policy lets it have no sessions; zero when it does
}

// quantum is how many turns a lane's only session gets while others wait.
const quantum = 20

// waiter is a session that waits for work.
type waiter struct {
	lane *Lane
	wake chan struct{} // closed when there is work, or the place is needed
}

// ready returns how many deliveries could be taken now if the policy agrees.
func (l *Lane) ready() int { return l.first.n + l.again.n }

func (l *Lane) schedule(retry bool) *schedule {
	if retry {
		return &l.again
	}
	return &l.first
}

// limited reports whether the policy has said that nothing may go now.
func (l *Lane) limited() bool {
	return !l.until.IsZero() && l.q.clock.Now().Before(l.until)
}

// push makes held deliveries ready for their lanes' sessions. They come in one
// call so that recipients of one message are taken together.
func (q *Queue) push(list []*Delivery) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var l *Lane
	var last *Delivery
	n := 0 // transactions to make in l
	for _, d := range list {
		if d.place == nil {
			continue // it is not held any more
		}
		if at := d.place.key.lane; at != l {
			q.staff(l, n)
			l, n, last = at, 0, nil
		}
		if d.out = false; l.unknown {
			q.ask(l, d)
			continue
		}
		if last == nil || !last.shares(d) {
			n++
		}
		last = d
		q.ready(d)
	}
	q.staff(l, n)
}

// ready enters d in its flow.
func (q *Queue) ready(d *Delivery) {
	f := d.place
	f.add(d)
	if f.stuck {
		return
	}
	s := f.key.lane.schedule(d.retry)
	s.n++
	s.link(f, true)
}

// staff finds sessions for n new pieces of work in l.
func (q *Queue) staff(l *Lane, n int) {
	if n <= 0 || q.ctx == nil || l.ready() == 0 || l.limited() {
		return
	}
	most := q.may(l)
	for ; n > 0; n-- {
		switch {
		case len(l.idle) > 0:
			q.rouse(l.idle[len(l.idle)-1])
		case l.sessions >= most:
			return
		case q.place(l):
			q.start(l)
		default:
			q.enqueue(l)
			return
		}
	}
}

// may returns how many sessions the policy lets l have, and notes since when
// there are none.
func (q *Queue) may(l *Lane) int {
	n := q.opt.Policy.Sessions(l.Name)
	if n > 0 {
		l.idleSince = time.Time{}
	} else if l.idleSince.IsZero() {
		l.idleSince = q.clock.Now()
	}
	return n
}

// place reports whether there is a session for l. The last quarter is for
// lanes without one.
func (q *Queue) place(l *Lane) bool {
	most := q.opt.Sessions
	if l.sessions > 0 {
		most -= most / 4
	}
	return q.sessions < most
}

// enqueue puts l in turn for a session and asks an idle one of another lane to
// make room.
func (q *Queue) enqueue(l *Lane) {
	if l.queued {
		// A lane in line for another session that has lost its last one since
		// moves on to the line of those without.
		i := slices.Index(q.wanting, l)
		if l.sessions > 0 || i < 0 {
			return
		}
		q.wanting = slices.Delete(q.wanting, i, i+1)
	}
	l.queued = true
	if l.sessions == 0 {
		q.hungry = append(q.hungry, l)
	} else {
		q.wanting = append(q.wanting, l)
	}
	for w := range q.idle {
		q.rouse(w)
		return
	}
}

// rouse ends a session's wait: it looks for work and leaves if there is none.
func (q *Queue) rouse(w *waiter) {
	q.retire(w)
	close(w.wake)
}

// retire takes w out of the lists of those that wait.
func (q *Queue) retire(w *waiter) {
	delete(q.idle, w)
	for i, x := range w.lane.idle {
		if x == w {
			w.lane.idle = append(w.lane.idle[:i], w.lane.idle[i+1:]...)
			return
		}
	}
}

func (q *Queue) start(l *Lane) {
	q.sessions++
	l.sessions++
	l.grant = quantum
	ctx, session := q.ctx, q.session
	q.wg.Go(func() {
		defer q.ended(l)
		session(ctx, l)
	})
}

// ended gives the session's place to the next lane that waits for one.
func (q *Queue) ended(l *Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sessions--
	l.sessions--
	l.leaving = max(l.leaving-1, 0)
	for q.ctx != nil {
		w := q.next()
		if w == nil {
			break
		}
		if w.ready() > 0 && !w.limited() && w.sessions < q.may(w) {
			q.start(w)
			q.staff(w, w.ready()-1)
		}
	}
	if l.ready() > 0 { // came after the session had looked
		q.staff(l, 1)
	}
	q.tidy(l)
}

// next takes the lane whose turn it is out of the line, if it can have a
// session.
func (q *Queue) next() *Lane {
	for _, line := range []*[]*Lane{&q.hungry, &q.wanting} {
		if len(*line) > 0 && q.place((*line)[0]) {
			l := (*line)[0]
			*line = (*line)[1:]
			l.queued = false
			return l
		}
	}
	return nil
}

// yields reports whether a session of l has to make room for another lane:
// at once when the other has fewer sessions, by turns when both have one.
func (q *Queue) yields(l *Lane) bool {
	switch {
	case len(q.hungry) > 0:
		l.grant--
		return l.sessions > 1 || l.grant < 0
	case len(q.wanting) > 0:
		return q.wanting[0].sessions+1 < l.sessions
	}
	return false
}

// othersWait reports whether another lane than l has work and no session for
// it. A lane whose work was done by the sessions it has waits no longer: if its
// own sessions left on its account, each would be followed by a new one with a
// new connection.
func (q *Queue) othersWait(l *Lane) bool {
	for _, line := range []*[]*Lane{&q.hungry, &q.wanting} {
		for len(*line) > 0 && (*line)[0].ready() == 0 {
			(*line)[0].queued = false
			*line = (*line)[1:]
		}
		if len(*line) > 1 || len(*line) == 1 && (*line)[0] != l {
			return true
		}
	}
	return false
}

// Take returns the next deliveries of the lane: one, or up to limit of the
// same message that share a body. It waits a while for more work when there
// is none and returns nil when the session should end.
func (l *Lane) Take(ctx context.Context, limit int) []*Delivery {
	q := l.q
	got, w := q.take(l, limit, true)
	if w == nil {
		return got
	}
	timer, stop := q.clock.After(q.opt.Linger)
	defer stop()
	for {
		waits := true
		select {
		case <-w.wake:
		case <-timer:
			waits = false
		case <-q.quit:
			waits = false
		case <-ctx.Done():
			waits = false
		}
		q.mu.Lock()
		q.retire(w)
		q.mu.Unlock()
		if got, w = q.take(l, limit, waits); w == nil {
			return got
		}
	}
}

// take returns work, or a waiter if the session may wait for some.
func (q *Queue) take(l *Lane, limit int, wait bool) ([]*Delivery, *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx == nil {
		return nil, nil
	}
	may := q.may(l)
	if l.sessions-l.leaving > may || q.yields(l) {
		l.leaving++
		return nil, nil
	}
	if got := q.pop(l, limit, q.clock.Now()); got != nil {
		if l.sessions < may && l.ready() > 0 {
			q.staff(l, 1) // a limit may have kept it from having more
		}
		return got, nil
	}
	if !wait || q.othersWait(l) {
		l.leaving++
		return nil, nil
	}
	w := &waiter{lane: l, wake: make(chan struct{})}
	l.idle = append(l.idle, w)
	q.idle[w] = struct{}{}
	return nil, w
}

// Wait blocks for d on the queue's clock or until ctx ends.
func (l *Lane) Wait(ctx context.Context, d time.Duration) {
	c, stop := l.q.clock.After(d)
	defer stop()
	select {
	case <-c:
	case <-ctx.Done():
	}
}
