package collect

import (
	"context"
	"database/sql"
	"fmt"
)

// Reopen forgets that a tenant was closed by its source, and how much egress was counted:
// the provider has reset it. The next run asks again. The error is callvault.NotFound if
// no source has shown the tenant, and database.Held while a run over its source is under
// way, which would not notice.
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
