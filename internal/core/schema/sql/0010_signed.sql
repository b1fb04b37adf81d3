-- Signed requests that were received: one is taken once.
CREATE TABLE received (
	id          $CTEXT PRIMARY KEY,
	expires_at  BIGINT NOT NULL
);
CREATE INDEX received_expiry ON received (expires_at);

-- What a call is signed with, sealed; empty: the account's signing key, as
-- Mailgun's webhooks are.
ALTER TABLE webhook_call ADD COLUMN secret TEXT NOT NULL DEFAULT '';
