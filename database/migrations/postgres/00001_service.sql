-- +goose Up

-- Sites. usage_epoch counts how often an operator has reset the tenant's egress.
CREATE TABLE tenants (
    name            TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    title           TEXT COLLATE "C"    NOT NULL,
    time_zone       TEXT COLLATE "C"    NOT NULL,
    agents          BIGINT,
    request_limit   BOOLEAN NOT NULL,
    egress_override BIGINT,
    egress_off      BOOLEAN NOT NULL,
    usage_epoch     BIGINT  NOT NULL,
    created_ms      BIGINT  NOT NULL
);

-- Accounts for integrations. key_hash is the SHA-256 of the authentication key;
-- grants is a callvault.Grant in JSON.
CREATE TABLE service_users (
    name          TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    key_hash      BYTEA    NOT NULL UNIQUE,
    grants        TEXT COLLATE "C"    NOT NULL,
    can           TEXT COLLATE "C"    NOT NULL,
    enabled       BOOLEAN NOT NULL,
    request_limit BOOLEAN NOT NULL,
    created_ms    BIGINT  NOT NULL,
    refreshed_ms  BIGINT  NOT NULL,
    last_used_ms  BIGINT  NOT NULL
);

-- One row, incremented by every change of tenants and service_users, so that a
-- service that keeps them in memory sees each change on its next request.
CREATE TABLE account_revision (
    revision BIGINT NOT NULL
);
INSERT INTO account_revision VALUES (1);

-- What is known about each recording, clustered in the order of a tenant's own
-- list. json is the recording as the API publishes it. path is the path of its
-- files, without their endings. sha256 is empty while no audio is held;
-- upload_sha256 is the hash of what was uploaded, before it was encoded.
CREATE TABLE recordings (
    tenant        TEXT COLLATE "C"   NOT NULL,
    start_ms      BIGINT NOT NULL,
    recording_key TEXT COLLATE "C"   NOT NULL,
    call_key      TEXT COLLATE "C"   NOT NULL,
    status        TEXT COLLATE "C"   NOT NULL,
    agent         TEXT COLLATE "C"   NOT NULL,
    skill         TEXT COLLATE "C"   NOT NULL,
    json          TEXT COLLATE "C"   NOT NULL,
    bytes         BIGINT NOT NULL,
    audio_ms      BIGINT NOT NULL,
    sha256        BYTEA   NOT NULL,
    upload_sha256 BYTEA   NOT NULL,
    path          TEXT COLLATE "C"   NOT NULL,
    added_ms      BIGINT NOT NULL,
    read_ms       BIGINT NOT NULL,
    PRIMARY KEY (tenant, start_ms, recording_key)
);
CREATE UNIQUE INDEX recordings_by_key ON recordings (tenant, recording_key);
CREATE INDEX recordings_by_call ON recordings (tenant, call_key);
CREATE INDEX recordings_by_upload ON recordings (tenant, upload_sha256);
-- The list over all tenants. Index entries have little room here, so the JSON is
-- read from the table.
CREATE INDEX recordings_by_start ON recordings (start_ms, recording_key, tenant);

-- Calls, without their recordings. given is false for a call that was made from
-- its recordings. lead_ms is how long before the call's start its first recording
-- starts, and reach_ms how long after it its last one does, so that the calls of a
-- span of recordings are found in a bounded range of calls_by_start.
CREATE TABLE calls (
    tenant     TEXT COLLATE "C"    NOT NULL,
    call_key   TEXT COLLATE "C"    NOT NULL,
    start_ms   BIGINT  NOT NULL,
    given      BOOLEAN NOT NULL,
    json       TEXT COLLATE "C"    NOT NULL,
    lead_ms    BIGINT  NOT NULL,
    reach_ms   BIGINT  NOT NULL,
    updated_ms BIGINT  NOT NULL,
    PRIMARY KEY (tenant, start_ms, call_key)
);
CREATE UNIQUE INDEX calls_by_key ON calls (tenant, call_key);
CREATE INDEX calls_by_start ON calls (start_ms, call_key, tenant);
CREATE INDEX calls_by_lead ON calls (lead_ms);
CREATE INDEX calls_by_reach ON calls (reach_ms);

-- Audio bytes sent, by tenant and hour since the Unix epoch.
CREATE TABLE egress (
    tenant TEXT COLLATE "C"   NOT NULL,
    epoch  BIGINT NOT NULL,
    hour   BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,
    PRIMARY KEY (tenant, epoch, hour)
);

-- The last three accepted requests of each tenant or service user, oldest first,
-- in Unix milliseconds.
CREATE TABLE request_windows (
    subject   TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    first_ms  BIGINT NOT NULL,
    second_ms BIGINT NOT NULL,
    third_ms  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE request_windows;
DROP TABLE egress;
DROP TABLE calls;
DROP TABLE recordings;
DROP TABLE account_revision;
DROP TABLE service_users;
DROP TABLE tenants;
