-- Tags and what was counted for them. tag_delta has one row per event of a
-- tagged message that is not counted yet; id is the event's, tags are the
-- message's, one a line.
CREATE TABLE tag_delta (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	at          BIGINT NOT NULL,
	kind        BIGINT NOT NULL,
	provider    TEXT NOT NULL,
	country     TEXT NOT NULL,
	device      TEXT NOT NULL,
	tags        TEXT NOT NULL
);

-- lookup is the tag in lower case, tag the form it was first used in. A tag that
-- was deleted has no account and no domain until its counters are gone.
CREATE TABLE tag (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	lookup      $CTEXT NOT NULL,
	tag         $CTEXT NOT NULL,
	description TEXT NOT NULL,
	first_seen  BIGINT NOT NULL,
	last_seen   BIGINT NOT NULL,
	UNIQUE (domain_id, lookup)
);
CREATE INDEX tag_account ON tag (account_id, lookup);

-- How often something of a kind happened: in all (dimension 0, value ''), or to
-- one provider, country or device. at counts hours since 1970, in tag_stat_day,
-- where older ones are added up, days.
CREATE TABLE tag_stat (
	tag_id      BIGINT NOT NULL,
	dimension   BIGINT NOT NULL,
	value       TEXT NOT NULL,
	at          BIGINT NOT NULL,
	kind        BIGINT NOT NULL,
	n           BIGINT NOT NULL,
	PRIMARY KEY (tag_id, dimension, value, at, kind)
);
CREATE INDEX tag_stat_at ON tag_stat (at, tag_id);
CREATE TABLE tag_stat_day (
	tag_id      BIGINT NOT NULL,
	dimension   BIGINT NOT NULL,
	value       TEXT NOT NULL,
	at          BIGINT NOT NULL,
	kind        BIGINT NOT NULL,
	n           BIGINT NOT NULL,
	PRIMARY KEY (tag_id, dimension, value, at, kind)
);
CREATE INDEX tag_stat_day_at ON tag_stat_day (at, tag_id);
