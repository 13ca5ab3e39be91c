package account

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// mostNotes is how many events may wait in memory before Note writes them itself.
const mostNotes = 1 << 14

// notes are events that wait to be written.
type notes struct {
	mu      sync.Mutex
	waiting []Event
	writing sync.Mutex // held while events are written, so that they keep their order
	spare   []Event    // the last slice written, for reuse; guarded by writing
}

// Note adds an event to those that Run writes to the audit trail every second. It is
// for what happens often. When too many events wait, Note writes them itself and
// returns the error if that fails. No event is dropped.
func (a *Accounts) Note(ctx context.Context, e Event) error {
	e.complete(ctx)
	a.notes.mu.Lock()
	a.notes.waiting = append(a.notes.waiting, e)
	full := len(a.notes.waiting) >= mostNotes
	a.notes.mu.Unlock()
	if full {
		return a.Flush(ctx)
	}
	return nil
}

// Flush writes the events noted so far. If that fails, they stay waiting.
func (a *Accounts) Flush(ctx context.Context) error {
	a.notes.writing.Lock()
	defer a.notes.writing.Unlock()
	a.notes.mu.Lock()
	events := a.notes.waiting
	if len(events) > 0 {
		a.notes.waiting = a.notes.spare
	}
	a.notes.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	merged := merge(events)
	ctx = context.WithoutCancel(ctx) // the events are not only this caller's; and watching ctx at each row is slow
	err := a.db.Tx(ctx, func(tx *sql.Tx) error { return record(ctx, tx, merged...) })
	if err == nil {
		clear(events)
		a.notes.spare = events[:0]
		return nil
	}
	a.notes.spare = nil
	a.notes.mu.Lock()
	defer a.notes.mu.Unlock()
	a.notes.waiting = append(merged, a.notes.waiting...)
	return fmt.Errorf("%d events wait to be written to the audit trail: %w", len(a.notes.waiting), err)
}

// merge merges events that differ only in their time and bytes, such as the parts in
// which a player fetches a recording. It reuses the slice.
func merge(events []Event) []Event {
	places := make(map[Event]int, len(events))
	merged := events[:0]
	for _, e := range events {
		same := e
		same.At, same.Times, same.Bytes = 0, 0, 0
		if at, seen := places[same]; seen {
			merged[at].Times += e.Times
			merged[at].Bytes += e.Bytes
			continue
		}
		places[same] = len(merged)
		merged = append(merged, e)
	}
	return merged
}
