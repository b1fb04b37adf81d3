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
	first    []*Delivery // never tried
	again    []*Delivery // retries
	turn     int         // hands out a retry every fourth time while both wait
	held     int         // reserved in the window: waiting, in sessions, or being recorded
	retries  int         // of these
	sessions int
	idle     []*waiter // sessions that wait for work, the latest last
	queued   bool      // in hungry or wanting
	starved  bool      // something found no room here
	grant    int       // how often its only session may still take work while others are hungry
}

// quantum is how many turns a lane's only session gets while others wait.
const quantum = 20

// waiter is a session that waits for work.
type waiter struct {
	lane *Lane
	wake chan struct{} // closed when there is work, or the place is needed
}

func (q *Queue) lane(name string) *Lane {
	l := q.lanes[name]
	if l == nil {
		l = &Lane{Name: name, q: q}
		q.lanes[name] = l
	}
	return l
}

func (l *Lane) ready() int { return len(l.first) + len(l.again) }

// push makes held deliveries ready for their lanes' sessions. They come in one
// call so that recipients of one message are taken together.
func (q *Queue) push(list []*Delivery) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	groups := map[*Lane]int{} // transactions to make
	for _, d := range list {
		l := q.lane(d.Lane)
		to := &l.first
		if d.retry {
			to = &l.again
		}
		if n := len(*to); n == 0 || groups[l] == 0 || !(*to)[n-1].shares(d) {
			groups[l]++
		}
		*to = append(*to, d)
	}
	for l, n := range groups {
		q.staff(l, n)
	}
}

// staff finds sessions for n new pieces of work in l.
func (q *Queue) staff(l *Lane, n int) {
	if q.ctx == nil {
		return
	}
	for ; n > 0 && l.ready() > 0; n-- {
		switch {
		case len(l.idle) > 0:
			q.rouse(l.idle[len(l.idle)-1])
		case l.sessions >= max(1, q.opt.LaneSessions(l.Name)):
			return
		case q.place(l):
			q.start(l)
		default:
			q.enqueue(l)
			return
		}
	}
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
	q.settle(w)
	close(w.wake)
}

// settle takes w out of the lists of those that wait.
func (q *Queue) settle(w *waiter) {
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
	for q.ctx != nil {
		w := q.next()
		if w == nil {
			break
		}
		if w.ready() > 0 && w.sessions < max(1, q.opt.LaneSessions(w.Name)) {
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
		q.settle(w)
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
	if q.ctx == nil || q.yields(l) {
		return nil, nil
	}
	if got := l.pop(limit); got != nil {
		return got, nil
	}
	if !wait || q.othersWait(l) {
		return nil, nil
	}
	w := &waiter{lane: l, wake: make(chan struct{})}
	l.idle = append(l.idle, w)
	q.idle[w] = struct{}{}
	return nil, w
}

func (l *Lane) pop(limit int) []*Delivery {
	from := &l.first
	l.turn++
	if len(l.first) == 0 || len(l.again) > 0 && l.turn%4 == 0 {
		from = &l.again
	}
	list := *from
	if len(list) == 0 {
		return nil
	}
	n := 1
	for n < limit && n < len(list) && list[0].shares(list[n]) {
		n++
	}
	got := append([]*Delivery(nil), list[:n]...)
	clear(list[:n]) // the array lives on with the rest
	*from = list[n:]
	if len(*from) == 0 {
		*from = nil // let the array go
	}
	return got
}

// shares reports whether two deliveries can go in one SMTP transaction.
func (d *Delivery) shares(o *Delivery) bool {
	return d.MessageID == o.MessageID && d.Vars == "" && o.Vars == ""
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
