package database

// Waiting is how many wait to be asked for.
func (t *Together[T]) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}
