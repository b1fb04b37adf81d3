package resend

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/svix"
)

// hook is a webhook as it is stored.
type hook struct {
	ID        int64
	PublicID  string
	AccountID string
	Endpoint  string
	Events    []string
	Enabled   bool
	Secret    string // sealed
	CreatedAt int64
}

func (h *Hooks) seal(key svix.Secret) string {
	return base64.StdEncoding.EncodeToString(h.box.Seal(key, sealContext))
}

func (h *Hooks) open(sealed string) (svix.Secret, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("secret of a webhook: %w", err)
	}
	return h.box.Open(b, sealContext)
}

const selHook = "SELECT id, public_id, account_id, endpoint, events, enabled, secret, created_at FROM resend_webhook "

func scanHook(s scanner) (*hook, error) {
	w, events, enabled := &hook{}, "", int64(0)
	err := s.Scan(&w.ID, &w.PublicID, &w.AccountID, &w.Endpoint, &events, &enabled, &w.Secret, &w.CreatedAt)
	w.Events, w.Enabled = strings.Split(events, ","), enabled != 0
	return w, err
}

func eachEnabled(tx *db.Tx, fn func(*hook) error) error {
	return tx.Each(func(r *sql.Rows) error {
		w, err := scanHook(r)
		if err != nil {
			return err
		}
		return fn(w)
	}, selHook+"WHERE enabled = 1 ORDER BY id")
}

func findHook(tx *db.Tx, accountID, publicID string) (*hook, error) {
	w, err := scanHook(tx.QueryRow(selHook+"WHERE public_id = ? AND account_id = ?", publicID, accountID))
	if errors.Is(err, db.ErrNoRows) {
		return nil, refuse(404, notFound, "Webhook not found")
	}
	return w, err
}

func countHooks(tx *db.Tx, accountID string) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM resend_webhook WHERE account_id = ?", accountID).Scan(&n)
	return n, err
}

func insertHook(tx *db.Tx, w *hook) error {
	_, err := tx.Exec("INSERT INTO resend_webhook (id, public_id, account_id, endpoint, events, enabled, secret, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		w.ID, w.PublicID, w.AccountID, w.Endpoint, strings.Join(w.Events, ","), bit(w.Enabled), w.Secret, tx.Now)
	return err
}

func updateHook(tx *db.Tx, w *hook) error {
	_, err := tx.Exec("UPDATE resend_webhook SET endpoint = ?, events = ?, enabled = ?, secret = ? WHERE id = ?",
		w.Endpoint, strings.Join(w.Events, ","), bit(w.Enabled), w.Secret, w.ID)
	return err
}

func deleteHook(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM resend_webhook WHERE id = ?", id)
	return err
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
