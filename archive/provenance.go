package archive

import (
	"context"
	"fmt"
	"math"

	"callvault"
)

// Provenance is where a recording comes from, and its history.
type Provenance struct {
	Source string
	HeldAt int64 // when its audio was kept, in Unix milliseconds
	// Doubt says why the held audio is doubtful; Accepted says why an operator
	// accepted audio that is not whole. Both are usually empty.
	Doubt, Accepted string
	History         []Former // oldest first
}

// Former is what was known of a recording until ReplacedAt, in Unix milliseconds.
type Former struct {
	ReplacedAt int64
	Recording  callvault.Recording
}

// Provenance reads a recording's sidecar. The error is callvault.NotFound when the
// recording was only noted and has none, or the sidecar is missing or damaged.
func (a *Archive) Provenance(ctx context.Context, entry *Entry) (*Provenance, error) {
	if entry.path == "" {
		return nil, fmt.Errorf("recording %s is only noted: %w", entry.Recording.RecordingKey, callvault.NotFound)
	}
	side, err := a.requireSidecar(ctx, entry)
	if err != nil {
		return nil, err
	}
	p := &Provenance{Source: side.Source}
	if side.Audio != nil {
		p.HeldAt, p.Doubt, p.Accepted = side.Audio.HeldAt, side.Audio.Doubt, side.Audio.Accepted
	}
	for _, change := range side.History {
		p.History = append(p.History, Former{change.ReplacedAt, change.Recording})
	}
	return p, nil
}

// FindCall returns a tenant's call with its granted recordings, in order. The error is
// callvault.NotFound when there are none.
func (a *Archive) FindCall(ctx context.Context, tenant, callKey string, grant *callvault.Grant) (*callvault.Call, error) {
	missing := fmt.Errorf("there is no call %s of tenant %s: %w", callKey, tenant, callvault.NotFound)
	if !grant.MayReach(tenant) {
		return nil, missing
	}
	row, err := callOf(ctx, a.db.Reader, tenant, callKey)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, missing
	}
	entries, err := queryEntries(ctx, a.db.Reader, findOfCall, tenant, callKey, int64(math.MaxInt64))
	if err != nil {
		return nil, fmt.Errorf("recordings of call %s: %w", callKey, err)
	}
	call := row.call
	call.Recordings = nil
	for _, entry := range entries {
		if grant.MayHear(&entry.Recording) {
			call.Recordings = append(call.Recordings, entry.Recording)
		}
	}
	if len(call.Recordings) == 0 {
		return nil, missing
	}
	return &call, nil
}
