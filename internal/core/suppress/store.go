package suppress

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"postroad/internal/base/db"
)

// row is an entry as stored.
type row struct {
	Entry
	id     int64
	lookup string
}

const (
	entryColumns  = "id, kind, address, lookup, tag, code, reason, message_id, created_at, cause"
	insertColumns = "id, domain_id, kind, address, lookup, tag, code, reason, message_id, created_at, cause"
	// insertWidth is the number of insertColumns.
	insertWidth = 11
	// insertRows is how many rows one statement writes, well within the
	// engines' limits of parameters.
	insertRows  = 250
	onDuplicate = " ON CONFLICT (domain_id, kind, lookup, tag) DO UPDATE SET address = excluded.address, code = excluded.code, " +
		"reason = excluded.reason, message_id = excluded.message_id, created_at = excluded.created_at, cause = excluded.cause"
)

// distinct returns the rows of entries, with ids in the order given: the last one
// where several are the same row, since one statement may not touch a row
// twice, and in one order for all writers, so that two do not lock each other.
func distinct(entries []Entry, nextID func() int64) []row {
	rows := make([]row, len(entries))
	for i, e := range entries {
		rows[i] = row{Entry: e, id: nextID(), lookup: key(e.Address)}
	}
	slices.SortStableFunc(rows, compareRows)
	out := rows[:0]
	for i := range rows {
		if n := len(out); n > 0 && compareRows(out[n-1], rows[i]) == 0 {
			out[n-1] = rows[i]
			continue
		}
		out = append(out, rows[i])
	}
	return out
}

func compareRows(a, b row) int {
	return cmp.Or(cmp.Compare(a.DomainID, b.DomainID), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.lookup, b.lookup), cmp.Compare(a.Tag, b.Tag))
}

// upsert writes rows, several to a statement. It executes and does not stage:
// another part of a shared transaction may have staged the same row.
func upsert(tx *db.Tx, rows []row) error {
	for part := range slices.Chunk(rows, insertRows) {
		args := make([]any, 0, len(part)*insertWidth)
		for i := range part {
			r := &part[i]
			cause, err := r.Cause.encode()
			if err != nil {
				return err
			}
			args = append(args, r.id, r.DomainID, string(r.Kind), r.Address, r.lookup, r.Tag, r.Code, r.Reason, r.MessageID, r.CreatedAt, cause)
		}
		if _, err := tx.Exec(upsertSQL(len(part)), args...); err != nil {
			return err
		}
	}
	return nil
}

func upsertSQL(rows int) string {
	marks := strings.TrimSuffix(strings.Repeat(db.Marks(insertWidth)+",", rows), ",")
	return "INSERT INTO suppression (" + insertColumns + ") VALUES " + marks + onDuplicate
}

// lookUp returns kind and tag of every entry of an address. It is a Lookup:
// entries are written in SQL, never staged, and every delivery asks.
func lookUp(ctx context.Context, d *db.DB, domainID int64, lookup string) (found []Entry, err error) {
	err = d.Lookup(ctx, func(r *sql.Rows) error {
		e := Entry{DomainID: domainID}
		err := r.Scan(&e.Kind, &e.Tag)
		found = append(found, e)
		return err
	}, "SELECT kind, tag FROM suppression WHERE domain_id = ? AND lookup = ?", domainID, lookup)
	return found, err
}

// hasAny reports whether the domain has any entry.
func hasAny(ctx context.Context, d *db.DB, domainID int64) (any bool, err error) {
	err = d.Lookup(ctx, func(*sql.Rows) error { any = true; return nil },
		"SELECT 1 FROM suppression WHERE domain_id = ? LIMIT 1", domainID)
	return any, err
}

// isAllowed reports whether the address or its domain is on the allowlist.
func isAllowed(tx *db.Tx, domainID int64, lookup string) (bool, error) {
	n := 0
	err := tx.QueryRow("SELECT COUNT(*) FROM suppression WHERE domain_id = ? AND kind = ? AND lookup IN (?, ?)",
		domainID, string(Allowlist), lookup, domainOf(lookup)).Scan(&n)
	return n > 0, err
}

// selectAbout returns every row about an address: its own on all lists, and that
// of its domain on the allowlist.
func selectAbout(tx *db.Tx, domainID int64, lookup string) ([]row, error) {
	return selectRows(tx, domainID, "SELECT "+entryColumns+" FROM suppression WHERE domain_id = ? AND lookup IN (?, ?) ORDER BY kind, id",
		domainID, lookup, domainOf(lookup))
}

// selectOne returns the rows of one address on one list.
func selectOne(tx *db.Tx, domainID int64, kind Kind, lookup string) ([]row, error) {
	return selectRows(tx, domainID, "SELECT "+entryColumns+" FROM suppression WHERE domain_id = ? AND kind = ? AND lookup = ? ORDER BY id",
		domainID, string(kind), lookup)
}

// selectPage returns the rows of one page of addresses, in their order. The
// addresses are chosen first: an unsubscribe has several rows.
func selectPage(tx *db.Tx, q *Query) ([]row, error) {
	where, args := "domain_id = ? AND kind = ?", []any{q.DomainID, string(q.Kind)}
	order := ""
	if q.backward() {
		order = " DESC"
	}
	if pivot := q.pivot(); pivot != "" {
		sign := " > ?"
		if q.backward() {
			sign = " < ?"
		}
		where, args = where+" AND lookup"+sign, append(args, pivot)
	}
	if term := termKey(q.Term); term != "" {
		cond, bounds := prefix(tx.Dialect(), term)
		where, args = where+" AND "+cond, append(args, bounds...)
	}
	all := append([]any{q.DomainID, string(q.Kind)}, append(args, q.Limit)...)
	return selectRows(tx, q.DomainID, "SELECT "+entryColumns+" FROM suppression WHERE domain_id = ? AND kind = ? AND lookup IN "+
		"(SELECT DISTINCT lookup FROM suppression WHERE "+where+" ORDER BY lookup"+order+" LIMIT ?) ORDER BY lookup, id", all...)
}

// prefix is the condition that lookup begins with term. SQLite's LIKE uses no
// index under ESCAPE; its order is that of the bytes, so a range does.
// PostgreSQL's order may be a language's, where only LIKE is right.
func prefix(d db.Dialect, term string) (string, []any) {
	if d == db.SQLite {
		return "lookup >= ? AND lookup < ?", []any{term, term + "\U0010ffff"}
	}
	return `lookup LIKE ? ESCAPE '\'`, []any{db.LikePrefix(term)}
}

func selectRows(tx *db.Tx, domainID int64, query string, args ...any) (rows []row, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		e := row{Entry: Entry{DomainID: domainID}}
		var cause string
		if err := r.Scan(&e.id, &e.Kind, &e.Address, &e.lookup, &e.Tag, &e.Code, &e.Reason, &e.MessageID, &e.CreatedAt, &cause); err != nil {
			return err
		}
		rows = append(rows, e)
		return rows[len(rows)-1].Cause.decode(cause)
	}, query, args...)
	return rows, err
}

// deleteOne removes an address, or one tag of it, and returns the rows removed.
func deleteOne(tx *db.Tx, domainID int64, kind Kind, lookup, tag string) (int64, error) {
	query, args := "DELETE FROM suppression WHERE domain_id = ? AND kind = ? AND lookup = ?", []any{domainID, string(kind), lookup}
	if tag != "" {
		query, args = query+" AND LOWER(tag) = ?", append(args, strings.ToLower(tag))
	}
	return tx.Exec(query, args...)
}

// deleteSome removes up to n rows of a list that were made before the id.
func deleteSome(tx *db.Tx, domainID int64, kind Kind, before int64, n int) (int64, error) {
	return tx.Exec("DELETE FROM suppression WHERE id IN (SELECT id FROM suppression WHERE domain_id = ? AND kind = ? AND id < ? LIMIT ?)",
		domainID, string(kind), before, n)
}

// deleteDomain removes everything of a domain.
func deleteDomain(tx *db.Tx, domainID int64) error {
	if _, err := tx.Exec("DELETE FROM suppression WHERE domain_id = ?", domainID); err != nil {
		return err
	}
	return deleteImports(tx, "domain_id = ?", domainID)
}
