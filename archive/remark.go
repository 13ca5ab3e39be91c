package archive

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"callvault"
)

// MaxRemark is the longest remark, in characters.
const MaxRemark = 10_000

// Each new remark rewrites the recording's sidecar, with all its remarks and its
// history. Therefore a recording has at most maxRemarks remarks, and maxRemarkBytes
// of text in them.
const (
	maxRemarks     = 1000
	maxRemarkBytes = maxSidecar / 8 // a byte of text may take six, as in \u001b
)

// sentAgain is for how many milliseconds the same remark counts as sent twice by
// mistake: by a double click, or by a browser that did not receive the answer.
const sentAgain = 60_000

// Remark is what a listener wrote about a recording, for others to see.
type Remark struct {
	Tenant       string `json:"-"`
	RecordingKey string `json:"-"`
	At           int64  `json:"at"` // Unix milliseconds
	Who          string `json:"who"`
	Text         string `json:"text"`
}

// AddRemark stores a remark about a held recording, in its sidecar too. It makes m.At
// later than the time of every earlier remark. A remark that repeats the last one, by
// the same author and less than a minute later, is not stored again. The error is
// callvault.NotFound when the recording is not held, or its sidecar is missing or
// damaged, and callvault.InvalidParameter when the remark is empty or too long, or the
// recording has too many.
func (a *Archive) AddRemark(ctx context.Context, m *Remark) error {
	m.Text = strings.TrimSpace(keepable(m.Text))
	switch n := utf8.RuneCountInString(m.Text); {
	case n == 0:
		return fmt.Errorf("a note needs some text: %w", callvault.InvalidParameter)
	case n > MaxRemark:
		return fmt.Errorf("a note has at most %d characters, this one %d: %w", MaxRemark, n, callvault.InvalidParameter)
	}
	if err := callvault.CheckKey("note's author", m.Who); err != nil {
		return err
	}
	return StorageError(a.alter(ctx, []string{FileName(m.Tenant)}, func(tx *sql.Tx) error {
		r := &callvault.Recording{TenantName: m.Tenant, RecordingKey: m.RecordingKey}
		entry, err := findRow(ctx, tx, r)
		if err != nil {
			return err
		}
		if entry == nil || !entry.Held {
			return fmt.Errorf("recording %s of tenant %s is not held: %w", m.RecordingKey, m.Tenant, callvault.NotFound)
		}
		side, err := a.requireSidecar(ctx, entry)
		if err != nil {
			return err
		}
		side.Remarks = withRemark(side.Remarks, m)
		if err := checkRoom(side.Remarks); err != nil {
			return fmt.Errorf("recording %s: %w", m.RecordingKey, err)
		}
		if err := saveRemarks(ctx, tx, r, side.Remarks); err != nil {
			return err
		}
		return a.putSidecar(ctx, entry.path, side)
	}))
}

// withRemark appends a remark, unless it repeats the last one.
func withRemark(remarks []Remark, m *Remark) []Remark {
	if n := len(remarks); n > 0 {
		last := &remarks[n-1]
		if last.Who == m.Who && last.Text == m.Text && m.At < last.At+sentAgain {
			return remarks
		}
		m.At = max(m.At, last.At+1)
	}
	return append(remarks, *m)
}

// checkRoom returns an error if these are more remarks than a recording may have.
func checkRoom(remarks []Remark) error {
	bytes := 0
	for _, m := range remarks {
		bytes += len(m.Text)
	}
	if len(remarks) > maxRemarks || bytes > maxRemarkBytes {
		return fmt.Errorf("there is no room for another note here: a recording has at most %d, and %d MB of text in them: %w",
			maxRemarks, maxRemarkBytes>>20, callvault.InvalidParameter)
	}
	return nil
}

// saveRemarks writes rows for those remarks that have none yet.
func saveRemarks(ctx context.Context, tx *sql.Tx, r *callvault.Recording, remarks []Remark) error {
	for _, m := range remarks {
		_, err := tx.ExecContext(ctx, `INSERT INTO remarks (tenant, recording_key, at_ms, who, remark) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, r.TenantName, r.RecordingKey, m.At, m.Who, m.Text)
		if err != nil {
			return fmt.Errorf("note on recording %s: %w", r.RecordingKey, err)
		}
	}
	return nil
}

const findRemarks = `SELECT at_ms, who, remark FROM remarks WHERE tenant = $1 AND recording_key = $2 ORDER BY at_ms, who`

// Remarks returns what listeners wrote about a tenant's recording, the oldest first.
func (a *Archive) Remarks(ctx context.Context, tenant, key string) ([]Remark, error) {
	rows, err := a.db.Reader.QueryContext(ctx, findRemarks, tenant, key)
	if err != nil {
		return nil, fmt.Errorf("notes on recording %s: %w", key, err)
	}
	defer rows.Close()
	var remarks []Remark
	for rows.Next() {
		m := Remark{Tenant: tenant, RecordingKey: key}
		if err := rows.Scan(&m.At, &m.Who, &m.Text); err != nil {
			return nil, fmt.Errorf("notes on recording %s: %w", key, err)
		}
		remarks = append(remarks, m)
	}
	return remarks, rows.Err()
}
