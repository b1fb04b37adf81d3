-- When recipients engage with mail: human opens and clicks as they come in, each
-- by the id of its event, and what they were folded into, a row per account and
-- recipient. address is a keyed hash of both. hour counts from 1970; hours is a
-- packed list of them.
CREATE TABLE timing_note (
	id         $KEY,
	account_id TEXT NOT NULL,
	address    $BYTES NOT NULL,
	hour       BIGINT NOT NULL,
	clicked    BIGINT NOT NULL,
	zone       TEXT NOT NULL
);
CREATE TABLE timing (
	address    $BYTES PRIMARY KEY,
	account_id TEXT NOT NULL,
	hours      $BYTES NOT NULL,
	zone       TEXT NOT NULL,
	zone_hour  BIGINT NOT NULL,
	last_hour  BIGINT NOT NULL
);
CREATE INDEX timing_account ON timing (account_id);
CREATE INDEX timing_last ON timing (last_hour);
