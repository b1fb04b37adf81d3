-- What SCRAM needs of a password, sealed with the master secret. Logins made
-- before have none, and those whose password is not ASCII never do.
ALTER TABLE credential ADD COLUMN scram $BYTES;
