-- +goose Up

-- For runs whose tenants' turns are shared by several processes. halted is why the
-- current run over a source must end, as one of them has found; '' while it may go
-- on. reopens_ms is when a tenant that was closed because of its egress reopens, so
-- that there is something to fetch after the last run; 0 when nothing waits.
ALTER TABLE sources ADD COLUMN halted TEXT NOT NULL DEFAULT '';
ALTER TABLE sources ADD COLUMN reopens_ms BIGINT NOT NULL DEFAULT 0;

-- Those processes, and when each last reported that it is alive.
CREATE TABLE workers (
    name    TEXT   NOT NULL PRIMARY KEY,
    seen_ms BIGINT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE workers;
ALTER TABLE sources DROP COLUMN reopens_ms;
ALTER TABLE sources DROP COLUMN halted;
