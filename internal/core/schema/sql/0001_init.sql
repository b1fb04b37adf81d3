-- Accounts, keys, settings.
CREATE TABLE account (
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	signing_key TEXT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE TABLE api_key (
	id          TEXT PRIMARY KEY,
	account_id  TEXT NOT NULL,
	hash        $BYTES NOT NULL UNIQUE,
	tail        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	role        TEXT NOT NULL,
	domain      TEXT NOT NULL,
	description TEXT NOT NULL,
	requestor   TEXT NOT NULL,
	user_id     TEXT NOT NULL,
	user_name   TEXT NOT NULL,
	disabled    BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	updated_at  BIGINT NOT NULL
);
CREATE INDEX api_key_account ON api_key (account_id, created_at);
CREATE TABLE setting (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- Sending domains. settings is JSON: what the API stores for a domain and no
-- query selects by. authority names the domain whose keys sign.
CREATE TABLE domain (
	id          $KEY,
	public_id   TEXT NOT NULL UNIQUE,
	name        TEXT NOT NULL UNIQUE,
	account_id  TEXT NOT NULL,
	state       TEXT NOT NULL,
	type        TEXT NOT NULL,
	authority   TEXT NOT NULL,
	settings    TEXT NOT NULL,
	records     TEXT NOT NULL,
	checked_at  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX domain_account ON domain (account_id, id);
CREATE TABLE dkim_key (
	id          $KEY,
	domain_id   BIGINT NOT NULL,
	selector    TEXT NOT NULL,
	private     $BYTES NOT NULL,
	public      TEXT NOT NULL,
	bits        BIGINT NOT NULL,
	active      BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (domain_id, selector)
);
CREATE TABLE credential (
	id          $KEY,
	domain_id   BIGINT NOT NULL,
	login       TEXT NOT NULL UNIQUE,
	hash        TEXT NOT NULL,
	system      BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX credential_domain ON credential (domain_id, id);

-- Messages. The body lies in a segment of the blob store; blob names it.
-- options is JSON: everything asked for at submission that is not a column.
-- storage_key holds the id and is found by it.
CREATE TABLE message (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	storage_key TEXT NOT NULL,
	message_id  TEXT NOT NULL,
	sender      TEXT NOT NULL,
	segment     BIGINT NOT NULL,
	blob        TEXT NOT NULL,
	size        BIGINT NOT NULL,
	options     TEXT NOT NULL,
	request     TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL
);
CREATE INDEX message_domain ON message (domain_id, id);
CREATE INDEX message_msgid ON message (message_id);
CREATE INDEX message_expiry ON message (expires_at);
CREATE INDEX message_segment ON message (segment);
CREATE TABLE idempotency (
	account_id  TEXT NOT NULL,
	idem_key    TEXT NOT NULL,
	body_hash   $BYTES NOT NULL,
	message_id  TEXT NOT NULL,
	expires_at  BIGINT NOT NULL,
	PRIMARY KEY (account_id, idem_key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Deliveries: one row per recipient that is not finished. node is 0 while the
-- row waits and names the running program that holds it otherwise. tries are
-- the attempts with a recorded outcome, attempt the claims since the last one.
-- was_due is when the row was due before a limit put it off, 0 when none did.
-- Indexes on waiting rows only cost nothing for what goes straight through.
CREATE TABLE delivery (
	id          $KEY,
	message_id  BIGINT NOT NULL,
	domain_id   BIGINT NOT NULL,
	account_id  TEXT NOT NULL,
	recipient   TEXT NOT NULL,
	destination TEXT NOT NULL,
	tag         TEXT NOT NULL,
	pool        TEXT NOT NULL,
	due         BIGINT NOT NULL,
	was_due     BIGINT NOT NULL,
	deadline    BIGINT NOT NULL,
	tries       BIGINT NOT NULL,
	attempt     BIGINT NOT NULL,
	node        BIGINT NOT NULL,
	first_at    BIGINT NOT NULL,
	vars        TEXT NOT NULL,
	signature   TEXT NOT NULL,
	last        TEXT NOT NULL
);
CREATE INDEX delivery_due ON delivery (due) WHERE node = 0;
CREATE INDEX delivery_lane ON delivery (destination, due) WHERE node = 0;
CREATE INDEX delivery_deadline ON delivery (deadline) WHERE node = 0;
CREATE INDEX delivery_parked ON delivery (destination, id) WHERE was_due <> 0;
CREATE INDEX delivery_node ON delivery (node) WHERE node <> 0;
CREATE INDEX delivery_message ON delivery (message_id);
CREATE TABLE node (
	id          $KEY,
	name        TEXT NOT NULL,
	started_at  BIGINT NOT NULL,
	seen_at     BIGINT NOT NULL
);

-- Events lie in one table per day, made when the day begins: event_YYYYMMDD.
-- This is their list.
CREATE TABLE event_day (
	day         BIGINT PRIMARY KEY,
	created_at  BIGINT NOT NULL
);

-- Suppressions: one mechanism, four kinds.
CREATE TABLE suppression (
	id          $KEY,
	domain_id   BIGINT NOT NULL,
	kind        TEXT NOT NULL,
	address     TEXT NOT NULL,
	lookup      $CTEXT NOT NULL,
	tag         TEXT NOT NULL,
	code        TEXT NOT NULL,
	reason      TEXT NOT NULL,
	message_id  TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (domain_id, kind, lookup, tag)
);

-- Webhooks: what is registered, what has to be called, and each attempt.
CREATE TABLE webhook (
	id          $KEY,
	public_id   TEXT NOT NULL,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	event_type  TEXT NOT NULL,
	url         TEXT NOT NULL,
	description TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (account_id, domain_id, event_type, url)
);
CREATE INDEX webhook_public ON webhook (public_id);
CREATE TABLE webhook_call (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	event_type  TEXT NOT NULL,
	event_id    BIGINT NOT NULL,
	message_id  BIGINT NOT NULL,
	url         TEXT NOT NULL,
	lane        TEXT NOT NULL,
	payload     TEXT NOT NULL,
	state       TEXT NOT NULL,
	attempt     BIGINT NOT NULL,
	step        BIGINT NOT NULL,
	due         BIGINT NOT NULL,
	node        BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX webhook_call_lane ON webhook_call (lane, due, id) WHERE state = 'waiting';
CREATE INDEX webhook_call_node ON webhook_call (node) WHERE node <> 0;
CREATE INDEX webhook_call_message ON webhook_call (message_id);
CREATE INDEX webhook_call_account ON webhook_call (account_id, id);
CREATE TABLE webhook_attempt (
	id          $KEY,
	call_id     BIGINT NOT NULL,
	number      BIGINT NOT NULL,
	at          BIGINT NOT NULL,
	duration    BIGINT NOT NULL,
	status      BIGINT NOT NULL,
	request     TEXT NOT NULL,
	response    TEXT NOT NULL,
	error       TEXT NOT NULL,
	next_at     BIGINT NOT NULL
);
CREATE INDEX webhook_attempt_call ON webhook_attempt (call_id, number);

-- Other mail servers: the MTA-STS policies of domains mail went to (times in
-- microseconds), and how TLS went, counted by day (of its first microsecond)
-- for reports. digest stands for all columns but sessions.
CREATE TABLE mta_sts (
	domain      $CTEXT PRIMARY KEY,
	policy_id   TEXT NOT NULL,
	policy      TEXT NOT NULL,
	fetched_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	refresh_at  BIGINT NOT NULL,
	used_at     BIGINT NOT NULL
);
CREATE INDEX mta_sts_refresh ON mta_sts (refresh_at);
CREATE TABLE tls_result (
	day          BIGINT NOT NULL,
	digest       TEXT NOT NULL,
	domain       $CTEXT NOT NULL,
	policy_type  TEXT NOT NULL,
	policy       TEXT NOT NULL,
	result       TEXT NOT NULL,
	sending_ip   TEXT NOT NULL,
	mx           TEXT NOT NULL,
	receiving_ip TEXT NOT NULL,
	reason       TEXT NOT NULL,
	sessions     BIGINT NOT NULL,
	PRIMARY KEY (day, digest)
);

-- Rules about lanes and senders: limits, pauses, other ways. origin says who
-- made one: an operator (admin) or the program itself (auto). step is how often
-- in a row the program had to make it. Rates are rate_count per rate_period
-- seconds; 0 in any limit means that the rule does not set it.
CREATE TABLE shaping_rule (
	id             $KEY,
	scope          TEXT NOT NULL,
	match          TEXT NOT NULL,
	kind           TEXT NOT NULL,
	sessions       BIGINT NOT NULL,
	per_connection BIGINT NOT NULL,
	rate_count     BIGINT NOT NULL,
	rate_period    BIGINT NOT NULL,
	target         TEXT NOT NULL,
	reason         TEXT NOT NULL,
	origin         TEXT NOT NULL,
	step           BIGINT NOT NULL,
	created_by     TEXT NOT NULL,
	created_at     BIGINT NOT NULL,
	expires_at     BIGINT NOT NULL,
	UNIQUE (scope, match, kind, origin)
);
