package tag

import (
	"database/sql"
	"errors"
	"math"

	"postroad/internal/base/db"
)

var addStat = &db.Insert{Table: "tag_stat", Columns: []string{"tag_id", "dimension", "value", "at", "kind", "n"},
	Suffix: "ON CONFLICT (tag_id, dimension, value, at, kind) DO UPDATE SET n = tag_stat.n + excluded.n"}

// eachHour calls fn with the counters of a tag from one hour up to another.
func eachHour(tx *db.Tx, tagID int64, d dimension, value string, from, to int64, fn func(at int64, k kind, n int64)) error {
	return eachAt(tx, fn, "SELECT at, kind, n FROM tag_stat WHERE tag_id = ? AND dimension = ? AND value = ? AND at >= ? AND at < ?",
		tagID, int64(d), value, from, to)
}

// eachDay is eachHour for days; those of which there are hours are not among them.
func eachDay(tx *db.Tx, tagID int64, d dimension, value string, from, to int64, fn func(at int64, k kind, n int64)) error {
	return eachAt(tx, fn, "SELECT at, kind, n FROM tag_stat_day WHERE tag_id = ? AND dimension = ? AND value = ? AND at >= ? AND at < ?",
		tagID, int64(d), value, from, to)
}

func eachAt(tx *db.Tx, fn func(at int64, k kind, n int64), query string, args ...any) error {
	return tx.Each(func(r *sql.Rows) error {
		var at, n int64
		var k kind
		err := r.Scan(&at, &k, &n)
		fn(at, k, n)
		return err
	}, query, args...)
}

// sumByValue returns what was ever counted of a tag, by the values of a dimension.
func sumByValue(tx *db.Tx, tagID int64, d dimension) (map[string]*counts, error) {
	const part = " WHERE tag_id = ? AND dimension = ?"
	return sums(tx, "SELECT value, kind, CAST(SUM(n) AS BIGINT) FROM (SELECT value, kind, n FROM tag_stat"+part+
		" UNION ALL SELECT value, kind, n FROM tag_stat_day"+part+") x GROUP BY value, kind", tagID, int64(d), tagID, int64(d))
}

// sumByTag returns what was ever counted of an account's tags, by their lookup.
func sumByTag(tx *db.Tx, accountID string, lookups []string) (map[string]*counts, error) {
	if len(lookups) == 0 {
		return nil, nil
	}
	args := []any{accountID}
	for _, l := range lookups {
		args = append(args, l)
	}
	part := " JOIN tag t ON t.id = s.tag_id WHERE t.account_id = ? AND t.lookup IN " + db.Marks(len(lookups)) + " AND s.dimension = 0 AND s.value = ''"
	return sums(tx, "SELECT lookup, kind, CAST(SUM(n) AS BIGINT) FROM (SELECT t.lookup, s.kind, s.n FROM tag_stat s"+part+
		" UNION ALL SELECT t.lookup, s.kind, s.n FROM tag_stat_day s"+part+") x GROUP BY lookup, kind", append(args, args...)...)
}

func sums(tx *db.Tx, query string, args ...any) (map[string]*counts, error) {
	out := map[string]*counts{}
	err := tx.Each(func(r *sql.Rows) error {
		var name string
		var k kind
		var n int64
		if err := r.Scan(&name, &k, &n); err != nil {
			return err
		}
		if out[name] == nil {
			out[name] = &counts{}
		}
		out[name].add(k, n)
		return nil
	}, query, args...)
	return out, err
}

// tidyRows is about how many counters a transaction moves or removes.
const tidyRows = 2000

// ageStats adds up by the day some of the counters of before an hour.
func ageStats(tx *db.Tx, before int64) (more bool, err error) {
	at, tagID, more, err := boundary(tx, "tag_stat", before)
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec("INSERT INTO tag_stat_day (tag_id, dimension, value, at, kind, n) "+
		"SELECT tag_id, dimension, value, at / 24, kind, CAST(SUM(n) AS BIGINT) FROM tag_stat WHERE (at, tag_id) <= (?, ?) "+
		"GROUP BY tag_id, dimension, value, at / 24, kind "+
		"ON CONFLICT (tag_id, dimension, value, at, kind) DO UPDATE SET n = tag_stat_day.n + excluded.n", at, tagID); err != nil {
		return false, err
	}
	_, err = tx.Exec("DELETE FROM tag_stat WHERE (at, tag_id) <= (?, ?)", at, tagID)
	return more, err
}

// dropDays removes some of the counters of before a day.
func dropDays(tx *db.Tx, before int64) (more bool, err error) {
	at, tagID, more, err := boundary(tx, "tag_stat_day", before)
	if err == nil {
		_, err = tx.Exec("DELETE FROM tag_stat_day WHERE (at, tag_id) <= (?, ?)", at, tagID)
	}
	return more, err
}

// boundary returns up to which time and tag there are some rows; more says that
// there are others behind.
func boundary(tx *db.Tx, table string, before int64) (at, tagID int64, more bool, err error) {
	err = tx.QueryRow("SELECT at, tag_id FROM "+table+" WHERE at < ? ORDER BY at, tag_id LIMIT 1 OFFSET ?", before, tidyRows).Scan(&at, &tagID)
	if errors.Is(err, db.ErrNoRows) {
		return before - 1, math.MaxInt64, false, nil
	}
	return at, tagID, true, err
}

// removeRetired removes some of the counters of tags that are out of use, and
// those tags that have none left.
func removeRetired(tx *db.Tx) (more bool, err error) {
	for n := int64(0); n < tidyRows; n++ {
		var id int64
		err = tx.QueryRow("SELECT id FROM tag WHERE domain_id = 0 ORDER BY lookup LIMIT 1").Scan(&id)
		if errors.Is(err, db.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		removed, err := removeStats(tx, id)
		if err == nil && removed == 0 {
			_, err = tx.Exec("DELETE FROM tag WHERE id = ?", id)
		}
		if err != nil {
			return false, err
		}
		n += removed
	}
	return true, nil
}

// removeStats removes a tag's counters of one value of a dimension, and returns
// how many there were: 0 when none are left.
func removeStats(tx *db.Tx, tagID int64) (int64, error) {
	for _, table := range []string{"tag_stat", "tag_stat_day"} {
		var d int64
		var value string
		err := tx.QueryRow("SELECT dimension, value FROM "+table+" WHERE tag_id = ? LIMIT 1", tagID).Scan(&d, &value)
		if err == nil {
			return tx.Exec("DELETE FROM "+table+" WHERE tag_id = ? AND dimension = ? AND value = ?", tagID, d, value)
		}
		if !errors.Is(err, db.ErrNoRows) {
			return 0, err
		}
	}
	return 0, nil
}
