package database

import (
	"context"
	"time"
)

// Waiting returns how many requests wait to be served.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// LookSooner returns ctx for the patient statements of a test: whether PostgreSQL answers
// is checked sooner, and it counts as hung sooner.
func LookSooner(ctx context.Context, look, still time.Duration) context.Context {
	return context.WithValue(ctx, pulseKey{}, pulse{look, still})
}

// Reading returns how many readers of a SQLite file are in use.
func (db *DB) Reading() int { return cap(db.readers.idle) - len(db.readers.idle) }
