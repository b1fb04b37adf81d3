package smtp

import (
	"context"
	"encoding/base64"
	"strings"
)

// Auth authenticates with PLAIN, or with LOGIN where only that is offered. It
// refuses to do so without TLS (ErrPlainAuth) unless the options allow it. The
// transcript shows "***" in place of the credentials.
func (c *Client) Auth(ctx context.Context, user, pass string) error {
	switch {
	case c.bad:
		return ErrUnusable
	case c.tls == nil && !c.o.AllowPlainAuth:
		return ErrPlainAuth
	case strings.ContainsRune(user, 0) || strings.ContainsRune(pass, 0):
		return ErrCredentials
	}
	defer c.guard(ctx)()
	if c.offers("PLAIN") {
		return c.authPlain(ctx, user, pass)
	}
	if c.offers("LOGIN") {
		return c.authLogin(ctx, user, pass)
	}
	return ErrNoAuth
}

func (c *Client) authPlain(ctx context.Context, user, pass string) error {
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + pass))
	r, err := c.secret(ctx, "AUTH PLAIN ", secret)
	if err != nil {
		return err
	}
	return c.authEnd(ctx, r)
}

func (c *Client) authLogin(ctx context.Context, user, pass string) error {
	r, err := c.command(ctx, StageAuth, "AUTH LOGIN")
	for _, s := range []string{user, pass} {
		if err != nil {
			return err
		}
		if r.Code != 334 {
			return c.unwanted(ctx, StageAuth, r)
		}
		r, err = c.secret(ctx, "", base64.StdEncoding.EncodeToString([]byte(s)))
	}
	if err != nil {
		return err
	}
	return c.authEnd(ctx, r)
}

// secret sends a line of which the transcript shows only the prefix.
func (c *Client) secret(ctx context.Context, prefix, secret string) (Reply, error) {
	c.log.add(FromClient, prefix+"***")
	if err := c.sendRaw(ctx, StageAuth, prefix+secret); err != nil {
		return Reply{}, err
	}
	return c.reply(ctx, StageAuth, c.o.Timeouts.Command)
}

// authEnd judges the last reply. A further challenge is cancelled, which makes
// the server end the exchange with a refusal (RFC 4954 4).
func (c *Client) authEnd(ctx context.Context, r Reply) error {
	if r.Code == 334 {
		var err error
		if r, err = c.command(ctx, StageAuth, "*"); err != nil {
			return err
		}
	}
	if r.Code != 235 {
		return c.unwanted(ctx, StageAuth, r)
	}
	return nil
}
