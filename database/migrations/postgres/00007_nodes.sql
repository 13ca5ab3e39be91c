-- +goose Up

-- Egress that is reserved for downloads under way on any of the services, until it
-- is settled or until_ms has passed.
CREATE TABLE reservations (
    id       BIGINT NOT NULL PRIMARY KEY,
    tenant   TEXT COLLATE "C"   NOT NULL,
    epoch    BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX reservations_by_tenant ON reservations (tenant, epoch);

-- These rows change with every request. With free space in each page they can be
-- updated without changing an index.
ALTER TABLE request_windows SET (fillfactor = 50);
ALTER TABLE egress SET (fillfactor = 50);

-- The time by the database's clock, which all services share, in Unix
-- milliseconds.
CREATE FUNCTION clock_ms() RETURNS BIGINT LANGUAGE sql VOLATILE
    AS $$ SELECT CAST(floor(date_part('epoch', clock_timestamp()) * 1000) AS BIGINT) $$;

-- Reserves egress for a download, and returns false if there is no room for it: if
-- the bytes that count (an hour counts until 121 hours after its beginning) and the
-- reservations of other downloads leave too little of the limit. The limit is null
-- where there is none. The lock makes downloads of one tenant decide one at a time,
-- so that each sees what the one before it has reserved.
-- +goose StatementBegin
CREATE FUNCTION reserve_egress(reservation BIGINT, of_tenant TEXT, of_epoch BIGINT, wanted BIGINT, at_most BIGINT,
    now_ms BIGINT, hold_ms BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    taken BIGINT;
BEGIN
    IF at_most IS NOT NULL AND wanted > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('egress ' || of_tenant, 0));
        SELECT (SELECT coalesce(sum(e.bytes), 0) FROM egress e
                WHERE e.tenant = of_tenant AND e.epoch = of_epoch AND (e.hour + 121) * 3600000 > now_ms)
             + (SELECT coalesce(sum(r.bytes), 0) FROM reservations r
                WHERE r.tenant = of_tenant AND r.epoch = of_epoch AND r.until_ms > now_ms) INTO taken;
        IF taken + wanted > at_most THEN
            RETURN FALSE;
        END IF;
    END IF;
    INSERT INTO reservations (id, tenant, epoch, bytes, until_ms)
        VALUES (reservation, of_tenant, of_epoch, wanted, now_ms + hold_ms);
    RETURN TRUE;
END;
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION reserve_egress;
DROP FUNCTION clock_ms;
DROP TABLE reservations;
