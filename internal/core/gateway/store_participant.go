package gateway

import (
	"database/sql"
	"encoding/json"
	"strings"

	"postroad/internal/base/db"
)

const participantColumns = "id, email, variables, metadata"

func scanParticipant(r *sql.Rows) (p Participant, err error) {
	var variables, metadata string
	if err := r.Scan(&p.ID, &p.Email, &variables, &metadata); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(variables), &p.Variables); err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(metadata), &p.Metadata)
}

func selectParticipants(tx *db.Tx, owner string, ids []int64) (map[int64]Participant, error) {
	args := []any{owner}
	for _, id := range ids {
		args = append(args, id)
	}
	out := make(map[int64]Participant, len(ids))
	err := tx.Each(func(r *sql.Rows) error {
		p, err := scanParticipant(r)
		out[p.ID] = p
		return err
	}, "SELECT "+participantColumns+" FROM gateway_participant WHERE account_id = ? AND id IN "+db.Marks(len(ids)), args...)
	return out, err
}

func participantsAfter(tx *db.Tx, owner string, after int64, limit int) (out []Participant, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		p, err := scanParticipant(r)
		out = append(out, p)
		return err
	}, "SELECT "+participantColumns+" FROM gateway_participant WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?", owner, after, limit)
	return out, err
}

func countParticipants(tx *db.Tx, owner string) (n int64, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM gateway_participant WHERE account_id = ?", owner).Scan(&n)
	return n, err
}

// upsertParticipants writes participants; of those with the same id the last.
func upsertParticipants(tx *db.Tx, owner string, list []Participant) error {
	last := make(map[int64]int, len(list))
	for i := range list {
		last[list[i].ID] = i
	}
	const width = 5
	args := make([]any, 0, width*len(last))
	for i := range list {
		p := &list[i]
		if last[p.ID] != i {
			continue
		}
		variables, err := json.Marshal(p.Variables)
		if err != nil {
			return err
		}
		metadata, err := json.Marshal(p.Metadata)
		if err != nil {
			return err
		}
		args = append(args, owner, p.ID, p.Email, string(variables), string(metadata))
	}
	rows := strings.TrimSuffix(strings.Repeat(db.Marks(width)+",", len(last)), ",")
	_, err := tx.Exec("INSERT INTO gateway_participant (account_id, "+participantColumns+") VALUES "+rows+
		" ON CONFLICT (account_id, id) DO UPDATE SET email = excluded.email, variables = excluded.variables, metadata = excluded.metadata", args...)
	return err
}

func removeParticipants(tx *db.Tx, owner string, ids []int64) (int64, error) {
	args := []any{owner}
	for _, id := range ids {
		args = append(args, id)
	}
	return tx.Exec("DELETE FROM gateway_participant WHERE account_id = ? AND id IN "+db.Marks(len(ids)), args...)
}
