package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"callvault"
	"callvault/database"
	"callvault/meter"
)

// turnBatch is how many recordings a turn takes from the ledger at a time.
const turnBatch = 128

// turn is the fetching of one tenant's recordings within a run.
type turn struct {
	r     *Run
	site  *site
	pacer *pacer
	woken chan struct{} // has an element when there is more to fetch

	mu             sync.Mutex
	ledger         *meter.Ledger // the egress that the source counts
	state          string        // one of StateListing and the others, for progress
	fetched        int           // recordings that became held in this run
	bytes          int64         // of audio that came in this run
	due            int           // recordings still to fetch, as far as is known
	dueSize        int64         // their bytes
	failuresInRow  int           // recordings in a row that could not be fetched
	storeDownSince time.Time     // since when nothing could be kept; zero while the store works
	opensAt        int64         // when the tenant opens for its next item; 0 when it is open
	promisedOpen   int64         // the last time the source named for it to open; 0 once audio came again
	unwritten      []*item       // their states are not in the ledger yet
	unwrittenBytes int64         // of bytes, those not in the ledger yet
	siteChanged    bool          // site is not in the ledger yet as it is now
	flushedAt      time.Time     // when the last flush began
	postponed      []*item       // to be fetched once more at the end of the turn

	flushing sync.Mutex // held by flush, so that states are written in their order
}

// wake tells the turn that there is one more recording to fetch.
func (t *turn) wake(it *item) {
	t.mu.Lock()
	t.due++
	t.dueSize += it.size
	t.mu.Unlock()
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *turn) setState(state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = state
}

// isFetching reports whether the turn is waiting for its next request or making one.
func (t *turn) isFetching() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state == StateFetching
}

// run fetches what is due until nothing more can be fetched within this run. ctx is for
// the requests in flight; when waiting ends, nothing new is begun and the error is
// errStopped.
func (t *turn) run(ctx, waiting context.Context) error {
	if err := t.awaitLists(waiting); err != nil {
		return err
	}
	for {
		last := t.r.listsDone()
		items, err := t.r.c.nextDue(ctx, t.site.tenant, t.r.began, t.r.began-t.r.source.Lookback.Milliseconds(), turnBatch)
		if err != nil {
			return err
		}
		switch {
		case len(items) > 0:
			err = t.fetchAll(ctx, waiting, items, false)
		case !last:
			t.setState(StateListing)
			err = t.sleep(waiting)
		case len(t.postponed) > 0:
			// A list may have changed them since.
			if items, err = t.r.c.refresh(ctx, t.postponed); err != nil {
				return err
			}
			if err = t.fetchAll(ctx, waiting, items, true); err == nil {
				t.postponed = nil
			}
		default:
			t.setState(StateDone)
			return nil
		}
		if errors.Is(err, errLater) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// awaitLists waits for all lists of the run, so that what is about to be deleted comes
// first, and then the newest, wherever in the lists they stand. It waits until maxWait
// after the run began at most or, where requests are unlimited, until a batch is due.
func (t *turn) awaitLists(ctx context.Context) error {
	t.setState(StateListing)
	timeout := time.NewTimer(time.Until(time.UnixMilli(t.r.began).Add(maxWait)))
	defer timeout.Stop()
	for t.r.source.Pace > 0 || t.dueCount() < turnBatch {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.r.lists.done:
			return nil
		case <-timeout.C:
			return nil
		case <-t.woken:
		}
	}
	return nil
}

// dueCount returns how many recordings are known to be due.
func (t *turn) dueCount() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due
}

// sleep waits until there may be something to fetch.
func (t *turn) sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.woken:
	case <-t.r.lists.done:
	}
	return nil
}

// wasWoken reports, once, whether the turn was woken since it last asked the ledger.
func (t *turn) wasWoken() bool {
	select {
	case <-t.woken:
		return true
	default:
		return false
	}
}

// acquire waits until the item may be requested: until the tenant is open and its
// egress limit has room for the item, its pace allows a request, and one of the run's
// slots is free. release must follow. errLater says that it would take too long.
func (t *turn) acquire(ctx context.Context, it *item) error {
	for {
		if err := t.awaitOpen(ctx, it); err != nil {
			return err
		}
		t.setState(StateFetching)
		if err := t.pacer.awaitNext(ctx); err != nil {
			return err
		}
		select {
		case t.r.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// The pace counts from here, since waiting for a slot has delayed the request.
		taken, err := t.tryAcquire(ctx, it)
		if taken {
			return nil
		}
		<-t.r.slots
		if err != nil {
			return err
		}
	}
}

// awaitOpen waits until the tenant is open for the item; errLater when that takes longer
// than maxWait.
func (t *turn) awaitOpen(ctx context.Context, it *item) error {
	for {
		now := time.Now().UnixMilli()
		t.mu.Lock()
		until := t.site.opensAt(t.r.source, t.ledger, it.size, now)
		if t.opensAt = until; until <= now {
			t.opensAt = 0
		}
		t.mu.Unlock()
		if until <= now {
			return nil
		}
		t.setState(StateClosed)
		if until-now > maxWait.Milliseconds() {
			return errLater
		}
		if err := pause(ctx, until-now); err != nil {
			return err
		}
	}
}

// tryAcquire counts the item's request, and reserves its bytes, if the tenant is still
// open and the pace allows a request now.
func (t *turn) tryAcquire(ctx context.Context, it *item) (bool, error) {
	now := time.Now().UnixMilli()
	t.mu.Lock()
	open := t.site.opensAt(t.r.source, t.ledger, it.size, now) <= now
	if open {
		t.ledger.Reserve(it.size)
	}
	t.mu.Unlock()
	if !open {
		return false, nil
	}
	taken, err := t.pacer.take(ctx)
	if !taken {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ledger.Settle(it.size, 0, now)
	}
	return taken, err
}

// release ends what acquire began, after n bytes of audio came.
func (t *turn) release(it *item, n int64) {
	<-t.r.slots
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UnixMilli()
	t.ledger.Settle(it.size, n, now)
	t.unwrittenBytes += n
	t.bytes += n
	used := t.ledger.Use(now)
	switch {
	case n > 0 && t.site.closedMs > now: // it was in flight when the tenant was closed
		t.site.learned, t.siteChanged = &used, true
	case t.site.learned != nil && *t.site.learned < used: // the limit is higher than that
		t.site.learned, t.siteChanged = nil, true
	}
}

// closeTenant notes that the source has closed the tenant for its egress limit: for
// retryAfter; without one until bytes age out of our own ledger, else for an hour. When
// the source named a time before and gave no audio after it, the tenant is closed for an
// hour at least.
func (t *turn) closeTenant(ctx context.Context, retryAfter time.Duration) error {
	now := time.Now()
	t.mu.Lock()
	if used := t.ledger.Use(now.UnixMilli()); used > 0 {
		t.site.learned = &used
	}
	t.site.closedMs = now.Add(time.Hour).UnixMilli()
	if misled := 0 < t.promisedOpen && t.promisedOpen <= now.UnixMilli(); misled {
		retryAfter = max(retryAfter, time.Hour)
	}
	if retryAfter = min(retryAfter, callvault.EgressWindow); retryAfter > 0 { // by then every byte has aged out
		t.site.closedMs = now.Add(retryAfter).UnixMilli()
		t.promisedOpen = t.site.closedMs
	} else if at, some := t.ledger.NextFree(now.UnixMilli()); some {
		t.site.closedMs = at
	}
	t.opensAt, t.state, t.siteChanged = t.site.closedMs, StateClosed, true
	site := *t.site
	t.mu.Unlock()
	t.r.c.log.Warn("tenant closed for its egress limit", "source", t.r.source.Name, "tenant", site.tenant, "until", moment(site.closedMs))
	return t.r.c.saveSite(ctx, &site)
}

// record sets an item's state, which flush writes.
func (t *turn) record(it *item, s state, reason string) {
	now := time.Now().UnixMilli()
	it.state, it.reason = s, reason
	it.triedMs = max(now, t.r.began) // so that it is tried once in a run, even if the clock is set back
	switch {
	case s == held:
		it.failedMs = 0
	case s != due && it.failedMs == 0:
		it.failedMs = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwritten = append(t.unwritten, it)
	t.due--
	t.dueSize -= it.size
}

// maxLag is how far the ledger may lag behind the archive while recordings come in: other
// processes read the progress of a run there, and a kill loses that much of the ledger.
const maxLag = 2 * time.Second

// flushDue reports whether it is time to flush, to one of its concurrent callers only.
func (t *turn) flushDue() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.flushedAt) < maxLag {
		return false
	}
	t.flushedAt = time.Now()
	return true
}

// flush writes the states of the items that were requested, and the bytes fetched.
func (t *turn) flush(ctx context.Context) error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	t.flushedAt = time.Now()
	settled, bytes, taught, site := t.unwritten, t.unwrittenBytes, t.siteChanged, *t.site
	t.unwritten, t.unwrittenBytes, t.siteChanged = nil, 0, false
	t.mu.Unlock()
	if taught {
		if err := t.r.c.saveSite(ctx, &site); err != nil {
			return err
		}
	}
	if len(settled) == 0 && bytes == 0 {
		return nil
	}
	return t.r.c.alter(database.FewRows(ctx), []string{t.site.tenant}, func(tx *sql.Tx) error {
		for _, it := range settled {
			if t.r.oneTurn && it.state == held {
				if err := it.addTaken(ctx, tx, t.r.began); err != nil {
					return err
				}
			}
			if err := it.setState(ctx, tx); err != nil {
				return err
			}
		}
		return addFetched(ctx, tx, t.site.tenant, bytes, time.Now().UnixMilli())
	})
}

// addTaken counts an item that is about to become held for the run that began then, which
// another process leads, unless it was counted already.
func (i *item) addTaken(ctx context.Context, tx *sql.Tx, began int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO taken (tenant, began_ms, recordings, bytes)
		SELECT tenant, CAST($1 AS BIGINT), 1, CAST($2 AS BIGINT) FROM items WHERE tenant = $3 AND recording_key = $4
		AND state <> 'settled' AND NOT (state = 'held' AND tried_ms >= $1)
		ON CONFLICT (tenant) DO UPDATE SET began_ms = excluded.began_ms,
		recordings = excluded.recordings + CASE WHEN taken.began_ms = excluded.began_ms THEN taken.recordings ELSE 0 END,
		bytes = excluded.bytes + CASE WHEN taken.began_ms = excluded.began_ms THEN taken.bytes ELSE 0 END
		WHERE taken.began_ms <= excluded.began_ms`, began, i.size, i.tenant, i.key)
	if err != nil {
		return fmt.Errorf("count what was fetched of %s: %w", i.tenant, err)
	}
	return nil
}
