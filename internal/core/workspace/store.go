package workspace

import (
	"database/sql"

	"postroad/internal/base/db"
)

// place is a workspace: its number and what it came to.
type place struct {
	num, seq, at int64
}

// lock takes the row of a workspace, making it first if it is new.
func lock(tx *db.Tx, id string, num int64) (p place, err error) {
	err = tx.QueryRow(`INSERT INTO workspace (num, id, last_seq, last_at) VALUES (?, ?, 0, 0)
		ON CONFLICT (id) DO UPDATE SET last_seq = workspace.last_seq RETURNING num, last_seq, last_at`, num, id).Scan(&p.num, &p.seq, &p.at)
	return p, err
}

// relock takes the row of a workspace that is known.
func relock(tx *db.Tx, num int64) error {
	_, err := tx.Exec("UPDATE workspace SET last_seq = last_seq WHERE num = ?", num)
	return err
}

func advance(tx *db.Tx, p place) error {
	_, err := tx.Exec("UPDATE workspace SET last_seq = ?, last_at = ? WHERE num = ?", p.seq, p.at, p.num)
	return err
}

// selectPlace finds a workspace; db.ErrNoRows if it has no mail.
func selectPlace(tx *db.Tx, id string) (p place, err error) {
	err = tx.QueryRow("SELECT num, last_seq, last_at FROM workspace WHERE id = ?", id).Scan(&p.num, &p.seq, &p.at)
	return p, err
}

const emailColumns = `id, uuid, workspace, seq, direction, status, sender, recipient, reply_to, subject, message_id, metadata,
	session_id, session_uuid, user_id, contact_id, created_at, sent_at, failed_at, delivered_at, bounced_at, opened_at, clicked_at`

// values are those of emailColumns, in their order.
func (m *email) values() []any {
	out := []any{m.id, m.uuid, m.workspace, m.seq, int64(m.direction), int64(m.status), m.from, m.to, m.replyTo, m.subject, m.messageID, m.metadata,
		m.sessionID, m.sessionUUID, m.userID, m.contactID, m.created}
	for _, t := range m.times[sent:] {
		out = append(out, t)
	}
	return out
}

func insert(tx *db.Tx, m *email) error {
	v := m.values()
	if _, err := tx.Exec("INSERT INTO workspace_email ("+emailColumns+") VALUES "+db.Marks(len(v)), v...); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO workspace_body (id, plain, html) VALUES (?, ?, ?)", m.id, m.plain, m.html)
	return err
}

// update writes what events change.
func update(tx *db.Tx, m *email) error {
	_, err := tx.Exec(`UPDATE workspace_email SET status = ?, message_id = ?, sent_at = ?, failed_at = ?, delivered_at = ?, bounced_at = ?, opened_at = ?, clicked_at = ?
		WHERE id = ?`, int64(m.status), m.messageID, m.times[sent], m.times[failed], m.times[delivered], m.times[bounced], m.times[opened], m.times[clicked], m.id)
	return err
}

type scanner interface{ Scan(...any) error }

func scan(r scanner) (*email, error) {
	m := &email{}
	to := []any{&m.id, &m.uuid, &m.workspace, &m.seq, &m.direction, &m.status, &m.from, &m.to, &m.replyTo, &m.subject, &m.messageID, &m.metadata,
		&m.sessionID, &m.sessionUUID, &m.userID, &m.contactID, &m.created}
	for i := range m.times[sent:] {
		to = append(to, &m.times[int(sent)+i])
	}
	if err := r.Scan(to...); err != nil {
		return nil, err
	}
	m.status = min(m.status, statuses-1)
	m.direction = min(m.direction, inbound)
	return m, nil
}

func selectEmail(tx *db.Tx, where string, args ...any) (*email, error) {
	return scan(tx.QueryRow("SELECT "+emailColumns+" FROM workspace_email WHERE "+where, args...))
}

func selectByID(tx *db.Tx, id int64) (*email, error) { return selectEmail(tx, "id = ?", id) }

func selectByUUID(tx *db.Tx, uuid string) (*email, error) { return selectEmail(tx, "uuid = ?", uuid) }

// selectByMessageID finds the oldest message of a direction by its Message-ID, in
// one workspace or, for 0, in any.
func selectByMessageID(tx *db.Tx, workspace int64, d direction, messageID string) (*email, error) {
	where := "message_id = ? AND message_id <> '' AND direction = ?"
	args := []any{messageID, int64(d)}
	if workspace != 0 {
		where, args = where+" AND workspace = ?", append(args, workspace)
	}
	return selectEmail(tx, where+" ORDER BY id LIMIT 1", args...)
}

// isStored reports whether mail from outside is there already.
func isStored(tx *db.Tx, workspace int64, messageID, recipient string) (bool, error) {
	var n int64
	err := tx.QueryRow("SELECT COUNT(*) FROM workspace_email WHERE message_id = ? AND message_id <> '' AND workspace = ? AND direction = ? AND recipient = ?",
		messageID, workspace, int64(inbound), recipient).Scan(&n)
	return n > 0, err
}

func selectBody(tx *db.Tx, m *email) error {
	return tx.QueryRow("SELECT plain, html FROM workspace_body WHERE id = ?", m.id).Scan(&m.plain, &m.html)
}

// selectPending returns messages whose sending has no outcome, the oldest first.
func selectPending(tx *db.Tx, after int64, limit int) (out []*email, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		m, err := scan(r)
		out = append(out, m)
		return err
	}, "SELECT "+emailColumns+" FROM workspace_email WHERE status = 0 AND id > ? ORDER BY id LIMIT ?", after, limit)
	return out, err
}
