// Package coretest gives tests of the core a migrated store on both engines.
package coretest

import (
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/core/schema"
)

// Each runs fn as a subtest per engine with an empty store of the product's
// schema.
func Each(t *testing.T, c clock.Clock, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	dbtest.Each(t, c, steps(t), fn)
}

// SQLite opens an empty store of the product's schema in the test's directory.
func SQLite(t testing.TB, c clock.Clock) *db.DB {
	t.Helper()
	return dbtest.Open(t, dbtest.SQLiteURL(t), c, steps(t))
}

func steps(t testing.TB) []db.Migration {
	t.Helper()
	s, err := schema.Steps()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
