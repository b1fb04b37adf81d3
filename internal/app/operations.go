package app

import (
	"context"

	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/deliver"
	"postroad/internal/core/domain"
	"postroad/internal/core/feedback"
	"postroad/internal/core/gateway"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/core/resend"
	"postroad/internal/core/route"
	"postroad/internal/core/suppress"
	"postroad/internal/core/tag"
	"postroad/internal/core/template"
	"postroad/internal/core/timing"
	"postroad/internal/core/track"
	"postroad/internal/core/trackhost"
	"postroad/internal/core/webhook"
	"postroad/internal/core/workspace"
)

// Operations returns every operation of the program without a running one, for
// documents and checks; calling them is not possible.
func Operations() []op.Op {
	a := &App{messages: &message.Service{}, domains: &domain.Service{}, accounts: &account.Service{},
		webhooks: &webhook.Service{}, routes: &route.Service{}, hosts: &trackhost.Service{}, suppress: &suppress.Service{}, timing: &timing.Service{}, tags: &tag.Service{}, optout: &optout.Service{}, lists: &list.Service{}, resend: &resend.Service{}, workspaces: &workspace.Service{}, feedback: &feedback.Service{}, gateway: &gateway.Service{}, template: &template.Service{}, track: &track.Service{}}
	return a.Ops()
}

// admin is the queue for its operators.
func (a *App) admin() *deliver.Admin {
	return &deliver.Admin{Queue: a.queue, Shape: a.shape, Router: a.router, Trace: &a.trace, Messages: a.messages, Domains: a.domains,
		Clock: a.clock, Logger: a.log, First: a.accounts.First, Stopping: a.stopping}
}

// ownedDomains is how capabilities above domain find a caller's domain. In dev
// mode a domain is made when it is first named.
type ownedDomains struct{ a *App }

// Owned returns the caller's domain.
func (o ownedDomains) Owned(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	return o.a.ownDomain(ctx, c, name)
}

// List returns domains of an account.
func (o ownedDomains) List(ctx context.Context, accountID string, q domain.Query) ([]*domain.Domain, int, error) {
	return o.a.domains.List(ctx, accountID, q)
}
