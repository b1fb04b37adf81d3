package db

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// Migration is one numbered step of the schema.
type Migration struct {
	Number int
	Name   string
	SQL    string
}

// Migrations reads NNNN_name.sql files of dir, ordered by number.
func Migrations(fsys fs.FS, dir string) ([]Migration, error) {
	files, err := fs.Glob(fsys, path.Join(dir, "*.sql"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var out []Migration
	for _, f := range files {
		num, name, ok := strings.Cut(strings.TrimSuffix(path.Base(f), ".sql"), "_")
		n, err := strconv.Atoi(num)
		if !ok || err != nil || n != len(out)+1 {
			return nil, fmt.Errorf("migration %s: want number %04d and a name", f, len(out)+1)
		}
		text, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, err
		}
		out = append(out, Migration{Number: n, Name: name, SQL: string(text)})
	}
	return out, nil
}

// migrateLock names the advisory lock of migrations.
const migrateLock = 0x706f7374726f6164

// Migrate applies the steps the database has not seen, each in one
// transaction. A database with steps this program does not know is refused:
// it was written by a newer version.
func (d *DB) Migrate(ctx context.Context, steps []Migration) error {
	err := d.Write(ctx, func(tx *Tx) error {
		if d.Dialect == Postgres { // two first starts would collide in CREATE TABLE
			if _, err := tx.Exec("SELECT pg_advisory_xact_lock(?)", migrateLock); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`CREATE TABLE IF NOT EXISTS schema_migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, s := range steps {
		if err := d.Write(ctx, func(tx *Tx) error { return tx.apply(s) }); err != nil {
			return fmt.Errorf("migration %04d_%s: %w", s.Number, s.Name, err)
		}
	}
	return d.Read(ctx, func(tx *Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT COALESCE(MAX(number), 0) FROM schema_migration`).Scan(&n); err != nil {
			return err
		}
		if n > len(steps) {
			return fmt.Errorf("the database has schema %d, this program knows %d: it was last used by a newer version", n, len(steps))
		}
		return nil
	})
}

func (t *Tx) apply(s Migration) error {
	if t.db.Dialect == Postgres {
		// Two nodes that start together migrate one after the other.
		if _, err := t.q.ExecContext(t.ctx, `LOCK TABLE schema_migration IN EXCLUSIVE MODE`); err != nil {
			return err
		}
	}
	var n int
	if err := t.QueryRow(`SELECT COUNT(*) FROM schema_migration WHERE number = ?`, s.Number).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return nil
	}
	for _, stmt := range statements(t.db.Dialect.Types(s.SQL)) {
		if _, err := t.q.ExecContext(t.ctx, stmt); err != nil {
			return fmt.Errorf("%w in: %s", err, stmt)
		}
	}
	_, err := t.Exec(`INSERT INTO schema_migration (number, name, applied_at) VALUES (?, ?, ?)`, s.Number, s.Name, t.Now)
	return err
}

// statements splits DDL at semicolons that end a line.
func statements(ddl string) []string {
	var out []string
	for _, s := range strings.Split(ddl, ";\n") {
		if s = strings.TrimSpace(stripComments(s)); s != "" {
			out = append(out, strings.TrimSuffix(s, ";"))
		}
	}
	return out
}

func stripComments(s string) string {
	lines := strings.Split(s, "\n")
	keep := lines[:0]
	for _, l := range lines {
		if !strings.HasPrefix(strings.TrimSpace(l), "--") {
			keep = append(keep, l)
		}
	}
	return strings.Join(keep, "\n")
}
