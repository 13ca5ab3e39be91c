package archive

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"

	"callvault"
)

// Lists are read a page at a time, so that a client who stalls holds neither a
// connection nor a transaction. A page of recordings is some 250 KB.
const (
	pageRecordings = 512
	pageCalls      = 256
)

// lists are the statements that requests run.
type lists struct {
	find, all, ofTenant, calls *sql.Stmt
}

// granted is the part of a WHERE clause that a grant adds: $1 to $3 are JSON
// lists of tenants, agents and skills, or null where all are granted.
const granted = `($1 IS NULL OR tenant IN (SELECT value FROM json_each($1)))
	AND ($2 IS NULL OR agent IN (SELECT value FROM json_each($2)))
	AND ($3 IS NULL OR skill IN (SELECT value FROM json_each($3)))`

// listAll and listOfTenant give a page as one text, a recording a line: a row a
// recording costs more in the driver than in the database. JSON has no newlines.
const listAll = `SELECT coalesce(group_concat(json, char(10)), '') FROM (
	SELECT json FROM recordings INDEXED BY recordings_by_start
	WHERE ` + granted + ` AND (start_ms, recording_key, tenant) > ($4, $5, $6) AND start_ms < $7
	ORDER BY start_ms, recording_key, tenant LIMIT $8)`

// listOfTenant reads the table itself, which is clustered in this order; $6 is
// its tenant.
const listOfTenant = `SELECT coalesce(group_concat(json, char(10)), '') FROM (
	SELECT json FROM recordings
	WHERE ` + granted + ` AND tenant = $6 AND (start_ms, recording_key) > ($4, $5) AND start_ms < $7
	ORDER BY start_ms, recording_key LIMIT $8)`

func prepareLists(ctx context.Context, db *sql.DB) (*lists, error) {
	l := &lists{}
	for query, statement := range map[string]**sql.Stmt{
		findEntry: &l.find, listAll: &l.all, listOfTenant: &l.ofTenant, listCalls: &l.calls,
	} {
		var err error
		if *statement, err = db.PrepareContext(ctx, query); err != nil {
			return nil, fmt.Errorf("prepare %.60q: %w", query, err)
		}
	}
	return l, nil
}

// grantArgs are the first arguments of a list.
func grantArgs(grant *callvault.Grant) []any {
	args := []any{nil, nil, nil}
	if !grant.AllTenants {
		args[0] = jsonList(grant.Tenants)
	}
	if len(grant.Agents) > 0 {
		args[1] = jsonList(grant.Agents)
	}
	if len(grant.Skills) > 0 {
		args[2] = jsonList(grant.Skills)
	}
	return args
}

func jsonList(words []string) string {
	list, err := json.Marshal(words)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(list)
}

// Recordings yields, in the published JSON form, the granted recordings that
// start in the span, ascending by (startTime, recordingKey). The bytes are valid
// until the next. An error ends the list; what came before it is no whole list.
func (a *Archive) Recordings(ctx context.Context, span callvault.Span, grant *callvault.Grant) iter.Seq2[[]byte, error] {
	statement, tenant := a.lists.all, ""
	if !grant.AllTenants && len(grant.Tenants) == 1 {
		statement, tenant = a.lists.ofTenant, grant.Tenants[0]
	}
	filter := grantArgs(grant)
	if tenant != "" {
		filter[0] = nil // the statement asks for the tenant itself
	}
	return func(yield func([]byte, error) bool) {
		after := callvault.Recording{StartTime: span.From, TenantName: tenant} // no key is empty
		for {
			args := append(filter[:3:3], after.StartTime, after.RecordingKey, after.TenantName, span.To, pageRecordings)
			var page []byte
			if err := statement.QueryRowContext(ctx, args...).Scan(&page); err != nil {
				yield(nil, fmt.Errorf("list of recordings: %w", err))
				return
			}
			n, last := 0, []byte(nil)
			for row := range bytes.SplitSeq(page, []byte{'\n'}) {
				if len(row) == 0 || !yield(row, nil) {
					return
				}
				n, last = n+1, row
			}
			if n < pageRecordings {
				return
			}
			if err := json.Unmarshal(last, &after); err != nil {
				yield(nil, fmt.Errorf("list of recordings: %w", err))
				return
			}
		}
	}
}

// listCalls reads a page of calls with their recordings. $4 to $6 are the call
// after which it begins, $7 the end of the stretch of calls that can have a
// recording in the span $8 to $9, $10 the size of the page in calls.
const listCalls = `SELECT c.start_ms, c.call_key, c.tenant, c.json, r.json
	FROM (SELECT tenant, start_ms, call_key, json FROM calls INDEXED BY calls_by_start
		WHERE (start_ms, call_key, tenant) > ($4, $5, $6) AND start_ms <= $7
		AND EXISTS (SELECT 1 FROM recordings x WHERE x.tenant = calls.tenant AND x.call_key = calls.call_key
			AND x.start_ms >= $8 AND x.start_ms < $9 AND ` + granted + `)
		ORDER BY start_ms, call_key, tenant LIMIT $10) c
	JOIN recordings r ON r.tenant = c.tenant AND r.call_key = c.call_key
	WHERE ($1 IS NULL OR r.tenant IN (SELECT value FROM json_each($1)))
	AND ($2 IS NULL OR r.agent IN (SELECT value FROM json_each($2)))
	AND ($3 IS NULL OR r.skill IN (SELECT value FROM json_each($3)))
	ORDER BY c.start_ms, c.call_key, c.tenant, r.start_ms, r.recording_key`

// callPage is the place in a list of calls, and the call that is being gathered.
type callPage struct {
	startMs     int64
	key, tenant string
	calls       int
	json        []byte
}

// Calls yields, in the published JSON form, the calls of which a granted
// recording starts in the span, each with all its granted recordings, ascending
// by (startTime, callKey). The bytes are valid until the next. An error ends the
// list; what came before it is no whole list.
func (a *Archive) Calls(ctx context.Context, span callvault.Span, grant *callvault.Grant) iter.Seq2[[]byte, error] {
	span = callvault.Span{From: max(span.From, 0), To: min(span.To, callvault.MaxTime+1)} // so that the margins fit
	return func(yield func([]byte, error) bool) {
		lead, reach, err := a.callMargins(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		at := callPage{startMs: span.From - reach} // no key is empty
		for {
			args := append(grantArgs(grant), at.startMs, at.key, at.tenant, span.To+lead, span.From, span.To, pageCalls)
			at.calls = 0
			page, err := a.readCalls(ctx, args, &at)
			if err != nil {
				yield(nil, fmt.Errorf("list of calls: %w", err))
				return
			}
			for _, call := range page {
				if !yield(call, nil) {
					return
				}
			}
			if at.calls < pageCalls {
				return
			}
		}
	}
}

// callMargins says how long before the start of its call a recording starts at
// most, and how long after it, in milliseconds.
func (a *Archive) callMargins(ctx context.Context) (lead, reach int64, err error) {
	err = a.db.Reader.QueryRowContext(ctx, `SELECT max(0, coalesce((SELECT max(lead_ms) FROM calls), 0)),
		max(0, coalesce((SELECT max(reach_ms) FROM calls), 0))`).Scan(&lead, &reach)
	if err != nil {
		return 0, 0, fmt.Errorf("list of calls: %w", err)
	}
	return lead, reach, nil
}

// readCalls reads a page of calls, and moves at to its last one.
func (a *Archive) readCalls(ctx context.Context, args []any, at *callPage) ([][]byte, error) {
	rows, err := a.lists.calls.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page [][]byte
	var tail []byte
	for rows.Next() {
		next := callPage{}
		var recording []byte
		if err := rows.Scan(&next.startMs, &next.key, &next.tenant, &next.json, &recording); err != nil {
			return nil, err
		}
		if at.calls > 0 && next.key == at.key && next.tenant == at.tenant {
			at.json = append(append(at.json, ','), recording...)
			continue
		}
		if at.calls > 0 {
			page = append(page, append(at.json, tail...))
		}
		var head []byte
		if head, tail, err = callvault.SplitCallJSON(next.json); err != nil {
			return nil, err
		}
		next.json = append(append([]byte(nil), head...), recording...)
		next.calls = at.calls + 1
		*at = next
	}
	if at.calls > 0 {
		page = append(page, append(at.json, tail...))
	}
	return page, rows.Err()
}
