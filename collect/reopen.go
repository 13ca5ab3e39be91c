package collect

import (
	"context"
	"database/sql"
	"fmt"
)

// Reopen forgets that its source has closed a tenant, and what was fetched of it and
// counts against its egress limit there: the provider has reset it. The next run asks
// again. callvault.NotFound when no source has shown the tenant; database.Held while
// a run over its source is under way, which would not hear of it.
func (c *Collector) Reopen(ctx context.Context, tenant string) error {
	source, err := c.SourceOf(ctx, tenant)
	if err != nil {
		return err
	}
	release, err := c.db.Lock("source "+source, nil)
	if err != nil {
		return err
	}
	defer release()
	return c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE collected_tenants SET closed_ms = 0, learned = NULL WHERE tenant = $1`, tenant)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM fetched WHERE tenant = $1`, tenant)
		}
		if err != nil {
			return fmt.Errorf("reopen %s: %w", tenant, err)
		}
		return nil
	})
}
