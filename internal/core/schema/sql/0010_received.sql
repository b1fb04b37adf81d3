-- Signed requests that were received: one is taken once.
CREATE TABLE received (
	id          $CTEXT PRIMARY KEY,
	expires_at  BIGINT NOT NULL
);
CREATE INDEX received_expiry ON received (expires_at);
