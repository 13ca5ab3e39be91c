-- +goose Up

-- How many recordings of a tenant are known and how many are held, and the bytes of
-- their audio, counted as rows are written, because metrics ask every few seconds.
CREATE TABLE stock (
    tenant     TEXT   NOT NULL PRIMARY KEY,
    recordings BIGINT NOT NULL,
    held       BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
) WITHOUT ROWID;

INSERT INTO stock SELECT tenant, count(*), count(*) FILTER (WHERE length(sha256) > 0), sum(CASE WHEN length(sha256) > 0 THEN bytes ELSE 0 END)
    FROM recordings GROUP BY tenant;

-- +goose StatementBegin
CREATE TRIGGER recordings_added AFTER INSERT ON recordings BEGIN
    INSERT INTO stock VALUES (NEW.tenant, 1, length(NEW.sha256) > 0, CASE WHEN length(NEW.sha256) > 0 THEN NEW.bytes ELSE 0 END)
    ON CONFLICT (tenant) DO UPDATE SET recordings = recordings + 1, held = held + excluded.held, bytes = bytes + excluded.bytes;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER recordings_taken_away AFTER DELETE ON recordings BEGIN
    UPDATE stock SET recordings = recordings - 1, held = held - (length(OLD.sha256) > 0),
        bytes = bytes - CASE WHEN length(OLD.sha256) > 0 THEN OLD.bytes ELSE 0 END WHERE tenant = OLD.tenant;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER recordings_changed AFTER UPDATE OF sha256, bytes ON recordings
    WHEN OLD.bytes <> NEW.bytes OR length(OLD.sha256) <> length(NEW.sha256)
BEGIN
    UPDATE stock SET held = held - (length(OLD.sha256) > 0) + (length(NEW.sha256) > 0),
        bytes = bytes - CASE WHEN length(OLD.sha256) > 0 THEN OLD.bytes ELSE 0 END + CASE WHEN length(NEW.sha256) > 0 THEN NEW.bytes ELSE 0 END
        WHERE tenant = NEW.tenant;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER recordings_changed;
DROP TRIGGER recordings_taken_away;
DROP TRIGGER recordings_added;
DROP TABLE stock;
