package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// Tx is a transaction. A function that takes a Tx never opens another.
type Tx struct {
	// Now is the transaction's one time, microseconds UTC.
	Now int64

	ctx    context.Context
	db     *DB
	q      querier
	stmts  *stmtCache // group transactions keep their statements prepared
	staged []*stage
	after  []func()
	undo   []func()

	journaled bool // rows go to the journal: there is no SQL transaction
	impure    bool // one was needed
	misuse    error
}

// errNeedsSQL is what statements get in a journaled transaction; its caller's
// function is then run again in one that has them.
var errNeedsSQL = errors.New("transaction is journaled: it can only stage rows")

// sql reports whether statements can be run.
func (t *Tx) sql() error {
	if t.journaled {
		t.impure = true
		return errNeedsSQL
	}
	return nil
}

// Dialect returns the engine's dialect.
func (t *Tx) Dialect() Dialect { return t.db.Dialect }

// Context returns the context of the transaction.
func (t *Tx) Context() context.Context { return t.ctx }

// AfterCommit runs fn once the transaction is durable; not at all otherwise. In
// a transaction of Group the other callers wait for fn: there it must not block,
// and not use the DB.
func (t *Tx) AfterCommit(fn func()) { t.after = append(t.after, fn) }

// AfterRollback runs fn when the transaction, or this caller's part of a shared
// one, is undone. A shared transaction may run the caller's function again. It
// must not block and not use the DB.
func (t *Tx) AfterRollback(fn func()) { t.undo = append(t.undo, fn) }

func (t *Tx) undone() {
	for _, fn := range t.undo {
		fn()
	}
	t.undo = nil
}

func (t *Tx) committed() {
	for _, fn := range t.after {
		fn()
	}
}

// Exec runs a statement and returns the number of rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	if err := t.sql(); err != nil {
		return 0, err
	}
	if t.stmts != nil {
		st, err := t.stmts.get(t.ctx, query)
		if err != nil {
			return 0, err
		}
		return affected(st.ExecContext(t.ctx, args...))
	}
	return affected(t.q.ExecContext(t.ctx, t.db.Dialect.Rebind(query), args...))
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query runs a query; the caller closes the rows.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if err := t.sql(); err != nil {
		return nil, err
	}
	if t.stmts != nil {
		st, err := t.stmts.get(t.ctx, query)
		if err != nil {
			return nil, err
		}
		return st.QueryContext(t.ctx, args...)
	}
	return t.q.QueryContext(t.ctx, t.db.Dialect.Rebind(query), args...)
}

// QueryRow runs a query for one row; Scan gives ErrNoRows when there is none.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	if t.sql() != nil {
		over, cancel := context.WithCancel(t.ctx)
		cancel()
		return t.db.r.QueryRowContext(over, query) // a row that holds an error
	}
	return t.q.QueryRowContext(t.ctx, t.db.Dialect.Rebind(query), args...)
}

// Each runs a query and calls scan for every row.
func (t *Tx) Each(scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.Query(query, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

func each(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Insert is a statement for Stage: a table, its columns, and what follows the
// values (an ON CONFLICT clause). Declare it once per statement.
type Insert struct {
	Table   string
	Columns []string
	Suffix  string
}

func (i *Insert) equal(o *Insert) bool {
	return i.Table == o.Table && i.Suffix == o.Suffix && slices.Equal(i.Columns, o.Columns)
}

// Delete is a statement for StageDelete: rows of Table by one column.
type Delete struct {
	Table  string
	Column string
}

// stage is what one statement has to write at the end of the transaction.
type stage struct {
	ins  *Insert
	del  *Delete
	cols int
	args []any
}

// Stage queues one row; rows of the same statement are written together, in
// the order staged, when the transaction ends. Statements run in the order
// they were first staged; without values only the place in that order is taken.
// What the values refer to must not be changed any more, not even afterwards.
func (t *Tx) Stage(ins *Insert, values ...any) {
	if n := len(ins.Columns); n == 0 || len(values)%n != 0 {
		t.misuse = fmt.Errorf("%s: %d values staged for %d columns", ins.Table, len(values), n)
		return
	}
	for _, s := range t.staged {
		if s.ins == ins || s.ins != nil && s.ins.equal(ins) {
			s.args = append(s.args, values...)
			return
		}
	}
	t.staged = append(t.staged, &stage{ins: ins, cols: len(ins.Columns), args: slices.Clip(values)})
}

// StageDelete queues the deletion of the row whose column has the value.
func (t *Tx) StageDelete(del *Delete, value any) {
	for _, s := range t.staged {
		if s.del != nil && *s.del == *del {
			s.args = append(s.args, value)
			return
		}
	}
	t.staged = append(t.staged, &stage{del: del, cols: 1, args: []any{value}})
}

// flush writes what was staged.
func (t *Tx) flush() error {
	if len(t.staged) == 0 {
		return nil
	}
	m := newMerge()
	for _, s := range t.staged {
		m.add(s)
	}
	t.staged = nil
	return t.write(m.finish())
}

// write runs statements. Their rows come in few numbers so that few statements
// need preparing.
func (t *Tx) write(list []*stage) error {
	for _, s := range list {
		for args := s.args; len(args) > 0; {
			n := chunk(len(args)/s.cols, s.cols)
			if _, err := t.Exec(s.sql(n), args[:n*s.cols]...); err != nil {
				return fmt.Errorf("%s: %w", s.table(), err)
			}
			args = args[n*s.cols:]
		}
	}
	return nil
}

// maxParams keeps a statement within SQLite's 32,766 variables.
const maxParams = 32000

func chunk(rows, cols int) int {
	for _, n := range [...]int{128, 32, 8, 2} {
		if rows >= n && n*cols <= maxParams {
			return n
		}
	}
	return 1
}

func (s *stage) table() string {
	if s.ins != nil {
		return s.ins.Table
	}
	return s.del.Table
}

func (s *stage) sql(rows int) string {
	if s.del != nil {
		return "DELETE FROM " + s.del.Table + " WHERE " + s.del.Column + " IN " + Marks(rows)
	}
	row := Marks(s.cols)
	var b strings.Builder
	b.Grow(64 + rows*(len(row)+1))
	b.WriteString("INSERT INTO ")
	b.WriteString(s.ins.Table)
	b.WriteString(" (")
	b.WriteString(strings.Join(s.ins.Columns, ", "))
	b.WriteString(") VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(row)
	}
	if s.ins.Suffix != "" {
		b.WriteByte(' ')
		b.WriteString(s.ins.Suffix)
	}
	return b.String()
}

// Marks returns "(?,?,...)" with n question marks.
func Marks(n int) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
}
