package event

import (
	"context"
	"math"
	"slices"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/ids"
)

// settle is how long an event may take from its id to being visible: it gets
// the one before its transaction commits, so a later id can be seen first. A
// range that is open to the future looks again at what is younger, leaving out
// what it gave before.
const settle = 10 * time.Second

// pageRows is a page and its neighbours.
type pageRows struct {
	rows       []row
	next, prev token
}

// read finds the rows of a page. Pages of kind p and l are read against the
// direction of the range and turned round.
func (s *Service) read(ctx context.Context, domainID int64, t token) (*pageRows, error) {
	filter, err := t.filter()
	if err != nil {
		return nil, err
	}
	backward := t.Kind == prevPage || t.Kind == lastPage
	q := Query{DomainIDs: []int64{domainID}, From: t.From, To: t.To, Ascending: t.Asc != backward, Filter: filter, After: t.Cursor}
	seen := t.seen()
	f, err := s.find(ctx, q, t.Limit+len(seen))
	if err != nil {
		return nil, err
	}
	given := func(r row) bool { _, ok := slices.BinarySearch(seen, r.id); return ok }
	rows := f.out
	if len(seen) > 0 {
		rows = slices.DeleteFunc(slices.Clone(f.out), given)
	}
	upto, done := f.cursor(), f.done
	if len(rows) > t.Limit {
		rows, done = rows[:t.Limit], false
		upto = rows[t.Limit-1].id
	}
	p := &pageRows{rows: rows}
	if backward {
		slices.Reverse(p.rows)
		p.next, p.prev = s.around(t, p.rows, upto, done)
		return p, nil
	}
	p.next = s.after(t, p.rows, seen, upto, done)
	p.prev = before(t, p.rows, seen)
	return p, nil
}

// after is the page behind one that was read in the direction of the range.
func (s *Service) after(t token, rows []row, seen []int64, upto int64, done bool) token {
	n := t
	n.Kind, n.Seen = nextPage, nil
	if !t.Asc {
		n.Cursor = upto
		return n
	}
	if done {
		upto = math.MaxInt64
	}
	if t.To > 0 {
		upto = min(upto, t.To-1)
	}
	n.Cursor = max(t.Cursor, t.From-1, min(upto, s.settled()))
	var late []int64
	for _, id := range seen {
		if id > n.Cursor {
			late = append(late, id)
		}
	}
	for _, r := range rows {
		if r.id > n.Cursor {
			late = append(late, r.id)
		}
	}
	slices.Sort(late)
	n.setSeen(slices.Compact(late))
	return n
}

func (s *Service) settled() int64 {
	return ids.Floor(clock.FromMicro(s.now()).Add(-settle))
}

// before is the page ahead of one that was read in the direction of the range.
func before(t token, rows []row, seen []int64) token {
	p := t
	p.Kind, p.Seen = prevPage, nil
	switch {
	case len(rows) > 0:
		p.Cursor = rows[0].id
	case t.Kind == firstPage && t.Asc:
		p.Cursor = max(t.From, 1)
	case t.Kind == firstPage:
		p.Cursor = max(t.To-1, 1)
	case t.Asc:
		p.Cursor = max(t.Cursor, last(seen)) + 1
	default:
		p.Cursor = max(t.Cursor-1, 1)
	}
	return p
}

func last(ids []int64) int64 {
	if len(ids) == 0 {
		return 0
	}
	return ids[len(ids)-1]
}

// around gives the neighbours of a page that was read backward.
func (s *Service) around(t token, rows []row, upto int64, done bool) (next, prev token) {
	next, prev = t, t
	next.Seen, prev.Seen = nil, nil
	next.Kind, prev.Kind = nextPage, prevPage
	prev.Cursor = upto
	if len(rows) == 0 && done {
		prev.Cursor = max(t.Cursor, 1)
		if t.Kind == lastPage { // the range is empty
			prev = before(token{Kind: firstPage, From: t.From, To: t.To, Asc: t.Asc, Limit: t.Limit, Filter: t.Filter, Flat: t.Flat}, nil, nil)
		}
	}
	if len(rows) == 0 {
		next.Kind, next.Cursor = firstPage, 0
		return next, prev
	}
	next.Cursor = rows[len(rows)-1].id
	if t.Asc {
		// What is not settled is looked at again, but for what this page holds
		// and, since the cursor does not go behind its first row, all before.
		next.Cursor = min(next.Cursor, max(s.settled(), rows[0].id-1))
		var late []int64
		for _, r := range rows {
			if r.id > next.Cursor {
				late = append(late, r.id)
			}
		}
		next.setSeen(late)
	}
	return next, prev
}
