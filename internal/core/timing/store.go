package timing

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"postroad/internal/base/db"
)

var insNote = &db.Insert{Table: "timing_note", Columns: []string{"id", "account_id", "address", "hour", "clicked", "zone"}}

func stageNote(tx *db.Tx, n *note) {
	clicked := int64(0)
	if n.clicked {
		clicked = 1
	}
	tx.Stage(insNote, n.id, n.account, []byte(n.address), n.hour, clicked, n.zone)
}

func selectNotes(tx *db.Tx, limit int) (out []note, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var n note
		var address []byte
		var clicked int64
		err := r.Scan(&n.id, &n.account, &address, &n.hour, &clicked, &n.zone)
		n.address, n.clicked = string(address), clicked != 0
		out = append(out, n)
		return err
	}, "SELECT id, account_id, address, hour, clicked, zone FROM timing_note ORDER BY id LIMIT ?", limit)
	return out, err
}

func deleteNotes(tx *db.Tx, notes []note) error {
	args := make([]any, len(notes))
	for i := range notes {
		args[i] = notes[i].id
	}
	_, err := tx.Exec("DELETE FROM timing_note WHERE id IN "+db.Marks(len(args)), args...)
	return err
}

// selectRows is how many profiles one statement asks for.
const selectRows = 500

// selectProfiles returns the profiles there are by hash.
func selectProfiles(tx *db.Tx, hashes []string) (map[string]*profile, error) {
	out := make(map[string]*profile, len(hashes))
	for part := range slices.Chunk(hashes, selectRows) {
		args := make([]any, len(part))
		for i, h := range part {
			args[i] = []byte(h)
		}
		err := tx.Each(func(r *sql.Rows) error {
			p := &profile{}
			var address, hours []byte
			if err := r.Scan(&address, &hours, &p.zone, &p.zoneHour, &p.lastHour); err != nil {
				return err
			}
			var err error
			if p.hours, err = unpack(hours); err != nil {
				return fmt.Errorf("profile %x: %w", address, err)
			}
			out[string(address)] = p
			return nil
		}, "SELECT address, hours, zone, zone_hour, last_hour FROM timing WHERE address IN "+db.Marks(len(args)), args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func upsertProfile(tx *db.Tx, address, account string, p *profile) error {
	_, err := tx.Exec("INSERT INTO timing (address, account_id, hours, zone, zone_hour, last_hour) VALUES (?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (address) DO UPDATE SET hours = excluded.hours, zone = excluded.zone, zone_hour = excluded.zone_hour, last_hour = excluded.last_hour",
		[]byte(address), account, pack(p.hours), p.zone, p.zoneHour, p.lastHour)
	return err
}

func deleteAddress(tx *db.Tx, address string) error {
	for _, table := range []string{"timing_note", "timing"} {
		if _, err := tx.Exec("DELETE FROM "+table+" WHERE address = ?", []byte(address)); err != nil {
			return err
		}
	}
	return nil
}

// deleteBefore removes up to n profiles last touched before the hour.
func deleteBefore(tx *db.Tx, hour int64, n int) (int64, error) {
	return tx.Exec("DELETE FROM timing WHERE address IN (SELECT address FROM timing WHERE last_hour < ? LIMIT ?)", hour, n)
}

// nextAccount returns the account after the one given that has profiles, "" if
// there is none, and whether it has no domain left.
func nextAccount(tx *db.Tx, after string) (account string, left bool, err error) {
	err = tx.QueryRow("SELECT account_id FROM timing WHERE account_id > ? ORDER BY account_id LIMIT 1", after).Scan(&account)
	if errors.Is(err, db.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	domains := 0
	err = tx.QueryRow("SELECT COUNT(*) FROM domain WHERE account_id = ?", account).Scan(&domains)
	return account, domains == 0, err
}

// deleteAccount removes up to n profiles of an account.
func deleteAccount(tx *db.Tx, account string, n int) (int64, error) {
	return tx.Exec("DELETE FROM timing WHERE address IN (SELECT address FROM timing WHERE account_id = ? LIMIT ?)", account, n)
}
