package workspace

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
)

// TokenConfig is which tokens are good.
type TokenConfig struct {
	// Secret verifies HS256; empty: there are no such tokens.
	Secret []byte
	// Keys fetches the JWK set (RFC 7517) that verifies RS256 and ES256; nil: there
	// are no such tokens.
	Keys func(context.Context) ([]byte, error)
	// Audience and Issuer must be a token's, where they are not "".
	Audience, Issuer string
	// Claim has the workspaces of a token, a text or a list of them: a name, or names
	// with dots between them for a member of a member. "": workspaceId and workspaces.
	Claim string
}

// leeway is how far the clock of who issues tokens may be from ours.
const leeway = 60 * time.Second

// maxToken bounds a token in bytes.
const maxToken = 16 << 10

// access is what a token is good for.
type access struct{ workspaces []string }

func (a *access) allows(workspace string) bool { return slices.Contains(a.workspaces, workspace) }

// verifier knows good tokens. Their texts are in no error and no log.
type verifier struct {
	c     TokenConfig
	clock clock.Clock
	keys  *keySet                   // nil: none
	algs  []jose.SignatureAlgorithm // taken at all; which one a key takes is the key's to say
}

func newVerifier(c TokenConfig, clk clock.Clock) *verifier {
	v := &verifier{c: c, clock: clk}
	if len(c.Secret) > 0 {
		v.algs = append(v.algs, jose.HS256)
	}
	if c.Keys != nil {
		v.keys = newKeySet(c.Keys, clk)
		v.algs = append(v.algs, jose.RS256, jose.ES256)
	}
	return v
}

// configured reports whether any token can be good.
func (v *verifier) configured() bool { return len(v.algs) > 0 }

func badToken(code, text string) error { return fail(errs.Unauthorized, code, text, nil) }

// verify checks a token. The error is Unauthorized, or Unavailable when the keys
// cannot be had.
func (v *verifier) verify(ctx context.Context, token string) (*access, error) {
	if len(token) > maxToken {
		return nil, badToken(codeTokenInvalid, "the token is too long")
	}
	t, err := jwt.ParseSigned(token, v.algs)
	if err != nil || len(t.Headers) != 1 {
		return nil, badToken(codeTokenInvalid, "the token is not a JWT signed with an algorithm that is taken here")
	}
	keys, err := v.candidates(ctx, &t.Headers[0])
	if err != nil {
		return nil, err
	}
	var std jwt.Claims
	var all map[string]any
	if !slices.ContainsFunc(keys, func(key any) bool { return t.Claims(key, &std, &all) == nil }) {
		return nil, badToken(codeTokenInvalid, "the token's signature is not valid")
	}
	if err := v.check(&std); err != nil {
		return nil, err
	}
	return &access{workspaces: v.workspaces(all)}, nil
}

// candidates are the keys that may have signed: their kind follows from the
// algorithm, so that no public key is ever taken for a secret (RFC 8725 section
// 3.1).
func (v *verifier) candidates(ctx context.Context, h *jose.Header) ([]any, error) {
	if jose.SignatureAlgorithm(h.Algorithm) == jose.HS256 {
		return []any{v.c.Secret}, nil
	}
	return v.keys.find(ctx, h.KeyID, jose.SignatureAlgorithm(h.Algorithm))
}

// check checks the claims of RFC 7519 section 4.1.
func (v *verifier) check(c *jwt.Claims) error {
	if c.Expiry == nil {
		return badToken(codeTokenInvalid, "the token has no exp claim")
	}
	want := jwt.Expected{Issuer: v.c.Issuer, Time: v.clock.Now()}
	if v.c.Audience != "" {
		want.AnyAudience = jwt.Audience{v.c.Audience}
	}
	err := c.ValidateWithLeeway(want, leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return badToken(codeTokenExpired, "the token has expired")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return badToken(codeTokenInvalid, "the token is not valid yet")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return badToken(codeTokenInvalid, "the token is for another audience")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return badToken(codeTokenInvalid, "the token is of another issuer")
	}
	return badToken(codeTokenInvalid, "the token's claims are not valid")
}

// workspaces are those a token names.
func (v *verifier) workspaces(claims map[string]any) []string {
	if v.c.Claim != "" {
		return texts(member(claims, v.c.Claim))
	}
	return append(texts(claims["workspaceId"]), texts(claims["workspaces"])...)
}

// member finds a claim by its name, or by the names on the way to it. A name may
// have dots itself, as URLs have that are names of claims.
func member(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		inner, ok := claims[name].(map[string]any)
		rest, below := strings.CutPrefix(path, name+".")
		if ok && below {
			if v := member(inner, rest); v != nil {
				return v
			}
		}
	}
	return nil
}

func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}
