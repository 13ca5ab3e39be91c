package database

import (
	"context"
	"sync"
)

// Batcher combines requests that many callers make at the same time into few
// statements: a statement for many requests costs little more than one for a single
// request, and a round trip for each would cost more than the requests themselves.
//
// No request waits for others to arrive. When groupsAtOnce groups are already being
// served, the requests that arrive meanwhile form the next group.
type Batcher[T any] struct {
	serve func(ctx context.Context, group []T)
	turns chan struct{} // one element for each caller that is serving groups
	mu    sync.Mutex
	queue []*queued[T]
}

// With more groups at once, each would be smaller; two keep the database busy while
// the answer to one is on its way.
const (
	groupsAtOnce = 2
	maxGroup     = 128
)

// queued is a request that waits to be served.
type queued[T any] struct {
	request T
	done    chan struct{} // closed when it has been served
}

// NewBatcher returns a Batcher whose groups are served by serve. It must store answers
// and errors where the callers find them, as in their requests. Its ctx does not end
// with that of any caller.
func NewBatcher[T any](serve func(ctx context.Context, group []T)) *Batcher[T] {
	return &Batcher[T]{serve: serve, turns: make(chan struct{}, groupsAtOnce)}
}

// Do returns when the request has been served.
func (b *Batcher[T]) Do(ctx context.Context, request T) {
	mine := &queued[T]{request, make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, mine)
	b.mu.Unlock()
	select {
	case <-mine.done: // served by another caller
	case b.turns <- struct{}{}:
		b.serveUntil(ctx, mine)
	}
}

// serveUntil serves groups until mine has been served. The caller holds a turn.
func (b *Batcher[T]) serveUntil(ctx context.Context, mine *queued[T]) {
	defer func() {
		<-b.turns
		<-mine.done
	}()
	for !mine.isDone() && b.serveNext(context.WithoutCancel(ctx)) {
	}
}

func (q *queued[T]) isDone() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// serveNext serves the next group. It returns false when the queue is empty.
func (b *Batcher[T]) serveNext(ctx context.Context) bool {
	b.mu.Lock()
	n := min(len(b.queue), maxGroup)
	group := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	if n == 0 {
		return false
	}
	requests := make([]T, n)
	for i, one := range group {
		requests[i] = one.request
	}
	defer func() { // even if serve panics
		for _, one := range group {
			close(one.done)
		}
	}()
	b.serve(ctx, requests)
	return true
}
