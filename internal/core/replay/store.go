package replay

import "postroad/internal/base/db"

func insert(tx *db.Tx, id string, until int64) (bool, error) {
	n, err := tx.Exec("INSERT INTO received (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", id, until)
	return n == 1, err
}

func removeExpired(tx *db.Tx, now int64, limit int) (int64, error) {
	return tx.Exec("DELETE FROM received WHERE id IN (SELECT id FROM received WHERE expires_at <= ? LIMIT ?)", now, limit)
}
