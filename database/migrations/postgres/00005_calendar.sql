-- +goose Up

-- A calendar counts in indexes alone.
DROP INDEX items_by_day;
CREATE INDEX items_by_day ON items (tenant, start_ms, state);
DROP INDEX items_lacking;
CREATE INDEX items_lacking ON items (tenant, urgency, start_ms DESC, recording_key, state)
    WHERE state IN ('due', 'quarantined', 'denied', 'missing');
CREATE INDEX items_pending ON items (tenant) WHERE state = 'noted' AND status = 'PENDING';

-- So do certificates, and hash what they count.
CREATE INDEX recordings_counted ON recordings (tenant, start_ms, status, sha256, bytes, audio_ms);

-- +goose Down
DROP INDEX recordings_counted;
DROP INDEX items_pending;
DROP INDEX items_lacking;
CREATE INDEX items_lacking ON items (tenant, urgency, start_ms DESC, recording_key)
    WHERE state IN ('due', 'quarantined', 'denied', 'missing');
DROP INDEX items_by_day;
CREATE INDEX items_by_day ON items (tenant, start_ms);
