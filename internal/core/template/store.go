package template

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

const (
	recordColumns  = "id, public_id, account_id, domain_id, name, description, created_by, created_at"
	versionColumns = "id, public_id, template_id, tag, content, headers, comment, active, created_at"
	outlineColumns = "id, public_id, template_id, tag, '', headers, comment, active, created_at" // without the content
)

// lock makes changes of one account's templates wait for each other, so that two
// of them do not pass a limit together. SQLite's writers do so anyway.
func lock(tx *db.Tx, accountID string) error {
	if tx.Dialect() != db.Postgres {
		return nil
	}
	_, err := tx.Exec("SELECT pg_advisory_xact_lock(?)", event.Hash("template "+accountID))
	return err
}

func scanRecord(scan func(...any) error) (*record, error) {
	r := &record{}
	return r, scan(&r.id, &r.publicID, &r.scope.AccountID, &r.scope.DomainID, &r.name, &r.description, &r.createdBy, &r.createdAt)
}

// selectRecord returns a template; errNotFound.
func selectRecord(tx *db.Tx, s Scope, name string) (*record, error) {
	r, err := scanRecord(tx.QueryRow("SELECT "+recordColumns+" FROM template WHERE account_id = ? AND domain_id = ? AND name = ?",
		s.AccountID, s.DomainID, name).Scan)
	if errors.Is(err, db.ErrNoRows) {
		return nil, errNotFound
	}
	return r, err
}

func selectRecords(tx *db.Tx, s Scope, p *page) (out []*record, err error) {
	err = tx.Each(func(rows *sql.Rows) error {
		r, err := scanRecord(rows.Scan)
		out = append(out, r)
		return err
	}, "SELECT "+recordColumns+" FROM template WHERE account_id = ? AND domain_id = ?"+p.where("name"), p.args(s.AccountID, s.DomainID)...)
	return turned(p, out), err
}

func countRecords(tx *db.Tx, s Scope) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM template WHERE account_id = ? AND domain_id = ?", s.AccountID, s.DomainID).Scan(&n)
	return n, err
}

func insertRecord(tx *db.Tx, r *record) error {
	_, err := tx.Exec("INSERT INTO template ("+recordColumns+") VALUES "+db.Marks(8), r.id, r.publicID, r.scope.AccountID, r.scope.DomainID,
		r.name, r.description, r.createdBy, r.createdAt)
	return err
}

func updateRecord(tx *db.Tx, r *record) error {
	_, err := tx.Exec("UPDATE template SET name = ?, description = ? WHERE id = ?", r.name, r.description, r.id)
	return err
}

func deleteRecord(tx *db.Tx, id int64) error {
	if _, err := tx.Exec("DELETE FROM template_version WHERE template_id = ?", id); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM template WHERE id = ?", id)
	return err
}

func deleteScope(tx *db.Tx, s Scope) error {
	if _, err := tx.Exec("DELETE FROM template_version WHERE template_id IN (SELECT id FROM template WHERE account_id = ? AND domain_id = ?)", s.AccountID, s.DomainID); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM template WHERE account_id = ? AND domain_id = ?", s.AccountID, s.DomainID)
	return err
}

// deleteDomain removes what belongs to a domain, whoever has it.
func deleteDomain(tx *db.Tx, id int64) error {
	if _, err := tx.Exec("DELETE FROM template_version WHERE template_id IN (SELECT id FROM template WHERE domain_id = ?)", id); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM template WHERE domain_id = ?", id)
	return err
}

func scanVersion(scan func(...any) error) (*version, error) {
	v := &version{}
	var fields string
	var active int64
	if err := scan(&v.id, &v.publicID, &v.templateID, &v.tag, &v.content, &fields, &v.comment, &active, &v.createdAt); err != nil {
		return nil, err
	}
	v.active = active != 0
	if err := json.Unmarshal([]byte(fields), &v.headers); err != nil {
		return nil, fmt.Errorf("template version %d: headers: %w", v.id, err)
	}
	return v, nil
}

// selectVersion returns a version; errNoVersion.
func selectVersion(tx *db.Tx, templateID int64, tag string) (*version, error) {
	return oneVersion(tx.QueryRow("SELECT "+versionColumns+" FROM template_version WHERE template_id = ? AND tag = ?", templateID, tag).Scan)
}

// selectActive returns the active version; errNoVersion.
func selectActive(tx *db.Tx, templateID int64) (*version, error) {
	return oneVersion(tx.QueryRow("SELECT "+versionColumns+" FROM template_version WHERE template_id = ? AND active = 1", templateID).Scan)
}

func oneVersion(scan func(...any) error) (*version, error) {
	v, err := scanVersion(scan)
	if errors.Is(err, db.ErrNoRows) {
		return nil, errNoVersion
	}
	return v, err
}

// selectOutlines returns versions without their contents.
func selectOutlines(tx *db.Tx, templateID int64, p *page) (out []*version, err error) {
	err = tx.Each(func(rows *sql.Rows) error {
		v, err := scanVersion(rows.Scan)
		out = append(out, v)
		return err
	}, "SELECT "+outlineColumns+" FROM template_version WHERE template_id = ?"+p.where("tag"), p.args(templateID)...)
	return turned(p, out), err
}

func countVersions(tx *db.Tx, templateID int64) (n int, err error) {
	err = tx.QueryRow("SELECT COUNT(*) FROM template_version WHERE template_id = ?", templateID).Scan(&n)
	return n, err
}

func insertVersion(tx *db.Tx, v *version) error {
	row, err := v.row()
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO template_version ("+versionColumns+") VALUES "+db.Marks(9), append([]any{v.id, v.publicID, v.templateID, v.tag}, row...)...)
	return err
}

func updateVersion(tx *db.Tx, v *version) error {
	row, err := v.row()
	if err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE template_version SET content = ?, headers = ?, comment = ?, active = ?, created_at = ? WHERE id = ?", append(row, v.id)...)
	return err
}

// row is what of a version may change.
func (v *version) row() ([]any, error) {
	if v.headers == nil {
		v.headers = headers{}
	}
	fields, err := json.Marshal(v.headers)
	active := int64(0)
	if v.active {
		active = 1
	}
	return []any{v.content, string(fields), v.comment, active, v.createdAt}, err
}

// deactivate leaves a template without an active version.
func deactivate(tx *db.Tx, templateID int64) error {
	_, err := tx.Exec("UPDATE template_version SET active = 0 WHERE template_id = ?", templateID)
	return err
}

func deleteVersion(tx *db.Tx, id int64) error {
	_, err := tx.Exec("DELETE FROM template_version WHERE id = ?", id)
	return err
}
