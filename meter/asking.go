package meter

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Requests that arrive together are decided on together: a statement of many
// costs PostgreSQL little more than one of one. So many statements run at once at
// most, each of so many requests.
const (
	askAtOnce   = 6
	askTogether = 64
)

// asking is the requests that wait for a decision.
type asking struct {
	turns chan struct{} // held by those who ask for all that wait
	mu    sync.Mutex
	queue []*decision
}

func newAsking() asking { return asking{turns: make(chan struct{}, askAtOnce)} }

// decision is a request on its way.
type decision struct {
	subject string
	at      any // the parameter of clock
	window  Window
	ms      int64 // the time by which it was decided
	passes  bool
	err     error
	done    chan struct{} // closed when the rest is there
}

// decide decides on a request.
func (m *Shared) decide(ctx context.Context, subject string, at any) (*decision, error) {
	d := &decision{subject: subject, at: at, done: make(chan struct{})}
	a := &m.asking
	a.mu.Lock()
	a.queue = append(a.queue, d)
	a.mu.Unlock()
	select {
	case <-d.done: // by one who was before
	case a.turns <- struct{}{}:
		for !d.isDone() {
			group := a.take()
			if len(group) == 0 {
				break // it is being decided on
			}
			m.decideAll(context.WithoutCancel(ctx), group)
		}
		<-a.turns
		<-d.done
	}
	return d, d.err
}

func (d *decision) isDone() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// take takes the next requests, of each subject one.
func (a *asking) take() []*decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	var group, rest []*decision
	taken := map[string]bool{}
	for _, d := range a.queue {
		if len(group) < askTogether && !taken[d.subject] && (len(group) == 0 || d.at == group[0].at) {
			group, taken[d.subject] = append(group, d), true
		} else {
			rest = append(rest, d)
		}
	}
	a.queue = rest
	return group
}

// decideAll decides on a group in one statement, and reads in another what those
// are to be told that do not pass.
func (m *Shared) decideAll(ctx context.Context, group []*decision) {
	waiting := make(map[string]*decision, len(group))
	for _, d := range group {
		waiting[d.subject] = d
	}
	err := m.ask(ctx, admit, group[0].at, waiting, true)
	if err == nil && len(waiting) > 0 {
		err = m.ask(ctx, refused, group[0].at, waiting, false)
	}
	for _, d := range group {
		d.err = err
		close(d.done)
	}
}

// ask runs a statement on the subjects that wait, in their order, so that two
// statements which lock the same windows do so in the same order. Those that it
// gives a row for wait no longer.
func (m *Shared) ask(ctx context.Context, statement string, at any, waiting map[string]*decision, passes bool) error {
	rows, err := m.db.QueryContext(ctx, statement, slices.Sorted(maps.Keys(waiting)), at)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var subject string
		var w Window
		var ms int64
		if err := rows.Scan(&subject, &w[0], &w[1], &w[2], &ms); err != nil {
			return err
		}
		if d := waiting[subject]; d != nil {
			d.window, d.ms, d.passes = w, ms, passes
			delete(waiting, subject)
		}
	}
	return rows.Err()
}
