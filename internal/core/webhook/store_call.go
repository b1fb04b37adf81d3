package webhook

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

var insertCall = &db.Insert{Table: "webhook_call", Columns: []string{"id", "account_id", "domain_id", "event_type", "event_id",
	"message_id", "url", "lane", "payload", "state", "attempt", "step", "due", "node", "created_at"}}

// insertSigned is insertCall with the secret of Outgoing.
var insertSigned = &db.Insert{Table: insertCall.Table, Columns: append(slices.Clone(insertCall.Columns), "secret")}

var insertAttempt = &db.Insert{Table: "webhook_attempt", Columns: []string{"id", "call_id", "number", "at", "duration", "status",
	"request", "response", "error", "next_at"}}

// claimed is a call this program has the lease of.
type claimed struct {
	id      int64
	account string
	url     string
	payload string
	secret  string // sealed; "" for Mailgun's way of signing
	attempt int64  // attempts made before
	step    int64  // waits of the plan used up
	lease   int64  // end of the lease, also what due holds meanwhile
}

const claimSQL = "SELECT id, account_id, url, payload, secret, attempt, step FROM webhook_call WHERE state = 'waiting' AND lane = ? AND due <= ? ORDER BY due, id LIMIT ?"

// claimLane leases up to n calls of a lane that are due. next is when the lane
// should be looked at again: the earliest due time of the calls left waiting,
// leases included, or never.
func claimLane(tx *db.Tx, lane string, n int, node int64, lease time.Duration) (list []claimed, next int64, err error) {
	until := tx.Now + lease.Microseconds()
	err = tx.Each(func(r *sql.Rows) error {
		c := claimed{lease: until}
		err := r.Scan(&c.id, &c.account, &c.url, &c.payload, &c.secret, &c.attempt, &c.step)
		list = append(list, c)
		return err
	}, claimSQL+tx.Dialect().SkipLocked(), lane, tx.Now, int64(n))
	if err != nil {
		return nil, 0, err
	}
	for i := range list {
		if _, err := tx.Exec("UPDATE webhook_call SET node = ?, due = ? WHERE id = ?", node, until, list[i].id); err != nil {
			return nil, 0, err
		}
	}
	next = never
	err = tx.Each(func(r *sql.Rows) error { return r.Scan(&next) },
		"SELECT due FROM webhook_call WHERE state = 'waiting' AND lane = ? ORDER BY due LIMIT 1", lane)
	return list, next, err
}

// lanesDue returns the lanes with waiting calls and their earliest due time.
// It costs one index look-up per lane, however many calls stand in it.
func lanesDue(tx *db.Tx) (map[string]int64, error) {
	out := map[string]int64{}
	for last := ""; ; {
		var due int64
		err := tx.QueryRow("SELECT lane, due FROM webhook_call WHERE state = 'waiting' AND lane > ? ORDER BY lane, due LIMIT 1", last).Scan(&last, &due)
		if err == db.ErrNoRows {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out[last] = due
	}
}

// releaseClaims makes the calls other runs had claimed due now.
func releaseClaims(tx *db.Tx, node int64) error {
	_, err := tx.Exec("UPDATE webhook_call SET node = 0, due = ? WHERE node <> 0 AND node <> ?", tx.Now, node)
	return err
}

// releaseOne gives a claim back without an attempt.
func releaseOne(tx *db.Tx, c *claimed, node int64) error {
	_, err := tx.Exec("UPDATE webhook_call SET node = 0, due = ? WHERE id = ? AND node = ? AND due = ?", tx.Now, c.id, node, c.lease)
	return err
}

// finish records an attempt and moves the call on, unless its lease has passed
// to somebody else: then only the attempt is recorded.
func finish(tx *db.Tx, c *claimed, node, attemptID int64, r *result, v verdict) error {
	tx.Stage(insertAttempt, attemptID, c.id, c.attempt+1, r.at, r.duration.Microseconds(), int64(r.status), r.request, r.response, r.err, v.due)
	_, err := tx.Exec("UPDATE webhook_call SET state = ?, attempt = ?, step = ?, due = ?, node = 0 WHERE id = ? AND node = ? AND due = ?",
		string(v.state), c.attempt+1, v.step, v.due, c.id, node, c.lease)
	return err
}

func replayCall(tx *db.Tx, id int64, steps int) (int64, error) {
	return tx.Exec("UPDATE webhook_call SET step = CASE WHEN state = 'waiting' THEN step ELSE ? END, state = 'waiting', due = ?, node = 0 WHERE id = ? AND (node = 0 OR due <= ?)",
		int64(steps), tx.Now, id, tx.Now)
}

const callColumns = "id, account_id, domain_id, event_type, event_id, message_id, url, payload, state, due, created_at"

func scanCall(scan func(...any) error) (c Call, err error) {
	var due, created int64
	err = scan(&c.ID, &c.AccountID, &c.DomainID, &c.EventType, &c.EventID, &c.MessageID, &c.URL, &c.Payload, &c.State, &due, &created)
	c.Due, c.CreatedAt = clock.FromMicro(due), clock.FromMicro(created)
	return c, err
}

func callByID(tx *db.Tx, account string, id int64) (*Call, error) {
	c, err := scanCall(tx.QueryRow("SELECT "+callColumns+" FROM webhook_call WHERE id = ? AND account_id = ?", id, account).Scan)
	if err != nil {
		return nil, notFound(err)
	}
	return &c, nil
}

func findCalls(tx *db.Tx, q Query) (out []Call, err error) {
	where, args := " WHERE account_id = ?", []any{q.AccountID}
	if q.MessageID != 0 {
		where, args = where+" AND message_id = ?", append(args, q.MessageID)
	}
	if q.State != "" {
		where, args = where+" AND state = ?", append(args, string(q.State))
	}
	if q.Before != 0 {
		where, args = where+" AND id < ?", append(args, q.Before)
	}
	err = tx.Each(func(r *sql.Rows) error {
		c, err := scanCall(r.Scan)
		out = append(out, c)
		return err
	}, "SELECT "+callColumns+" FROM webhook_call"+where+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
	return out, err
}

// fillAttempts reads the attempts of calls.
func (s *Service) fillAttempts(tx *db.Tx, calls []Call) error {
	if len(calls) == 0 {
		return nil
	}
	byID, args := map[int64]*Call{}, make([]any, len(calls))
	for i := range calls {
		byID[calls[i].ID], args[i] = &calls[i], calls[i].ID
	}
	return tx.Each(func(r *sql.Rows) error {
		var call int64
		a, sent, err := scanAttempt(r, &call)
		if err != nil {
			return err
		}
		c := byID[call]
		if a.Request, err = sent.restore(c); err != nil {
			return fmt.Errorf("webhook call %d: %w", c.ID, err)
		}
		c.Attempts = append(c.Attempts, a)
		return nil
	}, "SELECT call_id, number, at, duration, status, request, response, error, next_at FROM webhook_attempt WHERE call_id IN "+
		db.Marks(len(calls))+" ORDER BY call_id, number, id", args...)
}

func scanAttempt(r *sql.Rows, call *int64) (a Attempt, s sent, err error) {
	var at, duration, next int64
	var request string
	if err := r.Scan(call, &a.Number, &at, &duration, &a.Status, &request, &a.Response, &a.Error, &next); err != nil {
		return a, s, err
	}
	a.At, a.Next, a.Duration = clock.FromMicro(at), clock.FromMicro(next), time.Duration(duration)*time.Microsecond
	return a, s, json.Unmarshal([]byte(request), &s)
}

// deleteCalls deletes up to n of the oldest calls whose id is below floor.
func deleteCalls(tx *db.Tx, floor int64, n int) (int64, error) {
	var last sql.NullInt64
	err := tx.QueryRow("SELECT MAX(id) FROM (SELECT id FROM webhook_call WHERE id < ? ORDER BY id LIMIT ?) AS oldest", floor, n).Scan(&last)
	if err != nil || !last.Valid {
		return 0, err
	}
	if _, err := tx.Exec("DELETE FROM webhook_attempt WHERE call_id <= ?", last.Int64); err != nil {
		return 0, err
	}
	return tx.Exec("DELETE FROM webhook_call WHERE id <= ?", last.Int64)
}
