package app

import (
	"database/sql"

	"postroad/internal/base/db"
)

// bodyRow is what a message row says of its body.
type bodyRow struct {
	id   int64
	blob string
}

// segmentsNamed returns the segments that messages refer to, in order.
func segmentsNamed(tx *db.Tx) (out []uint64, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		out = append(out, uint64(id))
		return err
	}, "SELECT DISTINCT segment FROM message ORDER BY segment")
	return out, err
}

// bodiesIn returns messages whose body lies in a segment, with ids above after.
func bodiesIn(tx *db.Tx, segment uint64, after int64, limit int) (out []bodyRow, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var row bodyRow
		err := r.Scan(&row.id, &row.blob)
		out = append(out, row)
		return err
	}, "SELECT id, blob FROM message WHERE segment = ? AND id > ? ORDER BY id LIMIT ?", int64(segment), after, limit)
	return out, err
}

// countIn counts the messages whose body lies in a segment.
func countIn(tx *db.Tx, segment uint64) (n int64, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM message WHERE segment = ?", int64(segment)).Scan(&n)
	return n, err
}
