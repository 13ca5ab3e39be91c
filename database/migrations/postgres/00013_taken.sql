-- +goose Up

-- What came of the latest turn of a tenant that was taken apart from its run: how many
-- recordings became held in it, and their bytes. began_ms is when the run began.
CREATE TABLE taken (
    tenant     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    began_ms   BIGINT NOT NULL,
    recordings BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
);

-- +goose Down
DROP TABLE taken;
