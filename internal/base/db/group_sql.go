package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// commit runs a batch. A job whose function fails is answered and the rest is
// tried again; when the statement or commit of the batch itself fails the jobs
// run one by one, so that each gets its own result.
func (g *group) commit(batch []*job) {
	for len(batch) > 0 {
		bad, err := g.try(batch)
		if err == nil {
			for _, j := range batch {
				j.finish()
			}
			return
		}
		if bad >= 0 {
			batch[bad].answer(err)
			batch = append(batch[:bad:bad], batch[bad+1:]...)
			continue
		}
		if len(batch) == 1 || errors.Is(err, errStore) {
			// The store itself does not work: one by one would be no better and
			// take that much longer.
			for _, j := range batch {
				j.answer(err)
			}
			return
		}
		for _, j := range batch {
			g.commit([]*job{j})
		}
		return
	}
}

// try runs the batch in one transaction. bad is the index of the job whose
// function failed, or -1 when the transaction itself did.
func (g *group) try(batch []*job) (bad int, err error) {
	// A store that does not answer fails the batch instead of holding all
	// intake for ever.
	ctx, cancel := context.WithTimeout(context.Background(), maxTransaction)
	defer cancel()
	if g.conn == nil {
		if err := g.reconnect(ctx); err != nil {
			return -1, fmt.Errorf("%w: %w", errStore, err)
		}
	}
	defer g.d.lockWriter()()
	if _, err := g.conn.ExecContext(ctx, g.begin()); err != nil {
		g.drop()
		return -1, fmt.Errorf("%w: begin: %w", errStore, err)
	}
	shared := &Tx{Now: g.d.now(), ctx: ctx, db: g.d, q: g.conn, stmts: g.stmts}
	for i, j := range batch {
		j.tx = shared.child()
		if err := j.run(); err != nil {
			g.rollback(batch[:i+1])
			return i, err
		}
		shared.staged = j.tx.staged
	}
	if err := shared.flush(); err != nil {
		g.rollback(batch)
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", errStore, err)
		}
		return -1, err
	}
	if err := g.sound(ctx); err != nil {
		g.rollback(batch)
		return -1, err
	}
	if _, err := g.conn.ExecContext(ctx, "COMMIT"); err != nil {
		g.rollback(batch)
		if ctx.Err() != nil || !isAnswer(err) {
			// It may have happened: nothing of it must be done again.
			return -1, fmt.Errorf("%w: commit: %w", errStore, err)
		}
		return -1, fmt.Errorf("commit: %w", err)
	}
	return 0, nil
}

// maxTransaction bounds a shared transaction.
const maxTransaction = 2 * time.Minute

// sound asks PostgreSQL whether the transaction is still good: it answers the
// COMMIT of an aborted one with a rollback and no error.
func (g *group) sound(ctx context.Context) error {
	if g.d.Dialect != Postgres {
		return nil
	}
	_, err := g.conn.ExecContext(ctx, "SELECT 1")
	return err
}

// run calls the job's function; a panic in it fails the job, not the writer.
func (j *job) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in transaction: %v", p)
		}
	}()
	if err := j.fn(j.tx); err != nil {
		return err
	}
	return j.tx.misuse
}

// child is the view of a shared transaction one job gets: same connection and
// staged rows, its own callbacks.
func (t *Tx) child() *Tx {
	c := *t
	c.after, c.undo = nil, nil
	return &c
}

func (g *group) begin() string {
	if g.d.Dialect == SQLite {
		return "BEGIN IMMEDIATE"
	}
	return "BEGIN"
}

// rollback undoes the transaction and tells the jobs that had run in it.
func (g *group) rollback(ran []*job) {
	for _, j := range ran {
		j.tx.undone()
	}
	if _, err := g.conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		g.d.log.Error("rollback failed, reconnecting", "error", err)
		g.drop()
	}
}

func (g *group) drop() {
	if g.conn == nil {
		return
	}
	g.stmts.close()
	// Not back to the pool: it may be within a transaction.
	g.conn.Raw(func(any) error { return driver.ErrBadConn })
	g.conn.Close()
	g.conn = nil
}

func (g *group) reconnect(ctx context.Context) error {
	c, err := g.d.w.Conn(ctx)
	if err != nil {
		return err
	}
	g.conn, g.stmts = c, &stmtCache{conn: c, rebind: g.d.Dialect.Rebind, m: map[string]*sql.Stmt{}}
	return nil
}

// stmtCache keeps the statements of one connection prepared.
type stmtCache struct {
	conn   *sql.Conn
	rebind func(string) string
	m      map[string]*sql.Stmt
}

// maxStmts bounds the cache; hot statements are a few dozen.
const maxStmts = 500

func (c *stmtCache) get(ctx context.Context, q string) (*sql.Stmt, error) {
	if st, ok := c.m[q]; ok {
		return st, nil
	}
	if len(c.m) >= maxStmts {
		c.close()
	}
	st, err := c.conn.PrepareContext(ctx, c.rebind(q))
	if err != nil {
		return nil, err
	}
	c.m[q] = st
	return st, nil
}

func (c *stmtCache) close() {
	for _, st := range c.m {
		st.Close()
	}
	clear(c.m)
}
