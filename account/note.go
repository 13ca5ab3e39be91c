package account

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// mostNotes is how many events wait in memory at most.
const mostNotes = 1 << 14

// notes are events that wait to be written.
type notes struct {
	mu      sync.Mutex
	waiting []Event
	writing sync.Mutex // held while events are on their way, so that they keep their order
	spare   []Event    // what the last were written from, to be filled again; of writing
}

// Note writes an event to the audit trail within a second, as long as Run runs:
// it is for what happens often. When too many wait the caller writes them, and
// meets the error if that fails; nothing is dropped.
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

// Flush writes what was noted until now. What could not be written waits on.
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
	ctx = context.WithoutCancel(ctx) // others' events are among them; and to watch for an end at each row costs
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
	return fmt.Errorf("%d events of the audit trail wait: %w", len(a.notes.waiting), err)
}

// merge makes one event of those that differ in nothing but their time and their
// bytes, such as the parts in which a player fetches a recording.
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
