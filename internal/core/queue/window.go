package queue

import (
	"cmp"
	"slices"
)

// The window's room is shared by dynamic thresholds on what is free. From the
// upper half a lane may take while it holds less than half of what is free
// there, so that a lone busy lane gets a sixth of the window. From the lower
// half each lane gets little, and less the less is free: thousands of lanes
// that are stuck leave some room for the next one.
//
// Within a lane the last quarter is shared by the same rule among its flows,
// so that a large job leaves room for the small ones that come after it.

// room returns how many deliveries a lane may hold when held are in the window.
func (q *Queue) room(held int) int {
	free, half := q.opt.Window-held, max(1, q.opt.Window/2)
	if free <= 0 {
		return 0
	}
	left := float64(min(free, half)) / float64(half)
	basic := max(1, int(float64(q.opt.Window)/400*left*left))
	return min(q.opt.LaneWindow, max((free-half)/2, basic))
}

// hasRoom reports whether l may hold one more of what it holds limit at most.
// Retries get at most half of it, and what comes from the table leaves an eighth
// to what is accepted now.
func (l *Lane) hasRoom(limit int, retry, stored bool) bool {
	if retry && l.retries >= max(1, limit/2) {
		return false
	}
	if stored {
		limit -= limit / 8
	}
	return l.held < limit
}

// fits reports whether the flow may hold one more of the limit of its lane.
func (f *flow) fits(limit int) bool {
	held := f.key.lane.held
	return held < limit-limit/4 || f.held < max(1, (limit-held)/8)
}

// verdict is what becomes of a delivery that is due.
type verdict uint8

const (
	admitted verdict = iota // it holds room in the window
	refused                 // there is none
	barred                  // it may not go for long
)

// admit takes room in the window for d, whose Lane is set. stored means that d
// comes from the table. For what is barred it returns until when.
func (q *Queue) admit(d *Delivery, stored bool) (verdict, int64) {
	if q.paused {
		return refused, 0
	}
	if stored {
		if _, held := q.mine[d.ID]; held { // its return to the table is not noticed yet
			return refused, 0
		}
	}
	if until, no := q.bar(d); no {
		return barred, until
	}
	d.retry = d.Tries > 0
	l := q.lane(d)
	limit := q.room(len(q.mine))
	f := q.flow(l, d)
	if d.guest = false; !l.hasRoom(limit, d.retry, stored) || !f.fits(limit) {
		if d.guest = !stored && q.newcomer(d, f); !d.guest {
			q.miss(l, d)
			q.forget(f)
			return refused, 0
		}
	}
	q.hold(d, f)
	return admitted, 0
}

// newcomer reports whether d is the first of a flow that has nothing in the
// window. A few of them are let in although their lane has taken what it may,
// while the window has an eighth left: in the table they would be behind all that
// waits for the lane, however little they are.
func (q *Queue) newcomer(d *Delivery, f *flow) bool {
	l := f.key.lane
	return !d.retry && f.held == 0 && l.held < q.opt.LaneWindow && l.guests < max(1, q.opt.Window/guestShare) && len(q.mine) < q.opt.Window-q.opt.Window/8
}

// guestShare is the part of the window that a lane's guests may take.
const guestShare = 1000

// hold enters d in the window.
func (q *Queue) hold(d *Delivery, f *flow) {
	q.mine[d.ID] = d
	d.place, d.out = f, true
	f.held++
	f.large = f.large || d.group > smallJob
	l := f.key.lane
	l.held++
	if d.retry {
		l.retries++
	}
	if d.guest {
		l.guests++
	}
}

// miss notes that d found no room in l.
func (q *Queue) miss(l *Lane, d *Delivery) {
	q.starved = q.starved || len(q.mine) >= q.opt.Window
	if l.held == 0 { // nothing of it will be released
		q.tidy(l)
		return
	}
	l.starved = true
	q.full[l] = struct{}{}
	if l.missed == nil {
		l.missed = map[string]struct{}{}
	}
	if len(l.missed) < maxMissed {
		l.missed[d.Destination] = struct{}{}
	}
}

// maxMissed bounds the destinations a lane remembers; others are found by
// looking through the table.
const maxMissed = 10000

// release gives the room of d back. A delivery that is not held is ignored.
func (q *Queue) release(d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(d)
}

func (q *Queue) drop(d *Delivery) {
	held := q.mine[d.ID]
	if held == nil {
		return
	}
	delete(q.mine, d.ID)
	f := held.place
	if f == nil { // held beside the lanes
		return
	}
	l := f.key.lane
	q.unplace(held)
	q.forget(f)
	if q.relieved(l) {
		q.Wake()
	}
	q.tidy(l)
}

// unplace takes d off the accounts of its lane and flow.
func (q *Queue) unplace(d *Delivery) {
	f := d.place
	d.place = nil
	f.held--
	l := f.key.lane
	l.held--
	if d.retry {
		l.retries--
	}
	if d.guest {
		l.guests--
		d.guest = false
	}
}

// relieved reports whether there is room again, enough to be worth a look at
// the table, for something that found none.
func (q *Queue) relieved(l *Lane) bool {
	yes := false
	if q.starved && q.opt.Window-len(q.mine) >= max(1, q.opt.Window/16) {
		q.starved, yes = false, true
	}
	if l.starved && l.held <= q.room(len(q.mine))/4 {
		yes = true
		q.sated(l)
	}
	return yes
}

// sated has the loader look for what found no room in l.
func (q *Queue) sated(l *Lane) {
	for name := range l.missed {
		q.roomy[name] = struct{}{}
	}
	l.starved, l.missed = false, nil
	delete(q.full, l)
}

// unclaim gives back the room of deliveries whose claim was not committed.
// When the answer to a commit was lost the table may say otherwise; the
// heartbeat looks.
func (q *Queue) unclaim(list []*Delivery) {
	for _, d := range list {
		q.release(d)
	}
	q.mu.Lock()
	q.doubtful = true
	q.mu.Unlock()
}

// lane returns the lane of d, or what stands for its destination until the lane
// is known.
func (q *Queue) lane(d *Delivery) *Lane {
	name, unknown := d.Lane, false
	if name == "" {
		name, unknown = routeKey(d), true
	}
	l := q.lanes[name]
	if l == nil {
		l = &Lane{Name: name, q: q, unknown: unknown}
		q.lanes[name] = l
	}
	return l
}

// tidy forgets a lane without deliveries and sessions.
func (q *Queue) tidy(l *Lane) {
	if l.held > 0 || l.sessions > 0 || l.asked {
		return
	}
	if l.starved {
		q.sated(l)
	}
	delete(q.lanes, l.Name)
	q.current(&l.first) // unlinks flows that have nothing left
	q.current(&l.again)
	for _, f := range l.stuck {
		f.stuck = false
		q.forget(f)
	}
	l.stuck = nil
}

// withdraw takes what no session has begun and the function picks out of the
// lanes. It stays held until release.
func (q *Queue) withdraw(pick func(*Delivery) bool) []*Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.extract(pick)
}

func (q *Queue) extract(pick func(*Delivery) bool) (out []*Delivery) {
	touched := map[*flow]struct{}{}
	asking := map[*Lane]struct{}{}
	for _, d := range q.mine {
		if d.out || !pick(d) {
			continue
		}
		d.out = true
		out = append(out, d)
		if l := d.place.key.lane; l.unknown {
			asking[l] = struct{}{}
		} else {
			touched[d.place] = struct{}{}
		}
	}
	for f := range touched {
		n := f.len()
		f.list, f.head = staying(f.list[f.head:]), 0
		if !f.stuck {
			f.key.lane.schedule(f.key.retry).n -= n - f.len()
		}
	}
	for l := range asking {
		l.pending = staying(l.pending)
	}
	slices.SortFunc(out, func(a, b *Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// staying returns those that were not taken out, in a new array.
func staying(list []*Delivery) (rest []*Delivery) {
	for _, d := range list {
		if !d.out {
			rest = append(rest, d)
		}
	}
	return rest
}

// holds reports whether the delivery is in the window.
func (q *Queue) holds(id int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.mine[id]
	return ok
}
