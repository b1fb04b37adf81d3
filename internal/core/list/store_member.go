package list

import (
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/mail/addr"
)

const memberColumns = "id, address, name, vars, subscribed"

func scanMember(r scanner) (*Member, error) {
	m := &Member{}
	var vars string
	var subscribed int64
	err := r.Scan(&m.ID, &m.Address, &m.Name, &vars, &subscribed)
	m.Vars, m.Subscribed = json.RawMessage(vars), subscribed != 0
	return m, err
}

// lockList keeps others from changing the members of a list until tx ends. ok is
// false when there is no such list.
func lockList(tx *db.Tx, id int64) (ok bool, err error) {
	n, err := tx.Exec("UPDATE list SET members = members WHERE id = ? AND account_id <> ''", id)
	return n == 1, err
}

func addCount(tx *db.Tx, id, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := tx.Exec("UPDATE list SET members = members + ? WHERE id = ?", n, id)
	return err
}

func selectMembersByLookup(tx *db.Tx, listID int64, lookups []string) (map[string]*Member, error) {
	args := []any{listID}
	for _, l := range lookups {
		args = append(args, l)
	}
	out := make(map[string]*Member, len(lookups))
	err := tx.Each(func(r *sql.Rows) error {
		m, err := scanMember(r)
		out[addr.Canonical(m.Address)] = m
		return err
	}, "SELECT "+memberColumns+" FROM list_member WHERE list_id = ? AND lookup IN "+db.Marks(len(lookups)), args...)
	return out, err
}

// upsertMembers writes members by their lookup.
func upsertMembers(tx *db.Tx, listID int64, members map[string]*Member) error {
	if len(members) == 0 {
		return nil
	}
	const width = 8
	args := make([]any, 0, width*len(members))
	for lookup, m := range members {
		args = append(args, m.ID, listID, m.Address, lookup, m.Name, string(m.Vars), number(m.Subscribed), tx.Now)
	}
	rows := strings.TrimSuffix(strings.Repeat(db.Marks(width)+",", len(members)), ",")
	_, err := tx.Exec("INSERT INTO list_member (id, list_id, address, lookup, name, vars, subscribed, created_at) VALUES "+rows+
		" ON CONFLICT (list_id, lookup) DO UPDATE SET address = excluded.address, name = excluded.name, vars = excluded.vars, subscribed = excluded.subscribed", args...)
	return err
}

func updateMember(tx *db.Tx, m *Member) error {
	_, err := tx.Exec("UPDATE list_member SET address = ?, lookup = ?, name = ?, vars = ?, subscribed = ? WHERE id = ?",
		m.Address, addr.Canonical(m.Address), m.Name, string(m.Vars), number(m.Subscribed), m.ID)
	return err
}

func deleteMember(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM list_member WHERE id = ?", id)
	return err
}

// selectMembers returns a page of members in the order of their addresses.
func selectMembers(tx *db.Tx, listID int64, p *page) (out []*Member, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		m, err := scanMember(r)
		out = append(out, m)
		return err
	}, "SELECT "+memberColumns+" FROM list_member WHERE list_id = ?"+p.where()+p.order(), p.args(listID)...)
	return turned(p, out), err
}

// countMembers counts those that p asks for on all its pages.
func countMembers(tx *db.Tx, listID int64, p *page) (n int64, err error) {
	args := p.args(listID)
	err = tx.QueryRow("SELECT COUNT(*) FROM list_member WHERE list_id = ?"+p.where(), args[:len(args)-2]...).Scan(&n)
	return n, err
}

// audience returns subscribed members in the order in which they joined.
func audience(tx *db.Tx, listID, after, before int64, limit int) (out []*Member, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		m, err := scanMember(r)
		out = append(out, m)
		return err
	}, "SELECT "+memberColumns+" FROM list_member WHERE list_id = ? AND id > ? AND id < ? AND subscribed = 1 ORDER BY id LIMIT ?",
		listID, after, before, limit)
	return out, err
}

// memberByID returns a member of a list that is in use, nil without one.
func memberByID(tx *db.Tx, listID, id int64) (*List, *Member, error) {
	l, err := selectByID(tx, listID)
	if l == nil || err != nil {
		return nil, nil, err
	}
	m, err := scanMember(tx.QueryRow("SELECT "+memberColumns+" FROM list_member WHERE id = ? AND list_id = ?", id, listID))
	if errors.Is(err, db.ErrNoRows) {
		return l, nil, nil
	}
	return l, m, err
}

// unsubscribe marks a member, and reports whether it was subscribed.
func unsubscribe(tx *db.Tx, id int64) (bool, error) {
	n, err := tx.Exec("UPDATE list_member SET subscribed = 0 WHERE id = ? AND subscribed = 1", id)
	return n == 1, err
}
