package queue

import (
	"context"
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
	sessions int
	idle     int
	wanting  bool
	wake     chan struct{} // one token per delivery that an idle session may take
}

func (q *Queue) lane(name string) *Lane {
	l := q.lanes[name]
	if l == nil {
		l = &Lane{Name: name, q: q, wake: make(chan struct{}, 1)}
		q.lanes[name] = l
	}
	return l
}

// push makes a held delivery ready for the lane's sessions.
func (q *Queue) push(d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(d.Lane)
	if d.Attempt > 1 {
		l.again = append(l.again, d)
	} else {
		l.first = append(l.first, d)
	}
	q.staff(l)
}

// staff gives a lane with ready deliveries an idle or a new session.
func (q *Queue) staff(l *Lane) {
	ready := len(l.first) + len(l.again)
	if ready == 0 || q.ctx == nil {
		return
	}
	if l.idle > 0 {
		select {
		case l.wake <- struct{}{}:
		default:
		}
		if ready <= l.idle {
			return
		}
	}
	if l.sessions >= max(1, q.opt.LaneSessions(l.Name)) {
		return
	}
	if q.sessions < q.opt.Sessions {
		q.start(l)
		return
	}
	if !l.wanting {
		l.wanting = true
		q.wanting = append(q.wanting, l)
	}
}

func (q *Queue) start(l *Lane) {
	q.sessions++
	l.sessions++
	ctx, session := q.ctx, q.session
	q.wg.Go(func() {
		defer q.ended(l)
		session(ctx, l)
	})
}

// ended gives the session's place to a lane that waits for one.
func (q *Queue) ended(l *Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sessions--
	l.sessions--
	for len(q.wanting) > 0 && q.sessions < q.opt.Sessions && q.ctx != nil {
		w := q.wanting[0]
		q.wanting = q.wanting[1:]
		w.wanting = false
		if len(w.first)+len(w.again) > 0 {
			q.start(w)
		}
	}
	if l.sessions == 0 && len(l.first)+len(l.again) > 0 {
		q.staff(l)
	}
	if l.held == 0 && l.sessions == 0 {
		delete(q.lanes, l.Name)
	}
}

// Take returns the next deliveries of the lane: one, or up to limit of the
// same message that share a body. It waits a while for more work when there
// is none and returns nil when the session should end.
func (l *Lane) Take(ctx context.Context, limit int) []*Delivery {
	if got := l.pop(limit); got != nil {
		return got
	}
	if !l.lounge(1) {
		return nil
	}
	defer l.lounge(-1)
	timer, stop := l.q.clock.After(l.q.opt.Linger)
	defer stop()
	for {
		select {
		case <-l.wake:
			if got := l.pop(limit); got != nil {
				return got
			}
		case <-timer:
			return l.pop(limit)
		case <-l.q.quit:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// lounge counts idle sessions. A session may not idle while other lanes wait
// for its place.
func (l *Lane) lounge(n int) bool {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if n > 0 && (len(l.q.wanting) > 0 || l.q.ctx == nil) {
		return false
	}
	l.idle += n
	l.q.idle += n
	return true
}

func (l *Lane) pop(limit int) []*Delivery {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if l.q.ctx == nil {
		return nil
	}
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
	got := list[:n:n]
	*from = list[n:]
	if len(*from) == 0 {
		*from = nil // let the array go
	}
	if l.idle > 0 && len(l.first)+len(l.again) > 0 {
		select { // more than one delivery may have come with one token
		case l.wake <- struct{}{}:
		default:
		}
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
