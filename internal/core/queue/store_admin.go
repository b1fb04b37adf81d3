package queue

import (
	"database/sql"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

func counts(tx *db.Tx, now int64) (c Counts, err error) {
	var oldest sql.NullInt64
	if err := tx.QueryRow("SELECT COUNT(*), MIN(due) FROM delivery WHERE node = 0 AND due <= ?", now).Scan(&c.Due, &oldest); err != nil {
		return c, err
	}
	c.Oldest = oldest.Int64
	if err := tx.QueryRow("SELECT COUNT(*) FROM delivery WHERE node = 0 AND due > ?", now).Scan(&c.Waiting); err != nil {
		return c, err
	}
	return c, tx.QueryRow("SELECT COUNT(*) FROM delivery WHERE node <> 0").Scan(&c.Held)
}

// where returns the conditions of a selector, without the lane, which the table
// does not know.
func (s Selector) where() (string, []any) {
	var parts []string
	var args []any
	add := func(column string, value any, set bool) {
		if set {
			parts = append(parts, column+" = ?")
			args = append(args, value)
		}
	}
	add("id", s.DeliveryID, s.DeliveryID != 0)
	add("message_id", s.MessageID, s.MessageID != 0)
	add("domain_id", s.DomainID, s.DomainID != 0)
	add("destination", s.Destination, s.Destination != "")
	add("account_id", s.AccountID, s.AccountID != "")
	add("tag", s.Tag, s.Tag != "")
	add("recipient", s.Recipient, s.Recipient != "")
	if len(parts) == 0 {
		return "", nil
	}
	return " AND " + strings.Join(parts, " AND "), args
}

// selected returns deliveries the selector matches, but for the lane, by id.
func selected(tx *db.Tx, s Selector, after int64, limit int) ([]*Delivery, error) {
	more, args := s.where()
	return deliveries(tx, "WHERE id > ?"+more+" ORDER BY id LIMIT ?", append(append([]any{after}, args...), limit)...)
}

// waiting is selected without what a node holds, for update.
func waiting(tx *db.Tx, s Selector, after int64, limit int) ([]*Delivery, error) {
	more, args := s.where()
	return deliveries(tx, "WHERE id > ? AND node = 0"+more+" ORDER BY id LIMIT ?"+tx.Dialect().SkipLocked(), append(append([]any{after}, args...), limit)...)
}

// hasten makes waiting deliveries due.
func hasten(tx *db.Tx, list []*Delivery) (total int64, err error) {
	err = inBatches(list, func(marks string, ids []any) error {
		n, err := tx.Exec("UPDATE delivery SET due = ?, was_due = 0 WHERE node = 0 AND id IN "+marks, append([]any{tx.Now}, ids...)...)
		total += n
		return err
	})
	return total, err
}

// stand returns what waits in the table, by destination.
func stand(tx *db.Tx, now int64) (out []LaneInfo, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var i LaneInfo
		var all int64
		var first int64
		var next sql.NullInt64
		err := r.Scan(&i.Destination, &all, &i.Due, &i.Oldest, &next, &first)
		i.Deferred, i.NextDue, i.Since = all-i.Due, next.Int64, ids.Time(first).UnixMicro()
		if i.Due == 0 {
			i.Oldest = 0
		}
		out = append(out, i)
		return err
	}, `SELECT destination, COUNT(*), SUM(CASE WHEN due <= ? THEN 1 ELSE 0 END), MIN(due), MIN(CASE WHEN due > ? THEN due END), MIN(id)
		FROM delivery WHERE node = 0 GROUP BY destination ORDER BY destination`, now, now)
	return out, err
}

// groups returns the largest parts of the queue by a column.
func groups(tx *db.Tx, column string, now int64, n int) (out []Group, err error) {
	var b strings.Builder
	var args []any
	for _, minutes := range ageBounds {
		b.WriteString(", SUM(CASE WHEN id > ? THEN 1 ELSE 0 END)")
		args = append(args, ids.FromMicro(now-minutes*60e6))
	}
	err = tx.Each(func(r *sql.Rows) error {
		var g Group
		var first int64
		var within [len(ageBounds)]int64
		to := []any{&g.Key, &g.Count, &first}
		for i := range within {
			to = append(to, &within[i])
		}
		err := r.Scan(to...)
		g.Oldest = ids.Time(first).UnixMicro()
		before := int64(0)
		for i, total := range within {
			g.Ages[i] = total - before
			before = total
		}
		g.Ages[len(within)] = g.Count - before
		out = append(out, g)
		return err
	}, "SELECT CAST("+column+" AS TEXT), COUNT(*), MIN(id)"+b.String()+" FROM delivery GROUP BY "+column+" ORDER BY COUNT(*) DESC, "+column+" LIMIT ?", append(args, n)...)
	return out, err
}
