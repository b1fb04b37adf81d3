-- Imports of suppressions, and what put an address on a list.

-- A JSON object (suppress.Cause), '' of entries that are older than this column.
ALTER TABLE suppression ADD COLUMN cause TEXT NOT NULL DEFAULT '';

-- The question before each delivery is one search, whatever the number of lists.
CREATE INDEX suppression_lookup ON suppression (domain_id, lookup, kind, tag);

-- done is how many bytes of the file the work stands behind, line the number of
-- the line that begins there.
CREATE TABLE suppression_import (
	id          $KEY,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	domain      TEXT NOT NULL,
	kind        TEXT NOT NULL,
	file        TEXT NOT NULL,
	api_key     TEXT NOT NULL,
	state       TEXT NOT NULL,
	size        BIGINT NOT NULL,
	done        BIGINT NOT NULL,
	line        BIGINT NOT NULL,
	imported    BIGINT NOT NULL,
	failed      BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	started_at  BIGINT NOT NULL,
	finished_at BIGINT NOT NULL
);
CREATE INDEX suppression_import_account ON suppression_import (account_id, id);
CREATE INDEX suppression_import_domain ON suppression_import (domain_id);
CREATE INDEX suppression_import_open ON suppression_import (id) WHERE state <> 'finished';

-- The file while it is needed, in parts of one size.
CREATE TABLE suppression_import_part (
	import_id   BIGINT NOT NULL,
	number      BIGINT NOT NULL,
	data        $BYTES NOT NULL,
	PRIMARY KEY (import_id, number)
);

CREATE TABLE suppression_import_error (
	import_id   BIGINT NOT NULL,
	line        BIGINT NOT NULL,
	reason      TEXT NOT NULL,
	content     TEXT NOT NULL,
	PRIMARY KEY (import_id, line)
);
