package archive

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"callvault"
)

// callRow is a call as it is stored, without its recordings.
type callRow struct {
	call      callvault.Call
	given     bool // a recording came with it; otherwise it was made from its recordings
	updatedMs int64
}

// saveCall brings the call of a recording up to date, after the recording's row has
// been written. A given call, now or earlier, takes precedence over one made from
// recordings, and the latest given call over earlier ones. A made call is that of its
// first recording, widened to span the others, in whatever order they arrive.
// saveCall returns the call as it is now and as it was before, nil if it is new.
func (b *batch) saveCall(ctx context.Context, earlier, entry *Entry, given *callRow) (now, before *callRow, err error) {
	r := &entry.Recording
	if before, err = b.call(ctx, r); err != nil {
		return nil, nil, err
	}
	switch {
	case given != nil && (before == nil || !before.given || given.updatedMs >= before.updatedMs):
		now = given
	case before != nil && before.given:
		now = before
	default:
		if now, err = callOfRecordings(ctx, b.tx, r, 1); err != nil {
			return nil, nil, err
		}
		now.widen(callvault.CallOf(r))
		if before != nil {
			now.widen(before.call)
		}
	}
	if stays(earlier, entry) && before.sameAs(now) {
		err = touchCall(ctx, b.tx, now)
	} else {
		err = writeCall(ctx, b.tx, now)
	}
	if err != nil {
		return nil, nil, err
	}
	b.calls[callName(r)] = now
	if before != nil && before.caller() != now.caller() {
		err = markCall(ctx, b.tx, &now.call)
	}
	return now, before, err
}

// remakeCall brings the call of a recording up to date after the recording's row was
// deleted or replaced by a different one. A call without recordings is deleted.
func (b *batch) remakeCall(ctx context.Context, r *callvault.Recording) error {
	row, err := b.call(ctx, r)
	if err != nil {
		return err
	}
	made, err := callOfRecordings(ctx, b.tx, r, math.MaxInt64)
	switch {
	case err != nil:
		return err
	case made == nil:
		b.calls[callName(r)] = nil
		return deleteCall(ctx, b.tx, r)
	case row == nil || !row.given:
		row = made
	}
	b.calls[callName(r)] = row
	return writeCall(ctx, b.tx, row)
}

const findOfCall = `SELECT ` + entryColumns + ` FROM recordings INDEXED BY recordings_by_call
	WHERE tenant = $1 AND call_key = $2 ORDER BY start_ms, recording_key LIMIT $3`

// callOfRecordings makes a call from the first limit recordings of r's call. It
// returns nil when there are none.
func callOfRecordings(ctx context.Context, tx *sql.Tx, r *callvault.Recording, limit int64) (*callRow, error) {
	rows, err := tx.QueryContext(ctx, findOfCall, r.TenantName, r.CallKey, limit)
	if err != nil {
		return nil, fmt.Errorf("recordings of call %s: %w", r.CallKey, err)
	}
	defer rows.Close()
	var made *callRow
	for rows.Next() {
		entry, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("recordings of call %s: %w", r.CallKey, err)
		}
		call := callvault.CallOf(&entry.Recording)
		if made == nil {
			made = &callRow{call: call}
		}
		made.widen(call)
	}
	return made, rows.Err()
}

func (row *callRow) widen(other callvault.Call) {
	row.call.StartTime = min(row.call.StartTime, other.StartTime)
	row.call.EndTime = max(row.call.EndTime, other.EndTime)
}

// callOf returns the row of a call, or nil when there is none.
func callOf(ctx context.Context, db queryer, tenant, callKey string) (*callRow, error) {
	found, err := queryCalls(ctx, db, findCall, tenant, callKey)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", callKey, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

const findCall = `SELECT given, json, updated_ms FROM calls WHERE tenant = $1 AND call_key = $2`

// findCalls is findCall for many calls: each row of values is a tenant and a key.
func findCalls(values string) string {
	return `SELECT given, json, updated_ms FROM (` + values + `) AS asked CROSS JOIN calls INDEXED BY calls_by_key
		WHERE tenant = column1 AND call_key = column2`
}

func queryCalls(ctx context.Context, db queryer, query string, args ...any) (found []*callRow, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var published sql.RawBytes
		row := &callRow{}
		if err := rows.Scan(&row.given, &published, &row.updatedMs); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(published, &row.call); err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// writeCall writes the row of a call that has recordings.
func writeCall(ctx context.Context, tx *sql.Tx, row *callRow) error {
	c := &row.call
	_, err := tx.ExecContext(ctx, `INSERT INTO calls (tenant, call_key, start_ms, given, json, updated_ms, lead_ms, reach_ms)
		VALUES ($1, $2, $3, $4, $5, $6,
			$3 - (SELECT min(start_ms) FROM recordings INDEXED BY recordings_by_call WHERE tenant = $1 AND call_key = $2),
			(SELECT max(start_ms) FROM recordings INDEXED BY recordings_by_call WHERE tenant = $1 AND call_key = $2) - $3)
		ON CONFLICT (tenant, call_key) DO UPDATE SET start_ms = excluded.start_ms, given = excluded.given, json = excluded.json,
		lead_ms = excluded.lead_ms, reach_ms = excluded.reach_ms, updated_ms = excluded.updated_ms`,
		c.TenantName, c.CallKey, c.StartTime, row.given, string(c.AppendJSON(nil)), row.updatedMs)
	if err != nil {
		return fmt.Errorf("call %s: %w", c.CallKey, err)
	}
	return nil
}

// sameAs reports whether two rows of a call say the same, and both were given or both made.
func (row *callRow) sameAs(other *callRow) bool {
	return row != nil && row.given == other.given && sameCall(&row.call, &other.call)
}

// sameCall reports whether two calls have the same published form.
func sameCall(a, b *callvault.Call) bool { return bytes.Equal(a.AppendJSON(nil), b.AppendJSON(nil)) }

// touchCall updates only the time of a call that has not changed.
func touchCall(ctx context.Context, tx *sql.Tx, row *callRow) error {
	_, err := tx.ExecContext(ctx, `UPDATE calls SET updated_ms = $1 WHERE tenant = $2 AND start_ms = $3 AND call_key = $4 AND updated_ms <> $1`,
		row.updatedMs, row.call.TenantName, row.call.StartTime, row.call.CallKey)
	if err != nil {
		return fmt.Errorf("call %s: %w", row.call.CallKey, err)
	}
	return nil
}

func deleteCall(ctx context.Context, tx *sql.Tx, r *callvault.Recording) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM calls WHERE tenant = $1 AND call_key = $2`, r.TenantName, r.CallKey)
	if err != nil {
		return fmt.Errorf("call %s: %w", r.CallKey, err)
	}
	return nil
}
