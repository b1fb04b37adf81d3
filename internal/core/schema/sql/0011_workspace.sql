-- Mail of workspaces. seq numbers the mail of a workspace in the order it came,
-- from 1 and without gaps; created_at never falls with it. So the number of
-- messages between two times is a difference of two numbers.
CREATE TABLE workspace (
	num       $KEY,
	id        $CTEXT NOT NULL UNIQUE,
	last_seq  BIGINT NOT NULL,
	last_at   BIGINT NOT NULL
);

-- Times are 0 where it has not happened.
CREATE TABLE workspace_email (
	id            $KEY,
	uuid          $CTEXT NOT NULL UNIQUE,
	workspace     BIGINT NOT NULL,
	seq           BIGINT NOT NULL,
	direction     BIGINT NOT NULL,
	status        BIGINT NOT NULL,
	sender        TEXT NOT NULL,
	recipient     TEXT NOT NULL,
	reply_to      TEXT NOT NULL,
	subject       TEXT NOT NULL,
	message_id    $CTEXT NOT NULL,
	metadata      TEXT NOT NULL,
	session_id    $CTEXT NOT NULL,
	session_uuid  TEXT NOT NULL,
	user_id       TEXT NOT NULL,
	contact_id    $CTEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	sent_at       BIGINT NOT NULL,
	failed_at     BIGINT NOT NULL,
	delivered_at  BIGINT NOT NULL,
	bounced_at    BIGINT NOT NULL,
	opened_at     BIGINT NOT NULL,
	clicked_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX workspace_email_seq ON workspace_email (workspace, seq);
CREATE INDEX workspace_email_time ON workspace_email (workspace, created_at, seq);
CREATE INDEX workspace_email_session ON workspace_email (workspace, session_id, seq) WHERE session_id <> '';
CREATE INDEX workspace_email_contact ON workspace_email (workspace, contact_id, seq) WHERE contact_id <> '';
CREATE INDEX workspace_email_message ON workspace_email (message_id) WHERE message_id <> '';
CREATE INDEX workspace_email_pending ON workspace_email (id) WHERE status = 0;

-- Bodies lie apart: lists do not read them.
CREATE TABLE workspace_body (
	id     $KEY,
	plain  TEXT NOT NULL,
	html   TEXT NOT NULL
);

-- What lists filter by, for 1,024 messages of a workspace in a row: a byte each of
-- direction and status, and once there are that many, their addresses.
CREATE TABLE workspace_state (
	workspace  BIGINT NOT NULL,
	block      BIGINT NOT NULL,
	states     $BYTES NOT NULL,
	PRIMARY KEY (workspace, block)
);
CREATE TABLE workspace_column (
	workspace   BIGINT NOT NULL,
	block       BIGINT NOT NULL,
	senders     $BYTES NOT NULL,
	recipients  $BYTES NOT NULL,
	PRIMARY KEY (workspace, block)
);
