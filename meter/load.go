package meter

import (
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"time"

	"callvault"
	"callvault/database"
)

// Open returns a Memory with the state that an earlier one saved to the database.
func Open(ctx context.Context, db *database.DB) (*Memory, error) {
	m := &Memory{db: db, seed: maphash.MakeSeed(), opened: time.Now(), settled: make(chan struct{}, 1)}
	for i := range m.shards {
		m.shards[i].windows = map[string]*window{}
		m.shards[i].ledgers = map[string]*ledger{}
		m.shards[i].counts = map[string]*Counts{}
	}
	if err := m.loadWindows(ctx); err != nil {
		return nil, fmt.Errorf("load the request windows: %w", err)
	}
	if err := m.loadLedgers(ctx); err != nil {
		return nil, fmt.Errorf("load the egress ledgers: %w", err)
	}
	return m, nil
}

func (m *Memory) loadWindows(ctx context.Context) error {
	rows, err := m.db.Reader.QueryContext(ctx, `SELECT subject, first_ms, second_ms, third_ms FROM request_windows`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var subject string
		w := &window{stored: true}
		if err := rows.Scan(&subject, &w.Window[0], &w.Window[1], &w.Window[2]); err != nil {
			return err
		}
		m.shard(subject).windows[subject] = w
	}
	return rows.Err()
}

// loadLedgers loads the latest epoch of each tenant. If a ledger was reset but not used
// since, the database has only its old epoch; the ledger is emptied when a request
// shows the tenant's new one.
func (m *Memory) loadLedgers(ctx context.Context) error {
	rows, err := m.db.Reader.QueryContext(ctx, `SELECT tenant, epoch, hour, bytes FROM egress ORDER BY tenant, epoch, hour`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var tenant string
		var epoch int64
		var h Hour
		if err := rows.Scan(&tenant, &epoch, &h.Hour, &h.Bytes); err != nil {
			return err
		}
		s := m.shard(tenant)
		l := s.ledgers[tenant]
		if l == nil || l.epoch < epoch {
			l = &ledger{epoch: epoch, unsaved: saved}
			s.ledgers[tenant] = l
		}
		l.load(h)
	}
	return rows.Err()
}

// ReadUsage returns the tenant's egress at now from the database alone, for a command
// that runs beside a service. It may lack the last second of that service.
func ReadUsage(ctx context.Context, db *database.DB, tenant *callvault.Tenant, now time.Time) (Usage, error) {
	l, err := readLedger(ctx, db.Reader, tenant)
	if err != nil {
		return Usage{}, fmt.Errorf("egress of %s: %w", tenant.Name, err)
	}
	return l.usage(tenant, now.UnixMilli()), nil
}

func readLedger(ctx context.Context, db *sql.DB, tenant *callvault.Tenant) (*Ledger, error) {
	rows, err := db.QueryContext(ctx, `SELECT hour, bytes FROM egress WHERE tenant = $1 AND epoch = $2 ORDER BY hour`,
		tenant.Name, tenant.UsageEpoch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var l Ledger
	for rows.Next() {
		var h Hour
		if err := rows.Scan(&h.Hour, &h.Bytes); err != nil {
			return nil, err
		}
		l.load(h)
	}
	return &l, rows.Err()
}
