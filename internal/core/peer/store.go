package peer

import (
	"cmp"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/mail/tlspolicy"
)

// selectPolicy returns a policy that is valid at the time now, or ErrNoPolicy. A
// text that cannot be read is as good as none: it is fetched anew.
func selectPolicy(tx *db.Tx, name string, now int64) (*Policy, error) {
	var text string
	var fetched, expires int64
	p := &Policy{Domain: name}
	err := tx.QueryRow("SELECT policy_id, policy, fetched_at, expires_at FROM mta_sts WHERE domain = ? AND expires_at > ?", name, now).
		Scan(&p.ID, &text, &fetched, &expires)
	if errors.Is(err, db.ErrNoRows) {
		return nil, ErrNoPolicy
	}
	if err != nil {
		return nil, err
	}
	if p.STS, err = tlspolicy.ParseSTS([]byte(text)); err != nil {
		return nil, ErrNoPolicy
	}
	p.Fetched, p.Expires = clock.FromMicro(fetched), clock.FromMicro(expires)
	return p, nil
}

func upsertPolicy(tx *db.Tx, p *Policy) error {
	_, err := tx.Exec("INSERT INTO mta_sts (domain, policy_id, policy, fetched_at, expires_at, refresh_at, used_at) VALUES (?, ?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (domain) DO UPDATE SET policy_id = excluded.policy_id, policy = excluded.policy, fetched_at = excluded.fetched_at, "+
		"expires_at = excluded.expires_at, refresh_at = excluded.refresh_at",
		p.Domain, p.ID, strings.Join(p.Lines(), "\n"), clock.Micro(p.Fetched), clock.Micro(p.Expires), clock.Micro(p.refreshAt()), tx.Now)
	return err
}

func updateUsed(tx *db.Tx, name string, at int64) error {
	_, err := tx.Exec("UPDATE mta_sts SET used_at = ? WHERE domain = ?", at, name)
	return err
}

func updateRefresh(tx *db.Tx, name string, at int64) error {
	_, err := tx.Exec("UPDATE mta_sts SET refresh_at = ? WHERE domain = ?", at, name)
	return err
}

// selectDue returns domains whose policy is to be fetched anew and was used since.
func selectDue(tx *db.Tx, now, since int64, most int) (names []string, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	}, "SELECT domain FROM mta_sts WHERE refresh_at <= ? AND used_at >= ? ORDER BY refresh_at LIMIT ?", now, since, most)
	return names, err
}

func deleteExpired(tx *db.Tx, now int64) error {
	_, err := tx.Exec("DELETE FROM mta_sts WHERE expires_at <= ?", now)
	return err
}

// insertResult adds to what was counted before.
var insertResult = &db.Insert{
	Table: "tls_result",
	Columns: []string{"day", "digest", "domain", "policy_type", "policy", "result", "sending_ip", "mx", "receiving_ip", "reason",
		"sessions"},
	Suffix: "ON CONFLICT (day, digest) DO UPDATE SET sessions = tls_result.sessions + excluded.sessions",
}

// stageResults writes counts in one order for all writers, so that two do not lock
// each other.
func stageResults(tx *db.Tx, rows map[row]int64) {
	digests := make(map[row]string, len(rows))
	for k := range rows {
		digests[k] = k.digest()
	}
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b row) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(digests[a], digests[b]))
	})
	for _, k := range keys {
		tx.Stage(insertResult, k.day, digests[k], k.domain, k.policyType, k.policy, k.result, k.sendingIP, k.mx, k.receivingIP, k.reason, rows[k])
	}
}

// digest names a row within its day; no field holds a NUL.
func (k *row) digest() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.domain, k.policyType, k.policy, k.result, k.sendingIP, k.mx, k.receivingIP, k.reason}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func selectResults(tx *db.Tx, day int64) (list []Tally, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var k row
		var n int64
		err := r.Scan(&k.domain, &k.policyType, &k.policy, &k.result, &k.sendingIP, &k.mx, &k.receivingIP, &k.reason, &n)
		list = append(list, k.tally(n))
		return err
	}, "SELECT domain, policy_type, policy, result, sending_ip, mx, receiving_ip, reason, sessions FROM tls_result "+
		"WHERE day = ? ORDER BY domain, policy_type, result, digest", day)
	return list, err
}

// deleteResults removes the days before.
func deleteResults(tx *db.Tx, day int64) error {
	_, err := tx.Exec("DELETE FROM tls_result WHERE day < ?", day)
	return err
}
