package queue

import "time"

// sender is whom the sender's limits are for.
type sender struct {
	account string
	domain  int64
	tag     string
}

func (d *Delivery) sender() sender { return sender{d.AccountID, d.DomainID, d.Tag} }

// flowKey names a flow of a lane: what one sender has for it, first attempts
// and retries apart. A message to many is a flow of its own.
type flowKey struct {
	lane    *Lane
	account string
	tag     string
	domain  int64
	message int64 // of a message to many, else 0
	retry   bool
}

func (d *Delivery) flowKey(l *Lane) flowKey {
	k := flowKey{lane: l, account: d.AccountID, tag: d.Tag, domain: d.DomainID, retry: d.retry}
	if d.group > bulkAbove {
		k.message = d.MessageID
	}
	return k
}

// flow is the deliveries of a lane that take turns with those of other flows.
// It lives while any of them is held.
type flow struct {
	key    flowKey
	list   []*Delivery // ready ones from head on
	head   int
	held   int  // reserved: ready, in sessions, or being recorded
	paid   int  // leave of the policy that was not used yet
	credit int  // what it may hand out in its turn
	linked bool // in a list of its schedule
	fresh  bool // in that of flows that were idle
	large  bool // of a message to more than smallJob
	stuck  bool // the sender may not send now: in lane.stuck
	until  time.Time
	next   *flow
}

func (f *flow) len() int { return len(f.list) - f.head }

func (f *flow) add(d *Delivery) { f.list = append(f.list, d) }

// drop takes the first n out.
func (f *flow) drop(n int) {
	clear(f.list[f.head : f.head+n]) // the array lives on with the rest
	f.head += n
	switch {
	case f.head < len(f.list):
	case cap(f.list) > 64:
		f.list, f.head = nil, 0 // let the array go
	default:
		f.list, f.head = f.list[:0], 0
	}
}

// The turns of flows: deficit round-robin counted in deliveries, with flows
// that were idle before those that were not (RFC 8290 describes the scheme for
// packets). A transaction costs one and an eighth of a delivery for each
// recipient, because the recipients of one transaction share most of its work.
const (
	allotment = 16  // credit per turn, at least the cost of 100 recipients
	shareCost = 8   // recipients that cost as much as a transaction
	smallJob  = 100 // of a flow that was idle: more than that does not go first
)

// bulkAbove is how many deliveries of one message make it a flow of its own.
const bulkAbove = 10

// grouped notes how many deliveries of one message come together.
func grouped(list []*Delivery) {
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].MessageID == list[from].MessageID {
			to++
		}
		for _, d := range list[from:to] {
			d.group = int32(to - from)
		}
		from = to
	}
}

func cost(n int) int { return 1 + n/shareCost }

// flowList is a chain of flows.
type flowList struct{ head, tail *flow }

func (c *flowList) push(f *flow) {
	f.next = nil
	if c.head == nil {
		c.head = f
	} else {
		c.tail.next = f
	}
	c.tail = f
}

func (c *flowList) pop() *flow {
	f := c.head
	c.head, f.next = f.next, nil
	return f
}

// schedule is whose turn it is among the flows of a lane.
type schedule struct {
	fresh, old flowList
	n          int // ready deliveries, without those of stuck flows
	turn       int
}

// link enters a flow that has work. One that was idle comes first, once: when
// it runs out of work it stays in line, so that it cannot be idle again before
// the others had their turn.
func (s *schedule) link(f *flow, fresh bool) {
	if f.linked {
		return
	}
	f.linked, f.fresh = true, fresh
	if fresh {
		f.credit = allotment
		s.fresh.push(f)
	} else {
		s.old.push(f)
	}
}

// current returns the flow whose turn it is, nil when none has work. Small ones
// that were idle come first; every fourth turn goes to the others, however many
// those are.
func (q *Queue) current(s *schedule) *flow {
	for {
		from := &s.fresh
		if from.head == nil || s.old.head != nil && s.turn%4 == 3 {
			from = &s.old
		}
		f := from.head
		switch {
		case f == nil:
			return nil
		case f.stuck: // linked again when it may send
			from.pop()
			f.linked = false
		case f.len() == 0:
			from.pop()
			if f.fresh && s.old.head != nil {
				f.fresh = false
				s.old.push(f)
				continue
			}
			f.linked = false
			q.forget(f)
		case f.credit <= 0 || f.fresh && (f.large || f.len() > smallJob):
			from.pop()
			if f.credit <= 0 {
				f.credit += allotment
			}
			f.fresh = false
			s.old.push(f)
			s.turn++
		default:
			return f
		}
	}
}

// flow returns the flow of d in l.
func (q *Queue) flow(l *Lane, d *Delivery) *flow {
	k := d.flowKey(l)
	if f := l.recent; f != nil && f.key == k {
		return f
	}
	f := q.flows[k]
	if f == nil {
		if n := len(q.spare); n > 0 {
			f, q.spare = q.spare[n-1], q.spare[:n-1]
		} else {
			f = &flow{}
		}
		f.key = k
		q.flows[k] = f
	}
	l.recent = f
	return f
}

// forget ends a flow without deliveries.
func (q *Queue) forget(f *flow) {
	if f.held > 0 || f.linked || f.stuck {
		return
	}
	delete(q.flows, f.key)
	if l := f.key.lane; l.recent == f {
		l.recent = nil
	}
	list := f.list
	*f = flow{list: list[:0]}
	if len(q.spare) < 1024 {
		q.spare = append(q.spare, f)
	}
}

// pop takes what the lane hands out next: one delivery, or up to limit of a
// message that share a body.
func (q *Queue) pop(l *Lane, limit int, now time.Time) []*Delivery {
	if !l.until.IsZero() {
		if now.Before(l.until) {
			return nil
		}
		l.until = time.Time{}
	}
	l.turn++
	s, other := &l.first, &l.again
	if s.n == 0 || other.n > 0 && l.turn%4 == 0 {
		s, other = other, s
	}
	got := q.popFrom(l, s, limit, now)
	if got == nil && l.until.IsZero() {
		got = q.popFrom(l, other, limit, now)
	}
	return got
}

func (q *Queue) popFrom(l *Lane, s *schedule, limit int, now time.Time) []*Delivery {
	for s.n > 0 {
		f := q.current(s)
		if f == nil {
			return nil
		}
		if q.overdue(f.list[f.head], now) {
			q.expireAt(s, f)
			continue
		}
		n := min(limit, f.group(limit))
		for ; f.paid < n; f.paid++ {
			if wait := q.opt.Policy.TakeFlow(f.key.account, f.key.domain, f.key.tag); wait > 0 {
				if f.paid == 0 {
					q.block(s, f, now, wait)
				}
				break
			}
		}
		if n = min(n, f.paid); n == 0 {
			continue
		}
		if n = q.grant(l, n, now); n == 0 {
			return nil
		}
		got := make([]*Delivery, n)
		copy(got, f.list[f.head:])
		for _, d := range got {
			d.out = true
		}
		f.drop(n)
		f.paid -= n
		f.credit -= cost(n)
		s.n -= n
		s.turn++
		return got
	}
	return nil
}

// group returns how many of the first deliveries can go in one transaction.
func (f *flow) group(limit int) int {
	list := f.list[f.head:]
	n := 1
	for n < limit && n < len(list) && list[0].shares(list[n]) {
		n++
	}
	return n
}

// shares reports whether two deliveries can go in one SMTP transaction.
func (d *Delivery) shares(o *Delivery) bool {
	return d.MessageID == o.MessageID && d.Vars == "" && o.Vars == ""
}

// grant asks the lane's leave for n deliveries, or for fewer if so many are too
// many, and returns for how many it was given. Without any the lane waits.
func (q *Queue) grant(l *Lane, n int, now time.Time) int {
	for {
		wait := q.opt.Policy.Take(l.Name, n)
		if wait <= 0 {
			return n
		}
		if n == 1 {
			l.until = now.Add(min(wait, maxShut))
			q.alarm(l.until, l, nil)
			return 0
		}
		n /= 2
	}
}

// block sets a flow aside whose sender may not send for the time wait. What
// would occupy the window for long goes back to the table.
func (q *Queue) block(s *schedule, f *flow, now time.Time, wait time.Duration) {
	l := f.key.lane
	s.n -= f.len()
	f.stuck, f.until = true, now.Add(min(wait, maxShut))
	l.stuck = append(l.stuck, f)
	q.alarm(f.until, nil, f)
	if wait > patient {
		q.muted[sender{f.key.account, f.key.domain, f.key.tag}] = f.until
		q.setAside(f, wait)
	}
}

// setAside has everything ready of a stuck flow put off by wait.
func (q *Queue) setAside(f *flow, wait time.Duration) {
	for _, d := range f.list[f.head:] {
		d.out = true
		q.off = append(q.off, setOff{d: d, wait: wait})
	}
	if f.len() > 0 {
		f.drop(f.len())
		poke(q.tend)
	}
}

// unblock lets a flow take turns again.
func (q *Queue) unblock(f *flow) {
	l := f.key.lane
	for i, x := range l.stuck {
		if x == f {
			l.stuck = append(l.stuck[:i], l.stuck[i+1:]...)
			break
		}
	}
	f.stuck = false
	if f.len() == 0 {
		q.forget(f)
		return
	}
	s := l.schedule(f.key.retry)
	s.n += f.len()
	s.link(f, false)
}
