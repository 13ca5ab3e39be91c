package collect

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"callvault/meter"

	"golang.org/x/sync/errgroup"
)

// turnBatch is how many recordings a turn takes from the ledger at a time.
const turnBatch = 128

// turn is the fetching of one tenant's recordings within a run.
type turn struct {
	r     *Run
	site  *site
	pacer *pacer
	woken chan struct{}

	mu      sync.Mutex
	ledger  *meter.Ledger
	state   string // for those who watch
	held    int    // fetched in this run
	due     int    // still to fetch, as far as is known
	bytes   int64
	fresh   int64   // of bytes, not written yet
	settled []*item // whose state is not written yet
	again   []*item // refused once
}

// wake tells the turn of one more recording to fetch.
func (t *turn) wake() {
	t.mu.Lock()
	t.due++
	t.mu.Unlock()
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *turn) is(state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = state
}

// run fetches what is due until nothing more can be had within this run. ctx is
// for what is under way, waiting ends when nothing new is to begin.
func (t *turn) run(ctx, waiting context.Context) error {
	for {
		last := t.r.listsDone()
		items, err := t.r.c.nextDue(ctx, t.site.tenant, t.r.began, t.r.began-t.r.source.Lookback.Milliseconds(), turnBatch)
		if err != nil {
			return err
		}
		switch {
		case t.r.stopped():
			return nil
		case len(items) > 0:
			err = t.fetchAll(ctx, waiting, items, false)
		case !last:
			t.is("listing")
			err = t.sleep(waiting)
		case len(t.again) > 0:
			items, t.again = t.again, nil
			err = t.fetchAll(ctx, waiting, items, true)
		default:
			t.is("done")
			return nil
		}
		if errors.Is(err, errStopped) || errors.Is(err, errClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// listsDone tells whether all lists of the run were asked for.
func (r *Run) listsDone() bool {
	select {
	case <-r.listsOver:
		return true
	default:
		return false
	}
}

// sleep waits until there may be something to do.
func (t *turn) sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.woken:
	case <-t.r.listsOver:
	}
	return nil
}

// errClosed says that the tenant has no room left for what is due, and will not
// have any soon.
var errClosed = errors.New("closed")

// fetchAll fetches items, each in its time. ctx is for what is under way, waiting
// for what has not begun. final says that what is refused now is set aside.
func (t *turn) fetchAll(ctx, waiting context.Context, items []*item, final bool) (err error) {
	abreast := abreastPaced
	if t.r.source.OwnServer {
		abreast = abreastOwn
	}
	fetches, ctx := errgroup.WithContext(ctx)
	fetches.SetLimit(abreast)
	for _, it := range items {
		if err = t.ready(waiting, it); err != nil || ctx.Err() != nil {
			break
		}
		t.r.slots <- struct{}{}
		fetches.Go(func() error {
			defer func() { <-t.r.slots }()
			return t.fetch(ctx, waiting, it, final)
		})
		if abreast == 1 { // the next turn is decided on by what came of this
			if fetches.Wait() != nil {
				break
			}
		}
	}
	return errors.Join(fetches.Wait(), t.flush(context.WithoutCancel(ctx)), err)
}

// ready waits until the item may be asked for: until the tenant is open and has
// room for it, and its pace allows it.
func (t *turn) ready(ctx context.Context, it *item) error {
	for {
		now := time.Now().UnixMilli()
		until := t.closedUntil(it.size, now)
		if until <= now {
			break
		}
		t.is("closed until " + moment(until))
		if time.Duration(until-now)*time.Millisecond > soon {
			return errClosed
		}
		t.pacer.delay(time.Duration(until-now) * time.Millisecond)
		if err := t.pause(ctx, until-now); err != nil {
			return err
		}
	}
	t.is("fetching")
	return t.pacer.wait(ctx)
}

func (t *turn) pause(ctx context.Context, ms int64) error {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// closedUntil is when the tenant may next be asked for so many bytes: because the
// source has closed it, or because its egress limit, where it is configured,
// leaves no room.
func (t *turn) closedUntil(size, now int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	until := t.site.closedMs
	if _, configured := t.r.source.Agents[t.site.remote]; !configured {
		return until
	}
	limit, _ := t.site.limit(t.r.source)
	if at, fits := t.ledger.FreesAt(limit, size, now); fits {
		until = max(until, at)
	}
	return until
}

// close notes that the source has closed the tenant: until it says, or until its
// own ledger does, but for one try an hour.
func (t *turn) close(ctx context.Context, retryAfter time.Duration) error {
	now := time.Now()
	t.mu.Lock()
	used := t.ledger.Use(now.UnixMilli())
	t.site.learned = &used
	t.site.closedMs = now.Add(time.Hour).UnixMilli()
	if retryAfter > 0 {
		t.site.closedMs = now.Add(retryAfter).UnixMilli()
	} else if at, some := t.ledger.NextFree(now.UnixMilli()); some {
		t.site.closedMs = min(t.site.closedMs, at)
	}
	until := t.site.closedMs
	t.mu.Unlock()
	t.r.c.log.Warn("tenant closed for its egress limit", "source", t.r.source.Name, "tenant", t.site.tenant, "until", moment(until))
	return t.r.c.saveSite(ctx, t.site)
}

// note remembers how an item stands until flush.
func (t *turn) note(it *item, s state, reason string) {
	now := time.Now().UnixMilli()
	it.state, it.reason, it.triedMs = s, reason, now
	switch {
	case s == held:
		it.failedMs = 0
	case s != due && it.failedMs == 0:
		it.failedMs = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled = append(t.settled, it)
	t.due--
}

// flush writes how the items stand that were asked for.
func (t *turn) flush(ctx context.Context) error {
	t.mu.Lock()
	settled, bytes := t.settled, t.fresh
	t.settled, t.fresh = nil, 0
	t.mu.Unlock()
	if len(settled) == 0 && bytes == 0 {
		return nil
	}
	return t.r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, it := range settled {
			if err := it.setState(ctx, tx); err != nil {
				return err
			}
		}
		return addFetched(ctx, tx, t.site.tenant, bytes, time.Now().UnixMilli())
	})
}
