-- +goose Up

-- People who sign in to the pages with a name of their own. password is an argon2id
-- hash in PHC form, empty until one is set; grants is a callvault.Grant in JSON. No
-- name is both here and in service_users.
CREATE TABLE people (
    name         TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    password     TEXT COLLATE "C"    NOT NULL,
    grants       TEXT COLLATE "C"    NOT NULL,
    can          TEXT COLLATE "C"    NOT NULL,
    enabled      BOOLEAN NOT NULL,
    created_ms   BIGINT  NOT NULL,
    last_used_ms BIGINT  NOT NULL
);

-- One-time links: the SHA-256 of each ticket, who it is for and what it is for.
CREATE TABLE tickets (
    hash     BYTEA   NOT NULL PRIMARY KEY,
    name     TEXT COLLATE "C"   NOT NULL,
    purpose  TEXT COLLATE "C"   NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX tickets_by_name ON tickets (name, purpose, until_ms);
CREATE INDEX tickets_by_end ON tickets (until_ms);

-- Who is signed in to the pages: the SHA-256 of each session's token, and the
-- SHA-256 of the credential that opened it and whose change ends it.
CREATE TABLE sessions (
    hash       BYTEA   NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C"   NOT NULL,
    credential BYTEA   NOT NULL,
    until_ms   BIGINT NOT NULL
);
CREATE INDEX sessions_by_name ON sessions (name);
CREATE INDEX sessions_by_end ON sessions (until_ms);

-- Guesses at passwords and keys, by the SHA-256 of the name or the address: how
-- many missed, and when the last was made.
CREATE TABLE guesses (
    subject BYTEA   NOT NULL PRIMARY KEY,
    misses  BIGINT NOT NULL,
    last_ms BIGINT NOT NULL
);
CREATE INDEX guesses_by_last ON guesses (last_ms);

-- The secret that session tokens are signed with: one row, made when first needed.
CREATE TABLE session_secret (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    secret BYTEA   NOT NULL
);

-- Who did what, when and from where. hash is the SHA-256 of the previous hash and
-- the entry; account/audit.go defines it exactly.
CREATE TABLE audit (
    seq           BIGINT NOT NULL PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    who           TEXT COLLATE "C"   NOT NULL,
    via           TEXT COLLATE "C"   NOT NULL,
    remote        TEXT COLLATE "C"   NOT NULL,
    action        TEXT COLLATE "C"   NOT NULL,
    tenant        TEXT COLLATE "C"   NOT NULL,
    recording_key TEXT COLLATE "C"   NOT NULL,
    detail        TEXT COLLATE "C"   NOT NULL,
    times         BIGINT NOT NULL,
    bytes         BIGINT NOT NULL,
    hash          BYTEA   NOT NULL
);
CREATE INDEX audit_by_time ON audit (at_ms, seq);
CREATE INDEX audit_by_who ON audit (who, at_ms, seq);
CREATE INDEX audit_by_tenant ON audit (tenant, at_ms, seq);
CREATE INDEX audit_by_recording ON audit (recording_key, at_ms, seq) WHERE recording_key <> '';

-- +goose StatementBegin
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is only ever added to';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

-- The last entry. A process locks this row before it adds an entry, so that there
-- is one chain however many processes write.
CREATE TABLE audit_head (
    seq  BIGINT NOT NULL,
    hash BYTEA   NOT NULL
);
INSERT INTO audit_head VALUES (0, '\x0000000000000000000000000000000000000000000000000000000000000000');

-- +goose Down
DROP TABLE audit_head;
DROP TABLE audit;
DROP FUNCTION audit_stays;
DROP TABLE session_secret;
DROP TABLE guesses;
DROP TABLE sessions;
DROP TABLE tickets;
DROP TABLE people;
