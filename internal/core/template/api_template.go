package template

import (
	"context"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

// unknownDomain answers a domain there is none of. Mailgun: in lower case here.
func unknownDomain(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.NotFound, "domain not found")
	}
	return err
}

type pageIn struct {
	Page  string `query:"page" default:"first" enum:"first,last,next,previous,prev" doc:"Which page, seen from p"`
	Limit int    `query:"limit" default:"100" min:"1" doc:"Number of entries, 100 at most"`
	P     string `query:"p" doc:"Entry that the page follows (next) or precedes (previous)"`
}

func (in *pageIn) page() *page {
	p := &page{limit: min(in.Limit, maxPage), direction: in.Page, pivot: lookup(in.P)}
	if p.direction == "prev" { // of Mailgun's own examples
		p.direction = "previous"
	}
	return p
}

type listIn struct{ pageIn }

type listOn struct {
	onDomain
	listIn
}

func (in *listOn) rest() *listIn { return &in.listIn }

type listOut struct {
	Items  []templateView `json:"items" doc:"Templates in the order of their names"`
	Paging paging         `json:"paging" doc:"Where the other pages are"`
}

func (a *api) list(ctx context.Context, sc Scope, in *listIn) (*listOut, error) {
	p := in.page()
	out := &listOut{Items: []templateView{}}
	err := a.db.Read(ctx, func(tx *db.Tx) error {
		rows, err := selectRecords(tx, sc, p)
		for _, r := range rows {
			out.Items = append(out.Items, viewOf(r, nil))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	first, last := "", ""
	if n := len(out.Items); n > 0 {
		first, last = out.Items[0].Name, out.Items[n-1].Name
	}
	r := op.RequestFrom(ctx)
	out.Paging = p.around(r.BaseURL+r.Path, first, last)
	return out, nil
}

type createIn struct {
	Name        string `form:"name" doc:"Name, unique; it is made lower case"`
	Description string `form:"description" doc:"Description of the template"`
	CreatedBy   string `form:"createdBy" doc:"Who made it, as the client likes to say"`
	Template    string `form:"template" doc:"Content; with it the template gets its first version, which is active"`
	Tag         string `form:"tag" doc:"Tag of that version; initial if absent"`
	Comment     string `form:"comment" doc:"Comment of that version"`
	Engine      string `form:"engine" doc:"handlebars"`
	Headers     string `form:"headers" doc:"JSON object of From, Subject and Reply-To for messages that have none"`
}

type createOn struct {
	onDomain
	createIn
}

func (in *createOn) rest() *createIn { return &in.createIn }

func (a *api) create(ctx context.Context, sc Scope, in *createIn) (*told, error) {
	r := &record{scope: sc, description: in.Description, createdBy: in.CreatedBy}
	var err error
	if r.name, err = name("name", in.Name); err != nil {
		return nil, err
	}
	if err := checkNote("description", in.Description); err != nil {
		return nil, err
	}
	if err := checkNote("createdBy", in.CreatedBy); err != nil {
		return nil, err
	}
	if err := checkEngine(in.Engine); err != nil {
		return nil, err
	}
	var v *version
	if in.Template != "" {
		tag := in.Tag
		if strings.TrimSpace(tag) == "" {
			tag = "initial"
		}
		if v, err = newVersion(tag, in.Template, in.Comment, in.Headers); err != nil {
			return nil, err
		}
	}
	err = a.change(ctx, sc, func(tx *db.Tx) error {
		if err := a.insert(tx, r); err != nil || v == nil {
			return err
		}
		return a.add(tx, r, v)
	})
	if err != nil {
		return nil, err
	}
	return &told{"template has been stored", viewOf(r, v)}, nil
}

type clearIn struct{}

type clearOn struct {
	onDomain
	clearIn
}

func (in *clearOn) rest() *clearIn { return &in.clearIn }

func (a *api) clear(ctx context.Context, sc Scope, _ *clearIn) (*op.Message, error) {
	err := a.change(ctx, sc, func(tx *db.Tx) error { return deleteScope(tx, sc) })
	if err != nil {
		return nil, err
	}
	return &op.Message{Message: "templates have been deleted"}, nil
}

type templateIn struct {
	TemplateName string `path:"template_name" doc:"Name of the template, in any case"`
}

type templateOn struct {
	onDomain
	templateIn
}

func (in *templateOn) rest() *templateIn { return &in.templateIn }

type getIn struct {
	templateIn
	Active bool `query:"active" doc:"yes: with the active version and its content"`
}

type getOn struct {
	onDomain
	getIn
}

func (in *getOn) rest() *getIn { return &in.getIn }

type templateOut struct {
	Template templateView `json:"template"`
}

func (a *api) get(ctx context.Context, sc Scope, in *getIn) (*templateOut, error) {
	var r *record
	var v *version
	err := a.db.Read(ctx, func(tx *db.Tx) (err error) {
		if r, err = selectRecord(tx, sc, lookup(in.TemplateName)); err != nil || !in.Active {
			return err
		}
		v, err = selectActive(tx, r.id)
		if errs.Is(err, errs.NotFound) {
			v, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &templateOut{viewOf(r, v)}, nil
}

type updateIn struct {
	templateIn
	Description *string `form:"description" doc:"New description"`
}

type updateOn struct {
	onDomain
	updateIn
}

func (in *updateOn) rest() *updateIn { return &in.updateIn }

func (a *api) update(ctx context.Context, sc Scope, in *updateIn) (out *named, err error) {
	err = a.on(ctx, sc, in.TemplateName, func(tx *db.Tx, r *record) error {
		if in.Description == nil {
			return errNoChange
		}
		if err := checkNote("description", *in.Description); err != nil {
			return err
		}
		r.description = *in.Description
		out = &named{"template has been updated", nameOnly{Name: r.name}}
		return updateRecord(tx, r)
	})
	return out, err
}

func (a *api) remove(ctx context.Context, sc Scope, in *templateIn) (out *named, err error) {
	err = a.on(ctx, sc, in.TemplateName, func(tx *db.Tx, r *record) error {
		out = &named{"template has been deleted", nameOnly{Name: r.name}}
		return deleteRecord(tx, r.id)
	})
	return out, err
}

type renameIn struct {
	templateIn
	NewName string `path:"new_template_name" doc:"New name; it is made lower case"`
}

type renameOn struct {
	onDomain
	renameIn
}

func (in *renameOn) rest() *renameIn { return &in.renameIn }

func (a *api) rename(ctx context.Context, sc Scope, in *renameIn) (*named, error) {
	to, err := name("new_template_name", in.NewName)
	if err != nil {
		return nil, err
	}
	err = a.on(ctx, sc, in.TemplateName, func(tx *db.Tx, r *record) error {
		switch other, err := selectRecord(tx, sc, to); {
		case err == nil && other.id != r.id:
			return errs.New(errs.Conflict, "template %s already exists", clip(to))
		case err != nil && !errs.Is(err, errs.NotFound):
			return err
		}
		r.name = to
		return updateRecord(tx, r)
	})
	if err != nil {
		return nil, err
	}
	return &named{"template has been renamed", nameOnly{Name: to}}, nil
}

// place is where a copy goes.
type place struct {
	AccountID string `json:"account_id" doc:"The account, which has to be the caller's"`
	Name      string `json:"name" doc:"Name of the copy"`
	Domain    string `json:"domain,omitempty" doc:"Domain the copy is for; the account if absent"`
}

// maxCopies bounds what one request copies.
const maxCopies = 100

type copyIn struct {
	templateIn
	Requests       []place  `json:"requests" doc:"Where to copy it, up to 100 places"`
	SourceVersions []string `json:"source_versions" max:"100" doc:"Tags of the versions to copy; all if absent"`
}

type copyOn struct {
	onDomain
	copyIn
}

func (in *copyOn) rest() *copyIn { return &in.copyIn }

type copyOut struct {
	Message string  `json:"message"`
	Failed  []place `json:"failed_copies" doc:"Places where no copy was made"`
	Error   string  `json:"error,omitempty" doc:"Why the first of them was not"`
}

func (a *api) copyTemplates(ctx context.Context, sc Scope, in *copyIn) (*copyOut, error) {
	if len(in.Requests) == 0 {
		return nil, errNoChange
	}
	if len(in.Requests) > maxCopies {
		return nil, errs.New(errs.Invalid, "'requests' parameter is invalid: must have at most %d items", maxCopies)
	}
	out := &copyOut{Message: "template has been copied", Failed: []place{}}
	fail := func(p place, err error) error {
		if errs.KindOf(err) == errs.Internal {
			return err
		}
		if out.Failed = append(out.Failed, p); out.Error == "" {
			out.Error = publicText(err)
		}
		return nil
	}
	var places []place
	var targets []target
	for _, p := range in.Requests {
		t, err := a.target(ctx, p)
		if err == nil {
			places, targets = append(places, p), append(targets, t)
		} else if err := fail(p, err); err != nil {
			return nil, err
		}
	}
	failed, err := a.copyTemplate(ctx, sc, in.TemplateName, in.SourceVersions, targets)
	if err != nil {
		return nil, err
	}
	for i, err := range failed {
		if err == nil {
			continue
		}
		if err := fail(places[i], err); err != nil {
			return nil, err
		}
	}
	if len(out.Failed) == len(in.Requests) {
		return nil, errs.New(errs.Invalid, "template has not been copied: %s", out.Error)
	}
	return out, nil
}

// target checks a place.
func (a *api) target(ctx context.Context, p place) (t target, err error) {
	caller := account.From(ctx)
	if p.AccountID != caller.AccountID {
		return t, errs.New(errs.Invalid, "account %s is not the caller's", clip(p.AccountID))
	}
	if t.name, err = name("name", p.Name); err != nil {
		return t, err
	}
	t.scope.AccountID = caller.AccountID
	if p.Domain == "" {
		return t, nil
	}
	d, err := a.domains.Owned(ctx, caller, p.Domain)
	if err != nil {
		return t, unknownDomain(err)
	}
	t.scope.DomainID = d.ID
	return t, nil
}
