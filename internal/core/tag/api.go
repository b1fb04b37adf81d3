package tag

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// OwnedFunc returns the caller's domain of a name, NotFound otherwise.
type OwnedFunc func(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error)

// AccountFunc returns an account.
type AccountFunc func(ctx context.Context, id string) (*account.Account, error)

// api is what the operations need beside the service.
type api struct {
	*Service
	owned   OwnedFunc
	account AccountFunc
}

// Ops returns the operations of both generations of the API: tags of a domain,
// and of an account. Mailgun: tags have the rights of logs.
func (s *Service) Ops(owned OwnedFunc, accounts AccountFunc) []op.Op {
	a := &api{s, owned, accounts}
	old := slices.Concat(a.tagOps(), a.statOps())
	for i := range old {
		old[i] = old[i].AsDeprecated()
	}
	return append(old, a.accountOps()...)
}

// tagOps are those about the tags of a domain. Mailgun: a tag stands in the path,
// or in the query, where it may have any character.
func (a *api) tagOps() []op.Op {
	const inPath, inQuery = "/v3/{domain}/tags/{tag}", "/v3/{domain}/tag"
	return []op.Op{
		op.New("GET", "/v3/{domain}/tags", op.Events, op.Read, "List tags of a domain", a.list),
		op.New("GET", inPath, op.Events, op.Read, "Get a tag", getter[pathIn](a)),
		op.New("PUT", inPath, op.Events, op.Write, "Describe a tag", describer[pathDescribeIn](a)),
		op.New("DELETE", inPath, op.Events, op.Write, "Delete a tag and what was counted for it", remover[pathIn](a)),
		op.New("GET", inQuery, op.Events, op.Read, "Get a tag, named in the query", getter[queryIn](a)),
		op.New("PUT", inQuery, op.Events, op.Write, "Describe a tag, named in the query", describer[queryDescribeIn](a)),
		op.New("DELETE", inQuery, op.Events, op.Write, "Delete a tag, named in the query", remover[queryIn](a)),
		op.New("GET", "/v3/domains/{domain}/limits/tag", op.Events, op.Read, "Get the number of tags of a domain", a.limit),
	}
}

func (a *api) domain(ctx context.Context, name string) (*domain.Domain, error) {
	return a.owned(ctx, account.From(ctx), name)
}

// target is a request about a tag of a domain.
type target interface {
	target(ctx context.Context) (domainName, tag string)
}

type pathIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
	Tag    string `path:"tag" doc:"The tag, in any case"`
}

// target: Mailgun: the Go client writes a blank in a path as "+", and a plus as
// "%2B".
func (in *pathIn) target(ctx context.Context) (string, string) {
	_, raw, _ := strings.Cut(op.RequestFrom(ctx).Path, "/tags/")
	raw, _, _ = strings.Cut(raw, "/")
	if tag, err := url.QueryUnescape(raw); err == nil && strings.Contains(raw, "+") {
		return in.Domain, tag
	}
	return in.Domain, in.Tag
}

type queryIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
	Tag    string `form:"tag" required:"Missing mandatory parameter: tag" doc:"The tag, in any case"`
}

func (in *queryIn) target(context.Context) (string, string) { return in.Domain, in.Tag }

type tagView struct {
	Tag         string `json:"tag" doc:"The tag as it was first used"`
	Description string `json:"description"`
	FirstSeen   string `json:"first-seen" doc:"RFC 3339 time of the first event"`
	LastSeen    string `json:"last-seen" doc:"RFC 3339 time of the last event"`
}

// viewTime: Mailgun: milliseconds.
const viewTime = "2006-01-02T15:04:05.000Z"

func view(t *Tag) tagView {
	return tagView{t.Name, t.Description, clock.FromMicro(t.FirstSeen).Format(viewTime), clock.FromMicro(t.LastSeen).Format(viewTime)}
}

type listIn struct {
	Domain string    `path:"domain" doc:"Name of the domain"`
	Limit  int       `query:"limit" default:"100" min:"1" max:"1000" doc:"Number of tags"`
	Page   Direction `query:"page" enum:"first,last,next,prev" doc:"Which page, seen from tag; the first if absent"`
	Tag    string    `query:"tag" doc:"Tag that the page follows (next) or precedes (prev)"`
	Prefix string    `query:"prefix" doc:"Only tags that begin with this, in any case"`
}

type listOut struct {
	Items  []tagView `json:"items" doc:"Tags in their order"`
	Paging paging    `json:"paging" doc:"Where the other pages are"`
}

func (a *api) list(ctx context.Context, in *listIn) (*listOut, error) {
	d, err := a.domain(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	q := Query{DomainID: d.ID, Prefix: in.Prefix, Direction: in.Page, Tag: in.Tag, Limit: in.Limit}
	list, err := a.List(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listOut{Items: make([]tagView, len(list))}
	for i := range list {
		out.Items[i] = view(&list[i])
	}
	r := op.RequestFrom(ctx)
	out.Paging = pagingOf(r.BaseURL+r.Path, &q, list)
	return out, nil
}

func getter[In any, P interface {
	*In
	target
}](a *api) func(context.Context, *In) (*tagView, error) {
	return func(ctx context.Context, in *In) (*tagView, error) {
		name, tag := P(in).target(ctx)
		d, err := a.domain(ctx, name)
		if err != nil {
			return nil, err
		}
		t, err := a.Get(ctx, d.ID, tag)
		if err != nil {
			return nil, err
		}
		v := view(&t)
		return &v, nil
	}
}

type describeIn struct {
	Description *string `form:"description" max:"4096" doc:"The new description; without it nothing changes"`
}

func (in *describeIn) text() *string { return in.Description }

type pathDescribeIn struct {
	pathIn
	describeIn
}

type queryDescribeIn struct {
	queryIn
	describeIn
}

func describer[In any, P interface {
	*In
	target
	text() *string
}](a *api) func(context.Context, *In) (*op.Message, error) {
	return func(ctx context.Context, in *In) (*op.Message, error) {
		name, tag := P(in).target(ctx)
		d, err := a.domain(ctx, name)
		if err != nil {
			return nil, err
		}
		if text := P(in).text(); text != nil {
			err = a.Describe(ctx, d.ID, tag, *text)
		} else {
			_, err = a.Get(ctx, d.ID, tag)
		}
		return said("Tag updated", err)
	}
}

func remover[In any, P interface {
	*In
	target
}](a *api) func(context.Context, *In) (*op.Message, error) {
	return func(ctx context.Context, in *In) (*op.Message, error) {
		name, tag := P(in).target(ctx)
		d, err := a.domain(ctx, name)
		if err != nil {
			return nil, err
		}
		return said("Tag deleted", a.Delete(ctx, d.ID, tag))
	}
}

// said is the answer of what only says that it was done.
func said(text string, err error) (*op.Message, error) {
	if err != nil {
		return nil, err
	}
	return &op.Message{Message: text}, nil
}

type domainIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
}

type limitOut struct {
	ID    string `json:"id" doc:"Name of the domain"`
	Limit int    `json:"limit" doc:"Tags the domain may have"`
	Count int    `json:"count" doc:"Tags it has"`
}

func (a *api) limit(ctx context.Context, in *domainIn) (*limitOut, error) {
	d, err := a.domain(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	l, _, err := a.Limits(ctx, d.ID, d.AccountID)
	return &limitOut{d.Name, l.Limit, l.Count}, err
}
