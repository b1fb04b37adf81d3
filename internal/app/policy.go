package app

import (
	"context"
	"log"
	"log/slog"
	"net"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

func (a *App) ownsDomain(ctx context.Context, accountID, name string) (bool, error) {
	d, err := a.domains.ByName(ctx, name)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil && d.AccountID == accountID, err
}

func (a *App) webhookDomain(ctx context.Context, c *account.Caller, name string) (int64, error) {
	d, err := a.ownDomain(ctx, c, name)
	if err != nil {
		return 0, err
	}
	return d.ID, nil
}

// ownDomain returns a domain of the caller; in dev mode it is made on first
// use.
func (a *App) ownDomain(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	if a.open() {
		return a.domains.Ensure(ctx, c.AccountID, name)
	}
	return a.domains.Owned(ctx, c, name)
}

// isSandbox reports whether a domain is an account's sandbox.
func (a *App) isSandbox(ctx context.Context, name string) (bool, error) {
	d, err := a.domains.ByName(ctx, name)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil && d.Type == domain.Sandbox, err
}

// domainDeleted removes what others keep of a domain. Its queued mail goes:
// there is no key left to sign it with, and no owner to tell.
func (a *App) domainDeleted(tx *db.Tx, d *domain.Domain) error {
	for _, remove := range []func() error{
		func() error { return a.webhooks.DeleteDomain(tx, d.ID) },
		func() error { return a.accounts.RevokeDomain(tx, d.Name) },
		func() error { return a.lists.DeleteDomain(tx, d) },
		func() error { return a.hosts.DeleteDomain(tx, d) },
		func() error { return a.tags.DeleteDomain(tx, d.ID) },
		func() error { return a.template.DeleteDomain(tx, d) },
		func() error { _, err := a.messages.CancelDomain(tx, d.ID); return err },
	} {
		if err := remove(); err != nil {
			return err
		}
	}
	return nil
}

// apiBase is the address under which clients reach the API when they did not
// come by HTTP: the configured one, or that of the listener.
func (a *App) apiBase() string {
	if a.cfg.PanelURL != "" {
		return strings.TrimSuffix(a.cfg.PanelURL, "/")
	}
	if a.cfg.HTTP != "" && a.cfg.HTTP != "off" {
		return "http://" + browsable(string(a.cfg.HTTP), a.cfg.Hostname, a.dev())
	}
	return "https://" + browsable(string(a.cfg.HTTPS), a.cfg.Hostname, a.dev())
}

// browsable turns a listen address into one a client can use.
func browsable(listen, hostname string, local bool) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch {
	case host == "127.0.0.1" || host == "::1" || local:
		host = "localhost"
	case host == "" || host == "0.0.0.0" || host == "::":
		host = hostname
	}
	return net.JoinHostPort(host, port)
}

// quietLog takes the HTTP server's complaints about clients (broken TLS,
// scanners) at debug level.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
