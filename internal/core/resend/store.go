package resend

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/message"
)

// row is an email as it is stored. ID is that of the message.
type row struct {
	ID                  int64
	PublicID            string
	AccountID           string
	DomainID            int64
	Detail              detail
	Scheduled, Canceled int64 // microseconds; 0: not
	CreatedAt           int64
}

// detail is what GET answers.
type detail struct {
	MessageID string    `json:"id"` // without brackets
	From      string    `json:"from"`
	To        addresses `json:"to"`
	CC        addresses `json:"cc,omitempty"`
	BCC       addresses `json:"bcc,omitempty"`
	ReplyTo   addresses `json:"reply_to,omitempty"`
	Subject   string    `json:"subject"`
	Tags      []tag     `json:"tags,omitempty"`
}

func newRow(m *message.Message, e *email) *row {
	r := &row{ID: m.ID, PublicID: m.Meta.Email.ID, AccountID: m.AccountID, DomainID: m.DomainID, CreatedAt: m.CreatedAt.UnixMicro(),
		Detail: detail{m.MessageID, e.From, e.To, e.CC, e.BCC, e.ReplyTo, m.Meta.Subject, e.Tags}}
	if !e.due.IsZero() {
		r.Scheduled = e.due.UnixMicro()
	}
	return r
}

var insEmail = &db.Insert{Table: "resend_email", Columns: []string{"id", "public_id", "account_id", "domain_id", "detail", "scheduled_at", "canceled_at", "created_at"}}

func stageEmail(tx *db.Tx, r *row) error {
	text, err := json.Marshal(&r.Detail)
	if err != nil {
		return fmt.Errorf("email: %w", err)
	}
	tx.Stage(insEmail, r.ID, r.PublicID, r.AccountID, r.DomainID, string(text), r.Scheduled, r.Canceled, r.CreatedAt)
	return nil
}

const selEmail = "SELECT id, public_id, account_id, domain_id, detail, scheduled_at, canceled_at, created_at FROM resend_email "

type scanner interface{ Scan(...any) error }

func scanEmail(s scanner) (*row, error) {
	r, text := &row{}, ""
	if err := s.Scan(&r.ID, &r.PublicID, &r.AccountID, &r.DomainID, &text, &r.Scheduled, &r.Canceled, &r.CreatedAt); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &r.Detail); err != nil {
		return nil, fmt.Errorf("email %d: %w", r.ID, err)
	}
	return r, nil
}

// findEmail returns an email of an account.
func findEmail(tx *db.Tx, accountID, publicID string) (*row, error) {
	r, err := scanEmail(tx.QueryRow(selEmail+"WHERE public_id = ? AND account_id = ?", publicID, accountID))
	if errors.Is(err, db.ErrNoRows) {
		return nil, refuse(404, notFound, "Email not found")
	}
	return r, err
}

// page selects part of a list that has the newest first: older than After, or the
// next newer than Before.
type page struct {
	after, before int64
	limit         int
}

// where returns conditions and whether the rows come oldest first.
func (p page) where(accountID string) (text string, args []any, turned bool) {
	switch {
	case p.before != 0:
		return "WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?", []any{accountID, p.before, p.limit + 1}, true
	case p.after != 0:
		return "WHERE account_id = ? AND id < ? ORDER BY id DESC LIMIT ?", []any{accountID, p.after, p.limit + 1}, false
	}
	return "WHERE account_id = ? ORDER BY id DESC LIMIT ?", []any{accountID, p.limit + 1}, false
}

// list returns a page, and whether there is more in its direction.
func list[T any](tx *db.Tx, sel, accountID string, p page, scan func(scanner) (T, error)) (out []T, more bool, err error) {
	where, args, turned := p.where(accountID)
	err = tx.Each(func(r *sql.Rows) error {
		v, err := scan(r)
		out = append(out, v)
		return err
	}, sel+where, args...)
	if len(out) > p.limit {
		out, more = out[:p.limit], true
	}
	if turned {
		slices.Reverse(out)
	}
	return out, more, err
}

// cancelEmail notes that an email that is not due yet is not to be sent.
func cancelEmail(tx *db.Tx, id int64) (bool, error) {
	n, err := tx.Exec("UPDATE resend_email SET canceled_at = ? WHERE id = ? AND canceled_at = 0 AND scheduled_at > ?", tx.Now, id, tx.Now)
	return n == 1, err
}

// moveEmail notes another time for an email that is not due yet.
func moveEmail(tx *db.Tx, id int64, due time.Time) (bool, error) {
	n, err := tx.Exec("UPDATE resend_email SET scheduled_at = ? WHERE id = ? AND canceled_at = 0 AND scheduled_at > ?", due.UnixMicro(), id, tx.Now)
	return n == 1, err
}

// deleteOldEmails removes emails from before a time whose message is gone.
func deleteOldEmails(tx *db.Tx, before int64, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM resend_email WHERE id IN (SELECT e.id FROM resend_email e WHERE e.created_at < ?
		AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = e.id) ORDER BY e.created_at LIMIT ?)`, before, limit)
}

// keepRequest is how long an idempotency key is remembered.
const keepRequest = 24 * time.Hour

// findRequest returns the answer to an earlier request with the key, "" if there was
// none; one with another hash is refused.
func findRequest(tx *db.Tx, accountID, key string, hash []byte) (answer string, err error) {
	var have []byte
	err = tx.QueryRow("SELECT hash, answer FROM resend_request WHERE account_id = ? AND idem_key = ? AND expires_at > ?", accountID, key, tx.Now).Scan(&have, &answer)
	switch {
	case errors.Is(err, db.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("idempotency: %w", err)
	case string(have) != string(hash):
		return "", refuse(409, reusedKey, "Same idempotency key used with a different request payload.")
	}
	return answer, nil
}

func insertRequest(tx *db.Tx, accountID, key string, hash []byte, answer string) error {
	if _, err := tx.Exec("DELETE FROM resend_request WHERE account_id = ? AND idem_key = ? AND expires_at <= ?", accountID, key, tx.Now); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO resend_request (account_id, idem_key, hash, answer, expires_at) VALUES (?, ?, ?, ?, ?)",
		accountID, key, hash, answer, tx.Now+keepRequest.Microseconds())
	return err
}

func deleteOldRequests(tx *db.Tx, limit int) (int64, error) {
	return tx.Exec("DELETE FROM resend_request WHERE (account_id, idem_key) IN (SELECT account_id, idem_key FROM resend_request WHERE expires_at <= ? LIMIT ?)", tx.Now, limit)
}
