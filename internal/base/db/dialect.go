package db

import (
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Dialect is one of the two engines, with the few things that differ.
type Dialect uint8

// The engines.
const (
	SQLite Dialect = iota
	Postgres
)

func (d Dialect) String() string {
	if d == Postgres {
		return "postgres"
	}
	return "sqlite"
}

// Rebind turns ? placeholders into the engine's form. A question mark inside
// a quoted literal is left alone.
func (d Dialect) Rebind(q string) string {
	if d == SQLite || !strings.Contains(q, "?") {
		return q
	}
	var b strings.Builder
	b.Grow(len(q) + 16)
	n, quoted := 0, false
	for i := 0; i < len(q); i++ {
		switch c := q[i]; {
		case c == '\'':
			quoted = !quoted
			b.WriteByte(c)
		case c == '?' && !quoted:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Types replaces the type words of migrations: $KEY is the type of an int64
// primary key (SQLite makes it the table's own b-tree only under the name
// INTEGER), $BYTES a byte string, $CTEXT a text ordered by its bytes whatever
// the locale of the database.
func (d Dialect) Types(ddl string) string {
	if d == Postgres {
		return strings.NewReplacer("$KEY", "BIGINT PRIMARY KEY", "$BYTES", "BYTEA", "$CTEXT", `TEXT COLLATE "C"`).Replace(ddl)
	}
	return strings.NewReplacer("$KEY", "INTEGER PRIMARY KEY", "$BYTES", "BLOB", "$CTEXT", "TEXT").Replace(ddl)
}

// SkipLocked is the clause that lets several nodes claim rows side by side.
func (d Dialect) SkipLocked() string {
	if d == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// IsConflict reports whether err is a violated unique constraint or primary key.
func IsConflict(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// IsFull reports whether err says that the disk is full.
func IsFull(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "53100"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_FULL
}

// isRefused reports whether err says that a table refuses a row, or is not there:
// trying again would not help. Everything else (input and output, memory, locks, a
// damaged file) is no property of the row. It is for SQLite.
func isRefused(err error) bool {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_ERROR:
		return true
	}
	return false
}

// isAnswer reports whether err is the engine's answer to a statement: without
// one nobody knows what became of it.
func isAnswer(err error) bool {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	return errors.As(err, &pg) || errors.As(err, &lite)
}

// LikePrefix escapes s for a LIKE pattern that matches what begins with it,
// to be used with ESCAPE '\'.
func LikePrefix(s string) string { return likeEscape(s) + "%" }

// LikeContains escapes s for a LIKE pattern that matches what contains it.
func LikeContains(s string) string { return "%" + likeEscape(s) + "%" }

func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
