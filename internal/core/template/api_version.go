package template

import (
	"context"
	"errors"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// newVersion checks what a version is made of.
func newVersion(tag, content, comment, fields string) (v *version, err error) {
	v = &version{comment: comment}
	if v.tag, err = name("tag", tag); err != nil {
		return nil, err
	}
	if err := checkNote("comment", comment); err != nil {
		return nil, err
	}
	if err := v.setContent(content); err != nil {
		return nil, err
	}
	if fields == "" {
		return v, nil
	}
	return v, v.setHeaders(fields)
}

// publicText is what a client is told of an error.
func publicText(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Public
	}
	return "Internal Server Error"
}

type listVersionsIn struct {
	templateIn
	pageIn
}

type listVersionsOn struct {
	onDomain
	listVersionsIn
}

func (in *listVersionsOn) rest() *listVersionsIn { return &in.listVersionsIn }

type versionsView struct {
	Name        string        `json:"name" doc:"Name, lower case"`
	Description string        `json:"description"`
	CreatedAt   string        `json:"createdAt" doc:"RFC 1123 time in UTC"`
	CreatedBy   string        `json:"createdBy" doc:"What the client said about who made it"`
	ID          string        `json:"id" doc:"UUID"`
	Versions    []outlineView `json:"versions" doc:"Versions in the order of their tags"`
}

// versionsOut has the pages beside the template. Mailgun.
type versionsOut struct {
	Template versionsView `json:"template"`
	Paging   paging       `json:"paging" doc:"Where the other pages are"`
}

func (a *api) listVersions(ctx context.Context, sc Scope, in *listVersionsIn) (*versionsOut, error) {
	p := in.page()
	var r *record
	var rows []*version
	err := a.db.Read(ctx, func(tx *db.Tx) (err error) {
		if r, err = selectRecord(tx, sc, lookup(in.TemplateName)); err == nil {
			rows, err = selectOutlines(tx, r.id, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &versionsOut{Template: versionsView{r.name, r.description, timeText(r.createdAt), r.createdBy, r.publicID, []outlineView{}}}
	first, last := "", ""
	for _, v := range rows {
		out.Template.Versions = append(out.Template.Versions, viewOutline(v))
		if last = v.tag; first == "" {
			first = v.tag
		}
	}
	q := op.RequestFrom(ctx)
	out.Paging = p.around(q.BaseURL+q.Path, first, last)
	return out, nil
}

type createVersionIn struct {
	templateIn
	Template string `form:"template" doc:"Content"`
	Tag      string `form:"tag" doc:"Tag, unique within the template; it is made lower case"`
	Comment  string `form:"comment" doc:"Comment"`
	Active   bool   `form:"active" doc:"yes: it becomes the active version, as the first one does"`
	Engine   string `form:"engine" doc:"handlebars"`
	Headers  string `form:"headers" doc:"JSON object of From, Subject and Reply-To for messages that have none"`
}

type createVersionOn struct {
	onDomain
	createVersionIn
}

func (in *createVersionOn) rest() *createVersionIn { return &in.createVersionIn }

func (a *api) createVersion(ctx context.Context, sc Scope, in *createVersionIn) (out *told, err error) {
	if in.Template == "" {
		return nil, errs.New(errs.Invalid, "Missing mandatory parameter: template")
	}
	if err := checkEngine(in.Engine); err != nil {
		return nil, err
	}
	v, err := newVersion(in.Tag, in.Template, in.Comment, in.Headers)
	if err != nil {
		return nil, err
	}
	err = a.on(ctx, sc, in.TemplateName, func(tx *db.Tx, r *record) error {
		v.active = in.Active
		if err := a.add(tx, r, v); err != nil {
			return err
		}
		out = &told{"new version of the template has been stored", viewOf(r, v)}
		return nil
	})
	return out, err
}

type versionIn struct {
	templateIn
	VersionName string `path:"version_name" doc:"Tag of the version, in any case"`
}

type versionOn struct {
	onDomain
	versionIn
}

func (in *versionOn) rest() *versionIn { return &in.versionIn }

func (a *api) getVersion(ctx context.Context, sc Scope, in *versionIn) (*templateOut, error) {
	var r *record
	var v *version
	err := a.db.Read(ctx, func(tx *db.Tx) (err error) {
		if r, err = selectRecord(tx, sc, lookup(in.TemplateName)); err == nil {
			v, err = selectVersion(tx, r.id, lookup(in.VersionName))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &templateOut{viewOf(r, v)}, nil
}

type updateVersionIn struct {
	versionIn
	Template *string `form:"template" doc:"New content"`
	Comment  *string `form:"comment" doc:"New comment"`
	Active   *bool   `form:"active" doc:"yes: it becomes the active version"`
	Headers  *string `form:"headers" doc:"JSON object of From, Subject and Reply-To, in place of what was there"`
}

type updateVersionOn struct {
	onDomain
	updateVersionIn
}

func (in *updateVersionOn) rest() *updateVersionIn { return &in.updateVersionIn }

func (a *api) updateVersion(ctx context.Context, sc Scope, in *updateVersionIn) (out *named, err error) {
	err = a.onVersion(ctx, sc, in.TemplateName, in.VersionName, func(tx *db.Tx, r *record, v *version) error {
		if err := in.apply(v); err != nil {
			return err
		}
		out = namedVersion("version has been updated", r.name, v.tag)
		return a.save(tx, v)
	})
	return out, err
}

// apply changes what is given. Mailgun: a version ceases to be active when
// another becomes it.
func (in *updateVersionIn) apply(v *version) error {
	if in.Template == nil && in.Comment == nil && in.Active == nil && in.Headers == nil {
		return errNoChange
	}
	if in.Template != nil && *in.Template != "" {
		if err := v.setContent(*in.Template); err != nil {
			return err
		}
	}
	if in.Comment != nil {
		if err := checkNote("comment", *in.Comment); err != nil {
			return err
		}
		v.comment = *in.Comment
	}
	v.active = v.active || in.Active != nil && *in.Active
	if in.Headers != nil && *in.Headers != "" {
		return v.setHeaders(*in.Headers)
	}
	return nil
}

func (a *api) removeVersion(ctx context.Context, sc Scope, in *versionIn) (out *named, err error) {
	err = a.onVersion(ctx, sc, in.TemplateName, in.VersionName, func(tx *db.Tx, r *record, v *version) error {
		out = namedVersion("version has been deleted", r.name, v.tag)
		return deleteVersion(tx, v.id)
	})
	return out, err
}

type copyVersionIn struct {
	versionIn
	NewName string `path:"new_version_name" doc:"Tag of the copy; of a domain's template a version that has it is replaced"`
	Comment string `form:"comment" doc:"Comment of the copy; that of the source if absent"`
}

type copyVersionOn struct {
	onDomain
	copyVersionIn
}

func (in *copyVersionOn) rest() *copyVersionIn { return &in.copyVersionIn }

// copyVersionOut has the copy twice. Mailgun: template is the old name of version.
type copyVersionOut struct {
	Message  string      `json:"message"`
	Version  versionView `json:"version"`
	Template versionView `json:"template" doc:"The same as version"`
}

func (a *api) copyVersions(ctx context.Context, sc Scope, in *copyVersionIn) (*copyVersionOut, error) {
	to, err := name("new_version_name", in.NewName)
	if err != nil {
		return nil, err
	}
	if err := checkNote("comment", in.Comment); err != nil {
		return nil, err
	}
	// Mailgun: a copy replaces what has the tag, but not in the account's templates.
	v, err := a.copyVersion(ctx, sc, in.TemplateName, in.VersionName, to, in.Comment, sc.DomainID != 0)
	if err != nil {
		return nil, err
	}
	one := viewVersion(v)
	return &copyVersionOut{"version has been copied", one, one}, nil
}
