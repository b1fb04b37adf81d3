package workspace

import (
	"context"
	"errors"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// Ops returns the operations.
func (s *Service) Ops() []op.Op {
	list := []op.Op{
		op.New("GET", "/api/mailgun/health", op.Messages, op.Public, "Tell whether mail of workspaces can be sent", s.health),
		op.New("POST", "/api/mailgun/send", op.Messages, op.Public, "Send mail for a workspace", s.sendOp).WithAuth(s.authenticate),
		op.New("GET", "/api/mailgun/messages/{workspaceId}", op.Messages, op.Public, "List mail of a workspace", s.listOp).WithAuth(s.authenticate).
			WithDoc("Newest first. All filters given must match. Bodies are not in lists."),
		op.New("GET", "/api/mailgun/messages/{workspaceId}/{emailId}", op.Messages, op.Public, "Get mail of a workspace", s.getOp).WithAuth(s.authenticate),
		op.New("POST", "/api/mailgun/webhooks", op.Messages, op.Public, "Take a webhook call of Mailgun, or a route's post of mail for a workspace", s.webhookOp).
			WithDoc("The signature must be valid, not older than 15 minutes, and not have come before."),
	}
	for i := range list {
		list[i] = list[i].WithErrors(word)
	}
	return list
}

type accessKey struct{}

// authenticate wants a token (RFC 6750 section 2.1) and keeps what it is good for
// in the context.
func (s *Service) authenticate(ctx context.Context) (context.Context, error) {
	if !s.tokens.configured() {
		return ctx, notConfigured("no key for tokens is configured")
	}
	r := op.RequestFrom(ctx)
	scheme, token, ok := strings.Cut(r.Header("Authorization"), " ")
	var a *access
	err := badToken(codeTokenMissing, "a JWT is needed as bearer token")
	if token = strings.TrimSpace(token); ok && strings.EqualFold(scheme, "Bearer") && token != "" {
		a, err = s.tokens.verify(ctx, token)
	}
	if errs.Is(err, errs.Unauthorized) {
		r.SetHeader("WWW-Authenticate", "Bearer")
	}
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, accessKey{}, a), nil
}

// allowed returns nil if the caller's token names the workspace. To others it does
// not exist.
func allowed(ctx context.Context, workspace string) error {
	if a, ok := ctx.Value(accessKey{}).(*access); ok && a.allows(workspace) {
		return nil
	}
	return fail(errs.NotFound, codeNoWorkspace, "there is no such workspace", nil)
}

func notConfigured(text string) error {
	return fail(errs.Unavailable, codeNotConfigured, "Mailgun is not configured: "+text, nil)
}

type healthOut struct {
	Status      string  `json:"status" enum:"ok,not_configured" doc:"ok, or not_configured with status 503"`
	Configured  bool    `json:"configured" doc:"Whether mail can be sent"`
	Domain      string  `json:"domain" doc:"Domain mail is sent from"`
	DefaultFrom *string `json:"defaultFrom" doc:"Sender of messages that name none"`
}

// Respond implements op.Responder.
func (o *healthOut) Respond() op.Response {
	status := 200
	if !o.Configured {
		status = 503
	}
	return op.Response{Status: status, JSON: o}
}

func (s *Service) health(context.Context, *op.Empty) (*healthOut, error) {
	if !s.canSend() || !s.tokens.configured() {
		return &healthOut{Status: "not_configured"}, nil
	}
	return &healthOut{Status: "ok", Configured: true, Domain: s.Account.Domain, DefaultFrom: &s.From}, nil
}

type getIn struct {
	Workspace string `path:"workspaceId" doc:"Workspace"`
	Email     string `path:"emailId" doc:"Id or UUID of the message"`
}

func (s *Service) getOp(ctx context.Context, in *getIn) (*view, error) {
	if err := allowed(ctx, in.Workspace); err != nil {
		return nil, err
	}
	var m *email
	err := s.db.Peek(ctx, func(tx *db.Tx) error {
		w, err := selectPlace(tx, in.Workspace)
		if err != nil {
			return err
		}
		if id := parseID(in.Email); id != 0 {
			m, err = selectByID(tx, id)
		} else {
			m, err = selectByUUID(tx, in.Email)
		}
		if err == nil && m.workspace != w.num {
			err = db.ErrNoRows
		}
		if err != nil {
			return err
		}
		return selectBody(tx, m)
	})
	if errors.Is(err, db.ErrNoRows) {
		return nil, fail(errs.NotFound, codeNoEmail, "there is no such email in the workspace", nil)
	}
	if err != nil {
		return nil, err
	}
	v := m.whole(in.Workspace)
	return &v, nil
}
