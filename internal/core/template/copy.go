package template

import (
	"context"
	"errors"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// target is where a template is to be copied to.
type target struct {
	scope Scope
	name  string
}

// copyTo makes a template of the same name or another with versions of r: those
// with the tags, all without any.
func (s *Service) copyTo(tx *db.Tx, r *record, tags []string, to target) error {
	made := &record{scope: to.scope, name: to.name, description: r.description, createdBy: r.createdBy}
	versions, err := selectOutlines(tx, r.id, &page{limit: MaxVersions})
	if err != nil {
		return err
	}
	if err := s.insert(tx, made); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, t := range tags {
		wanted[lookup(t)] = true
	}
	for _, v := range versions {
		if len(tags) > 0 && !wanted[v.tag] {
			continue
		}
		if v, err = selectVersion(tx, r.id, v.tag); err != nil {
			return err
		}
		if err := s.add(tx, made, v); err != nil {
			return err
		}
	}
	return nil
}

// copyTemplate copies a template to several places and returns an error for each
// that was not possible.
func (s *Service) copyTemplate(ctx context.Context, from Scope, name string, tags []string, to []target) (failed []error, err error) {
	err = s.on(ctx, from, name, func(tx *db.Tx, r *record) error {
		for _, t := range tags {
			if _, err := selectVersion(tx, r.id, lookup(t)); err != nil {
				return err
			}
		}
		failed = make([]error, len(to))
		for i, t := range to {
			var e *errs.Error
			if err := s.copyTo(tx, r, tags, t); errors.As(err, &e) {
				failed[i] = err
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return failed, err
}

// copyVersion copies a version to another tag of its template, over what is
// there if overwrite.
func (s *Service) copyVersion(ctx context.Context, sc Scope, name, from, to, comment string, overwrite bool) (v *version, err error) {
	err = s.onVersion(ctx, sc, name, from, func(tx *db.Tx, r *record, source *version) error {
		copied := *source
		v = &copied
		v.tag, v.active = to, false
		if comment != "" {
			v.comment = comment
		}
		old, err := selectVersion(tx, r.id, to)
		if errs.Is(err, errs.NotFound) || err == nil && !overwrite {
			return s.add(tx, r, v)
		}
		if err != nil {
			return err
		}
		v.id, v.publicID, v.active, v.createdAt = old.id, old.publicID, old.active, tx.Now
		return updateVersion(tx, v)
	})
	return v, err
}
