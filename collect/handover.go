package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"callvault"
)

// HandOver moves a tenant to another source, as when the tenant moves to another account
// of the provider, and returns the name of its former source. What is held stays, with its
// origin. The next run over the new source lists all days again, since earlier lists may
// have been without the tenant.
//
// The error is callvault.NotFound if no source has shown the tenant; callvault.Conflict if
// it is the new source's already, or is handed over by someone else at the same time;
// callvault.InvalidParameter if its name does not begin with the new source's prefix;
// database.Held while a run over either source is under way.
func (c *Collector) HandOver(ctx context.Context, tenant string, to *Source) (from string, err error) {
	if from, err = c.SourceOf(ctx, tenant); err != nil {
		return "", err
	}
	if from == to.Name {
		return "", fmt.Errorf("the tenant %s is collected from source %s already: %w", tenant, from, callvault.Conflict)
	}
	remote, fits := strings.CutPrefix(tenant, to.Prefix)
	if !fits || remote == "" {
		return "", fmt.Errorf("the tenant %s cannot be one of source %s, whose tenants' names here begin with %s: %w",
			tenant, to.Name, to.Prefix, callvault.InvalidParameter)
	}
	both := []string{from, to.Name}
	slices.Sort(both) // so that one of two concurrent calls gets both locks
	for _, source := range both {
		release, err := c.db.Lock("source "+source, nil)
		if err != nil {
			return "", err
		}
		defer release()
	}
	return from, c.alter(ctx, []string{tenant}, func(tx *sql.Tx) error {
		handed, err := tx.ExecContext(ctx, `UPDATE collected_tenants SET source = $1, remote = $2 WHERE tenant = $3 AND source = $4`,
			to.Name, remote, tenant, from)
		if err != nil {
			return fmt.Errorf("hand over %s: %w", tenant, err)
		}
		if n, err := handed.RowsAffected(); err != nil || n == 0 { // it is another source's now, which is not locked here
			return errors.Join(err, fmt.Errorf("the tenant %s was handed over to another source just now: %w", tenant, callvault.Conflict))
		}
		for _, change := range []struct {
			statement string
			args      []any
		}{
			{`UPDATE items SET source = $1 WHERE tenant = $2`, []any{to.Name, tenant}},
			{`DELETE FROM paces WHERE source = $1 AND subject = $2`, []any{to.Name, tenant}},
			{`UPDATE paces SET source = $1 WHERE source = $2 AND subject = $3`, []any{to.Name, from, tenant}},
		} {
			if _, err := tx.ExecContext(ctx, change.statement, change.args...); err != nil {
				return fmt.Errorf("hand over %s: %w", tenant, err)
			}
		}
		return writeListings(ctx, tx, to.Name, nil)
	})
}
