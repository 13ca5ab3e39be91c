-- +goose Up

-- Egress that is reserved for downloads under way on any of the services, until it
-- is settled or until_ms has passed.
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
