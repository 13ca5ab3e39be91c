-- +goose Up

-- Why the run at work over a source must end, as found by who takes a tenant's
-- turn in it elsewhere; '' while it may go on.
ALTER TABLE sources ADD COLUMN halted TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE sources DROP COLUMN halted;
