package app

import (
	"context"
	"fmt"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/svix"
	"postroad/internal/core/feedback"
	"postroad/internal/core/replay"
)

// makeFeedback makes what takes the webhooks of email providers.
func (a *App) makeFeedback(ctx context.Context, source *ids.Source, master []byte) (*feedback.Service, error) {
	secrets, err := resendSecrets(string(a.cfg.ResendSecret))
	if err != nil {
		return nil, err
	}
	return feedback.New(ctx, feedback.Config{DB: a.db, IDs: source, Logger: a.log, Clock: a.clock, Webhooks: a.webhooks, Secret: master, First: a.accounts.First,
		MailgunKeys: several(string(a.cfg.MailgunSigningKey)), LocalKey: a.signingKeyOf, ResendSecrets: secrets,
		Known: func(ctx context.Context, provider, id, recipient string) (feedback.Known, bool, error) {
			return a.gateway.Lookup(ctx, provider, id, recipient)
		}})
}

// several parts a setting that may have more than one value.
func several(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func resendSecrets(setting string) (out []svix.Secret, err error) {
	for _, text := range several(setting) {
		s, err := svix.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("--resend-webhook-secret: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

// signingKeyOf returns the signing key of the account that has a domain, of the
// first account if none has.
func (a *App) signingKeyOf(ctx context.Context, name string) (string, error) {
	d, err := a.domains.ByName(ctx, name)
	if err == nil {
		return a.accounts.SigningKey(ctx, d.AccountID)
	}
	if !errs.Is(err, errs.NotFound) {
		return "", err
	}
	first, err := a.accounts.First(ctx)
	if err != nil {
		return "", err
	}
	return a.accounts.SigningKey(ctx, first)
}

// cleanReplays forgets signed requests whose time is over.
func (a *App) cleanReplays(ctx context.Context) error {
	for n := int64(1); n > 0; {
		err := a.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = replay.Clean(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
