package meter

import (
	"context"
	"maps"
	"slices"
)

// decision is a request to be decided on, and the outcome.
type decision struct {
	subject string
	at      int64 // the parameter of clock
	window  Window
	ms      int64 // the time at which it was decided
	passes  bool
	err     error
}

// decideAll decides on requests that came together, those of one subject one after
// the other. Once a request of a subject is refused, so are the rest of them.
func (m *Shared) decideAll(ctx context.Context, group []*decision) {
	for len(group) > 0 {
		at := group[0].at
		round := map[string]*decision{} // one of each subject
		var rest []*decision
		for _, d := range group {
			if round[d.subject] == nil && d.at == at {
				round[d.subject] = d
			} else {
				rest = append(rest, d)
			}
		}
		m.decideRound(ctx, at, round)
		group = slices.DeleteFunc(rest, func(d *decision) bool {
			decided := round[d.subject]
			if decided == nil || decided.passes || d.at != at {
				return false
			}
			d.window, d.ms, d.err = decided.window, decided.ms, decided.err
			return true
		})
	}
}

// decideRound decides on one request of each subject, in one statement. For those that
// do not pass it reads their windows in another.
func (m *Shared) decideRound(ctx context.Context, at int64, round map[string]*decision) {
	waiting := maps.Clone(round)
	err := m.ask(ctx, admit, at, waiting, true)
	if err == nil && len(waiting) > 0 {
		err = m.ask(ctx, refused, at, waiting, false)
	}
	for _, d := range round {
		d.err = err
	}
}

// ask runs a statement on the waiting subjects. It sorts them, so that statements that
// lock the same windows do so in the same order. A subject for which the statement
// returns a row is removed from waiting.
func (m *Shared) ask(ctx context.Context, statement string, at int64, waiting map[string]*decision, passes bool) error {
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
