package archive

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"callvault"
)

// callRow is a call as it is kept, without its recordings.
type callRow struct {
	call      callvault.Call
	given     bool // it came as a call; otherwise it was made from a recording
	updatedMs int64
}

// saveCall writes the call of a recording whose row is written already. A call
// that was given stands above one that was made, a later one above an earlier.
func saveCall(ctx context.Context, tx *sql.Tx, row *callRow) error {
	known, err := findCall(ctx, tx, row.call.TenantName, row.call.CallKey)
	if err != nil {
		return fmt.Errorf("call %s: %w", row.call.CallKey, err)
	}
	if known == nil || row.replaces(known) {
		if err := writeCall(ctx, tx, row); err != nil {
			return fmt.Errorf("call %s: %w", row.call.CallKey, err)
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE calls SET
		lead_ms = start_ms - (SELECT min(r.start_ms) FROM recordings r WHERE r.tenant = $1 AND r.call_key = $2),
		reach_ms = (SELECT max(r.start_ms) FROM recordings r WHERE r.tenant = $1 AND r.call_key = $2) - start_ms
		WHERE tenant = $1 AND call_key = $2`, row.call.TenantName, row.call.CallKey)
	if err != nil {
		return fmt.Errorf("call %s: %w", row.call.CallKey, err)
	}
	return nil
}

// replaces tells whether the row takes the place of the known one. A call that
// was made from one recording is widened until it spans the others too.
func (row *callRow) replaces(known *callRow) bool {
	switch {
	case row.given != known.given:
		return row.given
	case row.given:
		return row.updatedMs >= known.updatedMs
	}
	span := callvault.Span{From: known.call.StartTime, To: known.call.EndTime}
	wider := callvault.Span{From: min(row.call.StartTime, span.From), To: max(row.call.EndTime, span.To)}
	row.call = known.call
	row.call.StartTime, row.call.EndTime = wider.From, wider.To
	return wider != span
}

func findCall(ctx context.Context, tx *sql.Tx, tenant, callKey string) (*callRow, error) {
	var published []byte
	row := &callRow{}
	err := tx.QueryRowContext(ctx, `SELECT given, json, updated_ms FROM calls WHERE tenant = $1 AND call_key = $2`,
		tenant, callKey).Scan(&row.given, &published, &row.updatedMs)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return row, json.Unmarshal(published, &row.call)
}

func writeCall(ctx context.Context, tx *sql.Tx, row *callRow) error {
	c := &row.call
	_, err := tx.ExecContext(ctx, `INSERT INTO calls (tenant, call_key, start_ms, given, json, lead_ms, reach_ms, updated_ms)
		VALUES ($1, $2, $3, $4, $5, 0, 0, $6)
		ON CONFLICT (tenant, call_key) DO UPDATE SET start_ms = excluded.start_ms, given = excluded.given,
		json = excluded.json, updated_ms = excluded.updated_ms`,
		c.TenantName, c.CallKey, c.StartTime, row.given, string(c.AppendJSON(nil)), row.updatedMs)
	return err
}
