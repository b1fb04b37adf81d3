package smtp

import (
	"context"
	"crypto/tls"
)

// StartTLS encrypts the session and says EHLO again, as nothing learned before
// may be kept (RFC 3207 4.2). Plaintext that the server sent behind its 220 is a
// *ProtocolError. After a refusal (*ReplyError) the plaintext session goes on.
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.bad {
		return ErrUnusable
	}
	if !c.ext.StartTLS || c.tls != nil {
		return ErrNoStartTLS
	}
	defer c.guard(ctx)()
	r, err := c.command(ctx, StageStartTLS, "STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return c.unwanted(ctx, StageStartTLS, r)
	}
	if c.br.Buffered() > 0 {
		return c.failed(ctx, StageStartTLS, errReplyPending)
	}
	tc := tls.Client(c.w.raw, cfg)
	if err := c.handshake(ctx, tc); err != nil {
		return err
	}
	c.w.conn = tc
	c.br.Reset(c.w)
	c.secured(tc)
	return c.hello(ctx)
}

func (c *Client) handshake(ctx context.Context, tc *tls.Conn) error {
	hctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.Command)
	defer cancel()
	c.w.armRead(c.o.Timeouts.Command)
	if err := tc.HandshakeContext(hctx); err != nil {
		return c.failed(ctx, StageStartTLS, err)
	}
	return nil
}

// secured records the encryption that is in force from now on.
func (c *Client) secured(tc *tls.Conn) {
	s := tc.ConnectionState()
	c.tls = &s
	c.log.add(Note, tls.VersionName(s.Version)+" "+tls.CipherSuiteName(s.CipherSuite))
}
