package shape

import (
	"database/sql"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
)

const ruleColumns = "id, scope, match, kind, sessions, per_connection, rate_count, rate_period, target, reason, origin, step, created_by, created_at, expires_at"

// selectRules returns every rule, expired ones included, in the order made.
func selectRules(tx *db.Tx) (rules []Rule, err error) {
	err = tx.Each(func(rows *sql.Rows) error {
		var r Rule
		var period, created, expires int64
		err := rows.Scan(&r.ID, &r.Scope, &r.Match, &r.Kind, &r.Sessions, &r.PerConnection, &r.Count, &period, &r.Target, &r.Reason, &r.Origin,
			&r.Step, &r.CreatedBy, &created, &expires)
		r.Period, r.CreatedAt, r.ExpiresAt = time.Duration(period)*time.Second, clock.FromMicro(created), clock.FromMicro(expires)
		rules = append(rules, r)
		return err
	}, "SELECT "+ruleColumns+" FROM shaping_rule ORDER BY id")
	return rules, err
}

func (r *Rule) values() []any {
	return []any{r.ID, string(r.Scope), r.Match, string(r.Kind), r.Sessions, r.PerConnection, r.Count, int64(r.Period / time.Second), r.Target, r.Reason,
		string(r.Origin), r.Step, r.CreatedBy, clock.Micro(r.CreatedAt), clock.Micro(r.ExpiresAt)}
}

// insertRule adds a rule. An expired one in its place, which the loop has not
// removed yet, gives way.
func insertRule(tx *db.Tx, r *Rule) error {
	if _, err := tx.Exec("DELETE FROM shaping_rule WHERE scope = ? AND match = ? AND kind = ? AND origin = ? AND expires_at <> 0 AND expires_at <= ?",
		string(r.Scope), r.Match, string(r.Kind), string(r.Origin), tx.Now); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO shaping_rule ("+ruleColumns+") VALUES "+db.Marks(15), r.values()...)
	return err
}

// updateRule replaces everything of a rule but its id.
func updateRule(tx *db.Tx, r *Rule) (int64, error) {
	return tx.Exec("UPDATE shaping_rule SET scope = ?, match = ?, kind = ?, sessions = ?, per_connection = ?, rate_count = ?, rate_period = ?, "+
		"target = ?, reason = ?, origin = ?, step = ?, created_by = ?, created_at = ?, expires_at = ? WHERE id = ?", append(r.values()[1:], r.ID)...)
}

func deleteRule(tx *db.Tx, id int64) (int64, error) {
	return tx.Exec("DELETE FROM shaping_rule WHERE id = ?", id)
}

// deleteExpired removes the rules whose time was over at a microsecond.
func deleteExpired(tx *db.Tx, at int64) error {
	_, err := tx.Exec("DELETE FROM shaping_rule WHERE expires_at <> 0 AND expires_at <= ?", at)
	return err
}
