package archive

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"callvault"
)

// trail selects the recordings that a search goes through: those that have one of
// these marks, else those of these tenants, else all. Each probe is a set of marks of
// which they must have one too, where that is cheap to check.
type trail struct {
	marks   []int64
	tenants []string
	probes  [][]int64
}

// enough is how many recordings are counted at most to learn which demand is the
// rarest; fewProbes is how many marks a probe has at most.
const (
	enough    = 2000
	fewProbes = 4
)

const countMarks = `SELECT count(*) FROM (SELECT 1 FROM json_each($1) AS m CROSS JOIN marks AS k
	WHERE k.mark = CAST(m.key AS BIGINT) AND k.start_ms >= $2 AND k.start_ms < $3 LIMIT $4) AS counted`

// trail chooses the trail of a search: the demand that the fewest recordings satisfy
// leads, and others become probes.
func (a *Archive) trail(ctx context.Context, demands []demand, tenants []string, all bool, span callvault.Span) (t trail, err error) {
	for i := range demands {
		d := &demands[i]
		err := a.db.Reader.QueryRowContext(ctx, countMarks, markSet(d.marks), span.From, span.To, enough).Scan(&d.count)
		if err != nil {
			return trail{}, fmt.Errorf("marks: %w", err)
		}
	}
	slices.SortStableFunc(demands, func(a, b demand) int {
		if a.count != b.count {
			return a.count - b.count
		}
		return len(a.marks) - len(b.marks)
	})
	switch {
	case len(demands) > 0:
		t.marks = demands[0].marks
		for _, d := range demands[1:] {
			if len(d.marks) <= fewProbes {
				t.probes = append(t.probes, d.marks)
			}
		}
	case !all:
		t.tenants = tenants
	}
	return t, nil
}

// markSet encodes a set of marks as nameSet does names.
func markSet(marks []int64) string {
	names := make([]string, len(marks))
	for i, id := range marks {
		names[i] = strconv.FormatInt(id, 10)
	}
	return nameSet(names)
}

// The statements that go through the recordings of a trail. $1 is the marks or tenants
// as JSON, null for all; $2 is the earliest start; $3 to $5 is the place before which
// the recordings are; $6 is how many to return.
const (
	byMark = `SELECT k.start_ms, k.recording_key, k.tenant FROM json_each($1) AS m CROSS JOIN marks AS k
		WHERE k.mark = CAST(m.key AS BIGINT) AND k.start_ms >= $2 AND k.start_ms <= $3 AND (k.start_ms, k.recording_key, k.tenant) < ($3, $4, $5)
		ORDER BY k.start_ms DESC, k.recording_key DESC, k.tenant DESC LIMIT $6`
	byTenant = `SELECT k.start_ms, k.recording_key, k.tenant FROM json_each($1) AS m CROSS JOIN recordings AS k
		WHERE k.tenant = m.key AND k.start_ms >= $2 AND k.start_ms <= $3 AND (k.start_ms, k.recording_key, k.tenant) < ($3, $4, $5)
		ORDER BY k.start_ms DESC, k.recording_key DESC, k.tenant DESC LIMIT $6`
	byTime = `SELECT start_ms, recording_key, tenant FROM recordings INDEXED BY recordings_by_start
		WHERE CAST($1 AS TEXT) IS NULL AND start_ms >= $2 AND (start_ms, recording_key, tenant) < ($3, $4, $5)
		ORDER BY start_ms DESC, recording_key DESC, tenant DESC LIMIT $6`
)

// The statements that find the latest start on a trail up to $2.
const (
	latestByMark = `SELECT max((SELECT max(k.start_ms) FROM marks AS k WHERE k.mark = CAST(m.key AS BIGINT) AND k.start_ms <= $2))
		FROM json_each($1) AS m`
	latestByTenant = `SELECT max((SELECT max(k.start_ms) FROM recordings AS k WHERE k.tenant = m.key AND k.start_ms <= $2))
		FROM json_each($1) AS m`
	latestByTime = `SELECT max(start_ms) FROM recordings INDEXED BY recordings_by_start WHERE CAST($1 AS TEXT) IS NULL AND start_ms <= $2`
)

// statements returns the trail's two statements and their first argument.
func (t *trail) statements() (rows, latest string, of any) {
	switch {
	case t.marks != nil:
		return byMark, latestByMark, markSet(t.marks)
	case t.tenants != nil:
		return byTenant, latestByTenant, nameSet(t.tenants)
	}
	return byTime, latestByTime, nil
}

// latestStart returns an upper bound of the start of the last recording on the trail
// before the place, in Unix milliseconds; -1 when there is none.
func (a *Archive) latestStart(ctx context.Context, t *trail, before place) (int64, error) {
	_, latest, of := t.statements()
	until := before.Start
	if before.Key == "" {
		until--
	}
	var ms sql.NullInt64
	if err := a.db.Reader.QueryRowContext(ctx, latest, of, until).Scan(&ms); err != nil {
		return 0, fmt.Errorf("latest: %w", err)
	}
	if !ms.Valid {
		return -1, nil
	}
	return ms.Int64, nil
}

// candidate is a recording on the trail. json is nil when a probe failed, or when the
// recording no longer exists.
type candidate struct {
	place
	json []byte
}

// query returns the statement that finds candidates, the newest first.
func (t *trail) query() string {
	rows, _, _ := t.statements()
	probes := ""
	for i := range t.probes {
		probes += ` AND EXISTS (SELECT 1 FROM marks AS p WHERE p.mark IN (SELECT CAST(key AS BIGINT) FROM json_each($` + strconv.Itoa(7+i) + `))
			AND p.start_ms = d.start_ms AND p.recording_key = d.recording_key AND p.tenant = d.tenant)`
	}
	return `SELECT d.start_ms, d.recording_key, d.tenant, (SELECT r.json FROM recordings AS r
			WHERE r.tenant = d.tenant AND r.start_ms = d.start_ms AND r.recording_key = d.recording_key` + probes + `)
		FROM (` + rows + `) AS d ORDER BY d.start_ms DESC, d.recording_key DESC, d.tenant DESC`
}

// candidates returns the next n candidates of the hunt that start at from or later.
func (h *hunt) candidates(ctx context.Context, from int64, n int) ([]candidate, error) {
	t, before := &h.through, h.at
	_, _, of := t.statements()
	args := []any{of, from, before.Start, before.Key, before.Tenant, n}
	for _, probe := range t.probes {
		args = append(args, markSet(probe))
	}
	rows, err := h.a.db.Reader.QueryContext(ctx, t.query(), args...)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	defer rows.Close()
	var list []candidate
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.Start, &c.Key, &c.Tenant, &c.json); err != nil {
			return nil, fmt.Errorf("recordings: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// knownTenants jumps from one tenant to the next without reading the rows in between.
const knownTenants = `WITH RECURSIVE known(name) AS (
		SELECT min(tenant) FROM recordings
		UNION ALL
		SELECT (SELECT min(tenant) FROM recordings WHERE tenant > known.name) FROM known WHERE known.name IS NOT NULL)
	SELECT name FROM known WHERE name IS NOT NULL`

// tenantsOf returns the tenants that a query searches.
func (a *Archive) tenantsOf(ctx context.Context, q *Query) ([]string, error) {
	if len(q.Tenants) > 0 {
		granted := slices.DeleteFunc(slices.Clone(q.Tenants), func(t string) bool { return !q.Grant.MayReach(t) })
		slices.Sort(granted)
		return slices.Compact(granted), nil
	}
	if !q.Grant.AllTenants {
		return slices.Compact(slices.Sorted(slices.Values(q.Grant.Tenants))), nil
	}
	rows, err := a.db.Reader.QueryContext(ctx, knownTenants)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("tenants: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
