package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callvault/archive"
	"callvault/database"
)

// mark is the row that a move leaves in the target's database.
type mark struct {
	source  string
	endedMs int64 // 0 until everything is there
}

// readMark reads the mark, or returns nil when there is none.
func readMark(ctx context.Context, db *database.DB) (*mark, error) {
	m := &mark{}
	err := db.Reader.QueryRowContext(ctx, `SELECT source, ended_ms FROM moves`).Scan(&m.source, &m.endedMs)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("mark of a move: %w", err)
	}
	return m, nil
}

// Unfinished returns an error if an archive is being moved into the database and is not
// whole yet.
func Unfinished(ctx context.Context, db *database.DB) error {
	m, err := readMark(ctx, db)
	if err != nil || m == nil || m.endedMs > 0 {
		return err
	}
	return fmt.Errorf("this archive is being moved here from %s and is not whole yet: run callvault move again until it ends", m.source)
}

// begin sets the mark, or finds that of an earlier run; then again is true.
func (m *mover) begin(ctx context.Context) (again bool, err error) {
	found, err := readMark(ctx, m.To.DB)
	switch {
	case err != nil:
		return false, err
	case found != nil && found.source != m.From.Name:
		return false, fmt.Errorf("another archive, %s, was moved into %s already, not %s; name an empty place", found.source, m.To.Name, m.From.Name)
	case found != nil:
		m.endedMs = found.endedMs
		return true, nil
	}
	if err := m.checkEmpty(ctx); err != nil {
		return false, err
	}
	if err := m.OnBegin(ctx); err != nil {
		return false, err
	}
	return false, write(ctx, m.To.DB, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO moves (source, began_ms, ended_ms) VALUES ($1, $2, 0)`, m.From.Name, time.Now().UnixMilli())
		return err
	})
}

// checkEmpty returns an error unless the target is empty.
func (m *mover) checkEmpty(ctx context.Context) error {
	refuse := func(what string) error {
		return fmt.Errorf("%s is not empty (%s), and what is there does not come from a move: name an empty place", m.To.Name, what)
	}
	for i := range m.tables {
		t := &m.tables[i]
		if len(t.key) == 0 {
			continue // it always has a row
		}
		rows, err := t.read(ctx, m.To.DB, nil, nil, 1)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			return refuse("its table " + t.name + " has rows")
		}
	}
	for _, store := range []archive.Blobs{m.To.Audio, m.To.Quarantine} {
		for key, err := range store.Keys(ctx, "") {
			if err != nil {
				return err
			}
			return refuse("it has the file " + key)
		}
	}
	return nil
}

// end marks the move as complete.
func (m *mover) end(ctx context.Context) error {
	return write(ctx, m.To.DB, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE moves SET ended_ms = $1`, time.Now().UnixMilli())
		return err
	})
}

// saveFaults saves faults in the target's database, so that the run that completes the move
// reports those of all runs.
func saveFaults(ctx context.Context, tx *sql.Tx, faults []Fault) error {
	for _, f := range faults {
		_, err := tx.ExecContext(ctx, `INSERT INTO move_faults (tenant, recording_key, fault) VALUES ($1, $2, $3)
			ON CONFLICT (tenant, recording_key) DO UPDATE SET fault = excluded.fault`, f.Tenant, f.RecordingKey, f.Fault)
		if err != nil {
			return fmt.Errorf("fault of recording %s: %w", f.RecordingKey, err)
		}
	}
	return nil
}

// savedFaults returns the faults that were saved.
func savedFaults(ctx context.Context, db *database.DB) ([]Fault, error) {
	rows, err := db.Reader.QueryContext(ctx, `SELECT tenant, recording_key, fault FROM move_faults ORDER BY tenant, recording_key`)
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	defer rows.Close()
	faults := []Fault{}
	for rows.Next() {
		var f Fault
		if err := rows.Scan(&f.Tenant, &f.RecordingKey, &f.Fault); err != nil {
			return nil, fmt.Errorf("faults: %w", err)
		}
		faults = append(faults, f)
	}
	return faults, rows.Err()
}
