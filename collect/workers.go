package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// WorkerTimeout is how long a worker may be silent before others take over its work.
// It is several times the interval between Heartbeats.
const WorkerTimeout = 30 * time.Second

// Heartbeat records that a worker is alive. late reports that the worker had been silent
// for WorkerTimeout, or was unknown: others may have taken over its work.
func (c *Collector) Heartbeat(ctx context.Context, worker string) (late bool, err error) {
	err = c.db.Tx(ctx, func(tx *sql.Tx) error {
		var inTime int
		clock := c.db.Clock()
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM workers WHERE name = $1 AND `+heardWithin(clock, "$2"), worker, WorkerTimeout.Milliseconds()).Scan(&inTime)
		if err != nil {
			return err
		}
		late = inTime == 0
		_, err = tx.ExecContext(ctx, `INSERT INTO workers (name, seen_ms) VALUES ($1, `+clock+`)
			ON CONFLICT (name) DO UPDATE SET seen_ms = excluded.seen_ms`, worker)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("worker %s: %w", worker, err)
	}
	return late, nil
}

// heardWithin returns the SQL condition that a worker was heard of within so many
// milliseconds. A time further in the future than that was recorded before the database's
// clock was set back.
func heardWithin(clock, within string) string {
	return `seen_ms BETWEEN ` + clock + ` - CAST(` + within + ` AS BIGINT) AND ` + clock + ` + CAST(` + within + ` AS BIGINT)`
}

// AliveWorkers returns the workers that were heard of within WorkerTimeout, and forgets
// those that were not heard of for a day.
func (c *Collector) AliveWorkers(ctx context.Context) (map[string]bool, error) {
	alive := map[string]bool{}
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		clock := c.db.Clock()
		if _, err := tx.ExecContext(ctx, `DELETE FROM workers WHERE seen_ms < `+clock+` - CAST($1 AS BIGINT)`, (24 * time.Hour).Milliseconds()); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT name FROM workers WHERE `+heardWithin(clock, "$1"), WorkerTimeout.Milliseconds())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			alive[name] = true
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	return alive, nil
}

// RemoveWorker forgets a worker that ends in order.
func (c *Collector) RemoveWorker(ctx context.Context, worker string) error {
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM workers WHERE name = $1`, worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("worker %s: %w", worker, err)
	}
	return nil
}

// startGrace is how long after its scheduled time the first run over a source may begin,
// and how far clocks may differ. Later runs are made up for however late it is.
const startGrace = 2 * time.Minute

// RunDue reports whether it is time for a run over the source, while none is under way: by
// the schedule, which may be nil, or because a tenant that was closed when the last shared
// run ended opens again.
func (c *Collector) RunDue(ctx context.Context, source *Source, schedule *Schedule, now time.Time) (bool, error) {
	status, err := c.SourceStatus(ctx, source.Name)
	if err != nil {
		return false, err
	}
	var reopens int64
	err = c.db.Reader.QueryRowContext(ctx, `SELECT reopens_ms FROM sources WHERE name = $1`, source.Name).Scan(&reopens)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("source %s: %w", source.Name, err)
	}
	if 0 < reopens && reopens <= now.UnixMilli() {
		return true, nil
	}
	if schedule == nil {
		return false, nil
	}
	since := now.Add(-startGrace)
	// A run that began a little in the future was begun by a worker with another clock: it
	// is the run of this time. One further in the future was begun with a wrong clock.
	if status.LastRun != nil && status.LastRun.StartedAt <= now.Add(startGrace).UnixMilli() {
		since = time.UnixMilli(status.LastRun.StartedAt)
	}
	return !schedule.Next(since).After(now), nil
}

// noteReopening records when, after a shared run, a closed tenant opens again.
func (r *Run) noteReopening(ctx context.Context) error {
	never := time.UnixMilli(math.MaxInt64 / 2)
	at := int64(0)
	if opens := r.c.nextRunAt(ctx, r.source, never); opens.Before(never) {
		at = opens.UnixMilli()
	}
	err := r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sources SET reopens_ms = $1 WHERE name = $2`, at, r.source.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("source %s: %w", r.source.Name, err)
	}
	return nil
}
