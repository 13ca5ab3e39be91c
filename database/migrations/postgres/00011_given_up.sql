-- +goose Up

-- What could not be read of a list is known by what it was, so that an operator can
-- give it up: the same again is passed over then.
ALTER TABLE malformed ADD COLUMN mark TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE TABLE given_up (
    source     TEXT COLLATE "C" NOT NULL,
    mark       TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    who        TEXT COLLATE "C" NOT NULL,
    settled_ms BIGINT           NOT NULL,
    PRIMARY KEY (source, mark)
);

-- +goose Down
DROP TABLE given_up;
ALTER TABLE malformed DROP COLUMN mark;
