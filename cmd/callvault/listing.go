package main

import (
	"context"
	"time"

	"callvault/collect"
)

// planWithProgress plans a run and tells meanwhile how far its lists are: those of years take an
// hour at a provider's pace.
func planWithProgress(ctx context.Context, source string, run *collect.Run) (*collect.Plan, error) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		told := listProgress{what: "plan: lists of " + source}
		defer told.end()
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-done:
				return
			case <-look.C:
				told.look(run.Progress().ListsLeft)
			}
		}
	}()
	defer func() { close(done); <-ended }()
	return run.Plan(ctx)
}

// listProgress tells how far the lists of a run are.
type listProgress struct {
	what string
	bar  *progress // nil before there is something to tell
	left int
}

// look tells that so many lists are left. They become more when one is asked for in
// halves.
func (l *listProgress) look(left int) {
	switch {
	case l.bar == nil && left > 0:
		l.bar = newProgress(l.what, int64(left))
	case l.bar == nil:
	case left < l.left:
		l.bar.advance(l.left-left, int64(l.left-left))
	case left > l.left:
		l.bar.skip(int64(l.left - left))
	}
	l.left = left
}

func (l *listProgress) end() {
	if l.bar != nil {
		l.bar.end()
	}
}
