package httpapi

import (
	"context"
	"net/http"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// Caller is who a request comes from, for the log and the request record.
type Caller struct {
	KeyID     string
	AccountID string
}

// Authenticator knows keys and what they may do. Both methods answer with
// errors of package errs; Unauthorized becomes the bare 401 of Mailgun.
type Authenticator interface {
	// Authenticate checks the password (the API key) and returns a context
	// that carries the caller for the operation.
	Authenticate(ctx context.Context, user, password string, r *op.Request) (context.Context, Caller, error)
	// Authorize checks that the caller in ctx may call o; domain is the domain
	// named in the path, "" when it names none.
	Authorize(ctx context.Context, o op.Op, domain string) error
}

// apiUser is the only user name Mailgun knows.
const apiUser = "api"

// authorize checks key and permission and returns the operation's context.
func (c *call) authorize(ctx context.Context, t *target) (context.Context, error) {
	if auth := t.route.op.Auth; auth != nil {
		return auth(ctx)
	}
	if t.route.op.Access == op.Public {
		return ctx, nil
	}
	if t.route.op.Bearer {
		token, ok := bearer(c.r)
		if !ok {
			return ctx, errs.New(errs.Unauthorized, "Missing API key in the authorization header")
		}
		auth, caller, err := c.api.cfg.Auth.Authenticate(ctx, apiUser, token, c.req)
		c.caller = caller
		return auth, err
	}
	user, password, ok := c.r.BasicAuth()
	if !ok && t.route.op.Fail != nil { // clients of other dialects know bearer tokens
		user = apiUser
		password, ok = bearer(c.r)
	}
	if !ok {
		return ctx, errs.New(errs.Unauthorized, "Forbidden").WithHint("send the API key with Basic authentication: user api, password the key")
	}
	if user != apiUser {
		return ctx, errs.New(errs.Unauthorized, "Forbidden").WithHint("the user name of Basic authentication is api, the key is the password")
	}
	auth, caller, err := c.api.cfg.Auth.Authenticate(ctx, user, password, c.req)
	c.caller = caller
	if err != nil {
		return ctx, err
	}
	domain := ""
	if i := t.route.domain; i >= 0 && i < len(t.values) {
		domain = t.values[i]
	}
	return auth, c.api.cfg.Auth.Authorize(auth, t.route.op, domain)
}

// bearer returns the token of RFC 6750 section 2.1.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}
