package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callvault"
)

const tenantColumns = `name, title, time_zone, agents, request_limit, egress_override, egress_off, usage_epoch, created_ms`

// Tenants returns all tenants, ordered by name.
func (a *Accounts) Tenants(ctx context.Context) ([]callvault.Tenant, error) {
	return queryTenants(ctx, a.db.Reader)
}

// AddTenant adds a tenant. If there is one with that name the error wraps
// callvault.Conflict.
func (a *Accounts) AddTenant(ctx context.Context, tenant callvault.Tenant, now time.Time) error {
	if err := errors.Join(tenant.Validate(), checkNewName(tenant.Name)); err != nil {
		return err
	}
	tenant.Created = now.UnixMilli()
	return a.change(ctx, func(tx *sql.Tx) error {
		added, err := insertTenant(ctx, tx, &tenant)
		if err == nil && !added {
			err = fmt.Errorf("there is a tenant %q already; change it with tenant set: %w", tenant.Name, callvault.Conflict)
		}
		if err != nil {
			return err
		}
		return recordTenant(ctx, tx, &tenant)
	})
}

// EnsureTenants adds the tenants with these names that do not exist yet, with the
// default settings.
func (a *Accounts) EnsureTenants(ctx context.Context, names []string, now time.Time) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		for _, name := range names {
			tenant := callvault.Tenant{Name: name, RequestLimit: true, Created: now.UnixMilli()}
			if err := tenant.Validate(); err != nil {
				return err
			}
			added, err := insertTenant(ctx, tx, &tenant)
			if err == nil && added {
				err = recordTenant(ctx, tx, &tenant)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// recordTenant records in the audit trail that a tenant was added.
func recordTenant(ctx context.Context, tx *sql.Tx, t *callvault.Tenant) error {
	return record(ctx, tx, Event{Action: "add tenant", Tenant: t.Name, Detail: settings(*t)})
}

// SetTenant changes a tenant's settings with edit. The name stays the same.
func (a *Accounts) SetTenant(ctx context.Context, name string, edit func(*callvault.Tenant) error) error {
	return a.changeTenant(ctx, name, "set tenant", edit)
}

// ResetUsage resets a tenant's egress to 0: what was sent before no longer counts.
func (a *Accounts) ResetUsage(ctx context.Context, name string) error {
	return a.changeTenant(ctx, name, "reset usage", func(t *callvault.Tenant) error {
		t.UsageEpoch++
		return nil
	})
}

func (a *Accounts) changeTenant(ctx context.Context, name, action string, edit func(*callvault.Tenant) error) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		tenant, err := scanTenant(tx.QueryRowContext(ctx, `SELECT `+tenantColumns+` FROM tenants WHERE name = $1`, name))
		if errors.Is(err, sql.ErrNoRows) {
			return unknownTenant(name)
		}
		if err != nil {
			return fmt.Errorf("tenant %q: %w", name, err)
		}
		before, epoch := encode(tenant), tenant.UsageEpoch // a copy: edit may write through pointers
		if err := edit(&tenant); err != nil {
			return err
		}
		tenant.Name = name
		if err := tenant.Validate(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE tenants SET title = $1, time_zone = $2, agents = $3, request_limit = $4,
			egress_override = $5, egress_off = $6, usage_epoch = $7 WHERE name = $8`,
			tenant.Title, tenant.TimeZone, tenant.Agents, tenant.RequestLimit,
			tenant.EgressOverride, tenant.EgressOff, tenant.UsageEpoch, name)
		if err != nil {
			return fmt.Errorf("tenant %q: %w", name, err)
		}
		detail := ""
		if tenant.UsageEpoch == epoch { // else the action says it all
			detail = changes(json.RawMessage(before), tenant)
		}
		return record(ctx, tx, Event{Action: action, Tenant: name, Detail: detail})
	})
}

func insertTenant(ctx context.Context, tx *sql.Tx, t *callvault.Tenant) (added bool, err error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO tenants (`+tenantColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING`,
		t.Name, t.Title, t.TimeZone, t.Agents, t.RequestLimit, t.EgressOverride, t.EgressOff, t.UsageEpoch, t.Created)
	if err != nil {
		return false, fmt.Errorf("tenant %q: %w", t.Name, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func queryTenants(ctx context.Context, from querier) ([]callvault.Tenant, error) {
	rows, err := from.QueryContext(ctx, `SELECT `+tenantColumns+` FROM tenants ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	defer rows.Close()
	tenants := []callvault.Tenant{}
	for rows.Next() {
		tenant, err := scanTenant(rows)
		if err != nil {
			return nil, fmt.Errorf("tenants: %w", err)
		}
		tenants = append(tenants, tenant)
	}
	return tenants, rows.Err()
}

func scanTenant(row interface{ Scan(...any) error }) (t callvault.Tenant, err error) {
	err = row.Scan(&t.Name, &t.Title, &t.TimeZone, &t.Agents, &t.RequestLimit,
		&t.EgressOverride, &t.EgressOff, &t.UsageEpoch, &t.Created)
	return t, err
}
