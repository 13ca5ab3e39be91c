-- +goose Up

-- For runs of which several processes take the tenants' turns. halted is why the
-- run at work over a source must end, as found by one of them; '' while it may go
-- on. reopens_ms is when there is something to fetch again after the last run,
-- because a tenant opens that was closed for its egress; 0 when nothing waits.
ALTER TABLE sources ADD COLUMN halted TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE sources ADD COLUMN reopens_ms BIGINT NOT NULL DEFAULT 0;

-- Those processes, and when each was last heard of.
CREATE TABLE workers (
    name    TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    seen_ms BIGINT NOT NULL
);

-- +goose Down
DROP TABLE workers;
ALTER TABLE sources DROP COLUMN reopens_ms;
ALTER TABLE sources DROP COLUMN halted;
