-- +goose Up

-- What recordings are searched by. A mark is the hash of a tenant, a kind (such as
-- agent) and a value. Each recording has one for each of its values, so that a
-- search reads few rows, the newest first. There may be marks left that a recording
-- no longer has, but none is ever missing: results are checked before they are shown.
CREATE TABLE marks (
    mark          BIGINT NOT NULL,
    start_ms      BIGINT NOT NULL,
    recording_key TEXT   NOT NULL,
    tenant        TEXT   NOT NULL,
    PRIMARY KEY (mark, start_ms, recording_key, tenant)
) WITHOUT ROWID;

-- The value of each mark, and the words by which it is found.
CREATE TABLE marked_values (
    mark   BIGINT NOT NULL PRIMARY KEY,
    tenant TEXT   NOT NULL,
    kind   TEXT   NOT NULL,
    value  TEXT   NOT NULL
) WITHOUT ROWID;
CREATE TABLE marked_words (
    kind   TEXT   NOT NULL,
    tenant TEXT   NOT NULL,
    word   TEXT   NOT NULL,
    mark   BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, word, mark)
) WITHOUT ROWID;

-- One row while recordings that are older than this table lack their marks: those
-- after this place.
CREATE TABLE unmarked (
    tenant        TEXT   NOT NULL,
    start_ms      BIGINT NOT NULL,
    recording_key TEXT   NOT NULL
);
INSERT INTO unmarked SELECT '', 0, '' WHERE EXISTS (SELECT 1 FROM recordings);

-- What listeners wrote about recordings. The sidecars have it too.
CREATE TABLE remarks (
    tenant        TEXT   NOT NULL,
    recording_key TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    who           TEXT   NOT NULL,
    remark        TEXT   NOT NULL,
    PRIMARY KEY (tenant, recording_key, at_ms, who)
) WITHOUT ROWID;

-- The peaks of the audio with this hash, as audio.Peaks makes them.
CREATE TABLE peaks (
    sha256 BLOB NOT NULL PRIMARY KEY,
    peaks  BLOB NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE peaks;
DROP TABLE remarks;
DROP TABLE unmarked;
DROP TABLE marked_words;
DROP TABLE marked_values;
DROP TABLE marks;
