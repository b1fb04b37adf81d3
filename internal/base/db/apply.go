package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// The rows of journal_state: up to which record the journal has been applied,
// and the mark of the database, which its journal carries.
const (
	stateTable = "CREATE TABLE IF NOT EXISTS journal_state (id INTEGER PRIMARY KEY, seq BIGINT NOT NULL)"
	stateSeq   = 1
	stateMark  = 2
)

// state reads a row of journal_state, 0 if it is not there yet.
func (g *group) state(ctx context.Context, row int) (n int64, err error) {
	err = g.conn.QueryRowContext(ctx, "SELECT seq FROM journal_state WHERE id = ?", row).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

const setState = "INSERT INTO journal_state (id, seq) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq"

// newMark gives the database its mark.
func (g *group) newMark(ctx context.Context) (uint32, error) {
	mark := 1 + rand.Uint32N(math.MaxUint32)
	_, err := g.conn.ExecContext(ctx, setState, stateMark, int64(mark))
	return mark, err
}

// apply writes the rows of records to their tables and notes, in the same
// transaction, that they are there. A record that its tables refuse is set
// aside, so that it does not hold up the others: its rows are written one by
// one, and those that are refused are reported. After any other error some of
// the records may have been applied; in.done says which.
func (g *group) apply(ctx context.Context, list []record) error {
	if len(list) == 0 {
		return nil
	}
	err := g.inTables(ctx, list, func(tx *Tx, list []record) error {
		m := newMerge()
		for _, r := range list {
			for _, s := range r.stages {
				m.add(s)
			}
		}
		return tx.write(m.finish())
	})
	if err == nil || errors.Is(err, errStore) {
		return err
	}
	if len(list) > 1 {
		half := len(list) / 2
		if err := g.apply(ctx, list[:half]); err != nil {
			return err
		}
		return g.apply(ctx, list[half:])
	}
	return g.inTables(ctx, list, g.oneByOne)
}

// oneByOne writes the rows of records in the order they came.
func (g *group) oneByOne(tx *Tx, list []record) error {
	for _, r := range list {
		for _, s := range r.stages {
			for i := 0; i < len(s.args); i += s.cols {
				row := &stage{ins: s.ins, del: s.del, cols: s.cols, args: s.args[i : i+s.cols]}
				err := tx.write([]*stage{row})
				if err != nil && !isRefused(err) {
					return err
				}
				if err != nil {
					g.d.log.Error("a row of the journal cannot be written and is left out", "table", row.table(), "id", fmt.Sprint(row.args[0]), "error", err)
				}
			}
		}
	}
	return nil
}

// inTables runs fn for those of the records that have not been applied, with
// the note that they have, in a transaction. Which have says the database: a
// commit that gave an error may have happened. An error is errStore unless a
// table refuses what fn writes.
func (g *group) inTables(ctx context.Context, list []record, fn func(*Tx, []record) error) error {
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
	seq, err := g.fill(ctx, list, fn)
	if err == nil {
		if _, err = g.conn.ExecContext(ctx, "COMMIT"); err == nil {
			g.intake.done = seq
			return nil
		}
		err = fmt.Errorf("%w: commit: %w", errStore, err)
	} else if ctx.Err() != nil || !isRefused(err) {
		err = fmt.Errorf("%w: %w", errStore, err)
	}
	g.rollback(nil)
	return err
}

// fill does the work of the transaction of inTables and returns up to which
// record the journal is applied with it.
func (g *group) fill(ctx context.Context, list []record, fn func(*Tx, []record) error) (seq uint64, err error) {
	done, err := g.state(ctx, stateSeq)
	if err != nil {
		return 0, err
	}
	seq = uint64(done)
	for len(list) > 0 && list[0].seq <= seq {
		list = list[1:]
	}
	if len(list) == 0 {
		return seq, nil
	}
	tx := &Tx{Now: g.d.now(), ctx: ctx, db: g.d, q: g.conn, stmts: g.stmts}
	if err := fn(tx, list); err != nil {
		return 0, err
	}
	seq = list[len(list)-1].seq
	_, err = tx.Exec(setState, stateSeq, int64(seq))
	return seq, err
}

// checkpoint brings what is applied from SQLite's write-ahead log into the
// database file. Only then do the journal's files go: a log that loses its end
// to a failing disk takes the database back to an earlier state, and the
// journal leads on from there. A reader in the way leaves it for another time.
func (g *group) checkpoint(ctx context.Context) error {
	if g.conn == nil {
		return nil
	}
	done := g.intake.done
	var busy, pages, moved int64
	if err := g.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if busy == 0 && pages == moved {
		g.intake.safe.Store(done)
	}
	return nil
}
