package account

import (
	"database/sql"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

// firstSetting is the setting that names the first account.
const firstSetting = "first_account"

func claimFirst(tx *db.Tx, id string) (made bool, err error) {
	n, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, firstSetting, id)
	return n == 1, err
}

func firstAccount(tx *db.Tx) (id string, err error) {
	err = tx.QueryRow(`SELECT value FROM setting WHERE name = ?`, firstSetting).Scan(&id)
	return id, orMissing(err, errNoAccount)
}

func insertAccount(tx *db.Tx, id, name, sealed string) error {
	_, err := tx.Exec(`INSERT INTO account (id, name, signing_key, created_at) VALUES (?, ?, ?, ?)`, id, name, sealed, tx.Now)
	return err
}

func accountByID(tx *db.Tx, id string) (*Account, error) {
	a := &Account{ID: id}
	var created int64
	err := tx.QueryRow(`SELECT name, created_at FROM account WHERE id = ?`, id).Scan(&a.Name, &created)
	if err != nil {
		return nil, orMissing(err, errNoAccount)
	}
	a.CreatedAt = clock.FromMicro(created)
	return a, nil
}

func selectSigning(tx *db.Tx, id string) (sealed string, err error) {
	err = tx.QueryRow(`SELECT signing_key FROM account WHERE id = ?`, id).Scan(&sealed)
	return sealed, orMissing(err, errNoAccount)
}

func updateSigning(tx *db.Tx, id, sealed string) (int64, error) {
	return tx.Exec(`UPDATE account SET signing_key = ? WHERE id = ?`, sealed, id)
}

const keyColumns = `id, account_id, hash, tail, kind, role, domain, description, requestor, user_id, user_name, disabled, expires_at, created_at, updated_at`

type scanner interface{ Scan(...any) error }

func scanKey(r scanner) (*Key, error) {
	k := &Key{}
	var disabled int64
	err := r.Scan(&k.ID, &k.AccountID, &k.hash, &k.Tail, &k.Kind, &k.Role, &k.Domain, &k.Description,
		&k.Requestor, &k.UserID, &k.UserName, &disabled, &k.ExpiresAt, &k.CreatedAt, &k.UpdatedAt)
	k.Disabled = disabled != 0
	return k, err
}

func insertKey(tx *db.Tx, k *Key) error {
	k.CreatedAt, k.UpdatedAt = tx.Now, tx.Now
	_, err := tx.Exec(`INSERT INTO api_key (`+keyColumns+`) VALUES `+db.Marks(15),
		k.ID, k.AccountID, k.hash, k.Tail, k.Kind, k.Role, k.Domain, k.Description,
		k.Requestor, k.UserID, k.UserName, 0, k.ExpiresAt, k.CreatedAt, k.UpdatedAt)
	return err
}

// selectKeyByHash returns db.ErrNoRows when there is none.
func selectKeyByHash(tx *db.Tx, hash []byte) (*Key, error) {
	return scanKey(tx.QueryRow(`SELECT `+keyColumns+` FROM api_key WHERE hash = ?`, hash))
}

// enableKey makes a key that exists usable again.
func enableKey(tx *db.Tx, hash []byte) (found bool, err error) {
	n, err := tx.Exec(`UPDATE api_key SET disabled = 0, expires_at = 0, role = ?, kind = ?, domain = '' WHERE hash = ?`, Admin, KindUser, hash)
	return n > 0, err
}

func hasAdmin(tx *db.Tx, accountID string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT COUNT(*) FROM api_key WHERE account_id = ? AND role = ? AND kind = ? AND disabled = 0 AND (expires_at = 0 OR expires_at > ?)`,
		accountID, Admin, KindUser, tx.Now).Scan(&n)
	return n > 0, err
}

// countKeys leaves out keys that have expired: they no longer open anything.
// deleteOldestAdopted removes the key with that description made longest ago.
func deleteOldestAdopted(tx *db.Tx, accountID, description string) error {
	_, err := tx.Exec("DELETE FROM api_key WHERE id = (SELECT id FROM api_key WHERE account_id = ? AND description = ? ORDER BY created_at, id LIMIT 1)", accountID, description)
	return err
}

func countKeys(tx *db.Tx, accountID string) (n int, err error) {
	err = tx.QueryRow(`SELECT COUNT(*) FROM api_key WHERE account_id = ? AND (expires_at = 0 OR expires_at > ?)`, accountID, tx.Now).Scan(&n)
	return n, err
}

func selectKeys(tx *db.Tx, accountID, kind, domain string) (list []*Key, err error) {
	where, args := []string{"account_id = ?", "kind <> ?"}, []any{accountID, KindPublic}
	if kind != "" {
		where, args = append(where, "kind = ?"), append(args, kind)
	}
	if domain != "" {
		where, args = append(where, "domain = ?"), append(args, domain)
	}
	err = tx.Each(func(r *sql.Rows) error {
		k, err := scanKey(r)
		list = append(list, k)
		return err
	}, `SELECT `+keyColumns+` FROM api_key WHERE `+strings.Join(where, " AND ")+` ORDER BY created_at, id`, args...)
	return list, err
}

func deleteKey(tx *db.Tx, accountID, id string) (int64, error) {
	return tx.Exec(`DELETE FROM api_key WHERE account_id = ? AND id = ? AND kind <> ?`, accountID, id, KindPublic)
}

func deletePublicKeys(tx *db.Tx, accountID string) error {
	_, err := tx.Exec(`DELETE FROM api_key WHERE account_id = ? AND kind = ?`, accountID, KindPublic)
	return err
}

func deleteDomainKeys(tx *db.Tx, name string) error {
	_, err := tx.Exec(`DELETE FROM api_key WHERE kind = ? AND domain = ?`, KindDomain, name)
	return err
}
