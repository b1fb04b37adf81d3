package template

import (
	"context"
	"time"

	"postroad/internal/base/cache"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/domain"
)

// Parsed versions live in memory for cacheTTL, which bounds how long another
// node's change goes unseen. One of 100 KB takes a few megabytes at worst.
const (
	cacheTTL  = 5 * time.Second
	cacheSize = 64
)

// Service keeps templates. Its methods are safe for concurrent use.
type Service struct {
	db     *db.DB
	ids    *ids.Source
	parsed *cache.Cache[key, *Version]
}

// key is what a message asks for.
type key struct {
	scope     Scope
	name, tag string
}

// New returns the service.
func New(d *db.DB, source *ids.Source) *Service {
	return &Service{db: d, ids: source, parsed: cache.New[key, *Version](d.Clock(), cacheTTL, cacheSize)}
}

// Find returns a version of a template to render: the domain's template of that
// name, else the account's; the active version where tag is empty. The error is
// Invalid if there is none.
func (s *Service) Find(ctx context.Context, d *domain.Domain, name, tag string) (*Version, error) {
	k := key{Scope{d.AccountID, d.ID}, lookup(name), lookup(tag)}
	return s.parsed.Load(k, func() (v *Version, err error) {
		err = s.db.Read(ctx, func(tx *db.Tx) error {
			v, err = find(tx, k)
			return err
		})
		return v, err
	})
}

func find(tx *db.Tx, k key) (*Version, error) {
	r, err := selectRecord(tx, k.scope, k.name)
	if errs.Is(err, errs.NotFound) {
		r, err = selectRecord(tx, Scope{AccountID: k.scope.AccountID}, k.name)
	}
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.Invalid, "template '%s' was not found", clip(k.name))
	}
	if err != nil {
		return nil, err
	}
	v, err := chosen(tx, r, k.tag)
	switch {
	case errs.Is(err, errs.NotFound) && k.tag == "":
		return nil, errs.New(errs.Invalid, "template '%s' has no active version", clip(k.name))
	case errs.Is(err, errs.NotFound):
		return nil, errs.New(errs.Invalid, "version '%s' of template '%s' was not found", clip(k.tag), clip(k.name))
	case err != nil:
		return nil, err
	}
	return v.parsed(r.name)
}

// chosen is the version with a tag, the active one if that is empty.
func chosen(tx *db.Tx, r *record, tag string) (*version, error) {
	if tag == "" {
		return selectActive(tx, r.id)
	}
	return selectVersion(tx, r.id, tag)
}

// change runs a transaction in which the templates of an account change.
func (s *Service) change(ctx context.Context, sc Scope, fn func(tx *db.Tx) error) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		if err := lock(tx, sc.AccountID); err != nil {
			return err
		}
		tx.AfterCommit(s.parsed.Clear)
		return fn(tx)
	})
}

// on runs a transaction that changes a template.
func (s *Service) on(ctx context.Context, sc Scope, name string, fn func(tx *db.Tx, r *record) error) error {
	return s.change(ctx, sc, func(tx *db.Tx) error {
		r, err := selectRecord(tx, sc, lookup(name))
		if err != nil {
			return err
		}
		return fn(tx, r)
	})
}

// onVersion runs a transaction that changes a version of a template.
func (s *Service) onVersion(ctx context.Context, sc Scope, name, tag string, fn func(tx *db.Tx, r *record, v *version) error) error {
	return s.on(ctx, sc, name, func(tx *db.Tx, r *record) error {
		v, err := selectVersion(tx, r.id, lookup(tag))
		if err != nil {
			return err
		}
		return fn(tx, r, v)
	})
}

// insert keeps a new template.
func (s *Service) insert(tx *db.Tx, r *record) error {
	switch _, err := selectRecord(tx, r.scope, r.name); {
	case err == nil:
		return errs.New(errs.Invalid, "duplicate template: '%s' already exists", clip(r.name))
	case !errs.Is(err, errs.NotFound):
		return err
	}
	n, err := countRecords(tx, r.scope)
	if err != nil {
		return err
	}
	if n >= MaxTemplates {
		return errs.New(errs.Invalid, "Too many templates, max is %d", MaxTemplates)
	}
	r.id, r.publicID, r.createdAt = s.ids.Next(), ids.UUID(), tx.Now
	return insertRecord(tx, r)
}

// add keeps a new version of a template. The first becomes active.
func (s *Service) add(tx *db.Tx, r *record, v *version) error {
	n, err := countVersions(tx, r.id)
	if err != nil {
		return err
	}
	if n >= MaxVersions {
		return errs.New(errs.Invalid, "Too many versions, max is %d", MaxVersions)
	}
	switch _, err := selectVersion(tx, r.id, v.tag); {
	case err == nil:
		return errs.New(errs.Conflict, "version %s already exists", clip(v.tag))
	case !errs.Is(err, errs.NotFound):
		return err
	}
	if v.active = v.active || n == 0; v.active {
		if err := deactivate(tx, r.id); err != nil {
			return err
		}
	}
	v.id, v.publicID, v.templateID, v.createdAt = s.ids.Next(), ids.UUID(), r.id, tx.Now
	return insertVersion(tx, v)
}

// save keeps what changed of a version.
func (s *Service) save(tx *db.Tx, v *version) error {
	if v.active {
		if err := deactivate(tx, v.templateID); err != nil {
			return err
		}
	}
	return updateVersion(tx, v)
}

// DeleteDomain removes the templates of a domain that is deleted.
func (s *Service) DeleteDomain(tx *db.Tx, d *domain.Domain) error {
	tx.AfterCommit(s.parsed.Clear)
	return deleteDomain(tx, d.ID)
}
