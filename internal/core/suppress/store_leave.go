package suppress

import (
	"strings"

	"postroad/internal/base/db"
)

// insertNew writes a row unless one of its address and tag is there, and reports
// whether it did. A transaction that has written it, and has not ended, is waited
// for.
func insertNew(tx *db.Tx, r row) (bool, error) {
	n, err := tx.Exec("INSERT INTO suppression ("+insertColumns+") VALUES "+db.Marks(insertWidth)+" ON CONFLICT (domain_id, kind, lookup, tag) DO NOTHING",
		r.id, r.DomainID, string(r.Kind), r.Address, r.lookup, r.Tag, r.Code, r.Reason, r.MessageID, r.CreatedAt, "")
	return n > 0, err
}

// deleteOf removes the unsubscribes of an address that a message caused.
func deleteOf(tx *db.Tx, domainID int64, lookup, messageID string, tags []string) (int64, error) {
	args := []any{domainID, string(Unsubscribes), lookup, messageID}
	for _, t := range tags {
		args = append(args, strings.ToLower(t))
	}
	return tx.Exec("DELETE FROM suppression WHERE domain_id = ? AND kind = ? AND lookup = ? AND message_id = ? AND LOWER(tag) IN "+db.Marks(len(tags)), args...)
}
