package event

import (
	"context"
	"slices"

	"postroad/internal/base/db"
)

// Count returns how many events q selects, whatever its Limit and After; exact
// is false if counting stopped because it had cost enough.
func (s *Service) Count(ctx context.Context, q Query) (n int64, exact bool, err error) {
	q.After = 0
	f := newFinder(s, q, 0)
	f.counting = true
	if !f.q.Filter.onIndex() {
		err = f.run(ctx)
		return f.count, f.done, err
	}
	if f.empty() {
		return 0, true, nil
	}
	err = f.again(ctx, f.countIndex)
	return f.count, true, err
}

// countIndex counts without reading a document.
func (f *finder) countIndex(tx *db.Tx) error {
	f.count = 0
	days, err := partitions(tx)
	if err != nil {
		return err
	}
	for _, d := range days {
		lo, hi := max(f.lo, d.Start()), min(f.hi, d.end())
		if f.day = d; lo >= hi {
			continue
		}
		for part := range slices.Chunk(f.q.DomainIDs, maxDomainsIn) {
			var n int64
			err := tx.QueryRow("SELECT COUNT(*) FROM "+d.table()+" WHERE domain_id IN "+list(part)+" AND id >= ? AND id < ?"+f.where(), lo, hi).Scan(&n)
			if err != nil {
				return err
			}
			f.count += n
		}
	}
	return nil
}

const maxDomainsIn = 500
