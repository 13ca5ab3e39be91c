-- +goose Up

-- The last run over each source, and when a run was last complete. resting is true
-- when the last run ended properly and saved its paces in the table paces.
CREATE TABLE sources (
    name        TEXT    NOT NULL PRIMARY KEY,
    started_ms  BIGINT  NOT NULL,
    ended_ms    BIGINT  NOT NULL,
    result      TEXT    NOT NULL,
    error       TEXT    NOT NULL,
    complete_ms BIGINT  NOT NULL,
    resting     BOOLEAN NOT NULL
) WITHOUT ROWID;

-- The tenants of the sources: their names here and there (remote), until when the
-- source has closed them because of their egress, and the limit learned from that.
CREATE TABLE collected_tenants (
    tenant      TEXT   NOT NULL PRIMARY KEY,
    source      TEXT   NOT NULL,
    remote      TEXT   NOT NULL,
    closed_ms   BIGINT NOT NULL,
    learned     BIGINT,
    complete_ms BIGINT NOT NULL
) WITHOUT ROWID;

-- Which stretches of time of a source were fully listed, and when.
CREATE TABLE listed (
    source    TEXT   NOT NULL,
    from_ms   BIGINT NOT NULL,
    to_ms     BIGINT NOT NULL,
    listed_ms BIGINT NOT NULL,
    PRIMARY KEY (source, from_ms)
) WITHOUT ROWID;

-- The last three requests of each pace, oldest first, in Unix milliseconds.
CREATE TABLE paces (
    source    TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    first_ms  BIGINT NOT NULL,
    second_ms BIGINT NOT NULL,
    third_ms  BIGINT NOT NULL,
    PRIMARY KEY (source, subject)
) WITHOUT ROWID;

-- Audio bytes fetched, by tenant and hour since the Unix epoch.
CREATE TABLE fetched (
    tenant TEXT   NOT NULL,
    hour   BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,
    PRIMARY KEY (tenant, hour)
) WITHOUT ROWID;

-- Every recording that a source has listed, and its state here. status is the
-- source's; urgency is 0 for recordings about to be deleted there; digest is the
-- hash of all its metadata except the status; failed_ms is when it was first
-- denied, missing or refused.
CREATE TABLE items (
    tenant        TEXT   NOT NULL,
    recording_key TEXT   NOT NULL,
    source        TEXT   NOT NULL,
    start_ms      BIGINT NOT NULL,
    duration_ms   BIGINT NOT NULL,
    size          BIGINT NOT NULL,
    status        TEXT   NOT NULL,
    urgency       BIGINT NOT NULL,
    digest        BLOB   NOT NULL,
    state         TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    doubt         TEXT   NOT NULL,
    changed_ms    BIGINT NOT NULL,
    vanished_ms   BIGINT NOT NULL,
    seen_ms       BIGINT NOT NULL,
    tried_ms      BIGINT NOT NULL,
    failed_ms     BIGINT NOT NULL,
    PRIMARY KEY (tenant, recording_key)
) WITHOUT ROWID;
-- Recordings that are offered but not held, in the order of a tenant's turn.
CREATE INDEX items_lacking ON items (tenant, urgency, start_ms DESC, recording_key)
    WHERE state IN ('due', 'quarantined', 'denied', 'missing');
CREATE INDEX items_by_start ON items (source, start_ms);
CREATE INDEX items_by_day ON items (tenant, start_ms);

-- Items of a source's lists that could not be read.
CREATE TABLE malformed (
    source  TEXT   NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms   BIGINT NOT NULL,
    place   BIGINT NOT NULL,
    raw     TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    seen_ms BIGINT NOT NULL,
    PRIMARY KEY (source, from_ms, place)
) WITHOUT ROWID;

-- What an operator has decided about a recording that could not be fetched whole.
CREATE TABLE settlements (
    tenant        TEXT   NOT NULL,
    recording_key TEXT   NOT NULL,
    decision      TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    who           TEXT   NOT NULL,
    settled_ms    BIGINT NOT NULL,
    PRIMARY KEY (tenant, recording_key, settled_ms)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE settlements;
DROP TABLE malformed;
DROP TABLE items;
DROP TABLE fetched;
DROP TABLE paces;
DROP TABLE listed;
DROP TABLE collected_tenants;
DROP TABLE sources;
