package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/core/account"
	"postroad/internal/core/provider"
	"postroad/internal/core/workspace"
	"postroad/internal/mail/addr"
)

// makeWorkspaces makes the email API of workspaces.
func (a *App) makeWorkspaces(source *ids.Source) (*workspace.Service, error) {
	c := workspace.Config{DB: a.db, IDs: source, Logger: a.log, Token: a.workspaceTokens(),
		Account: provider.Account{Domain: a.cfg.WorkspaceDomain, Key: string(a.cfg.WorkspaceKey)},
		From:    cmp.Or(a.cfg.WorkspaceFrom, "noreply@"+a.cfg.WorkspaceDomain)}
	if _, err := addr.Parse(c.From); err != nil && c.Account.Domain != "" {
		return nil, fmt.Errorf("--workspace-from: %w", err)
	}
	base := a.cfg.WorkspaceMailgun
	if base != "" && c.Account.Key == "" && c.Account.Domain != "" {
		a.log.Warn("mail of workspaces is not sent: workspace_mailgun needs workspace_key")
		c.Account.Domain = ""
	}
	switch base {
	case "":
		c.Driver = provider.Mailgun(a.apiBase(), a.insideDoer("workspace", a.cfg.WorkspaceDomain), a.clock)
		c.Owner = func() string { return a.first }
	case "us":
		base = provider.MailgunUS
	case "eu":
		base = provider.MailgunEU
	}
	if c.Driver == nil {
		c.Driver = provider.Mailgun(base, a.trustedClient(30*time.Second, 1<<20).Do, a.clock)
	}
	c.SigningKey = func(ctx context.Context) (string, error) {
		if key := string(a.cfg.WorkspaceSigningKey); key != "" || a.cfg.WorkspaceMailgun != "" {
			return key, nil
		}
		return a.accounts.SigningKey(ctx, a.first)
	}
	return workspace.New(c), nil
}

// insideDoer is localDoer for what the program itself sends from a domain, under a
// name that stands in the events: it acts as a sending key of the first account,
// and there is no such key that could be stored or stolen.
func (a *App) insideDoer(name, domain string) provider.Doer {
	do := a.localDoer()
	return func(ctx context.Context, r netx.Request) (netx.Response, error) {
		c := &account.Caller{AccountID: a.first, KeyID: name, Role: account.Sending, Domain: domain, UserName: name}
		return do(context.WithValue(ctx, insideKey{}, c), r)
	}
}

// insideKey is the context key of a caller that is the program itself.
type insideKey struct{}

// trustedClient calls URLs of the configuration, which may be internal ones.
func (a *App) trustedClient(timeout time.Duration, most int64) *netx.Client {
	return netx.NewClient(netx.Config{AllowPrivate: true, Timeout: timeout, MaxResponseBytes: most, UserAgent: "Postroad/" + a.opt.Version})
}

// maxJWKS bounds a JWK set in bytes.
const maxJWKS = 256 << 10

func (a *App) workspaceTokens() workspace.TokenConfig {
	c := workspace.TokenConfig{Secret: []byte(a.cfg.WorkspaceJWTSecret), Audience: a.cfg.WorkspaceAudience, Issuer: a.cfg.WorkspaceIssuer, Claim: a.cfg.WorkspaceClaim}
	if n := len(c.Secret); n > 0 && n < 32 { // RFC 7518 section 3.2
		a.log.Warn("workspace_jwt_secret has fewer than 32 bytes: who has a token can find it out by trying")
	}
	name := a.cfg.WorkspaceJWKS
	switch {
	case name == "":
	case netx.IsURL(name):
		client := a.trustedClient(10*time.Second, maxJWKS)
		c.Keys = func(ctx context.Context) ([]byte, error) { return a.logged(fetchKeys(ctx, client, name)) }
	default:
		c.Keys = func(context.Context) ([]byte, error) { return a.logged(readKeys(name)) }
	}
	return c
}

func (a *App) logged(text []byte, err error) ([]byte, error) {
	if err != nil {
		a.log.Error("keys of tokens of the workspace API", "error", err)
	}
	return text, err
}

func fetchKeys(ctx context.Context, client *netx.Client, url string) ([]byte, error) {
	res, err := client.Do(ctx, netx.Request{URL: url, Header: map[string][]string{"Accept": {"application/jwk-set+json, application/json"}}})
	switch {
	case err != nil:
		return nil, err
	case res.Status != 200:
		return nil, fmt.Errorf("%s answered %d", netx.Redact(url), res.Status)
	case res.Truncated:
		return nil, fmt.Errorf("%s: the answer broke off or has more than %d bytes", netx.Redact(url), maxJWKS)
	}
	return res.Body, nil
}

func readKeys(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxJWKS+1))
	if err == nil && len(text) > maxJWKS {
		err = errors.New(name + " is too large for a JWK set")
	}
	return text, err
}
