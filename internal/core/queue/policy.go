package queue

import "time"

// Policy is what bounds sending. Its methods are quick, are called with the
// queue's mutex held and never call back.
type Policy interface {
	// Sessions is how many sessions the lane may have now, 0 while it is
	// suspended or paused.
	Sessions(lane string) int
	// Take asks leave for n deliveries now: 0 means go, anything else how long
	// to wait before asking again. The queue asks for fewer when n are too many.
	Take(lane string, n int) time.Duration
	// TakeFlow asks leave for one delivery of a sender; above 0: not before
	// that time has passed. What it grants is used for this sender or lost.
	TakeFlow(accountID string, domainID int64, tag string) time.Duration
}

// unlimited is the policy without limits but that of sessions per lane.
type unlimited struct{}

func (unlimited) Sessions(string) int                          { return 20 }
func (unlimited) Take(string, int) time.Duration               { return 0 }
func (unlimited) TakeFlow(string, int64, string) time.Duration { return 0 }

// OrderKind is what to do with deliveries that get no attempt.
type OrderKind uint8

// The kinds of orders.
const (
	Expire OrderKind = iota + 1 // their time is over
	Bounce                      // they fail for good
	Drop                        // they end quietly
)

// Order is a final outcome decided without an attempt.
type Order struct {
	Kind   OrderKind
	Reason string // why, for the record
}

const (
	patient  = time.Minute      // a wait below this is spent in memory
	blindly  = 5 * time.Minute  // how long a lane without sessions is left alone when nobody says
	maxShut  = 15 * time.Minute // after this a lane without sessions is asked again
	maxWait  = 365 * 24 * time.Hour
	maxAgain = 15 * time.Minute // what is put off again and again is looked at this often at least
)

// Changed says that a limit of the lane has risen or its suspension has ended;
// "" means any lane, or a sender. What waits for it goes on, also what was put
// off. Policies call it from a goroutine of their own.
func (q *Queue) Changed(lane string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if lane != "" {
		q.reopen(lane)
		return
	}
	for name := range q.shut {
		q.reopen(name)
	}
	for _, l := range q.lanes {
		q.revive(l)
	}
	now := q.clock.Now()
	for s := range q.muted {
		if wait := q.opt.Policy.TakeFlow(s.account, s.domain, s.tag); wait > 0 {
			q.muted[s] = now.Add(min(wait, maxShut))
			continue
		}
		delete(q.muted, s)
		q.risen.senders[s] = struct{}{}
		poke(q.tend)
	}
}

// reopen lets a lane go on, and what was put off for it come back.
func (q *Queue) reopen(lane string) {
	if l := q.lanes[lane]; l != nil {
		q.revive(l)
	}
	if _, shut := q.shut[lane]; shut && q.opt.Policy.Sessions(lane) > 0 {
		delete(q.shut, lane)
		q.risen.lanes[lane] = struct{}{}
		poke(q.tend)
	}
}

// revive lets everything of l ask again.
func (q *Queue) revive(l *Lane) {
	l.until = time.Time{}
	stuck := l.stuck
	l.stuck = nil
	for _, f := range stuck {
		q.unblock(f)
	}
	q.staff(l, l.ready())
}

// risen is for whom a limit has risen since what was put off was looked at.
type risen struct {
	all     bool // also those not known
	lanes   map[string]struct{}
	senders map[sender]struct{}
}

func newRisen(all bool) risen {
	return risen{all, map[string]struct{}{}, map[sender]struct{}{}}
}

func (r risen) none() bool { return !r.all && len(r.lanes) == 0 && len(r.senders) == 0 }

// bar reports until when nothing of d's lane or sender can go, as a microsecond
// that is not after its deadline. It is known of those with a long wait only.
func (q *Queue) bar(d *Delivery) (until int64, barred bool) {
	if len(q.muted) == 0 && len(q.shut) == 0 {
		return 0, false
	}
	now := q.clock.Now()
	at, ok := q.shut[d.Lane]
	if t, muted := q.muted[d.sender()]; muted && t.After(at) {
		at, ok = t, true
	}
	wait := at.Sub(now)
	if !ok || wait <= 0 {
		return 0, false
	}
	return d.putOff(now, wait), true
}

// putOff returns until when d is put off that cannot go for the time wait.
// Deliveries that are put off again and again come back more and more rarely:
// limits let through a few of many.
func (d *Delivery) putOff(now time.Time, wait time.Duration) int64 {
	us := now.UnixMicro()
	if wait = min(wait, maxWait); d.wasDue != 0 {
		wait = max(wait, min(time.Duration(us-d.wasDue)*time.Microsecond/4, maxAgain))
	}
	return notAfter(us+wait.Microseconds(), d.Deadline, us)
}

// notAfter keeps a time to wait for within the deadline, or for what is past
// its deadline already within the minute after which it expires.
func notAfter(due, deadline, now int64) int64 {
	if deadline <= now {
		deadline = now + grace.Microseconds()
	}
	return min(due, deadline)
}
