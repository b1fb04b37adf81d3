-- Stored templates. domain_id is 0 for those of the account. A template's
-- versions are its contents; one of them may be active. headers is a JSON object.
CREATE TABLE template (
	id          $KEY,
	public_id   TEXT NOT NULL,
	account_id  TEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	name        $CTEXT NOT NULL,
	description TEXT NOT NULL,
	created_by  TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (account_id, domain_id, name)
);
CREATE INDEX template_domain ON template (domain_id);
CREATE TABLE template_version (
	id          $KEY,
	public_id   TEXT NOT NULL,
	template_id BIGINT NOT NULL,
	tag         $CTEXT NOT NULL,
	content     TEXT NOT NULL,
	headers     TEXT NOT NULL,
	comment     TEXT NOT NULL,
	active      BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	UNIQUE (template_id, tag)
);
