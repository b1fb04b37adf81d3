package app

import (
	"postroad/internal/core/optout"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
)

// makeOptOut makes what recipients leave by.
func (a *App) makeOptOut(master []byte) error {
	links, err := linktoken.NewKey(master)
	if err != nil {
		return err
	}
	a.optout = optout.New(optout.Config{DB: a.db, Events: a.events, Suppress: a.suppress, Messages: a.messages, Domains: a.domains, Logger: a.log,
		Links: links, Returns: report.NewSecret(master)})
	return nil
}
