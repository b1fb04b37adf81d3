package suppress

import (
	"context"
	"slices"

	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Domains finds the domains whose lists are asked for.
type Domains interface {
	// Owned returns the caller's domain of that name, NotFound otherwise.
	Owned(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error)
}

// Ops returns the operations of the four lists and those that tell of them.
func (s *Service) Ops(d Domains) []op.Op {
	return slices.Concat(
		bounceOps(&list{s, d, Bounces}), complaintOps(&list{s, d, Complaints}),
		unsubscribeOps(&list{s, d, Unsubscribes}), allowOps(&list{s, d, Allowlist}),
		s.importOps(), []op.Op{whyOp(&list{s: s, domains: d})},
	)
}

// list serves one of the lists. What differs between them is their shapes on
// the wire, which api_kind.go gives to the functions here.
type list struct {
	s       *Service
	domains Domains
	kind    Kind
}

func (l *list) path() string { return "/v3/{domain_name}/" + string(l.kind) }

// domainID returns the row id of the domain the request names.
func (l *list) domainID(ctx context.Context, name string) (int64, error) {
	d, err := l.domains.Owned(ctx, account.From(ctx), name)
	if err != nil {
		return 0, err
	}
	return d.ID, nil
}

type listIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
}

type pageIn struct {
	DomainName string    `path:"domain_name" doc:"Name of the domain"`
	Limit      int       `query:"limit" default:"100" min:"1" max:"1000" doc:"Number of entries"`
	Page       Direction `query:"page" enum:"first,next,previous,last" doc:"Which page, seen from address; the first if absent"`
	Address    string    `query:"address" doc:"Entry that the page follows (next) or precedes (previous)"`
	Term       string    `query:"term" max:"512" doc:"Only entries that begin with this, in any case"`
}

type pageOut[V any] struct {
	Items  []V    `json:"items" doc:"Entries, in the order of their addresses"`
	Paging paging `json:"paging" doc:"Where the other pages are"`
}

// pager serves the pages of a list.
func pager[V any](l *list, view func(*Item) V) func(context.Context, *pageIn) (*pageOut[V], error) {
	return func(ctx context.Context, in *pageIn) (*pageOut[V], error) {
		id, err := l.domainID(ctx, in.DomainName)
		if err != nil {
			return nil, err
		}
		q := Query{DomainID: id, Kind: l.kind, Term: in.Term, Direction: in.Page, Address: in.Address, Limit: in.Limit}
		items, err := l.s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &pageOut[V]{Items: make([]V, len(items))}
		for i := range items {
			out.Items[i] = view(&items[i])
		}
		r := op.RequestFrom(ctx)
		out.Paging = pagingOf(r.BaseURL+r.Path, &q, items)
		return out, nil
	}
}

// target is the request for one entry: its domain, its address, and for an
// unsubscribe perhaps one tag.
type target interface {
	entry() (domainName, value, tag string)
}

// getter serves one entry.
func getter[In any, V any, P interface {
	*In
	target
}](l *list, view func(*Item) V) func(context.Context, *In) (*V, error) {
	return func(ctx context.Context, in *In) (*V, error) {
		name, value, _ := P(in).entry()
		id, err := l.domainID(ctx, name)
		if err != nil {
			return nil, err
		}
		item, err := l.s.Get(ctx, id, l.kind, value)
		if err != nil {
			return nil, err
		}
		v := view(&item)
		return &v, nil
	}
}

// remover serves the removal of one entry; say makes the answer.
func remover[In any, Out any, P interface {
	*In
	target
}](l *list, say func(value string) Out) func(context.Context, *In) (*Out, error) {
	return func(ctx context.Context, in *In) (*Out, error) {
		name, value, tag := P(in).entry()
		id, err := l.domainID(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := l.s.Remove(ctx, id, l.kind, value, tag); err != nil {
			return nil, err
		}
		out := say(value)
		return &out, nil
	}
}

// clearer serves the removal of all entries.
func clearer(l *list, text string) func(context.Context, *listIn) (*op.Message, error) {
	return func(ctx context.Context, in *listIn) (*op.Message, error) {
		id, err := l.domainID(ctx, in.DomainName)
		if err != nil {
			return nil, err
		}
		if err := l.s.Clear(ctx, id, l.kind); err != nil {
			return nil, err
		}
		return &op.Message{Message: text}, nil
	}
}

// adding is the request to add entries.
type adding interface {
	given() (domainName string, b *given, err error)
}

// adder serves additions. one makes the answer to a single entry, many that to
// a JSON array. Mailgun: an array of one is an array.
func adder[In any, Out any, P interface {
	*In
	adding
}](l *list, one func(*Entry) Out, many func(n int) Out) func(context.Context, *In) (*Out, error) {
	return func(ctx context.Context, in *In) (*Out, error) {
		name, b, err := P(in).given()
		if err != nil {
			return nil, err
		}
		id, err := l.domainID(ctx, name)
		if err != nil {
			return nil, err
		}
		for i := range b.entries {
			b.entries[i].Kind, b.entries[i].DomainID, b.entries[i].Cause = l.kind, id, Cause{By: ByKey, Key: account.From(ctx).KeyID}
		}
		if err := l.s.Put(ctx, b.entries); err != nil {
			return nil, err
		}
		if b.array {
			out := many(b.records)
			return &out, nil
		}
		out := one(&b.entries[0])
		return &out, nil
	}
}
