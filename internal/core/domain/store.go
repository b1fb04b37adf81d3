package domain

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

const domainColumns = `id, public_id, name, account_id, state, type, authority, settings, records, checked_at, created_at`

type scanner interface{ Scan(...any) error }

// scanDomain reads a row of domainColumns.
func scanDomain(r scanner) (*Domain, error) {
	d := &Domain{}
	var settings, records string
	var checked, created int64
	err := r.Scan(&d.ID, &d.PublicID, &d.Name, &d.AccountID, &d.State, &d.Type, &d.Authority, &settings, &records, &checked, &created)
	if errors.Is(err, db.ErrNoRows) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(settings), &d.Settings); err != nil {
		return nil, fmt.Errorf("settings of domain %s: %w", d.Name, err)
	}
	if err := json.Unmarshal([]byte(records), &d.Records); err != nil {
		return nil, fmt.Errorf("records of domain %s: %w", d.Name, err)
	}
	d.CheckedAt, d.CreatedAt = clock.FromMicro(checked), clock.FromMicro(created)
	return d, nil
}

func selectByName(tx *db.Tx, name string) (*Domain, error) {
	return scanDomain(tx.QueryRow(`SELECT `+domainColumns+` FROM domain WHERE name = ?`, name))
}

func selectByID(tx *db.Tx, id int64) (*Domain, error) {
	return scanDomain(tx.QueryRow(`SELECT `+domainColumns+` FROM domain WHERE id = ?`, id))
}

// forUpdate locks rows until the transaction ends; SQLite has one writer anyway.
func forUpdate(tx *db.Tx) string {
	if tx.Dialect() == db.Postgres {
		return " FOR UPDATE"
	}
	return ""
}

func lockDomain(tx *db.Tx, id int64) (*Domain, error) {
	return scanDomain(tx.QueryRow(`SELECT `+domainColumns+` FROM domain WHERE id = ?`+forUpdate(tx), id))
}

func encode(d *Domain) (settings, records string, err error) {
	s, err := json.Marshal(d.Settings)
	if err != nil {
		return "", "", err
	}
	r, err := json.Marshal(d.Records)
	return string(s), string(r), err
}

func insertDomain(tx *db.Tx, d *Domain) error {
	settings, records, err := encode(d)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO domain (`+domainColumns+`) VALUES `+db.Marks(11),
		d.ID, d.PublicID, d.Name, d.AccountID, d.State, d.Type, d.Authority, settings, records, 0, tx.Now)
	return err
}

func updateDomain(tx *db.Tx, d *Domain) error {
	settings, records, err := encode(d)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE domain SET state = ?, authority = ?, settings = ?, records = ?, checked_at = ? WHERE id = ?`,
		d.State, d.Authority, settings, records, clock.Micro(d.CheckedAt), d.ID)
	return err
}

// deleteDomain deletes a domain with what belongs to it and returns 0 if it was
// gone.
func deleteDomain(tx *db.Tx, d *Domain) (int64, error) {
	n, err := tx.Exec(`DELETE FROM domain WHERE id = ?`, d.ID)
	if err != nil || n == 0 {
		return n, err
	}
	for _, q := range []string{`DELETE FROM dkim_key WHERE domain_id = ?`, `DELETE FROM credential WHERE domain_id = ?`, `DELETE FROM tracking_host WHERE domain_id = ?`} {
		if _, err := tx.Exec(q, d.ID); err != nil {
			return 0, err
		}
	}
	_, err = tx.Exec(`UPDATE domain SET authority = name WHERE authority = ?`, d.Name)
	return n, err
}

func selectDomains(tx *db.Tx, accountID string, q Query) (list []*Domain, total int, err error) {
	where, args := []string{"account_id = ?"}, []any{accountID}
	and := func(cond string, arg any) { where, args = append(where, cond), append(args, arg) }
	if q.State != "" {
		and("state = ?", q.State)
	}
	if q.Authority != "" {
		and("authority = ?", q.Authority)
	}
	if q.Search != "" {
		and(`name LIKE ? ESCAPE '\'`, db.LikeContains(q.Search))
	}
	from := ` FROM domain WHERE ` + strings.Join(where, " AND ")
	if err := tx.QueryRow(`SELECT COUNT(*)`+from, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	order := map[string]string{"": "id DESC", "name": "name", "name:asc": "name", "name:desc": "name DESC"}[q.Sort]
	err = tx.Each(func(r *sql.Rows) error {
		d, err := scanDomain(r)
		list = append(list, d)
		return err
	}, `SELECT `+domainColumns+from+` ORDER BY `+order+` LIMIT ? OFFSET ?`, append(args, q.Limit, q.Skip)...)
	return list, total, err
}

// selectUnverified returns the domains that wait for their records, those
// checked longest ago first.
func selectUnverified(tx *db.Tx, limit int) ([]*Domain, error) {
	return selectLongest(tx, `state = ?`, limit, Unverified)
}

// selectActive returns active domains last checked before a time, sandboxes left
// out.
func selectActive(tx *db.Tx, before time.Time, limit int) ([]*Domain, error) {
	return selectLongest(tx, `state = ? AND type = ? AND checked_at < ?`, limit, Active, Custom, clock.Micro(before))
}

func selectLongest(tx *db.Tx, where string, limit int, args ...any) (list []*Domain, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		d, err := scanDomain(r)
		list = append(list, d)
		return err
	}, `SELECT `+domainColumns+` FROM domain WHERE `+where+` ORDER BY checked_at, id LIMIT ?`, append(args, limit)...)
	return list, err
}

// claimSandbox returns the name of the account's sandbox domain, which is name
// if it had none.
func claimSandbox(tx *db.Tx, accountID, name string) (string, error) {
	setting := "sandbox:" + accountID
	if _, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, setting, name); err != nil {
		return "", err
	}
	err := tx.QueryRow(`SELECT value FROM setting WHERE name = ?`, setting).Scan(&name)
	return name, err
}
