package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callvault"
)

// Reopen forgets that its source has closed a tenant, and what was fetched of it and
// counts against its egress limit there: the provider has reset it. The next run asks
// again. callvault.NotFound when no source has shown the tenant; database.Held while
// a run over its source is under way, which would not hear of it.
func (c *Collector) Reopen(ctx context.Context, tenant string) error {
	var source string
	err := c.db.Reader.QueryRowContext(ctx, `SELECT source FROM collected_tenants WHERE tenant = $1`, tenant).Scan(&source)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("the tenant %s is not collected from any source: %w", tenant, callvault.NotFound)
	}
	if err != nil {
		return fmt.Errorf("tenant %s: %w", tenant, err)
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
