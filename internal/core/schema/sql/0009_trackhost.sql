-- Host names of tracking links that are not web_prefix.name. A row stays when the
-- domain gets another host: mail that was sent has links with the old one.
CREATE TABLE tracking_host (
	host        $CTEXT NOT NULL,
	domain_id   BIGINT NOT NULL,
	PRIMARY KEY (host, domain_id)
);
CREATE INDEX tracking_host_domain ON tracking_host (domain_id);

-- Tracking hosts whose certificate was asked for. What became of it is in the
-- files of the ACME client.
CREATE TABLE tracking_certificate (
	host        $CTEXT NOT NULL PRIMARY KEY,
	domain_id   BIGINT NOT NULL,
	created_at  BIGINT NOT NULL
);
CREATE INDEX tracking_certificate_domain ON tracking_certificate (domain_id);
