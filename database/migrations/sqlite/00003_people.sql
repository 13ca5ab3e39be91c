-- +goose Up

-- People who sign in to the pages with a name of their own. password is an argon2id
-- hash in PHC form, empty until one is set; grants is a callvault.Grant in JSON. No
-- name is both here and in service_users.
CREATE TABLE people (
    name         TEXT    NOT NULL PRIMARY KEY,
    password     TEXT    NOT NULL,
    grants       TEXT    NOT NULL,
    can          TEXT    NOT NULL,
    enabled      BOOLEAN NOT NULL,
    created_ms   BIGINT  NOT NULL,
    last_used_ms BIGINT  NOT NULL
) WITHOUT ROWID;

-- One-time links: the SHA-256 of each ticket, who it is for and what it is for.
CREATE TABLE tickets (
    hash     BLOB   NOT NULL PRIMARY KEY,
    name     TEXT   NOT NULL,
    purpose  TEXT   NOT NULL,
    until_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_by_name ON tickets (name, purpose, until_ms);
CREATE INDEX tickets_by_end ON tickets (until_ms);

-- Who is signed in to the pages: the SHA-256 of each session's token, and the
-- SHA-256 of the credential that opened it and whose change ends it.
CREATE TABLE sessions (
    hash       BLOB   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    credential BLOB   NOT NULL,
    until_ms   BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_name ON sessions (name);
CREATE INDEX sessions_by_end ON sessions (until_ms);

-- Guesses at passwords and keys, by the SHA-256 of the name or the address: how
-- many missed, and when the last was made.
CREATE TABLE guesses (
    subject BLOB   NOT NULL PRIMARY KEY,
    misses  BIGINT NOT NULL,
    last_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX guesses_by_last ON guesses (last_ms);

-- The secret that session tokens are signed with: one row, made when first needed.
CREATE TABLE session_secret (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    secret BLOB   NOT NULL
) WITHOUT ROWID;

-- Who did what, when and from where. hash is the SHA-256 of the previous hash and
-- the entry; account/audit.go defines it exactly.
CREATE TABLE audit (
    seq           BIGINT NOT NULL PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    who           TEXT   NOT NULL,
    via           TEXT   NOT NULL,
    remote        TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    tenant        TEXT   NOT NULL,
    recording_key TEXT   NOT NULL,
    detail        TEXT   NOT NULL,
    times         BIGINT NOT NULL,
    bytes         BIGINT NOT NULL,
    hash          BLOB   NOT NULL
) WITHOUT ROWID;
CREATE INDEX audit_by_time ON audit (at_ms, seq);
CREATE INDEX audit_by_who ON audit (who, at_ms, seq);
CREATE INDEX audit_by_tenant ON audit (tenant, at_ms, seq);
CREATE INDEX audit_by_recording ON audit (recording_key, at_ms, seq) WHERE recording_key <> '';

-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only ever added to');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_remains BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only ever added to');
END;
-- +goose StatementEnd

-- The last entry. A process locks this row before it adds an entry, so that there
-- is one chain however many processes write.
CREATE TABLE audit_head (
    seq  BIGINT NOT NULL,
    hash BLOB   NOT NULL
);
INSERT INTO audit_head VALUES (0, x'0000000000000000000000000000000000000000000000000000000000000000');

-- +goose Down
DROP TABLE audit_head;
DROP TABLE audit;
DROP TABLE session_secret;
DROP TABLE guesses;
DROP TABLE sessions;
DROP TABLE tickets;
DROP TABLE people;
