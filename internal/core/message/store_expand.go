package message

import (
	"database/sql"

	"postroad/internal/base/db"
)

var insExpansion = &db.Insert{Table: "expansion", Columns: []string{"message_id", "domain_id", "audience", "cursor", "due", "created_at"}}

// stageExpansion notes that the members of the audience are to be added. A post
// for later is expanded then: who has left until then gets none.
func stageExpansion(tx *db.Tx, m *Message, audience int64) {
	now := m.CreatedAt.UnixMicro()
	tx.Stage(insExpansion, m.ID, m.DomainID, audience, int64(0), max(now, m.Meta.Options.DeliveryTime), now)
}

// expansions returns posts with ids above after, oldest first.
func expansions(tx *db.Tx, after int64, limit int) (out []expansion, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var x expansion
		err := r.Scan(&x.messageID, &x.domainID, &x.audience, &x.cursor, &x.due)
		out = append(out, x)
		return err
	}, "SELECT message_id, domain_id, audience, cursor, due FROM expansion WHERE message_id > ? ORDER BY message_id LIMIT ?", after, limit)
	return out, err
}

// moveExpansion puts the cursor behind a page, or removes the expansion after
// the last one. errMoved if it no longer stands where it did.
func moveExpansion(tx *db.Tx, x *expansion, page *Members) error {
	query, args := "UPDATE expansion SET cursor = ? WHERE message_id = ? AND cursor = ?", []any{page.Next, x.messageID, x.cursor}
	if page.Last {
		query, args = "DELETE FROM expansion WHERE message_id = ? AND cursor = ?", args[1:]
	}
	n, err := tx.Exec(query, args...)
	if err == nil && n != 1 {
		err = errMoved
	}
	return err
}

func deleteExpansion(tx *db.Tx, messageID int64) error {
	_, err := tx.Exec("DELETE FROM expansion WHERE message_id = ?", messageID)
	return err
}

func deleteExpansions(tx *db.Tx, domainID int64) error {
	_, err := tx.Exec("DELETE FROM expansion WHERE domain_id = ?", domainID)
	return err
}

// untried counts the deliveries of a message that wait for their first attempt,
// up to limit. What waits for its recipient's time does not keep others from
// theirs; what a limit put off is late.
func untried(tx *db.Tx, messageID int64, limit int) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE message_id = ? AND tries = 0 AND (due <= ? OR was_due <> 0) LIMIT ?) x", messageID, tx.Now, limit).Scan(&n)
	return n, err
}
