package database

import (
	"context"
	"sync"
)

// Together gathers what is asked by many at once, so that it is asked of the
// database in few statements: one of many costs little more than one of one, and a
// trip each costs more than what is asked.
//
// Nobody waits for company. So many groups are on their way at most; who comes
// meanwhile makes up the next.
type Together[T any] struct {
	ask   func(ctx context.Context, group []T)
	turns chan struct{} // held by those who ask for all that wait
	mu    sync.Mutex
	queue []*waiting[T]
}

// More groups at once would each be smaller: two keep the database at work while
// the answer of one is on its way.
const (
	groupsAtOnce = 2
	mostTogether = 128
)

// waiting is one who waits, and what he asks.
type waiting[T any] struct {
	what T
	done chan struct{} // closed when it was asked
}

// NewTogether returns what gathers for ask. The answers, and errors, are ask's to
// put where those who asked find them; its ctx does not end with any of theirs.
func NewTogether[T any](ask func(ctx context.Context, group []T)) *Together[T] {
	return &Together[T]{ask: ask, turns: make(chan struct{}, groupsAtOnce)}
}

// Ask returns when it was asked what is asked.
func (t *Together[T]) Ask(ctx context.Context, what T) {
	mine := &waiting[T]{what, make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, mine)
	t.mu.Unlock()
	select {
	case <-mine.done: // by one who was before
	case t.turns <- struct{}{}:
		t.askFor(ctx, mine)
	}
}

// askFor asks for all that wait, until mine was asked. A turn is held.
func (t *Together[T]) askFor(ctx context.Context, mine *waiting[T]) {
	defer func() {
		<-t.turns
		<-mine.done
	}()
	for !mine.isDone() && t.askNext(context.WithoutCancel(ctx)) {
	}
}

func (w *waiting[T]) isDone() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// askNext asks for the next group; false when nobody waits.
func (t *Together[T]) askNext(ctx context.Context) bool {
	t.mu.Lock()
	n := min(len(t.queue), mostTogether)
	group := t.queue[:n:n]
	t.queue = t.queue[n:]
	t.mu.Unlock()
	if n == 0 {
		return false
	}
	all := make([]T, n)
	for i, one := range group {
		all[i] = one.what
	}
	defer func() { // also when ask panics
		for _, one := range group {
			close(one.done)
		}
	}()
	t.ask(ctx, all)
	return true
}
