package domain

import (
	"database/sql"

	"postroad/internal/base/db"
)

// claimHost notes that links of a domain have a host name. It reports false when
// the name is another account's: one of its tracking hosts, one of its domains, or
// below one.
func claimHost(tx *db.Tx, d *Domain, host string) (bool, error) {
	args := []any{d.AccountID}
	for name := range parents(host) {
		args = append(args, name)
	}
	var n int
	err := tx.QueryRow(`SELECT COUNT(*) FROM domain WHERE account_id <> ? AND (name IN `+db.Marks(len(args)-1)+
		` OR id IN (SELECT domain_id FROM tracking_host WHERE host = ?))`, append(args, host)...).Scan(&n)
	if err != nil || n > 0 {
		return false, err
	}
	_, err = tx.Exec(`INSERT INTO tracking_host (host, domain_id) VALUES (?, ?) ON CONFLICT (host, domain_id) DO NOTHING`, host, d.ID)
	return true, err
}

// selectByHost returns the domains that have or had a host name for their links
// by name.
func selectByHost(tx *db.Tx, host string) (list []*Domain, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		d, err := scanDomain(r)
		list = append(list, d)
		return err
	}, `SELECT `+domainColumns+` FROM domain WHERE id IN (SELECT domain_id FROM tracking_host WHERE host = ?) ORDER BY id LIMIT 1000`, host)
	return list, err
}
