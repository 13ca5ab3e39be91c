-- +goose Up

-- A reservation is found by whose it is and its number, in one index: it is written
-- and deleted with each download.
ALTER TABLE reservations DROP CONSTRAINT reservations_pkey, ADD PRIMARY KEY (tenant, epoch, id);
DROP INDEX reservations_by_tenant;

-- What these functions read is a small part of a table that has just been emptied or
-- is about to be, in which the planner cannot see that most rows are dead: it would
-- read all of them. Looked for one by one in the index they are also marked there as
-- dead, and not met again.

-- Sets egress aside for downloads that begin together, as reserve_egress does for
-- one, which services of an earlier version call; and returns for which there was
-- room. They come in the order of tenant and epoch, so that no two calls wait for each
-- other. at_ms is 0 where the time is the database's now.
-- +goose StatementBegin
CREATE FUNCTION reserve_together(ids BIGINT[], tenants TEXT[], epochs BIGINT[], wanted BIGINT[], at_most BIGINT[],
    at_ms BIGINT[], hold_ms BIGINT) RETURNS SETOF BIGINT LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    now_ms BIGINT;
    taken  BIGINT; -- of the tenant, by all others; null until it is asked for
    mine   BIGINT; -- of the tenant, by those before in this call
    fit    BOOLEAN[];
    until  BIGINT[];
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        IF i = 1 OR tenants[i] <> tenants[i - 1] OR epochs[i] <> epochs[i - 1] THEN
            taken := NULL;
            mine := 0;
        END IF;
        IF at_most[i] IS NOT NULL AND wanted[i] > 0 AND taken IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('egress ' || tenants[i], 0));
        END IF;
        now_ms := coalesce(nullif(at_ms[i], 0), clock_ms());
        IF at_most[i] IS NOT NULL AND wanted[i] > 0 AND taken IS NULL THEN
            SELECT (SELECT coalesce(sum(e.bytes), 0) FROM egress e
                    WHERE e.tenant = tenants[i] AND e.epoch = epochs[i] AND e.hour > now_ms / 3600000 - 121)
                 + (SELECT coalesce(sum(r.bytes), 0) FROM reservations r
                    WHERE r.tenant = tenants[i] AND r.epoch = epochs[i] AND r.until_ms > now_ms) INTO taken;
        END IF;
        fit[i] := at_most[i] IS NULL OR wanted[i] = 0 OR taken + mine + wanted[i] <= at_most[i];
        until[i] := now_ms + hold_ms;
        IF fit[i] THEN
            mine := mine + wanted[i];
        END IF;
    END LOOP;
    RETURN QUERY INSERT INTO reservations (id, tenant, epoch, bytes, until_ms)
        SELECT r.id, r.tenant, r.epoch, r.bytes, r.until_ms
        FROM unnest(ids, tenants, epochs, wanted, until, fit) AS r (id, tenant, epoch, bytes, until_ms, fits) WHERE r.fits
        RETURNING reservations.id;
END;
$$;
-- +goose StatementEnd

-- Ends reservations and charges what was sent, once, however often it is called:
-- those that are not there any more are charged already. Rows of the egress are taken
-- in their order, so that no two calls wait for each other. at_ms as above.
-- +goose StatementBegin
CREATE FUNCTION settle_together(ids BIGINT[], tenants TEXT[], epochs BIGINT[], sent BIGINT[], at_ms BIGINT[])
    RETURNS VOID LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    WITH ended AS (
        DELETE FROM reservations AS r USING unnest(ids, tenants, epochs, sent, at_ms) AS c (id, tenant, epoch, sent, at_ms)
        WHERE r.tenant = c.tenant AND r.epoch = c.epoch AND r.id = c.id
        RETURNING r.tenant, r.epoch, coalesce(nullif(c.at_ms, 0), clock_ms()) / 3600000 AS hour, c.sent)
    INSERT INTO egress (tenant, epoch, hour, bytes)
    SELECT e.tenant, e.epoch, e.hour, CAST(sum(e.sent) AS BIGINT) FROM ended e WHERE e.sent > 0
    GROUP BY e.tenant, e.epoch, e.hour ORDER BY e.tenant, e.epoch, e.hour
    ON CONFLICT (tenant, epoch, hour) DO UPDATE SET bytes = egress.bytes + excluded.bytes;
END;
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION settle_together;
DROP FUNCTION reserve_together;
CREATE INDEX reservations_by_tenant ON reservations (tenant, epoch);
ALTER TABLE reservations DROP CONSTRAINT reservations_pkey, ADD PRIMARY KEY (id);
