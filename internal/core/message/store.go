package message

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

var insMessage = &db.Insert{Table: "message", Columns: []string{"id", "account_id", "domain_id", "storage_key", "message_id",
	"sender", "segment", "blob", "size", "options", "request", "created_at", "expires_at"}}

// encode turns a message into its row; done before the transaction begins.
func encode(m *Message) ([]any, error) {
	meta, err := encodeMeta(&m.Meta)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	req, err := encodeRequest(&m.Request)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return []any{m.ID, m.AccountID, m.DomainID, m.StorageKey, m.MessageID, m.Sender, int64(m.Blob.Segment), m.Blob.String(),
		m.Size, meta, req, m.CreatedAt.UnixMicro(), m.ExpiresAt.UnixMicro()}, nil
}

func stageMessage(tx *db.Tx, row []any) { tx.Stage(insMessage, row...) }

const selMessage = `SELECT m.id, m.account_id, m.domain_id, COALESCE(d.name, ''), m.storage_key, m.message_id, m.sender, m.blob,
	m.size, m.options, m.request, m.created_at, m.expires_at FROM message m LEFT JOIN domain d ON d.id = m.domain_id `

type scanner interface{ Scan(...any) error }

func scanMessage(r scanner) (*Message, error) {
	m := &Message{}
	var ref, meta, req string
	var created, expires int64
	err := r.Scan(&m.ID, &m.AccountID, &m.DomainID, &m.Domain, &m.StorageKey, &m.MessageID, &m.Sender, &ref, &m.Size, &meta, &req, &created, &expires)
	if err != nil {
		return nil, err
	}
	m.CreatedAt, m.ExpiresAt = clock.FromMicro(created), clock.FromMicro(expires)
	if m.Blob, err = blob.ParseRef(ref); err != nil {
		return nil, fmt.Errorf("message %d: %w", m.ID, err)
	}
	if err := errors.Join(json.Unmarshal([]byte(meta), &m.Meta), json.Unmarshal([]byte(req), &m.Request)); err != nil {
		return nil, fmt.Errorf("message %d: %w", m.ID, err)
	}
	return m, nil
}

// errNotFound is what clients read. Mailgun: missing stored message.
func errNotFound() error { return errs.New(errs.NotFound, "Message not found") }

func (s *Service) one(ctx context.Context, where string, args ...any) (m *Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		m, err = scanMessage(tx.QueryRow(selMessage+where, args...))
		if errors.Is(err, db.ErrNoRows) {
			return errNotFound()
		}
		return err
	})
	return m, err
}

// byMessageID returns the oldest messages with a Message-Id, of whatever account.
func (s *Service) byMessageID(ctx context.Context, id string, limit int) (list []*Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		list = nil
		return tx.Each(func(r *sql.Rows) error {
			m, err := scanMessage(r)
			list = append(list, m)
			return err
		}, selMessage+"WHERE m.message_id = ? ORDER BY m.id LIMIT ?", id, limit)
	})
	return list, err
}

// ByID returns the message with the row id; recently used ones come from
// memory.
func (s *Service) ByID(ctx context.Context, id int64) (*Message, error) {
	if m, ok := s.cache.Get(id); ok {
		return m, nil
	}
	m, err := s.one(ctx, "WHERE m.id = ?", id)
	if err == nil {
		s.cache.Put(id, m)
	}
	return m, err
}

// ByKey returns the message of the domain with the storage key.
func (s *Service) ByKey(ctx context.Context, domainID int64, key string) (*Message, error) {
	m, err := s.one(ctx, "WHERE m.id = ? AND m.storage_key = ? AND m.domain_id = ?", keyID(key), key, domainID)
	if err != nil {
		return nil, err
	}
	if s.clock.Now().After(m.ExpiresAt) {
		return nil, errNotFound()
	}
	return m, nil
}

// Body returns the stored MIME of m, which the caller does not change.
func (s *Service) Body(m *Message) ([]byte, error) {
	if b, ok := s.bodies.Get(m.ID); ok {
		return b, nil
	}
	b, err := s.Blobs.Read(m.Blob)
	if err != nil {
		return nil, fmt.Errorf("body of message %d: %w", m.ID, err)
	}
	return b, nil
}

// Recent returns messages of an account ("" for all), newest first, with ids
// below before (0 for the newest).
func (s *Service) Recent(ctx context.Context, accountID string, domainID, before int64, limit int) (out []*Message, err error) {
	q, args := "WHERE 1 = 1", []any{}
	if accountID != "" {
		q, args = q+" AND m.account_id = ?", append(args, accountID)
	}
	if domainID != 0 {
		q, args = q+" AND m.domain_id = ?", append(args, domainID)
	}
	if before != 0 {
		q, args = q+" AND m.id < ?", append(args, before)
	}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			m, err := scanMessage(r)
			out = append(out, m)
			return err
		}, selMessage+q+" ORDER BY m.id DESC LIMIT ?", append(args, limit)...)
	})
	return out, err
}

func findIdempotent(tx *db.Tx, account, key string) (id string, hash []byte, err error) {
	err = tx.QueryRow("SELECT message_id, body_hash FROM idempotency WHERE account_id = ? AND idem_key = ? AND expires_at > ?", account, key, tx.Now).Scan(&id, &hash)
	return id, hash, err
}

// insertIdempotent takes over a key whose time is over.
func insertIdempotent(tx *db.Tx, account, key string, hash []byte, id string, expires int64) error {
	if _, err := tx.Exec("DELETE FROM idempotency WHERE account_id = ? AND idem_key = ? AND expires_at <= ?", account, key, tx.Now); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO idempotency (account_id, idem_key, body_hash, message_id, expires_at) VALUES (?, ?, ?, ?, ?)", account, key, hash, id, expires)
	return err
}

// Neighbours returns the row ids of the messages of the account before and
// after m that are still shown, 0 where there is none.
func (s *Service) Neighbours(ctx context.Context, m *Message) (older, newer int64, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		var a, b sql.NullInt64
		if err := tx.QueryRow("SELECT MAX(id) FROM message WHERE account_id = ? AND id < ? AND expires_at > ?", m.AccountID, m.ID, tx.Now).Scan(&a); err != nil {
			return err
		}
		older = a.Int64
		err := tx.QueryRow("SELECT MIN(id) FROM message WHERE account_id = ? AND id > ? AND expires_at > ?", m.AccountID, m.ID, tx.Now).Scan(&b)
		newer = b.Int64
		return err
	})
	return older, newer, err
}

// DeleteAll ends the retention of every message of the account.
func (s *Service) DeleteAll(ctx context.Context, accountID string) error {
	return s.DB.Write(ctx, func(tx *db.Tx) error {
		tx.AfterCommit(s.cache.Clear)
		_, err := tx.Exec("UPDATE message SET expires_at = ? WHERE account_id = ? AND expires_at > ?", tx.Now-1, accountID, tx.Now)
		return err
	})
}

// Delete ends the retention of a stored message now. What is still on its way
// is delivered: the body goes when no delivery needs it.
func (s *Service) Delete(ctx context.Context, m *Message) error {
	return s.DB.Write(ctx, func(tx *db.Tx) error {
		tx.AfterCommit(func() { s.cache.Drop(m.ID) })
		_, err := tx.Exec("UPDATE message SET expires_at = ? WHERE id = ?", tx.Now-1, m.ID)
		return err
	})
}

// expireMessages removes a batch of messages whose retention is over and that
// have neither an unfinished delivery nor recipients to come, and returns how many.
func (s *Service) expireMessages(ctx context.Context) (n int64, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err = tx.Exec(`DELETE FROM message WHERE id IN (SELECT m.id FROM message m WHERE m.expires_at < ?
			AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id)
			AND NOT EXISTS (SELECT 1 FROM expansion x WHERE x.message_id = m.id) ORDER BY m.expires_at LIMIT ?)`, tx.Now, expireBatch)
		return err
	})
	return n, err
}

func expireIdempotent(tx *db.Tx) error {
	_, err := tx.Exec("DELETE FROM idempotency WHERE expires_at < ?", tx.Now)
	return err
}

// segmentsInUse returns the segments that hold the body of some message.
func segmentsInUse(tx *db.Tx) (map[uint64]bool, error) {
	used := map[uint64]bool{}
	err := tx.Each(func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		used[uint64(id)] = true
		return err
	}, "SELECT DISTINCT segment FROM message")
	return used, err
}
