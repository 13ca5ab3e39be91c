-- +goose Up

-- How many items a tenant has in each standing, and their bytes. They are counted as
-- they are written, because metrics ask every few seconds, and counting then would read
-- every row. standing is the state, except that noted items are pending or deleted where
-- the source says so.
CREATE TABLE tallies (
    tenant     TEXT    NOT NULL,
    standing   TEXT    NOT NULL,
    doubtful   BOOLEAN NOT NULL,
    changed    BOOLEAN NOT NULL,
    vanished   BOOLEAN NOT NULL,
    recordings BIGINT  NOT NULL,
    bytes      BIGINT  NOT NULL,
    PRIMARY KEY (tenant, standing, doubtful, changed, vanished)
) WITHOUT ROWID;

INSERT INTO tallies SELECT tenant,
    CASE WHEN state <> 'noted' THEN state WHEN status = 'PENDING' THEN 'pending' WHEN substr(status, 1, 7) = 'DELETED' THEN 'deleted' ELSE 'noted' END,
    doubt <> '', changed_ms > 0, vanished_ms > 0, count(*), sum(size) FROM items GROUP BY 1, 2, 3, 4, 5;

-- +goose StatementBegin
CREATE TRIGGER items_added AFTER INSERT ON items BEGIN
    INSERT INTO tallies VALUES (NEW.tenant,
        CASE WHEN NEW.state <> 'noted' THEN NEW.state WHEN NEW.status = 'PENDING' THEN 'pending' WHEN substr(NEW.status, 1, 7) = 'DELETED' THEN 'deleted' ELSE 'noted' END,
        NEW.doubt <> '', NEW.changed_ms > 0, NEW.vanished_ms > 0, 1, NEW.size)
    ON CONFLICT (tenant, standing, doubtful, changed, vanished) DO UPDATE SET recordings = recordings + 1, bytes = bytes + excluded.bytes;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER items_taken_away AFTER DELETE ON items BEGIN
    UPDATE tallies SET recordings = recordings - 1, bytes = bytes - OLD.size WHERE tenant = OLD.tenant
        AND standing = CASE WHEN OLD.state <> 'noted' THEN OLD.state WHEN OLD.status = 'PENDING' THEN 'pending' WHEN substr(OLD.status, 1, 7) = 'DELETED' THEN 'deleted' ELSE 'noted' END
        AND doubtful = (OLD.doubt <> '') AND changed = (OLD.changed_ms > 0) AND vanished = (OLD.vanished_ms > 0);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER items_changed AFTER UPDATE OF tenant, state, status, size, doubt, changed_ms, vanished_ms ON items
    WHEN OLD.tenant <> NEW.tenant OR OLD.state <> NEW.state OR OLD.status <> NEW.status OR OLD.size <> NEW.size OR (OLD.doubt <> '') <> (NEW.doubt <> '')
        OR (OLD.changed_ms > 0) <> (NEW.changed_ms > 0) OR (OLD.vanished_ms > 0) <> (NEW.vanished_ms > 0)
BEGIN
    UPDATE tallies SET recordings = recordings - 1, bytes = bytes - OLD.size WHERE tenant = OLD.tenant
        AND standing = CASE WHEN OLD.state <> 'noted' THEN OLD.state WHEN OLD.status = 'PENDING' THEN 'pending' WHEN substr(OLD.status, 1, 7) = 'DELETED' THEN 'deleted' ELSE 'noted' END
        AND doubtful = (OLD.doubt <> '') AND changed = (OLD.changed_ms > 0) AND vanished = (OLD.vanished_ms > 0);
    INSERT INTO tallies VALUES (NEW.tenant,
        CASE WHEN NEW.state <> 'noted' THEN NEW.state WHEN NEW.status = 'PENDING' THEN 'pending' WHEN substr(NEW.status, 1, 7) = 'DELETED' THEN 'deleted' ELSE 'noted' END,
        NEW.doubt <> '', NEW.changed_ms > 0, NEW.vanished_ms > 0, 1, NEW.size)
    ON CONFLICT (tenant, standing, doubtful, changed, vanished) DO UPDATE SET recordings = recordings + 1, bytes = bytes + excluded.bytes;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER items_changed;
DROP TRIGGER items_taken_away;
DROP TRIGGER items_added;
DROP TABLE tallies;
