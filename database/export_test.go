package database

import (
	"context"
	"time"
)

// Waiting is how many wait to be asked for.
func (t *Together[T]) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

// LookSooner returns ctx for patient statements of a test: it is looked sooner whether
// PostgreSQL answers meanwhile, and it stands still sooner.
func LookSooner(ctx context.Context, look, still time.Duration) context.Context {
	return context.WithValue(ctx, pulseKey{}, pulse{look, still})
}
