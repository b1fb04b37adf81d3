package route

import (
	"context"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

const (
	gmtTime  = "Mon, 02 Jan 2006 15:04:05 GMT"
	maxLimit = 1000 // of a page
)

// Ops returns the operations of routes.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("POST", "/v3/routes", op.Routes, op.Write, "Create a route", inline(s.createRoute)).WithDoc(routeDoc),
		op.New("GET", "/v3/routes", op.Routes, op.Read, "List routes", inline(s.listRoutes)),
		op.New("GET", "/v3/routes/match", op.Routes, op.Read, "Find the route for an address", inline(s.matchAddress)).
			WithDoc("The first route that matches mail for the address whatever its header, else the first that may match, depending on the header."),
		op.New("GET", "/v3/routes/{id}", op.Routes, op.Read, "Get a route", inline(s.getRoute)),
		op.New("PUT", "/v3/routes/{id}", op.Routes, op.Write, "Change a route", inline(s.updateRoute)).
			WithDoc("What is not given stays. Expression and actions are checked together."),
		op.New("DELETE", "/v3/routes/{id}", op.Routes, op.Write, "Delete a route", inline(s.deleteRoute)),
		op.New("POST", "/v1/postroad/routes/test", op.Routes, op.Read, "Try the routes on a recipient and header fields", s.tryRoutes).
			WithDoc("Says for each route whether it would match, what it would do, and otherwise why not. Nothing is sent or stored."),
	}
}

const routeDoc = "Expression: `match_recipient(\"pattern\")`, `match_header(\"name\", \"pattern\")`, `catch_all()`, joined by `and`, `or`, `not` and parentheses. " +
	"Actions: `forward(\"address or URL, ...\")`, `store()`, `store(notify=\"URL\")`, `stop()`. " +
	"Patterns are regular expressions as Python writes them."

// inline adds a header field. Mailgun: answers about routes have it.
func inline[In, Out any](fn func(context.Context, *In) (*Out, error)) func(context.Context, *In) (*Out, error) {
	return func(ctx context.Context, in *In) (*Out, error) {
		op.RequestFrom(ctx).SetHeader("Content-Disposition", "inline")
		return fn(ctx, in)
	}
}

// routeView is a route as the API shows it. Mailgun: members in the order of
// the alphabet.
type routeView struct {
	Actions     []string `json:"actions"`
	CreatedAt   string   `json:"created_at" doc:"RFC 1123 time in GMT"`
	Description string   `json:"description"`
	Expression  string   `json:"expression"`
	ID          string   `json:"id"`
	Priority    int64    `json:"priority" doc:"Routes with smaller numbers come first"`
}

func view(r *Route) routeView {
	v := routeView{Actions: r.Actions, CreatedAt: r.CreatedAt.UTC().Format(gmtTime), Description: r.Description,
		Expression: r.Expression, ID: r.ID, Priority: r.Priority}
	if v.Actions == nil {
		v.Actions = []string{}
	}
	return v
}

type routeOut struct {
	Route routeView `json:"route"`
}

type createRouteIn struct {
	Priority    int64    `form:"priority" default:"0" min:"-2147483648" max:"2147483647" doc:"Routes with smaller numbers come first; equal ones in the order of their creation"`
	Description string   `form:"description" doc:"Any text"`
	Expression  string   `form:"expression" required:"Missing mandatory parameter: expression" doc:"Which messages the route is for, up to 4,000 characters"`
	Action      []string `form:"action" doc:"What to do with them; repeat for several, up to 4,000 characters together"`
	Actions     []string `form:"actions" doc:"The same as action"`
}

type createRouteOut struct {
	Message string    `json:"message"`
	Route   routeView `json:"route"`
}

func (s *Service) createRoute(ctx context.Context, in *createRouteIn) (*createRouteOut, error) {
	r := &Route{AccountID: account.From(ctx).AccountID, Priority: in.Priority, Description: in.Description, Expression: in.Expression,
		Actions: append(in.Action, in.Actions...)}
	if err := s.create(ctx, r); err != nil {
		return nil, err
	}
	return &createRouteOut{"Route has been created", view(r)}, nil
}

type listRoutesIn struct {
	Limit int `form:"limit" default:"100" doc:"Routes to return, at most 1000"`
	Skip  int `form:"skip" default:"0" doc:"Routes to leave out at the beginning"`
}

type listRoutesOut struct {
	Items      []routeView `json:"items" doc:"The page, in the order routes are looked at"`
	TotalCount int64       `json:"total_count" doc:"Routes of the account"`
}

func (s *Service) listRoutes(ctx context.Context, in *listRoutesIn) (*listRoutesOut, error) {
	switch {
	case in.Limit > maxLimit:
		return nil, errs.New(errs.Invalid, "The 'limit' parameter can't be larger than 1000")
	case in.Limit < 0:
		return nil, errs.New(errs.Invalid, "The 'limit' parameter can't be negative")
	case in.Skip < 0:
		return nil, errs.New(errs.Invalid, "The 'skip' parameter can't be negative")
	}
	list, total, err := s.list(ctx, account.From(ctx).AccountID, in.Skip, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listRoutesOut{Items: make([]routeView, len(list)), TotalCount: total}
	for i, r := range list {
		out.Items[i] = view(r)
	}
	return out, nil
}

type routeIn struct {
	ID string `path:"id" doc:"Id of the route"`
}

func (s *Service) getRoute(ctx context.Context, in *routeIn) (*routeOut, error) {
	r, err := s.get(ctx, account.From(ctx).AccountID, in.ID)
	if err != nil {
		return nil, err
	}
	return &routeOut{view(r)}, nil
}

type updateRouteIn struct {
	ID          string   `path:"id" doc:"Id of the route"`
	Priority    *int64   `form:"priority" min:"-2147483648" max:"2147483647" doc:"Routes with smaller numbers come first"`
	Description *string  `form:"description" doc:"Any text"`
	Expression  string   `form:"expression" doc:"Which messages the route is for"`
	Action      []string `form:"action" doc:"What to do with them, in place of all actions there are; repeat for several"`
	Actions     []string `form:"actions" doc:"The same as action"`
}

// updatedOut is a flat object. Mailgun: unlike what its OpenAPI says.
type updatedOut struct {
	Actions     []string `json:"actions"`
	CreatedAt   string   `json:"created_at" doc:"RFC 1123 time in GMT"`
	Description string   `json:"description"`
	Expression  string   `json:"expression"`
	ID          string   `json:"id"`
	Message     string   `json:"message"`
	Priority    int64    `json:"priority"`
}

func (s *Service) updateRoute(ctx context.Context, in *updateRouteIn) (*updatedOut, error) {
	r, err := s.update(ctx, account.From(ctx).AccountID, in.ID, func(r *Route) {
		if in.Priority != nil {
			r.Priority = *in.Priority
		}
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.Expression != "" {
			r.Expression = in.Expression
		}
		if in.Action != nil || in.Actions != nil {
			r.Actions = append(in.Action, in.Actions...)
		}
	})
	if err != nil {
		return nil, err
	}
	v := view(r)
	return &updatedOut{v.Actions, v.CreatedAt, v.Description, v.Expression, v.ID, "Route has been updated", v.Priority}, nil
}

type deletedOut struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

func (s *Service) deleteRoute(ctx context.Context, in *routeIn) (*deletedOut, error) {
	if err := s.remove(ctx, account.From(ctx).AccountID, in.ID); err != nil {
		return nil, err
	}
	return &deletedOut{in.ID, "Route has been deleted"}, nil
}

type matchIn struct {
	Address string `query:"address" required:"Missing mandatory parameter: address" max:"1000" doc:"Recipient address"`
}

func (s *Service) matchAddress(ctx context.Context, in *matchIn) (*routeOut, error) {
	r, err := s.candidate(ctx, account.From(ctx).AccountID, in.Address)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errNotFound()
	}
	return &routeOut{view(r.Route)}, nil
}
