-- +goose Up

-- An item of a list that could not be read is identified by its content (mark), so
-- that an operator can give it up: the same item is then ignored when it comes again.
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
