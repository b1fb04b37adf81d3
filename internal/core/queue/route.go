package queue

import "strings"

// route sets the lane of each delivery, "" while it is not known.
func (q *Queue) route(list []*Delivery) {
	for _, d := range list {
		d.Lane = q.laneOf(d, q.opt.Resolve == nil)
	}
}

// laneOf returns the name of d's lane; with final set one is found in any case.
func (q *Queue) laneOf(d *Delivery, final bool) string {
	name, ok := d.Destination, q.opt.Route == nil
	if !ok {
		name, ok = q.opt.Route(d)
	}
	switch {
	case ok && name != "":
		return name
	case !ok && !final:
		return ""
	case d.Destination != "":
		return d.Destination
	}
	return nowhere
}

// nowhere is the lane of deliveries without a destination.
const nowhere = "."

// routeKey names what stands for a destination until its lane is known. No lane
// has such a name.
func routeKey(d *Delivery) string { return "\x00" + d.Destination + "\x00" + d.Pool }

// ask has d wait for its lane, and the lane found out.
func (q *Queue) ask(l *Lane, d *Delivery) {
	l.pending = append(l.pending, d)
	if !l.asked {
		l.asked = true
		q.asking = append(q.asking, l)
	}
	q.resolveNext()
}

// resolveNext starts as many calls of Resolve as there may be.
func (q *Queue) resolveNext() {
	for q.ctx != nil && q.resolving < q.opt.ResolveMax && len(q.asking) > 0 {
		l := q.asking[0]
		q.asking[0] = nil
		q.asking = q.asking[1:]
		if len(l.pending) == 0 { // all were taken away
			l.asked = false
			q.tidy(l)
			continue
		}
		q.resolving++
		probe := *l.pending[0]
		ctx := q.finding
		q.wg.Go(func() {
			q.opt.Resolve(ctx, &probe)
			q.resolved(l)
		})
	}
}

// resolved moves on what waited for l.
func (q *Queue) resolved(l *Lane) {
	q.mu.Lock()
	list := l.pending
	l.pending, l.asked = nil, false
	for _, d := range list {
		d.out = true // while the lanes are looked up
	}
	q.resolving--
	q.resolveNext()
	q.mu.Unlock()
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = q.laneOf(d, true)
	}
	q.mu.Lock()
	moved := list[:0]
	for i, d := range list {
		d.Lane = names[i]
		if q.move(d) {
			moved = append(moved, d)
		} else {
			q.off = append(q.off, setOff{d: d})
			poke(q.tend)
		}
	}
	q.tidy(l)
	q.mu.Unlock()
	q.push(moved)
}

// move takes room for a held delivery in its lane instead of where it is. When
// there is none it has to go back to the table.
func (q *Queue) move(d *Delivery) bool {
	l := q.lane(d)
	f := q.flow(l, d)
	if limit := q.room(len(q.mine)); !l.hasRoom(limit, d.retry, true) || !f.fits(limit) {
		q.forget(f)
		q.miss(l, d)
		return false
	}
	old := d.place
	q.unplace(d)
	q.hold(d, f)
	q.forget(old)
	return true
}

// routeName is the destination in a routeKey.
func routeName(key string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, "\x00"), "\x00")
	return name
}
