package archive

import (
	"context"
	"database/sql"
	"fmt"

	"callvault"
	"callvault/database"
)

// batch holds the rows that one transaction reads and writes for many recordings:
// they are read together, and their marks are written together.
type batch struct {
	tx    *sql.Tx
	rows  map[[2]string]*Entry   // by rowName; nil when there is no such recording
	calls map[[2]string]*callRow // by callName; nil when there is no such call
	marks marking
}

// rowName and callName identify a recording and its call across tenants.
func rowName(r *callvault.Recording) [2]string  { return [2]string{r.TenantName, r.RecordingKey} }
func callName(r *callvault.Recording) [2]string { return [2]string{r.TenantName, r.CallKey} }

// readBatch reads the rows of these recordings and of their calls.
func readBatch[T any](ctx context.Context, tx *sql.Tx, all []T, recording func(T) *callvault.Recording) (*batch, error) {
	b := &batch{tx: tx, rows: map[[2]string]*Entry{}, calls: map[[2]string]*callRow{}}
	var rows, calls [][]any
	for _, one := range all {
		r := recording(one)
		if _, asked := b.rows[rowName(r)]; !asked {
			b.rows[rowName(r)] = nil
			rows = append(rows, []any{r.TenantName, r.RecordingKey})
		}
		if _, asked := b.calls[callName(r)]; !asked {
			b.calls[callName(r)] = nil
			calls = append(calls, []any{r.TenantName, r.CallKey})
		}
	}
	for values, args := range database.Rows(rows) {
		found, err := queryEntries(ctx, tx, findEntries(values), args...)
		if err != nil {
			return nil, fmt.Errorf("recordings: %w", err)
		}
		for _, entry := range found {
			b.rows[rowName(&entry.Recording)] = entry
		}
	}
	for values, args := range database.Rows(calls) {
		found, err := queryCalls(ctx, tx, findCalls(values), args...)
		if err != nil {
			return nil, fmt.Errorf("calls: %w", err)
		}
		for _, row := range found {
			b.calls[[2]string{row.call.TenantName, row.call.CallKey}] = row
		}
	}
	return b, nil
}

// row returns a recording's current row, or nil when there is none.
func (b *batch) row(ctx context.Context, r *callvault.Recording) (*Entry, error) {
	if known, read := b.rows[rowName(r)]; read {
		return known, nil
	}
	return findRow(ctx, b.tx, r)
}

// call returns the current row of a recording's call, or nil when there is none.
func (b *batch) call(ctx context.Context, r *callvault.Recording) (*callRow, error) {
	if known, read := b.calls[callName(r)]; read {
		return known, nil
	}
	return callOf(ctx, b.tx, r.TenantName, r.CallKey)
}

// replaceRow writes a recording's row, replacing the earlier one if there is one,
// and brings the calls of both up to date. given is nil when the recording came
// without a call. Its marks are written by end.
func (b *batch) replaceRow(ctx context.Context, earlier, entry *Entry, given *callRow) error {
	if err := writeRow(ctx, b.tx, earlier, entry); err != nil {
		return err
	}
	b.rows[rowName(&entry.Recording)] = entry
	if earlier != nil && !sameInCall(earlier, entry) {
		if err := b.remakeCall(ctx, &earlier.Recording); err != nil {
			return err
		}
	}
	now, before, err := b.saveCall(ctx, earlier, entry, given)
	if err != nil {
		return err
	}
	return b.marks.row(ctx, b.tx, rowChange{earlier, entry, now, before})
}

// end writes the marks that have been collected.
func (b *batch) end(ctx context.Context) error { return b.marks.write(ctx, b.tx) }
