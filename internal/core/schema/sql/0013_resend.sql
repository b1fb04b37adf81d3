-- Mail sent by the API that Resend's clients speak, and webhooks for it. detail is
-- JSON: what GET answers and no query selects by.
CREATE TABLE resend_email (
	id           $KEY,
	public_id    $CTEXT NOT NULL UNIQUE,
	account_id   TEXT NOT NULL,
	domain_id    BIGINT NOT NULL,
	detail       TEXT NOT NULL,
	scheduled_at BIGINT NOT NULL,
	canceled_at  BIGINT NOT NULL,
	created_at   BIGINT NOT NULL
);
CREATE INDEX resend_email_account ON resend_email (account_id, id);
CREATE INDEX resend_email_age ON resend_email (created_at);

-- Requests with an Idempotency-Key and what was answered.
CREATE TABLE resend_request (
	account_id  TEXT NOT NULL,
	idem_key    TEXT NOT NULL,
	hash        $BYTES NOT NULL,
	answer      TEXT NOT NULL,
	expires_at  BIGINT NOT NULL,
	PRIMARY KEY (account_id, idem_key)
);
CREATE INDEX resend_request_expiry ON resend_request (expires_at);

-- The secret is sealed; events is a comma list.
CREATE TABLE resend_webhook (
	id          $KEY,
	public_id   $CTEXT NOT NULL UNIQUE,
	account_id  TEXT NOT NULL,
	endpoint    TEXT NOT NULL,
	events      TEXT NOT NULL,
	enabled     BIGINT NOT NULL,
	secret      TEXT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX resend_webhook_account ON resend_webhook (account_id, id);
