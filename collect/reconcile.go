package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callvault"
	"callvault/archive"
)

// Reconcile brings the ledger into line with an archive that was rebuilt from its files:
// recordings that the ledger wrongly believes held become due again, and the egress that
// the sources count is raised to what recent, the bytes held lately, shows.
func (c *Collector) Reconcile(ctx context.Context, sources []string, recent map[archive.HeldHour]int64) error {
	tenant, key := "", ""
	for {
		page, err := queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items WHERE state = 'held'
			AND (tenant, recording_key) > ($1, $2) ORDER BY tenant, recording_key LIMIT $3`, tenant, key, noteBatch)
		if err != nil {
			return err
		}
		var lost []*item
		for _, it := range page {
			tenant, key = it.tenant, it.key
			entry, err := c.archive.Find(ctx, it.tenant, it.key)
			switch {
			case errors.Is(err, callvault.NotFound):
				if err := c.forget(ctx, it); err != nil {
					return err
				}
			case err == nil && !entry.Held:
				it.state, it.reason, it.triedMs = due, "its audio was lost here", 0
				lost = append(lost, it)
			case err != nil:
				return err
			}
		}
		if err := c.writeStates(ctx, lost); err != nil {
			return err
		}
		if len(page) < noteBatch {
			return c.restoreEgress(ctx, sources, recent)
		}
	}
}

// forget removes the item of a recording that the archive no longer knows, so that the
// next run lists it again.
func (c *Collector) forget(ctx context.Context, it *item) error {
	instant := callvault.Span{From: it.startMs, To: it.startMs + 1}
	return c.db.Tx(ctx, func(tx *sql.Tx) error {
		err := c.changeListings(ctx, tx, it.source, func(all []listing) []listing { return subtract(all, instant) })
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM items WHERE tenant = $1 AND recording_key = $2`, it.tenant, it.key); err != nil {
			return fmt.Errorf("ledger of %s: %w", it.key, err)
		}
		return nil
	})
}

func (c *Collector) writeStates(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	tenants := make([]string, len(items))
	for i := range items {
		tenants[i] = items[i].tenant
	}
	return c.alter(ctx, tenants, func(tx *sql.Tx) error {
		for _, it := range items {
			if err := it.setState(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// restoreEgress raises the counted egress to what the files show. It never lowers it,
// since refused bodies left no file.
func (c *Collector) restoreEgress(ctx context.Context, sources []string, recent map[archive.HeldHour]int64) error {
	known := map[string]bool{}
	for _, name := range sources {
		known[name] = true
	}
	return c.db.Tx(ctx, func(tx *sql.Tx) error {
		for hour, bytes := range recent {
			if !known[hour.Source] {
				continue
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO fetched (tenant, hour, bytes) VALUES ($1, $2, $3)
				ON CONFLICT (tenant, hour) DO UPDATE SET bytes = excluded.bytes
				WHERE fetched.bytes < excluded.bytes`, hour.Tenant, hour.Hour, bytes)
			if err != nil {
				return fmt.Errorf("egress of %s: %w", hour.Tenant, err)
			}
		}
		return nil
	})
}
