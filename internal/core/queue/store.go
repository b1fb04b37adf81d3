package queue

import (
	"context"
	"database/sql"
	"os"

	"postroad/internal/base/db"
)

var columns = []string{"id", "message_id", "domain_id", "recipient", "lane", "due", "deadline", "attempt", "node", "first_at", "vars", "signature", "last"}

var insDelivery = &db.Insert{Table: "delivery", Columns: columns}
var delDelivery = &db.Delete{Table: "delivery", Column: "id"}

func stage(tx *db.Tx, d *Delivery, node int64) {
	tx.Stage(insDelivery, d.ID, d.MessageID, d.DomainID, d.Recipient, d.Lane, d.Due, d.Deadline,
		int64(d.Attempt), node, d.FirstAt, d.Vars, d.Signature, d.Last)
}

func reschedule(tx *db.Tx, d *Delivery, due int64) error {
	_, err := tx.Exec("UPDATE delivery SET node = 0, due = ?, attempt = ?, first_at = ?, signature = ?, last = ? WHERE id = ?",
		due, int64(d.Attempt), d.FirstAt, d.Signature, d.Last, d.ID)
	return err
}

// due returns waiting deliveries in the order of their time, leaving out lanes
// that take no more.
func due(tx *db.Tx, limit int, full []string) ([]*Delivery, error) {
	q := "SELECT id, message_id, domain_id, recipient, lane, due, deadline, attempt, first_at, vars, signature, last FROM delivery WHERE node = 0 AND due <= ?"
	args := []any{tx.Now}
	if len(full) > 0 {
		q += " AND lane NOT IN " + db.Marks(len(full))
		for _, l := range full {
			args = append(args, l)
		}
	}
	q += " ORDER BY due LIMIT ?" + tx.Dialect().SkipLocked()
	args = append(args, limit)
	var out []*Delivery
	err := tx.Each(func(r *sql.Rows) error {
		d := &Delivery{}
		out = append(out, d)
		return r.Scan(&d.ID, &d.MessageID, &d.DomainID, &d.Recipient, &d.Lane, &d.Due, &d.Deadline, &d.Attempt, &d.FirstAt, &d.Vars, &d.Signature, &d.Last)
	}, q, args...)
	return out, err
}

// hold marks deliveries as held by node and counts the attempt that begins.
func hold(tx *db.Tx, node int64, list []*Delivery) error {
	for len(list) > 0 {
		n := min(len(list), 200)
		args := []any{node}
		for _, d := range list[:n] {
			d.Attempt++
			args = append(args, d.ID)
		}
		if _, err := tx.Exec("UPDATE delivery SET node = ?, attempt = attempt + 1 WHERE id IN "+db.Marks(n), args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// setFree returns held deliveries that were not begun to the table.
func (q *Queue) setFree(ctx context.Context, list []*Delivery) error {
	for len(list) > 0 {
		n := min(len(list), 200)
		args := make([]any, n)
		for i, d := range list[:n] {
			args[i] = d.ID
		}
		if err := q.db.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec("UPDATE delivery SET node = 0, attempt = attempt - 1 WHERE id IN "+db.Marks(n), args...)
			return err
		}); err != nil {
			return err
		}
		for _, d := range list[:n] {
			q.release(d.Lane)
		}
		list = list[n:]
	}
	return q.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("DELETE FROM node WHERE id = ?", q.node)
		return err
	})
}

// earliest returns the due time of the first waiting delivery, 0 when there is
// none.
func earliest(tx *db.Tx) (int64, error) {
	var at sql.NullInt64
	err := tx.QueryRow("SELECT MIN(due) FROM delivery WHERE node = 0").Scan(&at)
	return at.Int64, err
}

// register makes this program a node and sets free what dead ones held. The
// data directory of SQLite belongs to one program, so there every other node
// is dead; on PostgreSQL silence tells.
func (q *Queue) register(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	q.node = q.ids.Next()
	return q.db.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("INSERT INTO node (id, name, started_at, seen_at) VALUES (?, ?, ?, ?)", q.node, host, tx.Now, tx.Now); err != nil {
			return err
		}
		limit := tx.Now + 1
		if tx.Dialect() == db.Postgres {
			limit = tx.Now - staleAfter.Microseconds()
		}
		return bury(tx, q.node, limit)
	})
}

// beat says that this node lives and sets free what silent ones held.
func (q *Queue) beat(ctx context.Context) error {
	return q.db.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("UPDATE node SET seen_at = ? WHERE id = ?", tx.Now, q.node); err != nil {
			return err
		}
		return bury(tx, q.node, tx.Now-staleAfter.Microseconds())
	})
}

// bury frees the deliveries of nodes not seen since limit. Their attempts stay
// counted: whether one reached its destination is not known.
func bury(tx *db.Tx, self, limit int64) error {
	var dead []int64
	if err := tx.Each(func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		dead = append(dead, id)
		return err
	}, "SELECT id FROM node WHERE id <> ? AND seen_at < ?", self, limit); err != nil {
		return err
	}
	for _, id := range dead {
		if _, err := tx.Exec("UPDATE delivery SET node = 0 WHERE node = ?", id); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM node WHERE id = ?", id); err != nil {
			return err
		}
	}
	return nil
}

// Counts is what the table holds, by state.
type Counts struct {
	Waiting, Due, Held int64
	Oldest             int64 // microseconds; due time of the longest overdue, 0 when none
}

// Counts reads the queue's size.
func (q *Queue) Counts(ctx context.Context) (c Counts, err error) {
	now := q.clock.Now().UnixMicro()
	err = q.db.Read(ctx, func(tx *db.Tx) error {
		var oldest sql.NullInt64
		if err := tx.QueryRow("SELECT COUNT(*), MIN(due) FROM delivery WHERE node = 0 AND due <= ?", now).Scan(&c.Due, &oldest); err != nil {
			return err
		}
		c.Oldest = oldest.Int64
		if err := tx.QueryRow("SELECT COUNT(*) FROM delivery WHERE node = 0 AND due > ?", now).Scan(&c.Waiting); err != nil {
			return err
		}
		return tx.QueryRow("SELECT COUNT(*) FROM delivery WHERE node <> 0").Scan(&c.Held)
	})
	return c, err
}

// OfMessage returns the unfinished deliveries of a message.
func OfMessage(tx *db.Tx, messageID int64) ([]*Delivery, error) {
	var out []*Delivery
	err := tx.Each(func(r *sql.Rows) error {
		d := &Delivery{}
		out = append(out, d)
		return r.Scan(&d.ID, &d.MessageID, &d.DomainID, &d.Recipient, &d.Lane, &d.Due, &d.Deadline, &d.Attempt, &d.FirstAt, &d.Last)
	}, "SELECT id, message_id, domain_id, recipient, lane, due, deadline, attempt, first_at, last FROM delivery WHERE message_id = ? ORDER BY id", messageID)
	return out, err
}

// CancelDomain removes the waiting deliveries of a domain: those not in the
// hands of a session. It returns how many there were.
func CancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	return tx.Exec("DELETE FROM delivery WHERE domain_id = ? AND node = 0", domainID)
}
