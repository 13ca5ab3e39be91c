-- +goose Up

-- A recording that was only noted has no upload to be found by: leave it out.
DROP INDEX recordings_by_upload;
CREATE INDEX recordings_by_upload ON recordings (tenant, upload_sha256) WHERE length(upload_sha256) > 0;

-- +goose Down
DROP INDEX recordings_by_upload;
CREATE INDEX recordings_by_upload ON recordings (tenant, upload_sha256);
