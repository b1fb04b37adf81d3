package webhook

import (
	"database/sql"
	"fmt"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// hook is one row of webhook. An account webhook of several event types is
// several rows with one public id.
type hook struct {
	id          int64
	publicID    string
	account     string
	domain      int64
	name        string
	url         string
	description string
	createdAt   int64
}

const hookColumns = "id, public_id, account_id, domain_id, event_type, url, description, created_at"

// version changes with every change of the table, because rows are only
// inserted, with growing ids, and deleted.
type version struct{ count, last int64 }

func hookVersion(tx *db.Tx) (v version, err error) {
	err = tx.QueryRow("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM webhook").Scan(&v.count, &v.last)
	return v, err
}

func scanHook(r *sql.Rows, h *hook) error {
	return r.Scan(&h.id, &h.publicID, &h.account, &h.domain, &h.name, &h.url, &h.description, &h.createdAt)
}

func eachHook(tx *db.Tx, fn func(*hook)) error {
	return tx.Each(func(r *sql.Rows) error {
		var h hook
		if err := scanHook(r, &h); err != nil {
			return err
		}
		fn(&h)
		return nil
	}, "SELECT "+hookColumns+" FROM webhook ORDER BY id")
}

// scope is whose registrations are meant: a domain's, or with domain 0 the
// account's own.
type scope struct {
	account string
	domain  int64
}

func hooksOf(tx *db.Tx, sc scope) (hookSet, error) {
	var out hookSet
	err := tx.Each(func(r *sql.Rows) error {
		var h hook
		err := scanHook(r, &h)
		out = append(out, h)
		return err
	}, "SELECT "+hookColumns+" FROM webhook WHERE account_id = ? AND domain_id = ? ORDER BY id", sc.account, sc.domain)
	return out, err
}

// lockScope makes changes of one scope wait for each other, so that two of
// them cannot pass the limit together. SQLite's writers do so anyway.
func lockScope(tx *db.Tx, sc scope) error {
	if tx.Dialect() != db.Postgres {
		return nil
	}
	_, err := tx.Exec("SELECT pg_advisory_xact_lock(?)", event.Hash(fmt.Sprintf("webhook %s %d", sc.account, sc.domain)))
	return err
}

func insertHook(tx *db.Tx, h *hook) error {
	_, err := tx.Exec("INSERT INTO webhook ("+hookColumns+") VALUES "+db.Marks(8),
		h.id, h.publicID, h.account, h.domain, h.name, h.url, h.description, h.createdAt)
	return err
}

func deleteHook(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM webhook WHERE id = ?", id)
	return err
}

func deleteDomainHooks(tx *db.Tx, domainID int64) error {
	_, err := tx.Exec("DELETE FROM webhook WHERE domain_id = ?", domainID)
	return err
}
