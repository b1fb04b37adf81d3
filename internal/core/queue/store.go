package queue

import (
	"context"
	"database/sql"

	"postroad/internal/base/db"
)

var columns = []string{"id", "message_id", "domain_id", "recipient", "lane", "due", "deadline", "tries", "attempt", "node", "first_at", "vars", "signature", "last"}

var insDelivery = &db.Insert{Table: "delivery", Columns: columns}
var delDelivery = &db.Delete{Table: "delivery", Column: "id"}

func stage(tx *db.Tx, d *Delivery, node int64) {
	tx.Stage(insDelivery, d.ID, d.MessageID, d.DomainID, d.Recipient, d.Lane, d.Due, d.Deadline,
		int64(d.Tries), int64(d.Attempt), node, d.FirstAt, d.Vars, d.Signature, d.Last)
}

// reschedule sets d free with one more outcome recorded. It leaves d as it is,
// because the transaction may be tried again.
func reschedule(tx *db.Tx, d *Delivery, due int64) error {
	_, err := tx.Exec("UPDATE delivery SET node = 0, due = ?, tries = ?, attempt = 0, first_at = ?, signature = ?, last = ? WHERE id = ?",
		due, int64(d.Tries+1), d.FirstAt, d.Signature, d.Last, d.ID)
	return err
}

const selDelivery = "SELECT id, message_id, domain_id, recipient, lane, due, deadline, tries, attempt, first_at, vars, signature, last FROM delivery "

func scanDelivery(r *sql.Rows) (*Delivery, error) {
	d := &Delivery{}
	return d, r.Scan(&d.ID, &d.MessageID, &d.DomainID, &d.Recipient, &d.Lane, &d.Due, &d.Deadline, &d.Tries, &d.Attempt, &d.FirstAt, &d.Vars, &d.Signature, &d.Last)
}

// due returns waiting deliveries in the order of their time.
func due(tx *db.Tx, limit int) ([]*Delivery, error) {
	return deliveries(tx, "WHERE node = 0 AND due <= ? ORDER BY due, id LIMIT ?"+tx.Dialect().SkipLocked(), tx.Now, limit)
}

// dueIn is due for one lane.
func dueIn(tx *db.Tx, lane string, limit int) ([]*Delivery, error) {
	return deliveries(tx, "WHERE node = 0 AND lane = ? AND due <= ? ORDER BY due, id LIMIT ?"+tx.Dialect().SkipLocked(), lane, tx.Now, limit)
}

func deliveries(tx *db.Tx, where string, args ...any) (out []*Delivery, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		d, err := scanDelivery(r)
		out = append(out, d)
		return err
	}, selDelivery+where, args...)
	return out, err
}

// eachLane calls fn for every lane with waiting rows and the time of the first.
// It hops from lane to lane in the index, whatever number of rows each has.
func eachLane(tx *db.Tx, fn func(name string, at int64)) error {
	return tx.Each(func(r *sql.Rows) error {
		var name string
		var at int64
		err := r.Scan(&name, &at)
		if err == nil {
			fn(name, at)
		}
		return err
	}, `WITH RECURSIVE l (lane) AS (
			SELECT (SELECT MIN(lane) FROM delivery WHERE node = 0)
			UNION ALL SELECT (SELECT MIN(d.lane) FROM delivery d WHERE d.node = 0 AND d.lane > l.lane) FROM l WHERE l.lane IS NOT NULL)
		SELECT l.lane, (SELECT MIN(d.due) FROM delivery d WHERE d.node = 0 AND d.lane = l.lane) FROM l WHERE l.lane IS NOT NULL`)
}

// hold marks deliveries as held by node and counts the claim.
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

// earliest returns the due time of the first waiting delivery, 0 when there is
// none.
func earliest(tx *db.Tx) (int64, error) {
	var at sql.NullInt64
	err := tx.QueryRow("SELECT MIN(due) FROM delivery WHERE node = 0").Scan(&at)
	return at.Int64, err
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
	return deliveries(tx, "WHERE message_id = ? ORDER BY id", messageID)
}

// OfMessages returns the unfinished deliveries of several messages, by message.
func OfMessages(tx *db.Tx, messageIDs []int64) (map[int64][]*Delivery, error) {
	out := map[int64][]*Delivery{}
	for len(messageIDs) > 0 {
		n := min(len(messageIDs), 500)
		args := make([]any, n)
		for i, id := range messageIDs[:n] {
			args[i] = id
		}
		list, err := deliveries(tx, "WHERE message_id IN "+db.Marks(n)+" ORDER BY id", args...)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			out[d.MessageID] = append(out[d.MessageID], d)
		}
		messageIDs = messageIDs[n:]
	}
	return out, nil
}

// cancelDomain removes the waiting deliveries of a domain: those not in the
// hands of a session. It returns how many there were.
func cancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	return tx.Exec("DELETE FROM delivery WHERE domain_id = ? AND node = 0", domainID)
}
