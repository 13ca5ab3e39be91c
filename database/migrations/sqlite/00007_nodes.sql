-- +goose Up

-- Egress that is set aside for downloads which run now, on any of many services,
-- until it is settled, or until that time.
CREATE TABLE reservations (
    id       BIGINT NOT NULL PRIMARY KEY,
    tenant   TEXT   NOT NULL,
    epoch    BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reservations_by_tenant ON reservations (tenant, epoch);

-- +goose Down
DROP TABLE reservations;
