package trackhost

import (
	"database/sql"

	"postroad/internal/base/db"
)

// insertWish notes that a certificate was asked for; false if it was before, or the
// domain is gone.
func insertWish(tx *db.Tx, host string, domainID int64) (bool, error) {
	n, err := tx.Exec(`INSERT INTO tracking_certificate (host, domain_id, created_at) SELECT ?, id, ? FROM domain WHERE id = ? ON CONFLICT (host) DO NOTHING`,
		host, tx.Now, domainID)
	return n > 0, err
}

func wished(tx *db.Tx, host string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT COUNT(*) FROM tracking_certificate WHERE host = ?`, host).Scan(&n)
	return n > 0, err
}

func selectHosts(tx *db.Tx, where string, args ...any) (hosts []string, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var host string
		err := r.Scan(&host)
		hosts = append(hosts, host)
		return err
	}, `SELECT host FROM tracking_certificate`+where+` ORDER BY host`, args...)
	return hosts, err
}

// deleteWishes ends those of a domain and returns their hosts. A host that another
// domain has as well goes over to that one.
func deleteWishes(tx *db.Tx, domainID int64) ([]string, error) {
	const others = `(SELECT MIN(h.domain_id) FROM tracking_host h WHERE h.host = tracking_certificate.host AND h.domain_id <> ?)`
	if _, err := tx.Exec(`UPDATE tracking_certificate SET domain_id = `+others+` WHERE domain_id = ? AND `+others+` IS NOT NULL`,
		domainID, domainID, domainID); err != nil {
		return nil, err
	}
	hosts, err := selectHosts(tx, ` WHERE domain_id = ?`, domainID)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`DELETE FROM tracking_certificate WHERE domain_id = ?`, domainID)
	return hosts, err
}
