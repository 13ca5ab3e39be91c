package database

import "time"

// Waiting is how many wait to be asked for.
func (t *Together[T]) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

// LookSooner lets a test look sooner whether PostgreSQL answers while a patient
// statement waits, until undo is called.
func LookSooner(look, still time.Duration) (undo func()) {
	oldLook, oldStill := lookTime, stillTime
	lookTime, stillTime = look, still
	return func() { lookTime, stillTime = oldLook, oldStill }
}
