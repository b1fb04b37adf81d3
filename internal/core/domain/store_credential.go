package domain

import (
	"database/sql"
	"errors"

	"postroad/internal/base/db"
)

const credentialColumns = `id, domain_id, login, hash, system, created_at, scram`

func scanCredential(r scanner) (*credential, error) {
	c := &credential{}
	var system int64
	err := r.Scan(&c.id, &c.domainID, &c.login, &c.hash, &system, &c.createdAt, &c.sealed)
	c.system = system != 0
	if errors.Is(err, db.ErrNoRows) {
		return nil, errNoCredential
	}
	return c, err
}

func selectCredential(tx *db.Tx, login string) (*credential, error) {
	return scanCredential(tx.QueryRow(`SELECT `+credentialColumns+` FROM credential WHERE login = ?`, login))
}

func selectCredentials(tx *db.Tx, domainID int64, skip, limit int) (list []*credential, total int, err error) {
	if err := tx.QueryRow(`SELECT COUNT(*) FROM credential WHERE domain_id = ?`, domainID).Scan(&total); err != nil {
		return nil, 0, err
	}
	err = tx.Each(func(r *sql.Rows) error {
		c, err := scanCredential(r)
		list = append(list, c)
		return err
	}, `SELECT `+credentialColumns+` FROM credential WHERE domain_id = ? ORDER BY id LIMIT ? OFFSET ?`, domainID, limit, skip)
	return list, total, err
}

func insertCredential(tx *db.Tx, c *credential) error {
	_, err := tx.Exec(`INSERT INTO credential (`+credentialColumns+`) VALUES `+db.Marks(7),
		c.id, c.domainID, c.login, c.hash, bit(c.system), tx.Now, c.sealed)
	return err
}

// upsertCredential inserts a login or gives the one that exists the new hash.
func upsertCredential(tx *db.Tx, c *credential) error {
	n, err := updateCredential(tx, c)
	if err != nil || n > 0 {
		return err
	}
	return insertCredential(tx, c)
}

func updateCredential(tx *db.Tx, c *credential) (int64, error) {
	return tx.Exec(`UPDATE credential SET hash = ?, scram = ? WHERE login = ? AND domain_id = ?`, c.hash, c.sealed, c.login, c.domainID)
}

func deleteCredential(tx *db.Tx, id int64) error {
	_, err := tx.Exec(`DELETE FROM credential WHERE id = ?`, id)
	return err
}

func deleteCredentials(tx *db.Tx, domainID int64) (int64, error) {
	return tx.Exec(`DELETE FROM credential WHERE domain_id = ?`, domainID)
}
