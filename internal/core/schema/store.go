package schema

import (
	"database/sql"

	"postroad/internal/base/db"
)

// Bind ties the database to an installation: the first mark given is kept, and
// the mark kept is returned.
func Bind(tx *db.Tx, mark string) (kept string, err error) {
	if _, err := tx.Exec("INSERT INTO setting (name, value) VALUES ('installation', ?) ON CONFLICT (name) DO NOTHING", mark); err != nil {
		return "", err
	}
	err = tx.QueryRow("SELECT value FROM setting WHERE name = 'installation'").Scan(&kept)
	return kept, err
}

// LastID returns the highest row id in use outside the event partitions.
func LastID(tx *db.Tx) (int64, error) {
	var last sql.NullInt64
	err := tx.QueryRow(`SELECT MAX(id) FROM (SELECT MAX(id) AS id FROM message UNION ALL SELECT MAX(id) FROM delivery
		UNION ALL SELECT MAX(id) FROM webhook_call UNION ALL SELECT MAX(revision) FROM route
		UNION ALL SELECT MAX(id) FROM resend_email UNION ALL SELECT MAX(id) FROM resend_webhook UNION ALL SELECT MAX(id) FROM list UNION ALL SELECT MAX(id) FROM list_member UNION ALL SELECT MAX(id) FROM list_upload) x`).Scan(&last)
	return last.Int64, err
}
