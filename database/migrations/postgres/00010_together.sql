-- +goose Up

-- A reservation is found by tenant, epoch and id in a single index, because it is
-- written and deleted with each download.
ALTER TABLE reservations DROP CONSTRAINT reservations_pkey, ADD PRIMARY KEY (tenant, epoch, id);
DROP INDEX reservations_by_tenant;

-- These functions read few rows of a table most of whose rows may be dead. The planner
-- cannot see that, and would read all of them. Therefore rows are looked up one by one
-- in the index, which also marks the dead ones there, so that they are not met again.

-- Reserves egress for downloads that begin together, and returns those for which there
-- was room. (reserve_egress does it for one; services of an earlier version call it.)
-- The downloads must be in the order of tenant and epoch, so that no two calls wait for
-- each other. at_ms is the time; 0 means now, by the database's clock.
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
-- reservations that no longer exist have been charged already. Rows of egress are locked
-- in their order, so that no two calls wait for each other. at_ms is as above.
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
