package suppress

import (
	"database/sql"
	"errors"

	"postroad/internal/base/db"
)

const importColumns = "id, account_id, domain_id, domain, kind, file, api_key, state, size, done, line, imported, failed, created_at, started_at, finished_at"

func scanImport(scan func(...any) error) (*Import, error) {
	im := &Import{}
	return im, scan(&im.ID, &im.AccountID, &im.DomainID, &im.Domain, &im.Kind, &im.File, &im.Key, &im.State, &im.Size, &im.Done, &im.line,
		&im.Imported, &im.Failed, &im.Created, &im.Started, &im.Finished)
}

// insertImport writes an import whose file is still coming in.
func insertImport(tx *db.Tx, im *Import) error {
	_, err := tx.Exec("INSERT INTO suppression_import ("+importColumns+") VALUES "+db.Marks(16), im.ID, im.AccountID, im.DomainID, im.Domain,
		string(im.Kind), im.File, im.Key, string(Receiving), 0, 0, 1, 0, 0, tx.Now, 0, 0)
	return err
}

// openImports counts the imports of an account that are not finished.
func openImports(tx *db.Tx, accountID string) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM suppression_import WHERE account_id = ? AND state <> 'finished'", accountID).Scan(&n)
	return n, err
}

// insertPart adds a part to a file that is coming in; false when it no longer is.
func insertPart(tx *db.Tx, id, number int64, data []byte) (bool, error) {
	n, err := tx.Exec("UPDATE suppression_import SET size = size + ? WHERE id = ? AND state = 'receiving'", len(data), id)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec("INSERT INTO suppression_import_part (import_id, number, data) VALUES (?, ?, ?)", id, number, data)
	return true, err
}

// readyImport says that the file is there; false when the import is gone.
func readyImport(tx *db.Tx, id int64) (bool, error) {
	n, err := tx.Exec("UPDATE suppression_import SET state = 'waiting' WHERE id = ? AND state = 'receiving'", id)
	return n > 0, err
}

// nextImport returns the oldest import that can be worked on, nil without any.
func nextImport(tx *db.Tx) (*Import, error) {
	return oneImport(tx, "state <> 'finished' AND state <> 'receiving' ORDER BY id LIMIT 1")
}

func selectImport(tx *db.Tx, accountID string, id int64) (*Import, error) {
	return oneImport(tx, "account_id = ? AND id = ?", accountID, id)
}

func oneImport(tx *db.Tx, where string, args ...any) (*Import, error) {
	im, err := scanImport(tx.QueryRow("SELECT "+importColumns+" FROM suppression_import WHERE "+where, args...).Scan)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return im, err
}

// selectImports returns imports of an account, newest first: those before an id
// where it is not 0, those of a domain where it is not "".
func selectImports(tx *db.Tx, accountID, domain string, before int64, limit int) (list []*Import, err error) {
	where, args := "account_id = ?", []any{accountID}
	if domain != "" {
		where, args = where+" AND domain = ?", append(args, domain)
	}
	if before != 0 {
		where, args = where+" AND id < ?", append(args, before)
	}
	err = tx.Each(func(r *sql.Rows) error {
		im, err := scanImport(r.Scan)
		list = append(list, im)
		return err
	}, "SELECT "+importColumns+" FROM suppression_import WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	return list, err
}

// importFile returns the name of an import's file.
func importFile(tx *db.Tx, id int64) (name string, err error) {
	err = tx.QueryRow("SELECT file FROM suppression_import WHERE id = ?", id).Scan(&name)
	if errors.Is(err, db.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// moveImport writes how far an import is; false when it is gone.
func moveImport(tx *db.Tx, im *Import) (bool, error) {
	n, err := tx.Exec("UPDATE suppression_import SET state = ?, done = ?, line = ?, imported = ?, failed = ?, started_at = ?, finished_at = ? WHERE id = ?",
		string(im.State), im.Done, im.line, im.Imported, im.Failed, im.Started, im.Finished, im.ID)
	return n > 0, err
}

// selectPart returns a part of a file, nothing behind the last.
func selectPart(tx *db.Tx, id, number int64) (data []byte, err error) {
	err = tx.QueryRow("SELECT data FROM suppression_import_part WHERE import_id = ? AND number = ?", id, number).Scan(&data)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return data, err
}

func insertErrors(tx *db.Tx, id int64, list []RowError) error {
	for _, e := range list {
		if _, err := tx.Exec("INSERT INTO suppression_import_error (import_id, line, reason, content) VALUES (?, ?, ?, ?)", id, e.Line, e.Reason, e.Content); err != nil {
			return err
		}
	}
	return nil
}

// selectErrors returns the rows of an import that were not imported, in their
// order.
func selectErrors(tx *db.Tx, id int64) (list []RowError, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var e RowError
		err := r.Scan(&e.Line, &e.Reason, &e.Content)
		list = append(list, e)
		return err
	}, "SELECT line, reason, content FROM suppression_import_error WHERE import_id = ? ORDER BY line", id)
	return list, err
}

// lostImports returns the imports whose file began to come before a time and has
// not come.
func lostImports(tx *db.Tx, before int64) (list []int64, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		list = append(list, id)
		return err
	}, "SELECT id FROM suppression_import WHERE state = 'receiving' AND created_at < ?", before)
	return list, err
}

const oldErrors = "import_id IN (SELECT id FROM suppression_import WHERE state = 'finished' AND finished_at < ?)"

func hasOldErrors(tx *db.Tx, before int64) (bool, error) {
	n := 0
	err := tx.QueryRow("SELECT COUNT(*) FROM (SELECT 1 FROM suppression_import_error WHERE "+oldErrors+" LIMIT 1) x", before).Scan(&n)
	return n > 0, err
}

func deleteErrors(tx *db.Tx, before int64) error {
	_, err := tx.Exec("DELETE FROM suppression_import_error WHERE "+oldErrors, before)
	return err
}

func deleteParts(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM suppression_import_part WHERE import_id = ?", id)
	return err
}

func deleteImport(tx *db.Tx, id int64) error {
	return deleteImports(tx, "id = ?", id)
}

// deleteImports removes the imports of a condition with what belongs to them.
func deleteImports(tx *db.Tx, where string, arg any) error {
	for _, query := range []string{
		"DELETE FROM suppression_import_part WHERE import_id IN (SELECT id FROM suppression_import WHERE " + where + ")",
		"DELETE FROM suppression_import_error WHERE import_id IN (SELECT id FROM suppression_import WHERE " + where + ")",
		"DELETE FROM suppression_import WHERE " + where,
	} {
		if _, err := tx.Exec(query, arg); err != nil {
			return err
		}
	}
	return nil
}
