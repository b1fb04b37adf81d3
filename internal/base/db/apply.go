package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// stateTable holds one row: up to which record the journal has been applied.
const stateTable = "CREATE TABLE IF NOT EXISTS journal_state (id INTEGER PRIMARY KEY, seq BIGINT NOT NULL)"

// appliedSeq reads the number of the last record that was applied.
func (g *group) appliedSeq(ctx context.Context) (uint64, error) {
	if _, err := g.conn.ExecContext(ctx, stateTable); err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	var seq int64
	err := g.conn.QueryRowContext(ctx, "SELECT seq FROM journal_state WHERE id = 1").Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return uint64(seq), err
}

// apply writes the rows of records to their tables and notes, in the same
// transaction, that they are there. A record that cannot be written for a
// reason of its own is set aside, so that it does not hold up the others: its
// rows are written one by one, and those that fail are reported.
func (g *group) apply(ctx context.Context, list []record) error {
	if len(list) == 0 {
		return nil
	}
	err := g.applyTogether(ctx, list)
	if err == nil || errors.Is(err, errStore) || IsFull(err) {
		return err
	}
	if len(list) > 1 {
		half := len(list) / 2
		if err := g.apply(ctx, list[:half]); err != nil {
			return err
		}
		return g.apply(ctx, list[half:])
	}
	return g.applyApart(ctx, list[0])
}

func (g *group) applyTogether(ctx context.Context, list []record) error {
	m := newMerge()
	for _, r := range list {
		for _, s := range r.stages {
			m.add(s)
		}
	}
	return g.inTables(ctx, list[len(list)-1].seq, func(tx *Tx) error { return tx.write(m.finish()) })
}

// applyApart writes the rows of one record one by one.
func (g *group) applyApart(ctx context.Context, r record) error {
	return g.inTables(ctx, r.seq, func(tx *Tx) error {
		for _, s := range r.stages {
			for i := 0; i < len(s.args); i += s.cols {
				row := &stage{ins: s.ins, del: s.del, cols: s.cols, args: s.args[i : i+s.cols]}
				err := tx.write([]*stage{row})
				if err != nil && (IsFull(err) || ctx.Err() != nil) {
					return err
				}
				if err != nil {
					g.d.log.Error("a row of the journal cannot be written and is left out", "table", row.table(), "id", fmt.Sprint(row.args[0]), "error", err)
				}
			}
		}
		return nil
	})
}

// inTables runs fn and the note of seq in a transaction.
func (g *group) inTables(ctx context.Context, seq uint64, fn func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, maxTransaction)
	defer cancel()
	if g.conn == nil {
		if err := g.reconnect(ctx); err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
	}
	defer g.d.lockWriter()()
	if _, err := g.conn.ExecContext(ctx, g.begin()); err != nil {
		g.drop()
		return fmt.Errorf("%w: begin: %w", errStore, err)
	}
	tx := &Tx{Now: g.d.now(), ctx: ctx, db: g.d, q: g.conn, stmts: g.stmts}
	err := fn(tx)
	if err == nil {
		_, err = tx.Exec("INSERT INTO journal_state (id, seq) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq", int64(seq))
	}
	if err == nil {
		if _, err = g.conn.ExecContext(ctx, "COMMIT"); err != nil {
			err = fmt.Errorf("%w: commit: %w", errStore, err)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", errStore, err)
		}
		g.rollback(nil)
	}
	return err
}
