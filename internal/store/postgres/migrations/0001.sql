CREATE TABLE coffer_records (key bytea PRIMARY KEY, revision bigint NOT NULL, body bytea NOT NULL);
CREATE TABLE coffer_due (key bytea PRIMARY KEY, at bigint NOT NULL);
CREATE INDEX coffer_due_at ON coffer_due (at, key);
