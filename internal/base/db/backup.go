package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"postroad/internal/base/clock"
)

// Snapshot writes what is committed in the SQLite file at path to the new file
// to, beside a program that goes on writing, and makes it durable. The copy is
// one moment of the database, without a write-ahead log, and packed. While it is
// made the write-ahead log of the original cannot be shortened.
func Snapshot(ctx context.Context, path, to string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("snapshot: %w", err) // VACUUM would report a missing file as one that is empty
	}
	pool, err := sql.Open("sqlite", readerDSN(path))
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, "VACUUM INTO ?", to)
	if err = errors.Join(err, pool.Close()); err != nil {
		return fmt.Errorf("snapshot of %s: %w", path, err)
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// readerDSN opens an existing file and cannot change it.
func readerDSN(path string) string {
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(20000)", "cache_size(-16384)", "temp_store(MEMORY)"}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// Reader is a database that is looked at from outside: beside the program that
// uses it, or in a backup. Nothing is created, migrated or written.
type Reader struct{ d *DB }

// OpenReader opens the database of another program: a URL as Config has it, or
// the path of an SQLite file, which must exist.
func OpenReader(ctx context.Context, u string) (*Reader, error) {
	d := &DB{clock: clock.System{}, log: slog.New(slog.DiscardHandler)}
	driver, dsn := "sqlite", readerDSN(u)
	if IsPostgres(u) {
		d.Dialect, driver, dsn = Postgres, "pgx", u
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	pool.SetMaxOpenConns(2)
	d.r = pool
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", Redact(u), err), pool.Close())
	}
	return &Reader{d}, nil
}

// Read runs fn in a transaction that cannot write.
func (r *Reader) Read(ctx context.Context, fn func(*Tx) error) error { return r.d.Read(ctx, fn) }

// Close closes the connections.
func (r *Reader) Close() error { return r.d.r.Close() }

// maxProblems bounds what Check reports.
const maxProblems = 100

// Check has SQLite verify the whole file (PRAGMA integrity_check) and returns
// what is wrong with it, at most 100 lines. On PostgreSQL, which has tools of
// its own for that (pg_amcheck), it does nothing. An error means that the check
// could not be made to its end.
func (r *Reader) Check(ctx context.Context) (problems []string, err error) {
	if r.d.Dialect != SQLite {
		return nil, nil
	}
	rows, err := r.d.r.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems))
	if err != nil {
		return nil, fmt.Errorf("integrity check: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return problems, fmt.Errorf("integrity check: %w", err)
		}
		if line != "ok" {
			problems = append(problems, line)
		}
	}
	if err := rows.Err(); err != nil {
		return problems, fmt.Errorf("integrity check: %w", err)
	}
	return problems, nil
}
