// Package replay takes a signed request once: who caught one on its way cannot
// have it done again.
//
// Table: received.
package replay

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"postroad/internal/base/db"
)

// Take notes in tx that the request named by id, unique within kind, was received,
// and reports whether it is the first time. until is when its signature is too old
// to be taken anyway. A request whose transaction does not commit may come again.
func Take(tx *db.Tx, kind, id string, until time.Time) (first bool, err error) {
	sum := sha256.Sum256([]byte(kind + "\x00" + id)) // as long as it may be
	return insert(tx, base64.RawURLEncoding.EncodeToString(sum[:]), until.UnixMicro())
}

// Clean forgets requests whose time is over, some at a time, and returns how many.
func Clean(tx *db.Tx) (int64, error) { return removeExpired(tx, tx.Now, 1000) }
