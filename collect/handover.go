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

// HandOver makes a tenant one of another source, as when its account there moves to
// another, and returns the name of the source it was of. What is held stays, and goes on
// to tell where it came from. The next run over the new source lists all of its days
// again: it may have shown them without the tenant.
//
// callvault.NotFound when no source has shown the tenant; callvault.Conflict when it is
// the new source's already, or somebody else hands it over at the same time;
// callvault.InvalidParameter when its name has not the new source's prefix; database.Held
// while a run over either is under way.
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
	slices.Sort(both) // so that of two who do this one gets both locks
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
		if n, err := handed.RowsAffected(); err != nil || n == 0 { // the lock on the source that has it now is not held
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
