package archive

import (
	"context"
	"encoding/json"
	"fmt"

	"callvault"
)

// The most rows of a page.
const (
	pageCalls      = 512
	pageRecordings = 2048
)

// granted is the part of a WHERE clause that a grant adds: $1 to $3 are JSON
// objects with the names of tenants, agents and skills, or null where all are
// granted. IS NULL comes last because PostgreSQL infers the type of a parameter from
// its first use.
const granted = `(tenant IN (SELECT key FROM json_each($1)) OR $1 IS NULL)
	AND (agent IN (SELECT key FROM json_each($2)) OR $2 IS NULL)
	AND (skill IN (SELECT key FROM json_each($3)) OR $3 IS NULL)`

// listAll returns one page, one recording per line: the JSON contains no newlines.
const listAll = `SELECT json AS line FROM recordings INDEXED BY recordings_by_start
	WHERE ` + granted + ` AND (start_ms, recording_key, tenant) > ($4, $5, $6) AND start_ms < $7
	ORDER BY start_ms, recording_key, tenant LIMIT $8`

// listOfTenant reads the table itself, which is clustered in this order; $6 is the
// tenant.
const listOfTenant = `SELECT json AS line FROM recordings
	WHERE ` + granted + ` AND tenant = $6 AND (start_ms, recording_key) > ($4, $5) AND start_ms < $7
	ORDER BY start_ms, recording_key LIMIT $8`

// grantArgs returns the first three arguments of a list.
func grantArgs(grant *callvault.Grant) []any {
	args := []any{nil, nil, nil}
	if !grant.AllTenants {
		args[0] = nameSet(grant.Tenants)
	}
	if len(grant.Agents) > 0 {
		args[1] = nameSet(grant.Agents)
	}
	if len(grant.Skills) > 0 {
		args[2] = nameSet(grant.Skills)
	}
	return args
}

// nameSet encodes a set of names as a JSON object, whose keys json_each returns on
// both databases.
func nameSet(names []string) string {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	list, err := json.Marshal(set)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(list)
}

// Recordings lists the granted recordings that start in the span, in ascending order of
// (startTime, recordingKey).
func (a *Archive) Recordings(ctx context.Context, span callvault.Span, grant *callvault.Grant) List {
	query, tenant := listAll, ""
	if !grant.AllTenants && len(grant.Tenants) == 1 {
		query, tenant = listOfTenant, grant.Tenants[0]
	}
	filter := grantArgs(grant)
	if tenant != "" {
		filter[0] = nil // the statement selects the tenant itself
	}
	return pages(pageRecordings, func(page, last []byte, size int) (_ []byte, err error) {
		after := callvault.Recording{StartTime: span.From, TenantName: tenant} // no key is empty
		if len(last) > 0 {
			err = json.Unmarshal(last, &after)
		}
		if err == nil {
			args := append(filter[:3:3], after.StartTime, after.RecordingKey, after.TenantName, span.To, size)
			page, err = a.db.AppendLines(ctx, page, query, args...)
		}
		if err != nil {
			return page, fmt.Errorf("list of recordings: %w", err)
		}
		return page, nil
	})
}

// listCalls returns one page of calls, with their recordings inserted into the empty
// array in each call's own JSON. The array is recognized by the tenantName that
// follows it, since an account code may be an object with such an array too. The page
// begins after the call $4 to $6; $7 is the last start of a call that can have a
// recording in the span $8 to $9; $10 is the size of the page.
const listCalls = `SELECT replace(json, '"recordings":[],"tenantName":', '"recordings":[' || recordings || '],"tenantName":') AS line FROM (
	SELECT json, (SELECT string_agg(json, ',') FROM (
		SELECT json FROM recordings INDEXED BY recordings_by_call
		WHERE tenant = calls.tenant AND call_key = calls.call_key AND ` + granted + `
		ORDER BY start_ms, recording_key) AS granted) AS recordings
	FROM calls INDEXED BY calls_by_start
	WHERE (start_ms, call_key, tenant) > ($4, $5, $6) AND start_ms <= $7
	AND EXISTS (SELECT 1 FROM recordings INDEXED BY recordings_by_call
		WHERE tenant = calls.tenant AND call_key = calls.call_key AND start_ms >= $8 AND start_ms < $9 AND ` + granted + `)
	ORDER BY start_ms, call_key, tenant LIMIT $10) AS page`

// Calls lists the calls of which a granted recording starts in the span, each with all its
// granted recordings, in ascending order of (startTime, callKey).
func (a *Archive) Calls(ctx context.Context, span callvault.Span, grant *callvault.Grant) List {
	span = callvault.Span{From: max(span.From, 0), To: min(span.To, callvault.MaxTime+1)} // no overflow when margins are added
	var lead, reach int64
	return pages(pageCalls, func(page, last []byte, size int) (_ []byte, err error) {
		var after callvault.Call
		if len(last) > 0 {
			err = json.Unmarshal(last, &after)
		} else if lead, reach, err = a.callMargins(ctx); err == nil {
			after.StartTime = span.From - reach // no key is empty
		}
		if err == nil {
			args := append(grantArgs(grant), after.StartTime, after.CallKey, after.TenantName, span.To+lead, span.From, span.To, size)
			page, err = a.db.AppendLines(ctx, page, listCalls, args...)
		}
		if err != nil {
			return page, fmt.Errorf("list of calls: %w", err)
		}
		return page, nil
	})
}

// callMargins returns how long a recording starts at most before its call starts
// (lead) and after it (reach), in milliseconds.
func (a *Archive) callMargins(ctx context.Context) (lead, reach int64, err error) {
	err = a.db.Reader.QueryRowContext(ctx, `SELECT coalesce((SELECT max(lead_ms) FROM calls), 0),
		coalesce((SELECT max(reach_ms) FROM calls), 0)`).Scan(&lead, &reach)
	if err != nil {
		return 0, 0, fmt.Errorf("margins: %w", err)
	}
	return max(0, lead), max(0, reach), nil
}
