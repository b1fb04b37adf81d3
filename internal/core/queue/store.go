package queue

import (
	"database/sql"

	"postroad/internal/base/db"
)

var columns = []string{"id", "message_id", "domain_id", "account_id", "recipient", "destination", "tag", "pool", "due", "was_due", "deadline",
	"tries", "attempt", "node", "first_at", "vars", "signature", "last"}

// insDelivery writes a new row, upsDelivery one that may be there already: what
// is staged has to be complete, because a transaction that only stages rows may
// be written down as those rows.
var (
	insDelivery = &db.Insert{Table: "delivery", Columns: columns}
	upsDelivery = &db.Insert{Table: "delivery", Columns: columns, Suffix: `ON CONFLICT (id) DO UPDATE SET node = excluded.node,
		due = excluded.due, was_due = excluded.was_due, tries = excluded.tries, attempt = excluded.attempt,
		first_at = excluded.first_at, signature = excluded.signature, last = excluded.last`}
	delDelivery = &db.Delete{Table: "delivery", Column: "id"}
)

// row is what a stored delivery has that may differ from the one in memory: the
// transaction that writes it may be undone and tried again.
type row struct {
	node, due, wasDue int64
	tries, attempt    int
}

// stage writes d. Statements run in the order in which a transaction first
// stages them, so they are always named in the order in which one row can need
// them: insert, update, delete.
func stage(tx *db.Tx, ins *db.Insert, d *Delivery, r row) {
	tx.Stage(insDelivery)
	tx.Stage(ins, d.ID, d.MessageID, d.DomainID, d.AccountID, d.Recipient, d.Destination, d.Tag, d.Pool, r.due, r.wasDue, d.Deadline,
		int64(r.tries), int64(r.attempt), r.node, d.FirstAt, d.Vars, d.Signature, d.Last)
}

// remove stages the deletion of d, after anything else staged for it.
func remove(tx *db.Tx, d *Delivery) {
	tx.Stage(insDelivery)
	tx.Stage(upsDelivery)
	tx.StageDelete(delDelivery, d.ID)
}

const selDelivery = `SELECT id, message_id, domain_id, account_id, recipient, destination, tag, pool, due, was_due, deadline,
	tries, attempt, first_at, vars, signature, last FROM delivery `

func scanDelivery(r *sql.Rows) (*Delivery, error) {
	d := &Delivery{}
	return d, r.Scan(&d.ID, &d.MessageID, &d.DomainID, &d.AccountID, &d.Recipient, &d.Destination, &d.Tag, &d.Pool, &d.Due, &d.wasDue,
		&d.Deadline, &d.Tries, &d.Attempt, &d.FirstAt, &d.Vars, &d.Signature, &d.Last)
}

const (
	whereDue   = "WHERE node = 0 AND due <= ? ORDER BY due, id LIMIT ?"
	whereDueIn = "WHERE node = 0 AND destination = ? AND due <= ? AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?"
	whereOver  = "WHERE node = 0 AND deadline < ? ORDER BY deadline LIMIT ?"
)

// due returns waiting deliveries in the order of their time.
func due(tx *db.Tx, limit int) ([]*Delivery, error) {
	return deliveries(tx, whereDue+tx.Dialect().SkipLocked(), tx.Now, limit)
}

// dueIn is due for one destination, after a place in its rows.
func dueIn(tx *db.Tx, destination string, after spot, limit int) ([]*Delivery, error) {
	return deliveries(tx, whereDueIn+tx.Dialect().SkipLocked(), destination, tx.Now, after.due, after.id, limit)
}

// over returns waiting deliveries whose deadline was before a time.
func over(tx *db.Tx, before int64, limit int) ([]*Delivery, error) {
	return deliveries(tx, whereOver+tx.Dialect().SkipLocked(), before, limit)
}

func deliveries(tx *db.Tx, where string, args ...any) (out []*Delivery, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		d, err := scanDelivery(r)
		out = append(out, d)
		return err
	}, selDelivery+where, args...)
	return out, err
}

// hops finds each destination with waiting rows and the time of the first. It
// hops from destination to destination in the index, whatever number of rows
// each has.
const hops = `WITH RECURSIVE l (destination) AS (
		SELECT (SELECT MIN(destination) FROM delivery WHERE node = 0 AND destination > ?)
		UNION ALL SELECT (SELECT MIN(d.destination) FROM delivery d WHERE d.node = 0 AND d.destination > l.destination) FROM l WHERE l.destination IS NOT NULL)
	SELECT l.destination, (SELECT MIN(d.due) FROM delivery d WHERE d.node = 0 AND d.destination = l.destination) FROM l WHERE l.destination IS NOT NULL LIMIT ?`

// eachDestination calls fn for destinations after one, until it returns false.
func eachDestination(tx *db.Tx, after string, limit int, fn func(name string, at int64) bool) error {
	rows, err := tx.Query(hops, after, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var at int64
		if err := rows.Scan(&name, &at); err != nil {
			return err
		}
		if !fn(name, at) {
			return nil
		}
	}
	return rows.Err()
}

// inBatches calls fn with the ids of the list, as many at a time as a statement
// should name.
func inBatches(list []*Delivery, fn func(marks string, ids []any) error) error {
	for len(list) > 0 {
		n := min(len(list), 200)
		ids := make([]any, n)
		for i, d := range list[:n] {
			ids[i] = d.ID
		}
		if err := fn(db.Marks(n), ids); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// hold marks deliveries as held by node and counts the claim.
func hold(tx *db.Tx, node int64, list []*Delivery) error {
	for _, d := range list {
		d.Attempt++
	}
	return inBatches(list, func(marks string, ids []any) error {
		_, err := tx.Exec("UPDATE delivery SET node = ?, attempt = attempt + 1, was_due = 0 WHERE id IN "+marks, append([]any{node}, ids...)...)
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

const whereParked = "WHERE was_due <> 0 AND (destination, id) > (?, ?) ORDER BY destination, id LIMIT ?"

// parked returns deliveries that a limit put off, after one of them; node is not
// asked for, because what is held has been put off no more.
func parked(tx *db.Tx, after *Delivery, limit int) ([]*Delivery, error) {
	return deliveries(tx, whereParked, after.Destination, after.ID, limit)
}

// unpark has deliveries that were put off wait for what they waited for before.
func unpark(tx *db.Tx, list []*Delivery) error {
	return inBatches(list, func(marks string, ids []any) error {
		_, err := tx.Exec("UPDATE delivery SET due = was_due, was_due = 0 WHERE node = 0 AND was_due <> 0 AND id IN "+marks, ids...)
		return err
	})
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

func cancelMessage(tx *db.Tx, messageID int64) (int64, error) {
	return tx.Exec("DELETE FROM delivery WHERE message_id = ? AND node = 0", messageID)
}

func reschedule(tx *db.Tx, messageID, due int64) (int64, error) {
	return tx.Exec("UPDATE delivery SET deadline = deadline + ? - due, due = ?, was_due = 0 WHERE message_id = ? AND node = 0 AND due > ?",
		due, due, messageID, tx.Now)
}

// cancelDomain removes the waiting deliveries of a domain: those not in the
// hands of a session. It returns how many there were.
func cancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	return tx.Exec("DELETE FROM delivery WHERE domain_id = ? AND node = 0", domainID)
}
