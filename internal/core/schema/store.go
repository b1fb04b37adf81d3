package schema

import (
	"database/sql"
	"strings"

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
	var parts []string
	for _, c := range [...]struct{ table, column string }{
		{"message", "id"},
		{"delivery", "id"},
		{"webhook_call", "id"},
		{"route", "revision"},
		{"list", "id"},
		{"list_member", "id"},
		{"list_upload", "id"},
		{"suppression", "id"},
		{"suppression_import", "id"},
		{"tag", "id"},
		{"template", "id"},
		{"template_version", "id"},
		{"workspace", "num"},
		{"workspace_email", "id"},
		{"resend_email", "id"},
		{"resend_webhook", "id"},
		{"feedback", "id"},
		{"feedback_subscription", "id"},
	} {
		parts = append(parts, "SELECT MAX("+c.column+") AS id FROM "+c.table)
	}
	var last sql.NullInt64
	err := tx.QueryRow("SELECT MAX(id) FROM (" + strings.Join(parts, " UNION ALL ") + ") x").Scan(&last)
	return last.Int64, err
}
