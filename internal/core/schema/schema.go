// Package schema holds the tables of every capability as numbered, forward-only
// steps, in one place because their order is one order. A step that a release
// has shipped is never edited.
package schema

import (
	"embed"
	"sync"

	"postroad/internal/base/db"
)

//go:embed sql/*.sql
var files embed.FS

// Steps returns the migrations in order.
var Steps = sync.OnceValues(func() ([]db.Migration, error) { return db.Migrations(files, "sql") })
