-- +goose Up

-- One row in a database that an archive was moved into: from where, and when the
-- move began and ended. ended_ms is 0 until everything is here.
CREATE TABLE moves (
    source   TEXT   NOT NULL PRIMARY KEY,
    began_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL
) WITHOUT ROWID;

-- What was already wrong with moved recordings where they came from.
CREATE TABLE move_faults (
    tenant        TEXT NOT NULL,
    recording_key TEXT NOT NULL,
    fault         TEXT NOT NULL,
    PRIMARY KEY (tenant, recording_key)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE move_faults;
DROP TABLE moves;
