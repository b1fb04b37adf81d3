-- The gateway to email providers.

-- Campaigns. id counts from 1: it is the campaign_id of the metadata, which programs
-- read as numbers of 53 bits. sealed is the provider's key until the campaign is
-- finished, key_hash its SHA-256, by which campaigns are listed. doc holds what was
-- asked for, audience the recipients and ids until the campaign is started, html the
-- template from then on. status is pending, processing, paused, completed or failed.
CREATE TABLE gateway_campaign (
	id           $KEY,
	uuid         TEXT NOT NULL UNIQUE,
	key_hash     TEXT NOT NULL,
	sealed       TEXT NOT NULL,
	driver       TEXT NOT NULL,
	account_id   TEXT NOT NULL,
	name         TEXT NOT NULL,
	doc          TEXT NOT NULL,
	audience     $BYTES NOT NULL,
	html         TEXT NOT NULL,
	status       TEXT NOT NULL,
	recipients   BIGINT NOT NULL,
	batches      BIGINT NOT NULL,
	batches_done BIGINT NOT NULL,
	sent         BIGINT NOT NULL,
	failed       BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	started_at   BIGINT NOT NULL,
	finished_at  BIGINT NOT NULL
);
CREATE INDEX gateway_campaign_key ON gateway_campaign (key_hash, id);
CREATE INDEX gateway_campaign_finished ON gateway_campaign (finished_at);

-- Requests to providers that a campaign is made of. status is held (the campaign is
-- paused), waiting, sending or done. provider is who is asked. doubt is 1 when a
-- request was not answered, so that it may have been taken: only the same one may
-- follow. recipients is empty and failures filled when it is done.
CREATE TABLE gateway_batch (
	campaign_id  BIGINT NOT NULL,
	n            BIGINT NOT NULL,
	provider     TEXT NOT NULL,
	status       TEXT NOT NULL,
	due          BIGINT NOT NULL,
	tries        BIGINT NOT NULL,
	first_try    BIGINT NOT NULL,
	doubt        BIGINT NOT NULL,
	recipients   $BYTES NOT NULL,
	failures     $BYTES NOT NULL,
	PRIMARY KEY (campaign_id, n)
);
CREATE INDEX gateway_batch_due ON gateway_batch (status, due, campaign_id, n);

-- Participants, by the number under which an application knows them.
CREATE TABLE gateway_participant (
	account_id   TEXT NOT NULL,
	id           BIGINT NOT NULL,
	email        TEXT NOT NULL,
	variables    TEXT NOT NULL,
	metadata     TEXT NOT NULL,
	PRIMARY KEY (account_id, id)
);

-- What was sent, for events that name it. recipient is in canonical form, id without
-- angle brackets.
CREATE TABLE gateway_sent (
	provider     TEXT NOT NULL,
	external_id  TEXT NOT NULL,
	recipient    $CTEXT NOT NULL,
	metadata     TEXT NOT NULL,
	tags         TEXT NOT NULL,
	sender       TEXT NOT NULL,
	subject      TEXT NOT NULL,
	expires_at   BIGINT NOT NULL,
	PRIMARY KEY (provider, external_id, recipient)
);
CREATE INDEX gateway_sent_expires ON gateway_sent (expires_at);
