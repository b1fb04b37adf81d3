// Package dbtest gives tests a fresh store on both engines.
//
// SQLite runs always, in the test's temporary directory. PostgreSQL runs where
// POSTROAD_TEST_POSTGRES holds the URL of a server the tests may create
// schemas in; the project's CI sets it.
package dbtest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// Env names the variable with the URL of the PostgreSQL server for tests.
const Env = "POSTROAD_TEST_POSTGRES"

// Each runs fn as a subtest per engine with an empty, migrated store.
func Each(t *testing.T, c clock.Clock, steps []db.Migration, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, Open(t, SQLiteURL(t), c, steps)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Open(t, PostgresURL(t), c, steps)) })
}

// Open opens and migrates the store at u and closes it with the test.
func Open(t testing.TB, u string, c clock.Clock, steps []db.Migration) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Config{URL: u, Clock: c, Journal: Journal(u)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(context.Background(), steps); err != nil {
		t.Fatal(err)
	}
	return d
}

// Journal returns the directory of the journal of the SQLite file u.
func Journal(u string) string { return filepath.Join(filepath.Dir(u), "journal") }

// SQLiteURL returns the path of a new database file.
func SQLiteURL(t testing.TB) string { return filepath.Join(t.TempDir(), "postroad.db") }

// PostgresURL creates a schema of its own on the test server, dropped with the
// test, and returns a URL that uses it. Without a server the test is skipped.
func PostgresURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv(Env)
	if base == "" {
		t.Skip(Env + " is not set")
	}
	admin, err := db.Open(context.Background(), db.Config{URL: base})
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + ids.Hex(8)
	if err := admin.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec("CREATE SCHEMA " + name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := admin.Write(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec("DROP SCHEMA " + name + " CASCADE")
			return err
		})
		if err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
