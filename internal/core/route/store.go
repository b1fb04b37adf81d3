package route

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

const routeColumns = "id, public_id, account_id, priority, description, expression, actions, created_at"

// version changes with every change of an account's routes: what is written
// gets a revision above all there are, what is deleted leaves their number.
type version struct{ count, last int64 }

// usage is what an account's routes take.
type usage struct {
	version
	program int64 // instructions of all patterns
}

func usageOf(tx *db.Tx, account string) (u usage, err error) {
	err = tx.QueryRow("SELECT COUNT(*), COALESCE(MAX(revision), 0), COALESCE(SUM(program), 0) FROM route WHERE account_id = ?", account).
		Scan(&u.count, &u.last, &u.program)
	return u, err
}

func scanRoute(scan func(...any) error) (*Route, error) {
	var r Route
	var actions string
	var created int64
	if err := scan(&r.row, &r.ID, &r.AccountID, &r.Priority, &r.Description, &r.Expression, &actions, &created); err != nil {
		return nil, err
	}
	r.CreatedAt = clock.FromMicro(created)
	if err := json.Unmarshal([]byte(actions), &r.Actions); err != nil {
		return nil, fmt.Errorf("route %s: actions: %w", r.ID, err)
	}
	return &r, nil
}

// routesOf returns a page of an account's routes in the order they are looked
// at; limit < 0 is all.
func routesOf(tx *db.Tx, account string, skip, limit int) (out []*Route, err error) {
	q, args := "SELECT "+routeColumns+" FROM route WHERE account_id = ? ORDER BY priority, id", []any{account}
	if limit >= 0 {
		q, args = q+" LIMIT ? OFFSET ?", append(args, limit, skip)
	}
	err = tx.Each(func(r *sql.Rows) error {
		one, err := scanRoute(r.Scan)
		out = append(out, one)
		return err
	}, q, args...)
	return out, err
}

func routeByID(tx *db.Tx, account, id string) (*Route, error) {
	r, err := scanRoute(tx.QueryRow("SELECT "+routeColumns+" FROM route WHERE public_id = ? AND account_id = ?", id, account).Scan)
	if err == db.ErrNoRows {
		return nil, errNotFound()
	}
	return r, err
}

// lockAccount makes changes of one account wait for each other, so that two of
// them neither pass a limit together nor take the same revision. SQLite's
// writers do so anyway.
func lockAccount(tx *db.Tx, account string) error {
	if tx.Dialect() != db.Postgres {
		return nil
	}
	_, err := tx.Exec("SELECT pg_advisory_xact_lock(?)", event.Hash("route "+account))
	return err
}

func insertRoute(tx *db.Tx, r *rule, revision int64) error {
	actions, err := json.Marshal(r.Actions)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO route ("+routeColumns+", program, revision) VALUES "+db.Marks(10), r.row, r.ID, r.AccountID,
		r.Priority, r.Description, r.Expression, string(actions), r.CreatedAt.UnixMicro(), int64(r.when.size), revision)
	return err
}

func updateRoute(tx *db.Tx, r *rule, revision int64) error {
	actions, err := json.Marshal(r.Actions)
	if err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE route SET priority = ?, description = ?, expression = ?, actions = ?, program = ?, revision = ? WHERE id = ?",
		r.Priority, r.Description, r.Expression, string(actions), int64(r.when.size), revision, r.row)
	return err
}

func deleteRoute(tx *db.Tx, row int64) error {
	_, err := tx.Exec("DELETE FROM route WHERE id = ?", row)
	return err
}
