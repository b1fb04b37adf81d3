-- Events of email providers, normalised. source is a hash of the provider and its
-- id of the event, which is kept once; at is when it happened; doc is the event as
-- clients read it.
CREATE TABLE feedback (
	id          $KEY,
	source      $CTEXT NOT NULL UNIQUE,
	at          BIGINT NOT NULL,
	doc         $BYTES NOT NULL
);
CREATE INDEX feedback_at ON feedback (at, id);

-- What events are found by: hash is that of a name and its value.
CREATE TABLE feedback_key (
	event_id    BIGINT NOT NULL,
	hash        BIGINT NOT NULL,
	at          BIGINT NOT NULL,
	PRIMARY KEY (event_id, hash)
);
CREATE INDEX feedback_key_hash ON feedback_key (hash, at, event_id);

-- URLs events are forwarded to. events is a list of types separated by commas, empty
-- for all; secret is sealed.
CREATE TABLE feedback_subscription (
	id          $KEY,
	account_id  TEXT NOT NULL,
	url         TEXT NOT NULL,
	events      TEXT NOT NULL,
	secret      TEXT NOT NULL,
	created_at  BIGINT NOT NULL
);
