package main

import (
	"context"
	"time"

	"callvault/collect"
)

// planWithProgress plans a run, and shows meanwhile how many of its lists are left: at a
// provider's pace the lists of several years take an hour.
func planWithProgress(ctx context.Context, source string, run *collect.Run) (*collect.Plan, error) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		shown := listProgress{what: "plan: lists of " + source}
		defer shown.end()
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-done:
				return
			case <-look.C:
				shown.look(run.Progress().ListsLeft)
			}
		}
	}()
	defer func() { close(done); <-ended }()
	return run.Plan(ctx)
}

// listProgress shows the progress of a run's lists.
type listProgress struct {
	what string
	bar  *progress // nil while there is nothing to show
	left int
}

// look notes how many lists are left. The number grows when a list is asked for again in
// two halves.
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
