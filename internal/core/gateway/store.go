package gateway

import (
	"encoding/json"

	"postroad/internal/base/db"
	"postroad/internal/core/feedback"
)

var insertSent = db.Insert{Table: "gateway_sent",
	Columns: []string{"provider", "external_id", "recipient", "metadata", "tags", "sender", "subject", "expires_at"},
	Suffix:  "ON CONFLICT (provider, external_id, recipient) DO NOTHING"} // a repeated request has the same id

func stageSent(tx *db.Tx, n *note, tags, sender string, expires int64) {
	tx.Stage(&insertSent, n.driver, n.id, n.recipient, string(n.metadata), tags, sender, n.subject, expires)
}

// selectSent returns what was sent; db.ErrNoRows if nothing is known of it.
func selectSent(tx *db.Tx, driver, id, recipient string) (k feedback.Known, err error) {
	var metadata, tags string
	if err = tx.QueryRow("SELECT metadata, tags, sender, subject FROM gateway_sent WHERE provider = ? AND external_id = ? AND recipient = ?",
		driver, id, recipient).Scan(&metadata, &tags, &k.Sender, &k.Subject); err != nil {
		return k, err
	}
	if metadata != "" {
		k.Metadata = json.RawMessage(metadata)
	}
	return k, json.Unmarshal([]byte(tags), &k.Tags)
}

func deleteSent(tx *db.Tx, before int64, limit int) (int64, error) {
	return tx.Exec("DELETE FROM gateway_sent WHERE (provider, external_id, recipient) IN (SELECT provider, external_id, recipient FROM gateway_sent WHERE expires_at <= ? LIMIT ?)", before, limit)
}
