package account

import (
	"context"
	"strings"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// Caller is who makes a request: a key of an account. The zero value has no
// rights. Callers are shared and must not be modified.
type Caller struct {
	AccountID string
	KeyID     string
	KeyTail   string // last characters of the secret, for logs and pages
	Role      string // one of the constants Admin to Sending
	Domain    string // the only domain a domain sending key may send from; otherwise ""
	UserName  string
}

type callerKey struct{}

// With returns a context that carries c.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller of ctx; never nil: without one, a caller that has no
// rights.
func From(ctx context.Context) *Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok && c != nil {
		return c
	}
	return &Caller{}
}

// MayUse reports whether the caller's key reaches the domain: a domain sending
// key its own only, any other key every domain. Whether the domain belongs to
// the account is not asked here.
func (c *Caller) MayUse(domain string) bool {
	if c.Domain == "" || strings.EqualFold(c.Domain, domain) {
		return true
	}
	ascii, err := dnsx.ASCIIName(domain)
	return err == nil && domain != "" && strings.EqualFold(c.Domain, ascii)
}

// Authorize returns nil if c may call an operation of the given group and
// access on domain ("" when the operation has none). The error is Unauthorized:
// Mailgun answers a call outside a key's role as an authentication error.
func Authorize(c *Caller, g op.Group, a op.Access, domain string) error {
	if a == op.Public {
		return nil
	}
	if !Allowed(c.Role, g, a) {
		return errs.New(errs.Unauthorized, "Forbidden").
			WithHint("the role %q of this key does not allow this call (%s)", c.Role, g)
	}
	if c.Domain != "" && !c.MayUse(domain) {
		return errs.New(errs.Unauthorized, "Forbidden").
			WithHint("this is a sending key of the domain %s", c.Domain)
	}
	return nil
}
