-- Opens and clicks.

-- How far the spool of requests has become events, by the node it lies on.
CREATE TABLE track_spool (
	node  TEXT PRIMARY KEY,
	file  BIGINT NOT NULL,
	pos   BIGINT NOT NULL
);

-- When a recipient's first open and first click of a message were counted; kind
-- is the type of the event. Rows older than a week say nothing.
CREATE TABLE track_first (
	message    BIGINT NOT NULL,
	recipient  BIGINT NOT NULL,
	kind       BIGINT NOT NULL,
	at         BIGINT NOT NULL,
	PRIMARY KEY (message, recipient, kind)
);
CREATE INDEX track_first_at ON track_first (at);
