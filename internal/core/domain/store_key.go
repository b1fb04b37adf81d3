package domain

import (
	"database/sql"

	"postroad/internal/base/db"
)

const keyColumns = `id, domain_id, selector, private, public, bits, active`

func scanKey(r scanner) (*Key, error) {
	k := &Key{}
	var active int64
	err := r.Scan(&k.ID, &k.DomainID, &k.Selector, &k.private, &k.Public, &k.Bits, &active)
	k.Active = active != 0
	return k, err
}

func selectKeys(tx *db.Tx, domainID int64) (list []*Key, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		k, err := scanKey(r)
		list = append(list, k)
		return err
	}, `SELECT `+keyColumns+` FROM dkim_key WHERE domain_id = ? ORDER BY id`, domainID)
	return list, err
}

// lockKeys returns the keys of a domain and keeps others from changing their
// number or state until the transaction ends.
func lockKeys(tx *db.Tx, domainID int64) ([]*Key, error) {
	if _, err := lockDomain(tx, domainID); err != nil {
		return nil, err
	}
	return selectKeys(tx, domainID)
}

func insertKey(tx *db.Tx, k *Key) error {
	_, err := tx.Exec(`INSERT INTO dkim_key (`+keyColumns+`, created_at) VALUES `+db.Marks(8),
		k.ID, k.DomainID, k.Selector, k.private, k.Public, k.Bits, bit(k.Active), tx.Now)
	return err
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func updateKeyActive(tx *db.Tx, id int64, active bool) error {
	_, err := tx.Exec(`UPDATE dkim_key SET active = ? WHERE id = ?`, bit(active), id)
	return err
}

func renameKey(tx *db.Tx, id int64, selector string) error {
	_, err := tx.Exec(`UPDATE dkim_key SET selector = ? WHERE id = ?`, selector, id)
	return err
}

func deleteKey(tx *db.Tx, id int64) error {
	_, err := tx.Exec(`DELETE FROM dkim_key WHERE id = ?`, id)
	return err
}

// keyPage selects keys of all domains of an account by id.
type keyPage struct {
	accountID     string
	signingDomain string // "" for all
	selector      string // "" for all
	after         int64  // ids greater than this
	before        int64  // or, if not 0, the last ones less than this
	limit         int
}

// accountKey is a key with its domain.
type accountKey struct {
	Key
	domain *Domain
}

// selectAccountKeys returns a page in ascending order.
func selectAccountKeys(tx *db.Tx, p keyPage) (list []*accountKey, err error) {
	q := `SELECT k.id, k.domain_id, k.selector, k.private, k.public, k.bits, k.active FROM dkim_key k JOIN domain d ON d.id = k.domain_id WHERE d.account_id = ?`
	args := []any{p.accountID}
	and := func(cond string, arg any) { q, args = q+" AND "+cond, append(args, arg) }
	if p.signingDomain != "" {
		and("d.name = ?", p.signingDomain)
	}
	if p.selector != "" {
		and("k.selector = ?", p.selector)
	}
	order := " ORDER BY k.id LIMIT ?"
	if p.before != 0 {
		and("k.id < ?", p.before)
		order = " ORDER BY k.id DESC LIMIT ?"
	} else {
		and("k.id > ?", p.after)
	}
	err = tx.Each(func(r *sql.Rows) error {
		k, err := scanKey(r)
		list = append(list, &accountKey{Key: *k})
		return err
	}, q+order, append(args, p.limit)...)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.domain, err = selectByID(tx, k.DomainID); err != nil {
			return nil, err
		}
	}
	return list, nil
}
