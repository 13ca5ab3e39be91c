-- +goose Up

-- The same key as on PostgreSQL.
DROP TABLE reservations;
CREATE TABLE reservations (
    id       BIGINT NOT NULL,
    tenant   TEXT   NOT NULL,
    epoch    BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, epoch, id)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE reservations;
CREATE TABLE reservations (
    id       BIGINT NOT NULL PRIMARY KEY,
    tenant   TEXT   NOT NULL,
    epoch    BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reservations_by_tenant ON reservations (tenant, epoch);
