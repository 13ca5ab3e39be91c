package meter

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Run saves every second what has changed, until ctx ends; then it saves once more and
// returns the error of that. When a download ends, and none has in the second before, it
// saves at once, so that a command that reads the usage just then sees it. If a Save
// fails Run tries again every second, and logs the first of a series of failures.
func (m *Memory) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	settled, failing := m.settled, false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			return m.Save(last)
		case <-settled:
			settled = nil // those that follow wait for the tick
			tick.Reset(time.Second)
		case <-tick.C:
			settled = m.settled
			select {
			case <-settled: // the Save below includes it
			default:
			}
		}
		err := m.Save(ctx)
		// A disk that stays full must not fill the log as well.
		if err != nil && !failing && ctx.Err() == nil {
			slog.WarnContext(ctx, "the meter is not saved, trying again every second", "error", err)
		}
		failing = err != nil
	}
}

// Save writes what has changed since the last Save, in one transaction, and drops
// windows in which nothing counts any longer. It does not write reserved bytes. A Save
// that fails loses nothing: the next one writes it.
func (m *Memory) Save(ctx context.Context) error {
	m.saving.Lock()
	defer m.saving.Unlock()
	b := m.collect()
	if len(b.windows) == 0 && len(b.ledgers) == 0 {
		return nil
	}
	sweep := b.hour != m.swept
	err := m.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := b.writeWindows(ctx, tx); err != nil {
			return err
		}
		if err := b.writeLedgers(ctx, tx); err != nil {
			return err
		}
		if !sweep {
			return nil
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM egress WHERE hour < $1`, b.hour-windowHours)
		return err
	})
	if err != nil {
		b.putBack()
		return fmt.Errorf("save the meter: %w", err)
	}
	m.swept = b.hour
	b.dropIdle()
	return nil
}

// batch is what one Save writes: a copy, so that no lock is held while it is written.
type batch struct {
	windows []windowRow
	ledgers []ledgerRow
	hour    int64 // the latest hour of any call
}

type windowRow struct {
	shard   *shard
	subject string
	kept    *window
	Window
	idle bool
}

type ledgerRow struct {
	shard  *shard
	tenant string
	kept   *ledger
	epoch  int64
	from   int64  // the rows from this hour on are replaced
	hours  []Hour // by these
}

// collect returns what has changed, and marks it as saved; putBack undoes that.
func (m *Memory) collect() *batch {
	b := &batch{}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		if s.touched {
			s.touched = false
			b.hour = max(b.hour, s.now/hourMs)
			b.collectWindows(s)
			b.collectLedgers(s)
		}
		s.mu.Unlock()
	}
	return b
}

func (b *batch) collectWindows(s *shard) {
	for subject, w := range s.windows {
		idle := w.Idle(s.now)
		if idle && !w.stored {
			delete(s.windows, subject)
			continue
		}
		if idle || w.changed {
			b.windows = append(b.windows, windowRow{s, subject, w, w.Window, idle})
			w.changed, w.stored = false, true
		}
	}
}

func (b *batch) collectLedgers(s *shard) {
	for tenant, l := range s.ledgers {
		if l.unsaved == saved {
			continue
		}
		at := len(l.hours)
		for at > 0 && l.hours[at-1].Hour >= l.unsaved {
			at--
		}
		b.ledgers = append(b.ledgers, ledgerRow{s, tenant, l, l.epoch, l.unsaved, slices.Clone(l.hours[at:])})
		l.unsaved = saved
	}
}

// putBack marks the batch as unsaved after all.
func (b *batch) putBack() {
	for _, row := range b.windows {
		row.shard.mu.Lock()
		row.kept.changed = true
		row.shard.touched = true
		row.shard.mu.Unlock()
	}
	for _, row := range b.ledgers {
		row.shard.mu.Lock()
		row.kept.unsaved = min(row.kept.unsaved, row.from)
		row.shard.touched = true
		row.shard.mu.Unlock()
	}
}

// dropIdle forgets the windows whose rows were deleted, except those that have been used
// since.
func (b *batch) dropIdle() {
	for _, row := range b.windows {
		if !row.idle {
			continue
		}
		row.shard.mu.Lock()
		if row.shard.windows[row.subject] == row.kept && !row.kept.changed {
			delete(row.shard.windows, row.subject)
		}
		row.shard.mu.Unlock()
	}
}

func (b *batch) writeWindows(ctx context.Context, tx *sql.Tx) error {
	if len(b.windows) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, `INSERT INTO request_windows (subject, first_ms, second_ms, third_ms)
		VALUES ($1, $2, $3, $4) ON CONFLICT (subject) DO UPDATE
		SET first_ms = excluded.first_ms, second_ms = excluded.second_ms, third_ms = excluded.third_ms`)
	if err != nil {
		return err
	}
	defer put.Close()
	drop, err := tx.PrepareContext(ctx, `DELETE FROM request_windows WHERE subject = $1`)
	if err != nil {
		return err
	}
	defer drop.Close()
	for _, row := range b.windows {
		if row.idle {
			_, err = drop.ExecContext(ctx, row.subject)
		} else {
			_, err = put.ExecContext(ctx, row.subject, row.Window[0], row.Window[1], row.Window[2])
		}
		if err != nil {
			return fmt.Errorf("window of %s: %w", row.subject, err)
		}
	}
	return nil
}

// writeLedgers replaces rows rather than adding to them, so that a Save whose outcome is
// unknown can be repeated. It also deletes all rows after the first changed hour, where a
// clock that jumped back has left some, and the rows of older epochs.
func (b *batch) writeLedgers(ctx context.Context, tx *sql.Tx) error {
	if len(b.ledgers) == 0 {
		return nil
	}
	drop, err := tx.PrepareContext(ctx,
		`DELETE FROM egress WHERE tenant = $1 AND (epoch < $2 OR epoch = $2 AND hour >= $3)`)
	if err != nil {
		return err
	}
	defer drop.Close()
	put, err := tx.PrepareContext(ctx, `INSERT INTO egress (tenant, epoch, hour, bytes) VALUES ($1, $2, $3, $4)`)
	if err != nil {
		return err
	}
	defer put.Close()
	for _, row := range b.ledgers {
		if _, err := drop.ExecContext(ctx, row.tenant, row.epoch, row.from); err != nil {
			return fmt.Errorf("egress of %s: %w", row.tenant, err)
		}
		for _, h := range row.hours {
			if _, err := put.ExecContext(ctx, row.tenant, row.epoch, h.Hour, h.Bytes); err != nil {
				return fmt.Errorf("egress of %s: %w", row.tenant, err)
			}
		}
	}
	return nil
}
