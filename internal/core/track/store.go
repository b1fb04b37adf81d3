package track

import (
	"errors"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// week is how long after one a recipient's open or click of a message is not
// unique. Mailgun: opens and clicks are counted once in rolling seven days.
const week = 7 * 24 * time.Hour

// errMoved: what was about to be recorded has been.
var errMoved = errors.New("the spool has been read further")

func insertPosition(tx *db.Tx, node string) error {
	_, err := tx.Exec("INSERT INTO track_spool (node, file, pos) VALUES (?, 0, 0) ON CONFLICT (node) DO NOTHING", node)
	return err
}

func selectPosition(tx *db.Tx, node string) (p position, err error) {
	var file int64
	err = tx.QueryRow("SELECT file, pos FROM track_spool WHERE node = ?", node).Scan(&file, &p.pos)
	p.file = uint64(file)
	return p, err
}

// movePosition moves the position on, unless it is not the one it is taken to
// be: then a transaction took effect that was reported as failed.
func movePosition(tx *db.Tx, node string, from, to position) error {
	n, err := tx.Exec("UPDATE track_spool SET file = ?, pos = ? WHERE node = ? AND file = ? AND pos = ?", int64(to.file), to.pos, node, int64(from.file), from.pos)
	if err == nil && n == 0 {
		return errMoved
	}
	return err
}

// kinds number the types in track_first; never renumber.
var kinds = map[event.Type]int64{event.Opened: 1, event.Clicked: 2}

// claimFirst reports whether an event is the first of its kind within a week.
func claimFirst(tx *db.Tx, e *event.Event) (bool, error) {
	at := int64(e.Doc.Timestamp)
	n, err := tx.Exec(`INSERT INTO track_first (message, recipient, kind, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (message, recipient, kind) DO UPDATE SET at = excluded.at WHERE track_first.at <= ?`,
		e.MessageID, event.Hash(e.Doc.Recipient), kinds[e.Doc.Event], at, at-week.Microseconds())
	return n > 0, err
}

// forgetFirst deletes what says nothing any more.
func forgetFirst(tx *db.Tx) error {
	_, err := tx.Exec("DELETE FROM track_first WHERE at < ?", tx.Now-week.Microseconds())
	return err
}
