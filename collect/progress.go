package collect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// RunProgress says how far a run has come.
type RunProgress struct {
	Source    string
	Began     int64 // Unix milliseconds
	ListsLeft int
	Tenants   []TenantProgress
	Done      int // recordings fetched
	Due       int // recordings still to fetch
	Bytes     int64
	// Left is how long it takes to fetch what is known to be due by now, at the run's
	// pace: the number of requests decides, not that of bytes.
	Left time.Duration
	// Later is how many of Due do not fit their tenants' egress limits, and are left for
	// a later run.
	Later int
}

// TenantProgress says how far a tenant's turn has come. State is StateListing or another
// of these constants; StateWaiting is followed by how long, StateClosed by until when.
type TenantProgress struct {
	Tenant string
	State  string
	Done   int
	Due    int
	Bytes  int64
	Left   time.Duration
	Later  int
}

// Progress returns how far each run in this process has come, by the name of its
// source.
func (c *Collector) Progress() map[string]RunProgress {
	c.mu.Lock()
	runs := slices.Collect(maps.Values(c.runs))
	c.mu.Unlock()
	all := map[string]RunProgress{}
	for _, r := range runs {
		all[r.source.Name] = r.Progress()
	}
	return all
}

// RunsChanged returns a channel that is closed when the next run in this process begins
// or ends.
func (c *Collector) RunsChanged() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runsChanged
}

// addRun makes Progress report a run until removeRun.
func (c *Collector) addRun(r *Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[r.source.Name] = r
	c.signalRunsChanged()
}

func (c *Collector) removeRun(r *Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.runs, r.source.Name)
	c.signalRunsChanged()
}

// signalRunsChanged wakes those who wait for RunsChanged. c.mu must be held.
func (c *Collector) signalRunsChanged() {
	close(c.runsChanged)
	c.runsChanged = make(chan struct{})
}

// The states of a tenant's turn.
const (
	StateListing  = "listing"               // waiting for lists
	StateFetching = "fetching"              // at its pace
	StateWaiting  = "waiting"               // for longer than its pace
	StateClosed   = "closed"                // for its egress limit
	StateLeft     = "left for the next run" // since nothing could be fetched
	StateDone     = "done"
)

// Progress returns how far the run has come.
func (r *Run) Progress() RunProgress {
	r.mu.Lock()
	v := RunProgress{Source: r.source.Name, Began: r.began, ListsLeft: r.lists.remaining}
	turns := make([]*turn, 0, len(r.turns))
	for _, t := range r.turns {
		turns = append(turns, t)
	}
	r.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, t := range turns {
		one := t.progress(now)
		v.Tenants = append(v.Tenants, one)
		v.Done, v.Due, v.Bytes = v.Done+one.Done, v.Due+one.Due, v.Bytes+one.Bytes
		v.Left, v.Later = max(v.Left, one.Left), v.Later+one.Later
	}
	v.Left += time.Duration(v.ListsLeft) * r.source.Pace // before anything is fetched
	slices.SortFunc(v.Tenants, func(a, b TenantProgress) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return v
}

func (t *turn) progress(now int64) TenantProgress {
	next, step := t.timing(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	v := TenantProgress{Tenant: t.site.tenant, State: t.state, Done: t.fetched, Due: max(0, t.due), Bytes: t.bytes}
	wait := time.Duration(next-now) * time.Millisecond
	opens := time.Duration(t.opensAt-now) * time.Millisecond
	v.Later = v.Due - t.fitting(now)
	if max(wait, opens) > maxWait {
		v.Later = v.Due
	}
	if n := v.Due - v.Later; n > 0 {
		v.Left = wait + time.Duration(int64(n-1)*step)*time.Millisecond
	}
	switch v.State {
	case StateClosed:
		v.State += " until " + clockTime(max(t.opensAt, t.site.closedMs), now)
	case StateFetching, StateWaiting:
		v.State = StateFetching
		if wait > max(5*time.Second, t.pacer.currentPace()) {
			v.State = StateWaiting + " " + inWords(wait)
		}
	}
	return v
}

// fitting returns how many of the recordings that are due the tenant's egress limit leaves
// room for, as if all were of the same size. t.mu must be held.
func (t *turn) fitting(now int64) int {
	limit, known := t.site.limit(t.r.source)
	if !known || t.due <= 0 || t.dueSize <= 0 {
		return max(0, t.due)
	}
	room := max(0, limit-t.ledger.Use(now))
	if room >= t.dueSize {
		return t.due
	}
	high, low := bits.Mul64(uint64(room), uint64(t.due)) // of many agents, more than an int64 holds
	n, _ := bits.Div64(high, low, uint64(t.dueSize))
	return int(n)
}

// clockTime formats a time of day in UTC, with the date if that is not today's.
func clockTime(ms, now int64) string {
	at, today := time.UnixMilli(ms).UTC(), time.UnixMilli(now).UTC()
	if at.Format(time.DateOnly) == today.Format(time.DateOnly) {
		return at.Format("15:04Z")
	}
	return at.Format("2006-01-02 15:04Z")
}

// inWords formats a wait in seconds or, if it is long, minutes.
func inWords(wait time.Duration) string {
	if wait < 2*time.Minute {
		return fmt.Sprintf("%d s", (wait+time.Second-1)/time.Second)
	}
	return fmt.Sprintf("%d min", (wait+time.Minute-1)/time.Minute)
}

// countDue returns how many recordings of a tenant are due as its turn begins, and their
// bytes.
func (c *Collector) countDue(ctx context.Context, tenant string, lookbackFrom int64) (n int, size int64, err error) {
	err = c.db.Reader.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM items INDEXED BY items_lacking WHERE tenant = $1
		AND `+lacking+` AND (state IN ('due', 'quarantined') OR start_ms >= $2 OR failed_ms >= $2)`,
		tenant, lookbackFrom).Scan(&n, &size)
	if err != nil {
		return 0, 0, fmt.Errorf("ledger of %s: %w", tenant, err)
	}
	return n, size, nil
}
