package queue

// The window's room is shared by dynamic thresholds on what is free. From the
// upper half a lane may take while it holds less than half of what is free
// there, so that a lone busy lane gets a sixth of the window. From the lower
// half each lane gets little, and less the less is free: thousands of lanes
// that are stuck leave some room for the next one.

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

// share returns how many more deliveries from the table the lane takes, at most
// half of its room being for retries.
func (q *Queue) share(l *Lane) int {
	limit := q.room(len(q.mine))
	return min(limit-l.held, max(1, limit/2)-l.retries)
}

// takes reports whether there is room for d.
func (q *Queue) takes(l *Lane, d *Delivery) bool {
	if d.retry {
		return q.share(l) > 0
	}
	return l.held < q.room(len(q.mine))
}

// reserve takes room in the window for d.
func (q *Queue) reserve(d *Delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.retry = d.Tries > 0
	if q.paused {
		return false
	}
	l := q.lane(d.Lane)
	if !q.takes(l, d) {
		l.starved = true
		q.starved = q.starved || len(q.mine) >= q.opt.Window
		q.tidy(l)
		return false
	}
	q.mine[d.ID] = struct{}{}
	l.held++
	if d.retry {
		l.retries++
	}
	return true
}

// release gives the room of d back. A delivery that is not held is ignored.
func (q *Queue) release(d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, held := q.mine[d.ID]; !held {
		return
	}
	delete(q.mine, d.ID)
	l := q.lanes[d.Lane]
	l.held--
	if d.retry {
		l.retries--
	}
	if q.relieved(l) {
		q.Wake()
	}
	q.tidy(l)
}

// relieved reports whether there is room again, enough to be worth a look at
// the table, for something that found none.
func (q *Queue) relieved(l *Lane) bool {
	held := len(q.mine)
	yes := false
	if q.starved && q.opt.Window-held >= max(1, q.opt.Window/16) {
		q.starved, yes = false, true
	}
	if l.starved && l.held <= q.room(held)/4 {
		l.starved, yes = false, true
		q.roomy[l.Name] = struct{}{}
	}
	return yes
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

// tidy forgets a lane without deliveries and sessions.
func (q *Queue) tidy(l *Lane) {
	if l.held == 0 && l.sessions == 0 {
		delete(q.lanes, l.Name)
	}
}

// withdraw takes what no session has begun of a domain out of the lanes. It
// stays held until release.
func (q *Queue) withdraw(domainID int64) (out []*Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		for _, list := range []*[]*Delivery{&l.first, &l.again} {
			rest := (*list)[:0:0]
			for _, d := range *list {
				if d.DomainID == domainID {
					out = append(out, d)
				} else {
					rest = append(rest, d)
				}
			}
			*list = rest
		}
	}
	return out
}

// holds reports whether the delivery is in the window.
func (q *Queue) holds(id int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.mine[id]
	return ok
}
