package archive

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"callvault"
)

// callRow is a call as it is kept, without its recordings.
type callRow struct {
	call      callvault.Call
	given     bool // it came as a call; otherwise it was made from its recordings
	updatedMs int64
}

// nearCall is how far from its call a recording starts at most, in milliseconds,
// for the times in the call's key to be believed: other systems have numbers in
// their keys that are no times.
const nearCall = 24 * 60 * 60 * 1000

// madeCall is the call of a recording that came without one.
func madeCall(r *callvault.Recording) callvault.Call {
	call := callvault.CallOf(r)
	if call.StartTime <= 0 || r.StartTime < call.StartTime-nearCall || r.StartTime > call.EndTime+nearCall {
		call.CallID, call.StartTime, call.EndTime = r.CallKey, r.StartTime, r.StartTime+r.Duration
	}
	call.EndTime = min(call.EndTime, callvault.MaxTime)
	return call
}

// saveCall brings the call of a recording, whose row is written already, up to
// date. A call that was given, now or earlier, stands above one that is made, and
// the later above the earlier. A made one is that of its first recording, widened
// to span the others, in whichever order they came. It returns the call as it is
// now and as it was, nil when it was not known.
func saveCall(ctx context.Context, tx *sql.Tx, earlier, entry *Entry, given *callRow) (now, before *callRow, err error) {
	r := &entry.Recording
	if before, err = findCall(ctx, tx, r); err != nil {
		return nil, nil, err
	}
	switch {
	case given != nil && (before == nil || !before.given || given.updatedMs >= before.updatedMs):
		now = given
	case before != nil && before.given:
		now = before
	default:
		if now, err = callOfRecordings(ctx, tx, r, 1); err != nil {
			return nil, nil, err
		}
		now.widen(madeCall(r))
		if before != nil {
			now.widen(before.call)
		}
	}
	if stays(earlier, entry) && before.tells(now) {
		err = touchCall(ctx, tx, now)
	} else {
		err = writeCall(ctx, tx, now)
	}
	if err != nil {
		return nil, nil, err
	}
	if before != nil && before.caller() != now.caller() {
		err = markCall(ctx, tx, &now.call)
	}
	return now, before, err
}

// remakeCall brings the call of a recording that was taken away, or that told
// otherwise until now, up to date.
func remakeCall(ctx context.Context, tx *sql.Tx, r *callvault.Recording) error {
	row, err := findCall(ctx, tx, r)
	if err != nil {
		return err
	}
	made, err := callOfRecordings(ctx, tx, r, math.MaxInt64)
	switch {
	case err != nil:
		return err
	case made == nil:
		return deleteCall(ctx, tx, r)
	case row != nil && row.given:
		return writeCall(ctx, tx, row)
	}
	return writeCall(ctx, tx, made)
}

const findOfCall = `SELECT ` + entryColumns + ` FROM recordings INDEXED BY recordings_by_call
	WHERE tenant = $1 AND call_key = $2 ORDER BY start_ms, recording_key LIMIT $3`

// callOfRecordings makes a call of the first recordings of r's call, up to limit
// of them; nil when there are none.
func callOfRecordings(ctx context.Context, tx *sql.Tx, r *callvault.Recording, limit int64) (*callRow, error) {
	rows, err := tx.QueryContext(ctx, findOfCall, r.TenantName, r.CallKey, limit)
	if err != nil {
		return nil, fmt.Errorf("recordings of call %s: %w", r.CallKey, err)
	}
	defer rows.Close()
	var made *callRow
	for rows.Next() {
		entry, err := scanEntry(rows)
		if err != nil {
			return nil, fmt.Errorf("recordings of call %s: %w", r.CallKey, err)
		}
		call := madeCall(&entry.Recording)
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

// findCall returns the row of a recording's call, nil when there is none.
func findCall(ctx context.Context, tx *sql.Tx, r *callvault.Recording) (*callRow, error) {
	row, err := scanCall(tx.QueryRowContext(ctx, findCallRow, r.TenantName, r.CallKey))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", r.CallKey, err)
	}
	return row, nil
}

const findCallRow = `SELECT given, json, updated_ms FROM calls WHERE tenant = $1 AND call_key = $2`

func scanCall(row *sql.Row) (*callRow, error) {
	var published []byte
	call := &callRow{}
	err := row.Scan(&call.given, &published, &call.updatedMs)
	if err == nil {
		err = json.Unmarshal(published, &call.call)
	}
	return call, err
}

// writeCall writes the row of a call that has recordings.
func writeCall(ctx context.Context, tx *sql.Tx, row *callRow) error {
	c := &row.call
	_, err := tx.ExecContext(ctx, `INSERT INTO calls (tenant, call_key, start_ms, given, json, updated_ms, lead_ms, reach_ms)
		SELECT $1, $2, CAST($3 AS BIGINT), CAST($4 AS BOOLEAN), $5, CAST($6 AS BIGINT), CAST($3 AS BIGINT) - min(start_ms), max(start_ms) - CAST($3 AS BIGINT)
		FROM recordings WHERE tenant = $1 AND call_key = $2
		ON CONFLICT (tenant, call_key) DO UPDATE SET start_ms = excluded.start_ms, given = excluded.given, json = excluded.json,
		lead_ms = excluded.lead_ms, reach_ms = excluded.reach_ms, updated_ms = excluded.updated_ms`,
		c.TenantName, c.CallKey, c.StartTime, row.given, string(c.AppendJSON(nil)), row.updatedMs)
	if err != nil {
		return fmt.Errorf("call %s: %w", c.CallKey, err)
	}
	return nil
}

// tells tells whether a call says the same as another.
func (row *callRow) tells(other *callRow) bool {
	return row != nil && row.given == other.given && bytes.Equal(row.call.AppendJSON(nil), other.call.AppendJSON(nil))
}

// touchCall writes no more of a call, whose recordings stay where they are, than
// when it was told last.
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
