package tag

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

const (
	// foldBatch is how many events one transaction counts: it should not hold up
	// other writers.
	foldBatch = 2000
	// foldRounds bounds what somebody who reads has to wait for.
	foldRounds = 50
)

// separator stands between the tags of an event. Tags have no control characters.
const separator = "\n"

// delta is one event that is not counted yet.
type delta struct {
	id        int64
	accountID string
	domainID  int64
	at        int64 // microseconds
	kind      kind
	provider  string
	country   string
	device    string
	tags      string
}

// tagKey names a tag.
type tagKey struct {
	domainID int64
	lookup   string
}

// cell names a counter of a tag.
type cell struct {
	dimension dimension
	value     string
	hour      int64
	kind      kind
}

// addition is what some events add to a tag.
type addition struct {
	tagKey
	id        int64 // of the tag's row
	accountID string
	name      string
	first     int64
	last      int64
	cells     map[cell]int64
}

// count brings the counters up to date with what was acknowledged before.
func (s *Service) count(ctx context.Context) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	if !s.dirty.Swap(false) {
		return nil
	}
	for range foldRounds {
		n := 0
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = s.fold(tx)
			return err
		})
		if err != nil {
			s.dirty.Store(true)
			return fmt.Errorf("count events of tags: %w", err)
		}
		if n < foldBatch {
			return nil
		}
	}
	s.dirty.Store(true)
	return nil
}

// fold counts a batch of events and returns how many there were.
func (s *Service) fold(tx *db.Tx) (int, error) {
	list, err := takeDeltas(tx, foldBatch)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	sums, err := s.rows(tx, sumUp(list))
	if err != nil {
		return 0, err
	}
	for _, a := range sums {
		for c, n := range a.cells {
			tx.Stage(addStat, a.id, int64(c.dimension), c.value, c.hour, int64(c.kind), n)
		}
	}
	return len(list), nil
}

// sumUp returns what events add to each tag, in the order of their keys.
func sumUp(list []delta) []*addition {
	slices.SortFunc(list, func(a, b delta) int { return cmp.Compare(a.id, b.id) })
	sums := map[tagKey]*addition{}
	var out []*addition
	for i := range list {
		d := &list[i]
		for name := range strings.SplitSeq(d.tags, separator) {
			k := tagKey{d.domainID, key(name)}
			a := sums[k]
			if a == nil {
				a = &addition{tagKey: k, accountID: d.accountID, name: name, first: d.at, last: d.at, cells: map[cell]int64{}}
				sums[k] = a
				out = append(out, a)
			}
			a.add(d)
		}
	}
	slices.SortFunc(out, func(a, b *addition) int {
		return cmp.Or(cmp.Compare(a.domainID, b.domainID), cmp.Compare(a.lookup, b.lookup))
	})
	return out
}

func (a *addition) add(d *delta) {
	a.first, a.last = min(a.first, d.at), max(a.last, d.at)
	c := cell{hour: d.at / hourMicros, kind: d.kind}
	a.cells[c]++
	for _, p := range [...]struct {
		dimension dimension
		value     string
	}{{byProvider, d.provider}, {byCountry, d.country}, {byDevice, d.device}} {
		if p.value != "" {
			c.dimension, c.value = p.dimension, p.value
			a.cells[c]++
		}
	}
}

const hourMicros = int64(time.Hour / time.Microsecond)

// rows finds or makes the rows of tags and returns those that have one. A tag
// over the limits gets none, nor does one whose domain is no more.
func (s *Service) rows(tx *db.Tx, sums []*addition) ([]*addition, error) {
	out := sums[:0]
	for len(sums) > 0 {
		domainID := sums[0].domainID
		n := len(sums)
		if i := slices.IndexFunc(sums, func(a *addition) bool { return a.domainID != domainID }); i > 0 {
			n = i
		}
		known, err := s.known(tx, domainID, sums[:n])
		if err != nil {
			return nil, err
		}
		out, sums = append(out, known...), sums[n:]
	}
	return out, nil
}

// known is rows for the tags of one domain.
func (s *Service) known(tx *db.Tx, domainID int64, sums []*addition) ([]*addition, error) {
	rows, err := selectExisting(tx, ofDomain(domainID), sums)
	if err != nil {
		return nil, err
	}
	var out, fresh []*addition
	for _, a := range sums {
		t, ok := rows[a.lookup]
		if !ok {
			fresh = append(fresh, a)
			continue
		}
		a.id = t.ID
		out = append(out, a)
		if a.first < t.FirstSeen || a.last > t.LastSeen {
			if err := updateSeen(tx, t.ID, min(a.first, t.FirstSeen), max(a.last, t.LastSeen)); err != nil {
				return nil, err
			}
		}
	}
	made, err := s.create(tx, domainID, fresh)
	return append(out, made...), err
}

// create makes tags of a domain, as many as its limits allow, and returns them.
func (s *Service) create(tx *db.Tx, domainID int64, fresh []*addition) (made []*addition, err error) {
	if len(fresh) == 0 {
		return nil, nil
	}
	// Who came first gets what is left.
	slices.SortStableFunc(fresh, func(a, b *addition) int { return cmp.Compare(a.first, b.first) })
	if ok, err := domainExists(tx, domainID); err != nil || !ok {
		return nil, err
	}
	accountID := fresh[0].accountID
	have, total, err := countTags(tx, domainID, accountID)
	if err != nil {
		return nil, err
	}
	elsewhere, err := selectExisting(tx, ofAccount(accountID), fresh)
	if err != nil {
		return nil, err
	}
	for _, a := range fresh {
		if have >= s.o.PerDomain {
			break
		}
		_, elsewhere := elsewhere[a.lookup]
		if !elsewhere && total >= s.o.PerAccount {
			continue
		}
		a.id = s.ids.Next()
		stageTag(tx, a)
		made = append(made, a)
		have++
		if !elsewhere {
			total++
		}
	}
	return made, nil
}

// How long counters are kept by the hour, and by the day in all.
const (
	keepHours = 60 * 24 * time.Hour
	keepDays  = keepHours + 365*24*time.Hour
)

// Tidy adds counters older than 60 days up by the day, and removes those that are
// a year older and those of tags that were deleted.
func (s *Service) Tidy(ctx context.Context) error {
	now := clock.Micro(s.db.Clock().Now())
	hour := (now - keepHours.Microseconds()) / hourMicros / 24 * 24
	day := (now - keepDays.Microseconds()) / hourMicros / 24
	if err := s.repeat(ctx, func(tx *db.Tx) (bool, error) { return ageStats(tx, hour) }); err != nil {
		return err
	}
	if err := s.repeat(ctx, func(tx *db.Tx) (bool, error) { return dropDays(tx, day) }); err != nil {
		return err
	}
	s.gone.Store(false)
	err := s.repeat(ctx, removeRetired)
	if err != nil {
		s.gone.Store(true)
	}
	return err
}

// repeat runs fn in transactions of its own until it has nothing more to do. It may
// take minutes: events are counted meanwhile.
func (s *Service) repeat(ctx context.Context, fn func(*db.Tx) (more bool, err error)) error {
	for more := true; more; {
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			more, err = fn(tx)
			return err
		})
		if err == nil {
			err = s.count(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
