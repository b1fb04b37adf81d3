package list

import (
	"errors"

	"postroad/internal/base/db"
)

func insertUpload(tx *db.Tx, u *upload) error {
	_, err := tx.Exec("INSERT INTO list_upload (id, list_id, format, upsert, subscribed, data, done, upserted, failed, created_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?)",
		u.id, u.listID, u.format, number(u.upsert), number(u.subscribed), u.data, tx.Now)
	return err
}

// nextUpload returns the oldest upload, nil without any.
func nextUpload(tx *db.Tx) (*upload, error) {
	u := &upload{}
	var upsert, subscribed int64
	err := tx.QueryRow("SELECT id, list_id, format, upsert, subscribed, data, done, upserted, failed FROM list_upload ORDER BY id LIMIT 1").
		Scan(&u.id, &u.listID, &u.format, &upsert, &subscribed, &u.data, &u.done, &u.upserted, &u.failed)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	u.upsert, u.subscribed = upsert != 0, subscribed != 0
	return u, err
}

func moveUpload(tx *db.Tx, u *upload) error {
	_, err := tx.Exec("UPDATE list_upload SET done = ?, upserted = ?, failed = ? WHERE id = ?", u.done, u.upserted, u.failed, u.id)
	return err
}

func deleteUpload(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM list_upload WHERE id = ?", id)
	return err
}
