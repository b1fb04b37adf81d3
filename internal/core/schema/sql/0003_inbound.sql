-- Rules for inbound mail. actions is a JSON list of texts. program is the size
-- of the compiled patterns; revision grows with every write within an account.
CREATE TABLE route (
	id          $KEY,
	public_id   TEXT NOT NULL UNIQUE,
	account_id  TEXT NOT NULL,
	priority    BIGINT NOT NULL,
	description TEXT NOT NULL,
	expression  TEXT NOT NULL,
	actions     TEXT NOT NULL,
	program     BIGINT NOT NULL,
	revision    BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX route_account ON route (account_id, priority, id);

-- Posts to mailing lists whose members are not all in the queue yet: message_id
-- is the post, audience the list, cursor the last member that is, due when to go
-- on.
CREATE TABLE expansion (
	message_id  $KEY,
	domain_id   BIGINT NOT NULL,
	audience    BIGINT NOT NULL,
	cursor      BIGINT NOT NULL,
	due         BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX expansion_domain ON expansion (domain_id);

-- Mailing lists. lookup is the canonical form of the address. members counts the
-- rows of list_member, in their transactions. A list that was deleted has no
-- account, and a lookup nobody asks for, until its members are gone.
CREATE TABLE list (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	address     TEXT NOT NULL,
	lookup      $CTEXT NOT NULL UNIQUE,
	name        TEXT NOT NULL,
	description TEXT NOT NULL,
	access      TEXT NOT NULL,
	reply       TEXT NOT NULL,
	list_id     TEXT NOT NULL,
	members     BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX list_account ON list (account_id, lookup);
CREATE INDEX list_domain ON list (domain_id);
CREATE TABLE list_member (
	id          $KEY,
	list_id     BIGINT NOT NULL,
	address     TEXT NOT NULL,
	lookup      $CTEXT NOT NULL,
	name        TEXT NOT NULL,
	vars        TEXT NOT NULL,
	subscribed  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (list_id, lookup)
);
CREATE INDEX list_member_id ON list_member (list_id, id);

-- Uploads of members that are worked on in the background. done counts the
-- records of data behind which the work stands.
CREATE TABLE list_upload (
	id          $KEY,
	list_id     BIGINT NOT NULL,
	format      TEXT NOT NULL,
	upsert      BIGINT NOT NULL,
	subscribed  BIGINT NOT NULL,
	data        $BYTES NOT NULL,
	done        BIGINT NOT NULL,
	upserted    BIGINT NOT NULL,
	failed      BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX list_upload_list ON list_upload (list_id);
