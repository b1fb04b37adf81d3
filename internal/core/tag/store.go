package tag

import (
	"database/sql"
	"errors"
	"slices"

	"postroad/internal/base/db"
)

var insertDelta = &db.Insert{Table: "tag_delta", Columns: []string{"id", "account_id", "domain_id", "at", "kind", "provider", "country", "device", "tags"}}

// takeDeltas removes up to n events and returns them. One statement does both:
// on PostgreSQL more may come between two.
func takeDeltas(tx *db.Tx, n int) (list []delta, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var d delta
		err := r.Scan(&d.id, &d.accountID, &d.domainID, &d.at, &d.kind, &d.provider, &d.country, &d.device, &d.tags)
		list = append(list, d)
		return err
	}, "DELETE FROM tag_delta WHERE id IN (SELECT id FROM tag_delta ORDER BY id LIMIT ?) "+
		"RETURNING id, account_id, domain_id, at, kind, provider, country, device, tags", n)
	return list, err
}

const tagColumns = "id, tag, description, first_seen, last_seen"

func scanTag(r interface{ Scan(...any) error }) (t Tag, err error) {
	return t, r.Scan(&t.ID, &t.Name, &t.Description, &t.FirstSeen, &t.LastSeen)
}

func selectTag(tx *db.Tx, domainID int64, tag string) (Tag, error) {
	t, err := scanTag(tx.QueryRow("SELECT "+tagColumns+" FROM tag WHERE domain_id = ? AND lookup = ?", domainID, key(tag)))
	if errors.Is(err, db.ErrNoRows) {
		err = errNotFound()
	}
	return t, err
}

// selectExisting returns those of the tags that a domain or an account has.
func selectExisting(tx *db.Tx, owner condition, sums []*addition) (map[string]Tag, error) {
	out := make(map[string]Tag, len(sums))
	for part := range slices.Chunk(sums, 500) {
		args := slices.Clone(owner.args)
		for _, a := range part {
			args = append(args, a.lookup)
		}
		err := tx.Each(func(r *sql.Rows) error {
			t := Tag{}
			lookup := ""
			err := r.Scan(&t.ID, &lookup, &t.FirstSeen, &t.LastSeen)
			out[lookup] = t
			return err
		}, "SELECT id, lookup, first_seen, last_seen FROM tag WHERE "+owner.where+" AND lookup IN "+db.Marks(len(part)), args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func updateSeen(tx *db.Tx, id, first, last int64) error {
	_, err := tx.Exec("UPDATE tag SET first_seen = ?, last_seen = ? WHERE id = ?", first, last, id)
	return err
}

var insertTag = &db.Insert{Table: "tag", Columns: []string{"id", "account_id", "domain_id", "lookup", "tag", "description", "first_seen", "last_seen"}}

func stageTag(tx *db.Tx, a *addition) {
	tx.Stage(insertTag, a.id, a.accountID, a.domainID, a.lookup, a.name, "", a.first, a.last)
}

// domainExists: events may still come of a domain that was deleted.
func domainExists(tx *db.Tx, id int64) (bool, error) {
	n := 0
	err := tx.QueryRow("SELECT COUNT(*) FROM domain WHERE id = ?", id).Scan(&n)
	return n > 0, err
}

// countTags returns the number of tags of a domain, and of different ones in its
// account.
func countTags(tx *db.Tx, domainID int64, accountID string) (ofDomain, ofAccount int, err error) {
	if err := tx.QueryRow("SELECT COUNT(*) FROM tag WHERE domain_id = ?", domainID).Scan(&ofDomain); err != nil {
		return 0, 0, err
	}
	err = tx.QueryRow("SELECT COUNT(DISTINCT lookup) FROM tag WHERE account_id = ?", accountID).Scan(&ofAccount)
	return ofDomain, ofAccount, err
}

// condition selects tags.
type condition struct {
	where string
	args  []any
}

func ofDomain(id int64) condition           { return condition{"domain_id = ?", []any{id}} }
func ofAccount(id string) condition         { return condition{"account_id = ?", []any{id}} }
func (c condition) is(tag string) condition { return c.and("lookup = ?", key(tag)) }

func (c condition) and(where string, args ...any) condition {
	return condition{c.where + " AND " + where, append(slices.Clip(c.args), args...)}
}

func updateDescription(tx *db.Tx, c condition, description string) (int64, error) {
	return tx.Exec("UPDATE tag SET description = ? WHERE "+c.where, append([]any{description}, c.args...)...)
}

// retireTags takes tags out of use; their rows and counters are left to
// removeRetired.
func retireTags(tx *db.Tx, c condition) (int64, error) {
	return tx.Exec("UPDATE tag SET domain_id = 0, account_id = '', lookup = 'deleted ' || id WHERE "+c.where, c.args...)
}

// begins adds that lookup begins with prefix, in the order of bytes. Tags are ASCII.
func (c condition) begins(prefix string) condition {
	if prefix == "" {
		return c
	}
	return c.and("lookup >= ? AND lookup < ?", prefix, prefix+"\x7f")
}

// selectPage returns the tags of a page in their order.
func selectPage(tx *db.Tx, q *Query) (list []Tag, err error) {
	c, sign, order := ofDomain(q.DomainID).begins(key(q.Prefix)), ">", ""
	if q.backward() {
		sign, order = "<", " DESC"
	}
	if pivot := q.pivot(); pivot != "" {
		c = c.and("lookup "+sign+" ?", pivot)
	}
	err = tx.Each(func(r *sql.Rows) error {
		t, err := scanTag(r)
		list = append(list, t)
		return err
	}, "SELECT "+tagColumns+" FROM tag WHERE "+c.where+" ORDER BY lookup"+order+" LIMIT ?", append(c.args, q.Limit)...)
	if q.backward() {
		slices.Reverse(list)
	}
	return list, err
}

// orders are the columns an account's tags are sorted by.
var orders = map[string]string{"lastseen": "last_seen", "firstseen": "first_seen", "tag": "lookup"}

// selectAccount returns tags of an account's domains, those of one name as one.
func selectAccount(tx *db.Tx, q *AccountQuery) (list []Tag, err error) {
	c := ofAccount(q.AccountID).begins(key(q.Prefix))
	sign := ""
	if q.Descending {
		sign = " DESC"
	}
	err = tx.Each(func(r *sql.Rows) error {
		t, lookup := Tag{}, ""
		err := r.Scan(&lookup, &t.Name, &t.Description, &t.FirstSeen, &t.LastSeen)
		list = append(list, t)
		return err
	}, "SELECT lookup, MIN(tag), MAX(description), MIN(first_seen) AS first_seen, MAX(last_seen) AS last_seen FROM tag WHERE "+c.where+
		" GROUP BY lookup ORDER BY "+orders[q.Sort]+sign+", lookup LIMIT ? OFFSET ?", append(c.args, q.Limit, q.Skip)...)
	return list, err
}

// countAccount returns how many tags selectAccount finds in all.
func countAccount(tx *db.Tx, accountID, prefix string) (n int64, err error) {
	c := ofAccount(accountID).begins(key(prefix))
	err = tx.QueryRow("SELECT COUNT(DISTINCT lookup) FROM tag WHERE "+c.where, c.args...).Scan(&n)
	return n, err
}
