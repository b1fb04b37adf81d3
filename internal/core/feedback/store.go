package feedback

import (
	"database/sql"
	"strings"

	"postroad/internal/base/db"
)

var keyInsert = db.Insert{Table: "feedback_key", Columns: []string{"event_id", "hash", "at"}}

// insertEvent reports whether the event is new.
func insertEvent(tx *db.Tx, e *incoming) (bool, error) {
	n, err := tx.Exec("INSERT INTO feedback (id, source, at, doc) VALUES (?, ?, ?, ?) ON CONFLICT (source) DO NOTHING", e.id, e.sourceHash(), e.at(), e.doc)
	if err != nil || n == 0 {
		return false, err
	}
	for _, k := range e.keys() {
		tx.Stage(&keyInsert, e.id, k, e.at())
	}
	return true, nil
}

// position is where an event stands in the order they are read in.
type position struct{ at, id int64 }

// query chooses events: those that have every key.
type query struct {
	keys         []int64
	since, until int64     // microseconds, 0 for no bound
	before       *position // nil: from the newest
	limit, bytes int
}

// selectEvents returns events, the newest first, at most limit and bytes of them but
// one in any case; next is set when there are more.
func selectEvents(tx *db.Tx, q *query) (docs [][]byte, next *position, err error) {
	text, args := q.sql()
	rows, err := tx.Query(text, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var last position
	for size := 0; rows.Next(); {
		var p position
		var doc []byte
		if err := rows.Scan(&p.at, &p.id, &doc); err != nil {
			return nil, nil, err
		}
		if size += len(doc); len(docs) == q.limit || len(docs) > 0 && size > q.bytes {
			return docs, &last, nil
		}
		docs, last = append(docs, doc), p
	}
	return docs, nil, rows.Err()
}

// sql begins with the events of the first key: it should be the rarest.
func (q *query) sql() (string, []any) {
	var b strings.Builder
	var args []any
	at, id := "e.at", "e.id"
	add := func(cond string, values ...any) {
		b.WriteString(cond)
		args = append(args, values...)
	}
	if len(q.keys) == 0 {
		add("SELECT e.at, e.id, e.doc FROM feedback e WHERE 1 = 1")
	} else {
		at, id = "k.at", "k.event_id"
		add("SELECT k.at, k.event_id, e.doc FROM feedback_key k JOIN feedback e ON e.id = k.event_id WHERE k.hash = ?", q.keys[0])
		for _, k := range q.keys[1:] {
			add(" AND EXISTS (SELECT 1 FROM feedback_key x WHERE x.event_id = k.event_id AND x.hash = ?)", k)
		}
	}
	if q.since != 0 {
		add(" AND "+at+" >= ?", q.since)
	}
	if q.until != 0 {
		add(" AND "+at+" < ?", q.until)
	}
	if q.before != nil {
		add(" AND ("+at+", "+id+") < (?, ?)", q.before.at, q.before.id)
	}
	add(" ORDER BY "+at+" DESC, "+id+" DESC LIMIT ?", q.limit+1)
	return b.String(), args
}

// deleteEvents deletes up to n of the oldest events whose id is below floor.
func deleteEvents(tx *db.Tx, floor int64, n int) (int64, error) {
	var last sql.NullInt64
	err := tx.QueryRow("SELECT MAX(id) FROM (SELECT id FROM feedback WHERE id < ? ORDER BY id LIMIT ?) AS oldest", floor, n).Scan(&last)
	if err != nil || !last.Valid {
		return 0, err
	}
	if _, err := tx.Exec("DELETE FROM feedback_key WHERE event_id <= ?", last.Int64); err != nil {
		return 0, err
	}
	return tx.Exec("DELETE FROM feedback WHERE id <= ?", last.Int64)
}

func insertSubscription(tx *db.Tx, s *subscription, sealed string) error {
	_, err := tx.Exec("INSERT INTO feedback_subscription (id, account_id, url, events, secret, created_at) VALUES (?, ?, ?, ?, ?, ?)",
		s.id, s.account, s.url, joinTypes(s.events), sealed, s.created)
	return err
}

func countSubscriptions(tx *db.Tx) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM feedback_subscription").Scan(&n)
	return n, err
}

func deleteSubscription(tx *db.Tx, id int64) (int64, error) {
	return tx.Exec("DELETE FROM feedback_subscription WHERE id = ?", id)
}

// selectSubscriptions returns all of them, oldest first; open opens a sealed secret.
func selectSubscriptions(tx *db.Tx, open func(*subscription, string) error) (out []*subscription, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		s := &subscription{}
		var events, sealed string
		if err := r.Scan(&s.id, &s.account, &s.url, &events, &sealed, &s.created); err != nil {
			return err
		}
		s.events = splitTypes(events)
		out = append(out, s)
		return open(s, sealed)
	}, "SELECT id, account_id, url, events, secret, created_at FROM feedback_subscription ORDER BY id")
	return out, err
}
