package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"callvault"
)

// Queue hands the tenants' turns of a run to workers, in any process that uses the
// same database. What kind of queue it is does not matter here.
type Queue struct {
	// Enqueue asks for a turn to be taken, with TakeTurn. A turn that is already
	// waiting or being taken need not be queued again.
	Enqueue func(ctx context.Context, turn Turn) error
	// Drained reports whether none of the source's turns is waiting or being taken.
	Drained func(ctx context.Context, source string) (bool, error)
}

// Turn names a tenant's turn in a run, which began then (Unix milliseconds).
type Turn struct {
	Source string `json:"source"`
	Tenant string `json:"tenant"`
	Began  int64  `json:"began"`
}

// ErrUnfinished says that a part of a run was stopped and must be continued.
var ErrUnfinished = errors.New("stopped before it was done")

// StartShared begins or continues a run whose turns workers take. The run counts as begun
// at began, in Unix milliseconds, however often it is continued. Wait returns
// ErrUnfinished if Stop ended it.
func (c *Collector) StartShared(ctx context.Context, source *Source, began int64, queue *Queue) (*Run, error) {
	return c.start(ctx, &Run{source: source, began: began, span: Always, queue: queue})
}

// enqueue hands a turn to the workers, but not before the lists have shown which
// recordings are the most urgent, as in a run that takes its turns itself
// (turn.awaitLists).
func (r *Run) enqueue(ctx context.Context, t *turn) error {
	waits := r.source.Pace > 0 && time.Now().UnixMilli() < r.began+maxWait.Milliseconds()
	if waits && !r.lists.allListed.Load() {
		return nil
	}
	return r.queue.Enqueue(ctx, t.shared())
}

// shared returns what names the turn in the queue.
func (t *turn) shared() Turn {
	return Turn{Source: t.r.source.Name, Tenant: t.site.tenant, Began: t.r.began}
}

// enqueueInTime hands out all turns once maxWait has passed since the run began, if lists
// are still coming then: a turn that they show nothing new for would wait for the last.
func (r *Run) enqueueInTime(ctx context.Context) error {
	timer := time.NewTimer(time.Until(time.UnixMilli(r.began).Add(maxWait)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-r.stopping:
		return nil
	case <-r.lists.done:
		return nil
	case <-timer.C:
	}
	if r.lists.allListed.Load() {
		return nil
	}
	return r.enqueueTurns(ctx)
}

// enqueueAll hands out all turns once the lists are done.
func (r *Run) enqueueAll(ctx context.Context) error {
	r.lists.allListed.Store(true)
	return r.enqueueTurns(ctx)
}

// enqueueTurns hands out the turns of all tenants that are known by now.
func (r *Run) enqueueTurns(ctx context.Context) error {
	r.mu.Lock()
	turns := slices.Collect(maps.Values(r.turns))
	r.mu.Unlock()
	for _, t := range turns {
		if err := r.queue.Enqueue(ctx, t.shared()); err != nil {
			return localFault{err}
		}
	}
	return nil
}

// awaitTurns waits until the workers are done with all turns, or have found that the
// source refuses everything.
func (r *Run) awaitTurns(ctx context.Context) (err error) {
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = context.Cause(ctx) // the query was only interrupted
		}
	}()
	for {
		why, err := r.c.halted(ctx, r.source.Name)
		if err != nil {
			return err
		}
		if why != "" {
			return fmt.Errorf("%s: %w", why, callvault.Unauthorized)
		}
		over, err := r.queue.Drained(ctx, r.source.Name)
		if over || err != nil {
			return err
		}
		if err := pause(ctx, time.Second.Milliseconds()); err != nil {
			return err
		}
	}
}

// TakeTurn takes a tenant's turn of a shared run: it fetches what is due until nothing
// more can be fetched within the run. It returns ErrUnfinished if ctx ends before, or if it
// takes longer than atMost; requests in flight were finished then.
func (c *Collector) TakeTurn(ctx context.Context, source *Source, which Turn, atMost time.Duration) error {
	if why, err := c.halted(ctx, source.Name); err != nil || why != "" {
		return err
	}
	// A turn that fails because nothing can be kept is taken again and again: then make no
	// requests in vain.
	if err := c.archive.Ready(ctx); err != nil {
		return fmt.Errorf("nothing can be kept: %w", err)
	}
	t, err := c.sharedTurn(ctx, source, which)
	if err != nil {
		return err
	}
	work := context.WithoutCancel(ctx)
	waiting, stop := context.WithCancelCause(work)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(errStopped) })()
	defer time.AfterFunc(atMost, func() { stop(errStopped) }).Stop()
	err = t.run(work, waiting)
	switch {
	case sourceStops(err):
		return errors.Join(err, c.halt(work, source.Name, err.Error()))
	case errors.Is(err, errStopped):
		return errors.Join(ErrUnfinished, t.putBack(work))
	}
	return err
}

// sharedTurn returns the turn of one tenant, within a Run of its own.
func (c *Collector) sharedTurn(ctx context.Context, source *Source, which Turn) (*turn, error) {
	sites, err := c.sites(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	r := newRun(c, &Run{source: source, began: which.Began, oneTurn: true})
	if r.keyErr != nil {
		return nil, fmt.Errorf("source %s: %w", source.Name, r.keyErr)
	}
	close(r.lists.done) // if more is listed, the leading run queues the turn again
	for _, s := range sites {
		if s.tenant != which.Tenant {
			continue
		}
		t := &turn{r: r, site: s, woken: make(chan struct{}, 1), state: StateListing}
		if t.ledger, err = c.ledgerOf(ctx, s.tenant); err != nil {
			return nil, err
		}
		if t.due, t.dueSize, err = c.countDue(ctx, s.tenant, r.began-source.Lookback.Milliseconds()); err != nil {
			return nil, err
		}
		subject := s.tenant
		if len(sites) == 1 {
			subject = listSubject // its lists and its audio share one pace
		}
		t.pacer, err = c.sharedPacer(ctx, source, subject)
		r.sites[s.remote], r.turns[s.tenant] = s, t
		return t, err
	}
	return nil, fmt.Errorf("source %s has no tenant %s: %w", source.Name, which.Tenant, callvault.NotFound)
}

// putBack makes the postponed recordings of an unfinished turn due again in this run.
func (t *turn) putBack(ctx context.Context) error {
	if len(t.postponed) == 0 {
		return nil
	}
	return t.r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, it := range t.postponed {
			_, err := tx.ExecContext(ctx, `UPDATE items SET tried_ms = 0 WHERE tenant = $1 AND recording_key = $2`, it.tenant, it.key)
			if err != nil {
				return fmt.Errorf("ledger of %s: %w", it.key, err)
			}
		}
		return nil
	})
}

// halt ends the current run over a source in every process.
func (c *Collector) halt(ctx context.Context, source, why string) error {
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sources SET halted = $1 WHERE name = $2`, why, source)
		return err
	})
	if err != nil {
		return fmt.Errorf("source %s: %w", source, err)
	}
	return nil
}

// halted returns why the current run over a source must end; "" if it may go on.
func (c *Collector) halted(ctx context.Context, source string) (why string, err error) {
	err = c.db.Reader.QueryRowContext(ctx, `SELECT halted FROM sources WHERE name = $1`, source).Scan(&why)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("source %s: %w", source, err)
	}
	return why, nil
}

// sharedPace counts the requests of a pace in the database, by the database's clock, so
// that the pace holds across processes and crashes.
type sharedPace struct {
	c               *Collector
	source, subject string
}

// sharedPacer returns a pacer that shares a subject's pace with other processes. A new
// pace continues from that of the source's lists.
func (c *Collector) sharedPacer(ctx context.Context, source *Source, subject string) (*pacer, error) {
	p := newPacer(source, [3]int64{})
	p.shared = &sharedPace{c, source.Name, subject}
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO paces (source, subject, first_ms, second_ms, third_ms)
			SELECT $1, $2, coalesce(max(first_ms), 0), coalesce(max(second_ms), 0), coalesce(max(third_ms), 0)
			FROM paces WHERE source = $1 AND subject = $3
			ON CONFLICT (source, subject) DO NOTHING`, source.Name, subject, listSubject)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pace of %s: %w", source.Name, err)
	}
	return p, nil
}

// take counts a request, if one may be made now; else left is in how many milliseconds one
// may be.
func (s *sharedPace) take(ctx context.Context, pace time.Duration, ownServer bool) (left int64, err error) {
	window := burstWindow
	if ownServer {
		window = 0
	}
	ctx = context.WithoutCancel(ctx) // it must be known whether the request was counted
	clock := s.c.db.Clock()
	err = s.c.db.Tx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE paces SET first_ms = second_ms, second_ms = third_ms, third_ms = `+clock+`
			WHERE source = $1 AND subject = $2 AND third_ms + CAST($3 AS BIGINT) <= `+clock+` AND first_ms + CAST($4 AS BIGINT) <= `+clock,
			s.source, s.subject, pace.Milliseconds(), window.Milliseconds())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 1 || err != nil {
			return err
		}
		var third, first int64
		err = tx.QueryRowContext(ctx, `SELECT third_ms + CAST($3 AS BIGINT) - `+clock+`, first_ms + CAST($4 AS BIGINT) - `+clock+`
			FROM paces WHERE source = $1 AND subject = $2`, s.source, s.subject, pace.Milliseconds(), window.Milliseconds()).Scan(&third, &first)
		left = max(1, third, first)
		if err != nil || third <= pace.Milliseconds() {
			return err
		}
		// The last request lies in the future: the database's clock was set back, as by a
		// standby that takes over. Do not wait until the clock has caught up.
		left = max(1, pace.Milliseconds(), window.Milliseconds())
		_, err = tx.ExecContext(ctx, `UPDATE paces SET first_ms = `+clock+`, second_ms = `+clock+`, third_ms = `+clock+`
			WHERE source = $1 AND subject = $2`, s.source, s.subject)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("pace of %s: %w", s.source, err)
	}
	return left, nil
}

// resetPaces sets the shared paces of a source as if three requests had been made just
// now: the last run was not a shared one, and did not end in order.
func (c *Collector) resetPaces(ctx context.Context, source string) error {
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		clock := c.db.Clock()
		_, err := tx.ExecContext(ctx, `UPDATE paces SET first_ms = `+clock+`, second_ms = `+clock+`, third_ms = `+clock+` WHERE source = $1`, source)
		return err
	})
	if err != nil {
		return fmt.Errorf("paces of %s: %w", source, err)
	}
	return nil
}
