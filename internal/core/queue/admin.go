package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
)

// Selector names deliveries: those that match all its fields that are set. Lane
// is that a delivery is in, or would be in as far as is known now.
type Selector struct {
	Lane, Destination, AccountID, Tag, Recipient string
	DomainID, MessageID, DeliveryID              int64
}

// LaneInfo is the state of a lane in memory, or of a destination in the table.
type LaneInfo struct {
	Lane        string // "" of a destination in the table, or whose lane is being found
	Destination string // "" of a lane

	First, Again int // ready in memory: never tried, retries
	Blocked      int // in memory, and the sender may not send now
	Routing      int // in memory, and the lane is not known yet
	Held         int // in the window in all: also in sessions and being recorded
	Sessions     int

	// Since is when the oldest was accepted, in microseconds; 0 when there is none.
	Since int64
	// Destinations are some of those in a lane in memory, at most 50.
	Destinations []string

	Due, Deferred   int64 // in the table: due now, due later
	Oldest, NextDue int64 // microseconds, in the table: the earliest due time that is past, and that is not; 0 when none
}

// ageBounds are the ages, in minutes, that Group.Ages counts up to.
var ageBounds = [...]int64{5, 10, 20, 40, 80, 160, 320, 640}

// Group is a part of the queue.
type Group struct {
	Key    string
	Count  int64
	Oldest int64 // microseconds; when the oldest was accepted
	// Ages counts by the time since acceptance: less than 5, 10, 20, 40, 80, 160,
	// 320, 640 minutes, and more. Postfix: qshape.
	Ages [len(ageBounds) + 1]int64
}

// Limits of administration.
const (
	MaxList   = 1000 // deliveries List returns at a time
	MaxTop    = 1000 // groups Top returns
	adminPage = 500  // rows changed in one transaction
)

var topColumns = map[string]string{"destination": "destination", "domain": "domain_id", "account": "account_id", "tag": "tag"}

// Lanes returns the lanes in memory by name, then what waits in the table by
// destination. It reads an index of everything that waits.
func (q *Queue) Lanes(ctx context.Context) ([]LaneInfo, error) {
	out := q.inMemory()
	err := q.db.Read(ctx, func(tx *db.Tx) error {
		list, err := stand(tx, tx.Now)
		out = append(out, list...)
		return err
	})
	return out, err
}

func (q *Queue) inMemory() (out []LaneInfo) {
	q.mu.Lock()
	defer q.mu.Unlock()
	contents := q.contents()
	for _, l := range q.lanes {
		i := LaneInfo{Lane: l.Name, First: l.first.n, Again: l.again.n, Held: l.held, Sessions: l.sessions, Routing: len(l.pending)}
		for _, f := range l.stuck {
			i.Blocked += f.len()
		}
		if c := contents[l]; c != nil {
			i.Since, i.Destinations = ids.Time(c.first).UnixMicro(), c.destinations
		}
		if l.unknown {
			i.Lane, i.Destination = "", routeName(l.Name)
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b LaneInfo) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Destination, b.Destination))
	})
	return out
}

// content is what LaneInfo says of the deliveries in a lane.
type content struct {
	first        int64 // the lowest id
	destinations []string
}

// maxDestinations bounds LaneInfo.Destinations.
const maxDestinations = 50

// contents looks through the window. Called with mu held.
func (q *Queue) contents() map[*Lane]*content {
	out := make(map[*Lane]*content, len(q.lanes))
	for id, d := range q.mine {
		if d.place == nil {
			continue
		}
		l := d.place.key.lane
		c := out[l]
		if c == nil {
			c = &content{first: id}
			out[l] = c
		}
		c.first = min(c.first, id)
		if len(c.destinations) < maxDestinations && !slices.Contains(c.destinations, d.Destination) {
			c.destinations = append(c.destinations, d.Destination)
		}
	}
	for _, c := range out {
		slices.Sort(c.destinations)
	}
	return out
}

// Top returns the n largest parts of the queue by destination, domain, account
// or tag. It reads the whole table.
func (q *Queue) Top(ctx context.Context, by string, n int) (out []Group, err error) {
	column, ok := topColumns[by]
	if !ok {
		return nil, errs.New(errs.Invalid, "the queue is grouped by destination, domain, account or tag, not by %q", by)
	}
	err = q.db.Read(ctx, func(tx *db.Tx) error {
		out, err = groups(tx, column, tx.Now, min(max(n, 1), MaxTop))
		return err
	})
	return out, err
}

// List returns deliveries by id, those after an id, at most limit.
func (q *Queue) List(ctx context.Context, s Selector, after int64, limit int) (out []*Delivery, err error) {
	limit = min(max(limit, 1), MaxList)
	for len(out) < limit {
		var page []*Delivery
		if err := q.db.Read(ctx, func(tx *db.Tx) (err error) {
			page, err = selected(tx, s, after, limit)
			return err
		}); err != nil {
			return nil, err
		}
		q.locate(page)
		for _, d := range page {
			if s.lane(d) && len(out) < limit {
				out = append(out, d)
			}
		}
		if len(page) < limit {
			break
		}
		after = page[len(page)-1].ID
	}
	return out, nil
}

// locate sets the lane of deliveries: that they are in, or that they would get.
func (q *Queue) locate(list []*Delivery) {
	for _, d := range list {
		d.Lane = q.laneOf(d, true)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range list {
		if held := q.mine[d.ID]; held != nil && held.Lane != "" {
			d.Lane = held.Lane
		}
	}
}

func (s Selector) lane(d *Delivery) bool { return s.Lane == "" || s.Lane == d.Lane }

// matches is the selector for deliveries in memory.
func (s Selector) matches(d *Delivery) bool {
	text := func(want, have string) bool { return want == "" || want == have }
	number := func(want, have int64) bool { return want == 0 || want == have }
	return s.lane(d) && text(s.Destination, d.Destination) && text(s.AccountID, d.AccountID) && text(s.Tag, d.Tag) && text(s.Recipient, d.Recipient) &&
		number(s.DomainID, d.DomainID) && number(s.MessageID, d.MessageID) && number(s.DeliveryID, d.ID)
}

func (s Selector) check() error {
	if s == (Selector{}) {
		return errs.New(errs.Invalid, "say which deliveries: nothing was selected")
	}
	return nil
}

// Retry makes waiting deliveries due now and returns how many there were. What
// is in memory is due already.
func (q *Queue) Retry(ctx context.Context, s Selector) (total int64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	defer q.Wake()
	for after := int64(0); ; {
		n, size := int64(0), 0
		next := after
		if err := q.db.Write(ctx, func(tx *db.Tx) error {
			page, err := waiting(tx, s, after, adminPage)
			if err != nil {
				return err
			}
			if size = len(page); size > 0 {
				next = page[size-1].ID
			}
			n, err = hasten(tx, q.ofLane(s, page))
			return err
		}); err != nil {
			return total, fmt.Errorf("retrying: %w", err)
		}
		total += n
		if after = next; size < adminPage {
			return total, nil
		}
	}
}

// ofLane returns those of the list that are in the selector's lane.
func (q *Queue) ofLane(s Selector, list []*Delivery) (out []*Delivery) {
	if s.Lane == "" {
		return list
	}
	q.locate(list)
	for _, d := range list {
		if s.lane(d) {
			out = append(out, d)
		}
	}
	return out
}

// Order ends deliveries that no session has begun, in this program's window or
// in the table, and returns how many. What was accepted after it began stays.
func (q *Queue) Order(ctx context.Context, s Selector, o Order) (total int64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if q.opt.Settle == nil || o.Kind < Expire || o.Kind > Drop {
		return 0, errs.New(errs.Invalid, "deliveries can be expired, bounced or dropped")
	}
	last := ids.Floor(q.clock.Now()) + 1<<10
	picked := q.withdraw(func(d *Delivery) bool { return s.matches(d) })
	total, rest, err := q.settle(ctx, picked, o)
	q.push(rest)
	for after := int64(0); err == nil; {
		list, next, more, failed := q.seizePage(ctx, s, after, last)
		if failed != nil {
			return total, failed
		}
		var n int64
		n, rest, err = q.settle(ctx, list, o)
		total += n
		if err := q.setFree(ctx, rest); err != nil {
			return total, err
		}
		if after = next; !more {
			break
		}
	}
	return total, err
}

// seizePage holds the next page of what the selector matches beside the lanes.
func (q *Queue) seizePage(ctx context.Context, s Selector, after, last int64) (held []*Delivery, next int64, more bool, err error) {
	held, err = q.seize(ctx, func(tx *db.Tx) ([]*Delivery, error) {
		page, err := waiting(tx, s, after, adminPage)
		if err != nil {
			return nil, err
		}
		if more = len(page) == adminPage; len(page) > 0 {
			next = page[len(page)-1].ID
		}
		if next > last {
			more = false
		}
		return q.ofLane(s, page), nil
	})
	return held, next, more, err
}

// setFree gives back what was held beside the lanes and not settled.
func (q *Queue) setFree(ctx context.Context, list []*Delivery) error {
	if len(list) == 0 {
		return nil
	}
	return q.db.Group(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		for _, d := range list {
			q.giveBack(tx, d, d.Due, d.wasDue)
		}
		return nil
	})
}
