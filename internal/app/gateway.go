package app

import (
	"context"
	"time"

	"postroad/internal/base/netx"
	"postroad/internal/core/gateway"
	"postroad/internal/core/provider"
)

const (
	providerTimeout = time.Minute      // of a request to a provider, which may be 25 MB
	templateTimeout = 10 * time.Second // of a template
	sourceTimeout   = 30 * time.Second // of the participant source
	sourceAnswer    = 25 << 20
)

// makeGateway makes the multi-provider API. Providers and the participant source are
// the operator's choice and may be internal; templates are the clients'.
func (a *App) makeGateway(ctx context.Context, master []byte) (err error) {
	agent := "Postroad/" + a.opt.Version
	outside := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: providerTimeout, MaxResponseBytes: 1 << 20, UserAgent: agent})
	source := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: sourceTimeout, MaxResponseBytes: sourceAnswer, UserAgent: agent})
	base, do := a.mailgunBase(), provider.Doer(outside.Do)
	local := base == ""
	if local {
		base, do = a.apiBase(), a.localDoer()
	}
	a.gateway, err = gateway.New(ctx, gateway.Config{DB: a.db, Logger: a.log, Accounts: a.accounts, Secret: master,
		Mailgun: provider.Mailgun(base, do, a.clock), Resend: provider.Resend(a.cfg.ResendURL, outside.Do, a.clock),
		Local: local, Domain: a.cfg.MailgunDomain, MailgunKey: string(a.cfg.MailgunAPIKey), ResendKey: string(a.cfg.ResendAPIKey), Failover: a.cfg.GatewayFailover,
		Templates: netx.NewClient(netx.Config{AllowPrivate: a.cfg.AllowPrivateURLs, Timeout: templateTimeout, MaxResponseBytes: gateway.MaxTemplate + 1,
			MaxRedirects: 3, UserAgent: agent}),
		Participants: a.participantsURL(), Resolver: source.Do})
	return err
}

// mailgunBase is the base URL of the configured Mailgun API, "" for our own.
func (a *App) mailgunBase() string {
	switch a.cfg.MailgunURL {
	case "local":
		return ""
	case "us":
		return provider.MailgunUS
	case "eu":
		return provider.MailgunEU
	}
	return a.cfg.MailgunURL
}

// participantsURL is the URL of the participant source, "" without one.
func (a *App) participantsURL() string {
	if a.cfg.ParticipantsURL == "off" {
		return ""
	}
	return a.cfg.ParticipantsURL
}
