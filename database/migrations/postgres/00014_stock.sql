-- +goose Up

-- How many recordings of a tenant are known and how many are held, and the bytes of
-- their audio, counted as rows are written, because metrics ask every few seconds.
CREATE TABLE stock (
    tenant     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    recordings BIGINT NOT NULL,
    held       BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
) WITH (fillfactor = 50); -- for rows that change often, to be updated in place

-- A statement writes each tenant's row once, however many recordings it changes. All
-- statements lock these rows in the same order.
-- +goose StatementBegin
CREATE FUNCTION count_stock() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stock AS s SELECT tenant, count(*), count(*) FILTER (WHERE length(sha256) > 0), CAST(coalesce(sum(bytes) FILTER (WHERE length(sha256) > 0), 0) AS BIGINT)
            FROM added GROUP BY tenant ORDER BY tenant
            ON CONFLICT (tenant) DO UPDATE SET recordings = s.recordings + excluded.recordings, held = s.held + excluded.held, bytes = s.bytes + excluded.bytes;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO stock AS s SELECT tenant, -count(*), -count(*) FILTER (WHERE length(sha256) > 0), -CAST(coalesce(sum(bytes) FILTER (WHERE length(sha256) > 0), 0) AS BIGINT)
            FROM gone GROUP BY tenant ORDER BY tenant
            ON CONFLICT (tenant) DO UPDATE SET recordings = s.recordings + excluded.recordings, held = s.held + excluded.held, bytes = s.bytes + excluded.bytes;
    ELSE
        INSERT INTO stock AS s SELECT tenant, sum(n), coalesce(sum(n) FILTER (WHERE has), 0), CAST(coalesce(sum(n * bytes) FILTER (WHERE has), 0) AS BIGINT) FROM (
                SELECT tenant, bytes, length(sha256) > 0 AS has, 1 AS n FROM added UNION ALL SELECT tenant, bytes, length(sha256) > 0, -1 FROM gone
            ) AS both_sides GROUP BY tenant
            HAVING sum(n) <> 0 OR coalesce(sum(n) FILTER (WHERE has), 0) <> 0 OR coalesce(sum(n * bytes) FILTER (WHERE has), 0) <> 0 ORDER BY tenant
            ON CONFLICT (tenant) DO UPDATE SET recordings = s.recordings + excluded.recordings, held = s.held + excluded.held, bytes = s.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER recordings_added AFTER INSERT ON recordings REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_stock();
CREATE TRIGGER recordings_taken_away AFTER DELETE ON recordings REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_stock();
CREATE TRIGGER recordings_changed AFTER UPDATE ON recordings REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_stock();

INSERT INTO stock SELECT tenant, count(*), count(*) FILTER (WHERE length(sha256) > 0), CAST(coalesce(sum(bytes) FILTER (WHERE length(sha256) > 0), 0) AS BIGINT)
    FROM recordings GROUP BY tenant;

-- +goose Down
DROP TRIGGER recordings_changed ON recordings;
DROP TRIGGER recordings_taken_away ON recordings;
DROP TRIGGER recordings_added ON recordings;
DROP FUNCTION count_stock;
DROP TABLE stock;
