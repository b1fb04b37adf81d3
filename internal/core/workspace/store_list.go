package workspace

import (
	"database/sql"
	"errors"

	"postroad/internal/base/db"
)

// appendState adds the state of the newest message of a workspace to its block.
func appendState(tx *db.Tx, m *email) error {
	block, at := blockOf(m.seq)
	s := []byte{state(m.direction, m.status)}
	if at == 0 {
		_, err := tx.Exec("INSERT INTO workspace_state (workspace, block, states) VALUES (?, ?, ?)", m.workspace, block, s)
		return err
	}
	states, err := selectStates(tx, m.workspace, block)
	if err != nil {
		return err
	}
	return updateStates(tx, m.workspace, block, append(states, s...))
}

// replaceState writes the state of a message.
func replaceState(tx *db.Tx, m *email) error {
	block, at := blockOf(m.seq)
	states, err := selectStates(tx, m.workspace, block)
	if err != nil {
		return err
	}
	if at >= len(states) {
		return errors.New("the states of a workspace are shorter than its mail")
	}
	states[at] = state(m.direction, m.status)
	return updateStates(tx, m.workspace, block, states)
}

func selectStates(tx *db.Tx, workspace, block int64) (states []byte, err error) {
	err = tx.QueryRow("SELECT states FROM workspace_state WHERE workspace = ? AND block = ?", workspace, block).Scan(&states)
	return states, err
}

func updateStates(tx *db.Tx, workspace, block int64, states []byte) error {
	_, err := tx.Exec("UPDATE workspace_state SET states = ? WHERE workspace = ? AND block = ?", states, workspace, block)
	return err
}

func insertColumns(tx *db.Tx, workspace, block int64, from, to column) error {
	_, err := tx.Exec("INSERT INTO workspace_column (workspace, block, senders, recipients) VALUES (?, ?, ?, ?)", workspace, block, []byte(from), []byte(to))
	return err
}

// selectAddresses returns those of the messages of a block, in their order.
func selectAddresses(tx *db.Tx, workspace, block int64) (from, to []string, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var sender, recipient string
		err := r.Scan(&sender, &recipient)
		from, to = append(from, sender), append(to, recipient)
		return err
	}, "SELECT sender, recipient FROM workspace_email WHERE workspace = ? AND seq > ? AND seq <= ? ORDER BY seq", workspace, block*blockSize, (block+1)*blockSize)
	return from, to, err
}

// selectBlocks returns the states of a workspace's blocks from high down to low.
func selectBlocks(tx *db.Tx, workspace, low, high int64) (out []*block, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		b := &block{}
		out = append(out, b)
		return r.Scan(&b.number, &b.states)
	}, "SELECT block, states FROM workspace_state WHERE workspace = ? AND block >= ? AND block <= ? ORDER BY block DESC", workspace, low, high)
	return out, err
}

// eachColumn calls fn for the columns of full blocks from high down to low.
func eachColumn(tx *db.Tx, workspace int64, f field, low, high int64, fn func(block int64, c column)) error {
	name := [...]string{senders: "senders", recipients: "recipients"}[f]
	return tx.Each(func(r *sql.Rows) error {
		var block int64
		var c []byte
		err := r.Scan(&block, &c)
		fn(block, c)
		return err
	}, "SELECT block, "+name+" FROM workspace_column WHERE workspace = ? AND block >= ? AND block <= ? ORDER BY block DESC", workspace, low, high)
}

// firstSince returns the number of the first message from a time on, 0 for none.
func firstSince(tx *db.Tx, workspace, at int64) (seq int64, err error) {
	return oneSeq(tx, "SELECT seq FROM workspace_email WHERE workspace = ? AND created_at >= ? ORDER BY created_at, seq LIMIT 1", workspace, at)
}

// lastUntil returns the number of the last message up to a time, 0 for none.
func lastUntil(tx *db.Tx, workspace, at int64) (seq int64, err error) {
	return oneSeq(tx, "SELECT seq FROM workspace_email WHERE workspace = ? AND created_at <= ? ORDER BY created_at DESC, seq DESC LIMIT 1", workspace, at)
}

func oneSeq(tx *db.Tx, query string, args ...any) (seq int64, err error) {
	err = tx.QueryRow(query, args...).Scan(&seq)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return seq, err
}

// linked is what lists filter by of a message.
type linked struct {
	seq      int64
	state    byte
	from, to string
}

// eachLinked calls fn for the mail of a session or contact, or both, newest first.
func eachLinked(tx *db.Tx, workspace int64, f *filter, low, high int64, fn func(*linked)) error {
	query, args := "SELECT seq, direction, status, sender, recipient FROM workspace_email WHERE workspace = ?", []any{workspace}
	if f.sessionID != "" {
		query, args = query+" AND session_id = ? AND session_id <> ''", append(args, f.sessionID)
	}
	if f.contactID != "" {
		query, args = query+" AND contact_id = ? AND contact_id <> ''", append(args, f.contactID)
	}
	args = append(args, low, high) // the signs keep SQLite from reading all mail of the span by its numbers
	return tx.Each(func(r *sql.Rows) error {
		var l linked
		var d direction
		var s status
		if err := r.Scan(&l.seq, &d, &s, &l.from, &l.to); err != nil {
			return err
		}
		l.state = state(d, s)
		fn(&l)
		return nil
	}, query+" AND +seq >= ? AND +seq <= ? ORDER BY seq DESC", args...)
}

// selectRecent returns the workspaces with the newest mail.
func selectRecent(tx *db.Tx, limit int) (out []place, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var p place
		err := r.Scan(&p.num, &p.seq, &p.at)
		out = append(out, p)
		return err
	}, "SELECT num, last_seq, last_at FROM workspace ORDER BY last_at DESC LIMIT ?", limit)
	return out, err
}

// selectBySeq returns messages by their numbers, in the order of seqs.
func selectBySeq(tx *db.Tx, workspace int64, seqs []int64) ([]*email, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	args := []any{workspace}
	for _, n := range seqs {
		args = append(args, n)
	}
	out := make([]*email, 0, len(seqs))
	err := tx.Each(func(r *sql.Rows) error {
		m, err := scan(r)
		out = append(out, m)
		return err
	}, "SELECT "+emailColumns+" FROM workspace_email WHERE workspace = ? AND seq IN "+db.Marks(len(seqs))+" ORDER BY seq DESC", args...)
	return out, err
}
