package list

import (
	"database/sql"
	"errors"

	"postroad/internal/base/db"
	"postroad/internal/mail/addr"
)

const listColumns = "id, account_id, domain_id, address, name, description, access, reply, list_id, members, created_at"

type scanner interface{ Scan(...any) error }

func scanList(r scanner) (*List, error) {
	l := &List{}
	return l, r.Scan(&l.ID, &l.AccountID, &l.DomainID, &l.Address, &l.Name, &l.Description, &l.Access, &l.Reply, &l.ListID, &l.Members, &l.CreatedAt)
}

// selectByAddress returns the list with a canonical address, nil without one.
func selectByAddress(tx *db.Tx, lookup string) (*List, error) {
	return oneList(tx.QueryRow("SELECT "+listColumns+" FROM list WHERE lookup = ? AND account_id <> ''", lookup))
}

func selectByID(tx *db.Tx, id int64) (*List, error) {
	return oneList(tx.QueryRow("SELECT "+listColumns+" FROM list WHERE id = ? AND account_id <> ''", id))
}

func oneList(r scanner) (*List, error) {
	l, err := scanList(r)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return l, err
}

func insertList(tx *db.Tx, l *List) error {
	_, err := tx.Exec("INSERT INTO list ("+listColumns+", lookup) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		l.ID, l.AccountID, l.DomainID, l.Address, l.Name, l.Description, string(l.Access), string(l.Reply), l.ListID, l.Members, l.CreatedAt, addr.Canonical(l.Address))
	return err
}

func updateList(tx *db.Tx, l *List) error {
	_, err := tx.Exec("UPDATE list SET domain_id = ?, address = ?, lookup = ?, name = ?, description = ?, access = ?, reply = ?, list_id = ? WHERE id = ?",
		l.DomainID, l.Address, addr.Canonical(l.Address), l.Name, l.Description, string(l.Access), string(l.Reply), l.ListID, l.ID)
	return err
}

// retire takes lists out of use; their rows and members are left to the sweep.
// column is id or domain_id.
func retire(tx *db.Tx, column string, value int64) error {
	if _, err := tx.Exec("DELETE FROM list_upload WHERE list_id IN (SELECT id FROM list WHERE "+column+" = ?)", value); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE list SET account_id = '', lookup = 'deleted ' || id WHERE "+column+" = ?", value)
	return err
}

// retired returns a list that is out of use, 0 without any.
func retired(tx *db.Tx) (id int64, err error) {
	err = tx.QueryRow("SELECT id FROM list WHERE account_id = '' LIMIT 1").Scan(&id)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// removeSome deletes members of a list that is out of use, and with the last of
// them the list.
func removeSome(tx *db.Tx, id int64, limit int) error {
	n, err := tx.Exec("DELETE FROM list_member WHERE id IN (SELECT id FROM list_member WHERE list_id = ? LIMIT ?)", id, limit)
	if err != nil || n == int64(limit) {
		return err
	}
	_, err = tx.Exec("DELETE FROM list WHERE id = ?", id)
	return err
}

func selectDomains(tx *db.Tx) (map[string]bool, error) {
	out := map[string]bool{}
	err := tx.Each(func(r *sql.Rows) error {
		var lookup string
		err := r.Scan(&lookup)
		out[domainOf(lookup)] = true
		return err
	}, "SELECT MIN(lookup) FROM list WHERE account_id <> '' GROUP BY domain_id")
	return out, err
}

// selectLists returns lists of an account in the order of their addresses.
func selectLists(tx *db.Tx, accountID string, p *page) (out []*List, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		l, err := scanList(r)
		out = append(out, l)
		return err
	}, "SELECT "+listColumns+" FROM list WHERE account_id = ?"+p.where()+p.order(), p.args(accountID)...)
	return turned(p, out), err
}

func countLists(tx *db.Tx, accountID, lookup string) (n int64, err error) {
	q, args := "SELECT COUNT(*) FROM list WHERE account_id = ?", []any{accountID}
	if lookup != "" {
		q, args = q+" AND lookup = ?", append(args, lookup)
	}
	err = tx.QueryRow(q, args...).Scan(&n)
	return n, err
}
