-- +goose Up

-- How many items a tenant has in each standing, and their bytes. They are counted as
-- they are written, because metrics ask every few seconds, and counting then would read
-- every row. standing is the state, except that noted items are pending or deleted where
-- the source says so.
CREATE TABLE tallies (
    tenant     TEXT COLLATE "C" NOT NULL,
    standing   TEXT COLLATE "C" NOT NULL,
    doubtful   BOOLEAN NOT NULL,
    changed    BOOLEAN NOT NULL,
    vanished   BOOLEAN NOT NULL,
    recordings BIGINT  NOT NULL,
    bytes      BIGINT  NOT NULL,
    PRIMARY KEY (tenant, standing, doubtful, changed, vanished)
) WITH (fillfactor = 50); -- for rows that change often, to be updated in place

CREATE FUNCTION standing_of(state TEXT, status TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN state <> 'noted' THEN state WHEN status = 'PENDING' THEN 'pending' WHEN starts_with(status, 'DELETED') THEN 'deleted' ELSE 'noted' END;

-- A statement writes each tally once, however many items it changes. All statements
-- lock tallies in the same order.
-- +goose StatementBegin
CREATE FUNCTION tally_items() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tallies AS t SELECT tenant, standing_of(state, status), doubt <> '', changed_ms > 0, vanished_ms > 0, count(*), CAST(sum(size) AS BIGINT)
            FROM added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
            ON CONFLICT (tenant, standing, doubtful, changed, vanished) DO UPDATE SET recordings = t.recordings + excluded.recordings, bytes = t.bytes + excluded.bytes;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tallies AS t SELECT tenant, standing_of(state, status), doubt <> '', changed_ms > 0, vanished_ms > 0, -count(*), -CAST(sum(size) AS BIGINT)
            FROM gone GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
            ON CONFLICT (tenant, standing, doubtful, changed, vanished) DO UPDATE SET recordings = t.recordings + excluded.recordings, bytes = t.bytes + excluded.bytes;
    ELSE
        INSERT INTO tallies AS t SELECT tenant, standing, doubtful, changed, vanished, sum(n), CAST(sum(n * size) AS BIGINT) FROM (
                SELECT tenant, standing_of(state, status) AS standing, doubt <> '' AS doubtful, changed_ms > 0 AS changed, vanished_ms > 0 AS vanished, size, 1 AS n FROM added
                UNION ALL
                SELECT tenant, standing_of(state, status), doubt <> '', changed_ms > 0, vanished_ms > 0, size, -1 FROM gone
            ) AS both_sides GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 OR sum(n * size) <> 0 ORDER BY 1, 2, 3, 4, 5
            ON CONFLICT (tenant, standing, doubtful, changed, vanished) DO UPDATE SET recordings = t.recordings + excluded.recordings, bytes = t.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER items_added AFTER INSERT ON items REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_items();
CREATE TRIGGER items_taken_away AFTER DELETE ON items REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tally_items();
CREATE TRIGGER items_changed AFTER UPDATE ON items REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_items();

INSERT INTO tallies SELECT tenant, standing_of(state, status), doubt <> '', changed_ms > 0, vanished_ms > 0, count(*), CAST(sum(size) AS BIGINT)
    FROM items GROUP BY 1, 2, 3, 4, 5;

-- +goose Down
DROP TRIGGER items_changed ON items;
DROP TRIGGER items_taken_away ON items;
DROP TRIGGER items_added ON items;
DROP FUNCTION tally_items;
DROP FUNCTION standing_of;
DROP TABLE tallies;
