package collect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// View is how far a run is, for those who watch it.
type View struct {
	Source    string
	Began     int64 // Unix milliseconds
	ListsLeft int
	Tenants   []TenantView
	Done      int // recordings fetched
	Due       int // recordings still to fetch
	Bytes     int64
	// Left is how long the rest takes at the run's pace, of what is known to be due
	// by now: requests, not bytes, are what it waits for.
	Left time.Duration
}

// TenantView is how far a tenant's turn is. State is in words.
type TenantView struct {
	Tenant string
	State  string
	Done   int
	Due    int
	Bytes  int64
	Left   time.Duration
}

// Views tells how far the runs are that are at work in this process, by the names
// of their sources.
func (c *Collector) Views() map[string]View {
	c.mu.Lock()
	runs := slices.Collect(maps.Values(c.runs))
	c.mu.Unlock()
	views := map[string]View{}
	for _, r := range runs {
		views[r.source.Name] = r.View()
	}
	return views
}

// enter makes a run known to Views until leave.
func (c *Collector) enter(r *Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[r.source.Name] = r
}

func (c *Collector) leave(r *Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.runs, r.source.Name)
}

// View tells how far the run is.
func (r *Run) View() View {
	r.mu.Lock()
	v := View{Source: r.source.Name, Began: r.began, ListsLeft: r.listsLeft}
	turns := make([]*turn, 0, len(r.turns))
	for _, t := range r.turns {
		turns = append(turns, t)
	}
	r.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, t := range turns {
		one := t.view(now)
		v.Tenants = append(v.Tenants, one)
		v.Done, v.Due, v.Bytes = v.Done+one.Done, v.Due+one.Due, v.Bytes+one.Bytes
		v.Left = max(v.Left, one.Left)
	}
	if lists := time.Duration(v.ListsLeft) * r.source.Pace; len(turns) == 1 {
		v.Left += lists // they share one pace
	} else {
		v.Left = max(v.Left, lists)
	}
	slices.SortFunc(v.Tenants, func(a, b TenantView) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return v
}

func (t *turn) view(now int64) TenantView {
	next, step := t.rhythm(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	v := TenantView{Tenant: t.site.tenant, State: t.state, Done: t.held, Due: max(0, t.due), Bytes: t.bytes}
	wait := time.Duration(next-now) * time.Millisecond
	if v.Due > 0 && max(wait, time.Duration(t.opens-now)*time.Millisecond) <= soon { // longer than that no run waits
		v.Left = wait + time.Duration(int64(v.Due-1)*step)*time.Millisecond
	}
	if (t.state == "fetching" || t.state == "waiting") && wait > 5*time.Second {
		v.State = "waiting " + wait.Round(time.Second).String()
	}
	return v
}

// countDue counts what is due for a tenant as its turn begins.
func (c *Collector) countDue(ctx context.Context, tenant string, lookbackFrom int64) (n int, err error) {
	err = c.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM items WHERE tenant = $1
		AND (state IN ('due', 'quarantined') OR state IN ('denied', 'missing') AND (start_ms >= $2 OR failed_ms >= $2))`,
		tenant, lookbackFrom).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("ledger of %s: %w", tenant, err)
	}
	return n, nil
}
