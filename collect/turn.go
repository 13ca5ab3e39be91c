package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"callvault"
	"callvault/meter"
)

// turnBatch is how many recordings a turn takes from the ledger at a time.
const turnBatch = 128

// turn is the fetching of one tenant's recordings within a run.
type turn struct {
	r     *Run
	site  *site
	pacer *pacer
	woken chan struct{}

	mu             sync.Mutex
	ledger         *meter.Ledger
	state          string    // for those who watch
	fetched        int       // fetched in this run
	due            int       // still to fetch, as far as is known
	dueSize        int64     // their bytes
	failuresInRow  int       // recordings in a row that could not be had
	storeDownSince time.Time // since when nothing could be kept; zero while it can
	opensAt        int64     // when the tenant opens for what it was closed for; 0 if it was not
	promisedOpen   int64     // when its source said last that it opens; 0 once it gave audio since
	bytes          int64
	unwrittenBytes int64     // of bytes, not written yet
	siteChanged    bool      // something else of the limit that a 509 taught; not written yet
	unwritten      []*item   // whose state is not written yet
	flushedAt      time.Time // when it was last begun to write that
	postponed      []*item   // refused once

	flushing sync.Mutex // held by who writes, so that what came later is written later
}

// wake tells the turn of one more recording to fetch.
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

// isFetching tells whether the turn waits for its next request, or makes one.
func (t *turn) isFetching() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state == StateFetching
}

// run fetches what is due until nothing more can be had within this run. ctx is
// for what is under way, waiting ends when nothing new is to begin; then it is
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
			// A list may have told otherwise of them since.
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

// awaitLists waits until the lists of the run have told of all there is, so that
// what is about to be deleted comes first, and then what is newest, wherever in them
// it stands. After soon it waits no longer; nor for more than a batch where requests
// are not scarce.
func (t *turn) awaitLists(ctx context.Context) error {
	t.setState(StateListing)
	long := time.NewTimer(time.Until(time.UnixMilli(t.r.began).Add(maxWait)))
	defer long.Stop()
	for t.r.source.Pace > 0 || t.dueCount() < turnBatch {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.r.lists.done:
			return nil
		case <-long.C:
			return nil
		case <-t.woken:
		}
	}
	return nil
}

// dueCount is how many recordings are known to be due.
func (t *turn) dueCount() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due
}

// sleep waits until there may be something to do.
func (t *turn) sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.woken:
	case <-t.r.lists.done:
	}
	return nil
}

// wasWoken tells whether the turn was woken since it last asked the ledger.
func (t *turn) wasWoken() bool {
	select {
	case <-t.woken:
		return true
	default:
		return false
	}
}

// acquire waits until the item may be asked for: until the tenant is open and has
// room for it, its pace allows it, and few enough requests of the run are under
// way. What it takes is given back with done.
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
		// The pace counts from here: who waits for a slot makes its request later.
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

// awaitOpen waits until the tenant is open; errLater when that takes longer than a run
// waits.
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

// tryAcquire takes the turn of the item's request, and sets its bytes aside, if the
// tenant is still open and the pace allows it.
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

// release ends a request that was ready, after n bytes of audio.
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
	case n > 0 && t.site.closedMs > now: // it was under way when the tenant was closed
		t.site.learned, t.siteChanged = &used, true
	case t.site.learned != nil && *t.site.learned < used:
		t.site.learned, t.siteChanged = nil, true // more than that was had
	}
}

// closeTenant notes that the source has closed the tenant: until it says, else until its
// own ledger says that bytes age out, else for an hour. What it says is worth no more
// than that hour when it had said so before, and then gave no audio.
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
	if retryAfter = min(retryAfter, callvault.EgressWindow); retryAfter > 0 { // all that counts has aged out then
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

// record remembers how an item stands until flush.
func (t *turn) record(it *item, s state, reason string) {
	now := time.Now().UnixMilli()
	it.state, it.reason = s, reason
	it.triedMs = max(now, t.r.began) // once a run, also when the clock is set back
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

// maxLag is how far the ledger may lag behind the archive while recordings come: others
// look there how far a run is, and a kill loses as much of what was fetched.
const maxLag = 2 * time.Second

// flushDue tells one of those who ask that it is time to flush.
func (t *turn) flushDue() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.flushedAt) < maxLag {
		return false
	}
	t.flushedAt = time.Now()
	return true
}

// flush writes how the items stand that were asked for.
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
	return t.r.c.alter(ctx, []string{t.site.tenant}, func(tx *sql.Tx) error {
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

// addTaken tells the run, which may be another process's, that an item is about to
// become held in it, unless that was told already.
func (i *item) addTaken(ctx context.Context, tx *sql.Tx, began int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO taken (tenant, began_ms, recordings, bytes)
		SELECT tenant, CAST($1 AS BIGINT), 1, CAST($2 AS BIGINT) FROM items WHERE tenant = $3 AND recording_key = $4
		AND state <> 'settled' AND NOT (state = 'held' AND tried_ms >= $1)
		ON CONFLICT (tenant) DO UPDATE SET began_ms = excluded.began_ms,
		recordings = excluded.recordings + CASE WHEN taken.began_ms = excluded.began_ms THEN taken.recordings ELSE 0 END,
		bytes = excluded.bytes + CASE WHEN taken.began_ms = excluded.began_ms THEN taken.bytes ELSE 0 END
		WHERE taken.began_ms <= excluded.began_ms`, began, i.size, i.tenant, i.key)
	if err != nil {
		return fmt.Errorf("what was taken of %s: %w", i.tenant, err)
	}
	return nil
}
