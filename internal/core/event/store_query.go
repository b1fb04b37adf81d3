package event

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// What one query may cost. A query that found nothing yet goes on for
// emptyFactor times as much: clients take an empty page for the end.
const (
	maxRows     = 200_000 // index rows passed over
	maxDocs     = 20_000  // documents decoded
	emptyFactor = 5
)

const (
	windowRows  = 20_000 // index rows searched by one statement
	batchDocs   = 256    // documents read by one statement
	unionSize   = 50     // domains in one statement
	maxFind     = 1000
	defaultFind = 100
)

// Query selects events.
type Query struct {
	DomainIDs []int64
	// From and To bound the event ids: From is the first, To is behind the
	// last; 0 leaves the end open. ids.Floor makes them of times.
	From, To  int64
	Ascending bool // oldest first
	Filter    Filter
	Limit     int // 0 means 100; at most 1,000
	// After is the Cursor of the page before; 0 begins at the start.
	After int64
}

// Page is a part of what a query selects, in its order.
type Page struct {
	Events []*Event // without Detail
	// Cursor is the id up to which events were looked at: After of the next page.
	Cursor int64
	// Done: there were no more events. Otherwise there may be more, even if the
	// page is not full or empty: what one query costs is bounded.
	Done bool
}

// Find returns a page of events.
func (s *Service) Find(ctx context.Context, q Query) (*Page, error) {
	f, err := s.find(ctx, q, min(max(q.Limit, 0), maxFind))
	if err != nil {
		return nil, err
	}
	p := &Page{Cursor: f.cursor(), Done: f.done, Events: make([]*Event, len(f.out))}
	for i, r := range f.out {
		e := &Event{ID: r.id, DomainID: r.domain, MessageID: r.message}
		if err := json.Unmarshal(r.text, &e.Doc); err != nil {
			return nil, fmt.Errorf("event %d: %w", r.id, err)
		}
		p.Events[i] = e
	}
	return p, nil
}

// row is an event as it lies in the store, its document unpacked.
type row struct {
	id, domain, message int64
	text                []byte
}

// finder walks through partitions. What is left to look at is [lo, hi).
type finder struct {
	s          *Service
	q          Query
	lo, hi     int64
	limit      int
	counting   bool
	count      int64
	out        []row
	done       bool
	rows, docs int
	day        Day // being read
}

func (s *Service) find(ctx context.Context, q Query, limit int) (*finder, error) {
	f := newFinder(s, q, limit)
	return f, f.run(ctx)
}

func newFinder(s *Service, q Query, limit int) *finder {
	if limit == 0 {
		limit = defaultFind
	}
	q.DomainIDs = slices.Compact(slices.Sorted(slices.Values(q.DomainIDs)))
	f := &finder{s: s, q: q, lo: max(q.From, 0), hi: q.To, limit: limit}
	if f.hi <= 0 {
		f.hi = math.MaxInt64
	}
	if q.After != 0 && q.Ascending {
		f.lo = max(f.lo, q.After+1)
	} else if q.After != 0 {
		f.hi = min(f.hi, q.After)
	}
	return f
}

// cursor is the last id looked at.
func (f *finder) cursor() int64 {
	if f.q.Ascending {
		return f.lo - 1
	}
	return f.hi
}

// examined notes that everything up to id, in the direction, was looked at.
func (f *finder) examined(id int64) {
	if f.q.Ascending {
		f.lo = id + 1
	} else {
		f.hi = id
	}
}

// run walks until the page is full, the cost is spent or the range ends.
func (f *finder) run(ctx context.Context) error {
	if f.done = f.empty(); f.done {
		return nil
	}
	return f.again(ctx, f.walk)
}

// empty reports whether the query can select nothing at all.
func (f *finder) empty() bool {
	return f.lo >= f.hi || len(f.q.DomainIDs) == 0 || f.q.Filter.never()
}

// again runs read until no partition was dropped under it.
func (f *finder) again(ctx context.Context, read func(*db.Tx) error) error {
	for {
		err := f.s.db.Read(ctx, read)
		if err == nil || ctx.Err() != nil {
			return err
		}
		gone, listErr := f.dropped(ctx)
		if listErr != nil || !gone {
			return err
		}
	}
}

// dropped reports whether the partition being read has left the list.
func (f *finder) dropped(ctx context.Context) (gone bool, err error) {
	err = f.s.db.Read(ctx, func(tx *db.Tx) error {
		list, err := partitions(tx)
		gone = f.day != 0 && !slices.Contains(list, f.day)
		return err
	})
	return gone, err
}

func (f *finder) walk(tx *db.Tx) error {
	days, err := partitions(tx)
	if err != nil {
		return err
	}
	if !f.q.Ascending {
		slices.Reverse(days)
	}
	for _, d := range days {
		lo, hi := max(f.lo, d.Start()), min(f.hi, d.end())
		if lo >= hi {
			continue
		}
		if f.day = d; f.stopped() {
			return nil
		}
		if f.q.Ascending {
			f.lo = lo
		} else {
			f.hi = hi
		}
		if stop, err := f.walkDay(tx, lo, hi); err != nil || stop {
			return err
		}
	}
	f.done = true
	return nil
}

// end returns the first id behind the day.
func (d Day) end() int64 {
	return ids.Floor(time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100+1, 0, 0, 0, 0, time.UTC))
}

// stopped reports whether the page is full or has cost enough.
func (f *finder) stopped() bool {
	if !f.counting && len(f.out) >= f.limit {
		return true
	}
	factor := 1
	if len(f.out) == 0 {
		factor = emptyFactor
	}
	return f.rows > factor*maxRows || f.docs > factor*maxDocs
}

// walkDay reads what [lo, hi) of one partition has, window by window.
func (f *finder) walkDay(tx *db.Tx, lo, hi int64) (stop bool, err error) {
	for lo < hi {
		if f.stopped() {
			return true, nil
		}
		from, to, err := f.window(tx, lo, hi)
		if err != nil {
			return false, err
		}
		for from < to {
			if from, to, err = f.batch(tx, from, to); err != nil {
				return false, err
			}
			if from < to && f.stopped() {
				return true, nil
			}
		}
		if f.q.Ascending {
			lo = to
		} else {
			hi = from
		}
	}
	return f.stopped(), nil
}

// window cuts [lo, hi) so that a search in the index passes over at most
// windowRows; without one there is nothing to pass over.
func (f *finder) window(tx *db.Tx, lo, hi int64) (from, to int64, err error) {
	if !f.q.Filter.selective() {
		return lo, hi, nil
	}
	n := max(windowRows/len(f.q.DomainIDs), 500)
	f.rows += n * len(f.q.DomainIDs)
	from, to = lo, hi
	err = f.each(tx, "id", "", " LIMIT 1 OFFSET "+strconv.Itoa(n), lo, hi, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		if f.q.Ascending {
			to = min(to, id+1)
		} else {
			from = max(from, id)
		}
		return err
	})
	return from, to, err
}

// batch reads the next documents of [from, to) and gives what is left of it.
func (f *finder) batch(tx *db.Tx, from, to int64) (int64, int64, error) {
	n := f.batchSize()
	var rows []row
	full := map[int64]int{}
	err := f.each(tx, "id, domain_id, message, doc", f.where(), " LIMIT "+strconv.Itoa(n), from, to, func(r *sql.Rows) error {
		var x row
		err := r.Scan(&x.id, &x.domain, &x.message, &x.text)
		rows = append(rows, x)
		full[x.domain]++
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	rows, cut := f.merge(rows, full, n)
	for _, r := range rows {
		if err := f.take(r); err != nil {
			return 0, 0, err
		}
		f.examined(r.id)
		if f.stopped() {
			return f.rest(from, to, r.id)
		}
	}
	if cut {
		return f.rest(from, to, rows[len(rows)-1].id)
	}
	if f.q.Ascending {
		f.examined(to - 1)
		return to, to, nil
	}
	f.examined(from)
	return from, from, nil
}

func (f *finder) rest(from, to, id int64) (int64, int64, error) {
	if f.q.Ascending {
		return id + 1, to, nil
	}
	return from, id, nil
}

// batchSize is the rows read of each domain.
func (f *finder) batchSize() int {
	n := batchDocs
	if f.q.Filter.onIndex() && !f.counting {
		n = min(f.limit-len(f.out), maxFind)
	}
	if k := len(f.q.DomainIDs); k > 1 {
		n = min(n, max(8, 2*n/k))
	}
	return max(n, 1)
}

// merge puts the rows of several domains in order. Behind the last row of a
// domain that has more, others are not known to come next: they are cut off.
func (f *finder) merge(rows []row, count map[int64]int, n int) (ordered []row, cut bool) {
	slices.SortFunc(rows, func(a, b row) int {
		if (a.id < b.id) == f.q.Ascending {
			return -1
		}
		return 1
	})
	seen := map[int64]int{}
	for i, r := range rows {
		if seen[r.domain]++; seen[r.domain] == n && count[r.domain] == n {
			return rows[:i+1], true
		}
	}
	return rows, false
}

// take keeps the row if its document passes the filter.
func (f *finder) take(r row) error {
	text, err := f.s.codec.unpack(r.text)
	if err != nil {
		return fmt.Errorf("event %d: %w", r.id, err)
	}
	f.docs++
	f.rows++
	if !f.q.Filter.onIndex() {
		var d Doc
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("event %d: %w", r.id, err)
		}
		if !f.q.Filter.Match(&d) {
			return nil
		}
	}
	f.count++
	if r.text = text; !f.counting {
		f.out = append(f.out, r)
	}
	return nil
}

// where is the part of the filter an index can decide.
func (f *finder) where() string {
	var b strings.Builder
	for _, c := range []struct {
		column string
		values []int64
	}{{"type", f.q.Filter.types}, {"recipient", f.q.Filter.recipients}, {"msgid", f.q.Filter.msgids}} {
		if c.values != nil {
			b.WriteString(" AND " + c.column + " IN " + list(c.values))
		}
	}
	return b.String()
}

// list writes numbers for an IN.
func list(values []int64) string {
	b := []byte{'('}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, v, 10)
	}
	return string(append(b, ')'))
}

// each runs the same query for every domain, several in a statement.
func (f *finder) each(tx *db.Tx, cols, where, tail string, lo, hi int64, scan func(*sql.Rows) error) error {
	order := " ORDER BY id DESC"
	if f.q.Ascending {
		order = " ORDER BY id"
	}
	one := "SELECT " + cols + " FROM " + f.day.table() + " WHERE domain_id = ? AND id >= ? AND id < ?" + where + order + tail
	for part := range slices.Chunk(f.q.DomainIDs, unionSize) {
		var b strings.Builder
		args := make([]any, 0, 3*len(part))
		for i, id := range part {
			if i > 0 {
				b.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&b, "SELECT * FROM (%s) AS d%d", one, i)
			args = append(args, id, lo, hi)
		}
		if err := tx.Each(scan, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}
