package collect

import (
	"context"
	"errors"
	"sync/atomic"

	"callvault/archive"

	"golang.org/x/sync/errgroup"
)

// fetchBatch is a batch of a turn's recordings. They are fetched in their order, and side
// by side where the operator owns the source.
type fetchBatch struct {
	*turn
	final    bool // what is refused now is set aside
	group    *errgroup.Group
	inFlight chan struct{}         // has one of each that is under way
	stopped  atomic.Pointer[error] // errStopped or errLater: nothing more is begun
}

// fetchAll fetches items in their order, each when it may be requested. One at a time, it
// ends early when the turn is woken, since what is new may be more urgent. ctx is for the
// requests in flight, waiting for those that have not begun. final says that what is
// refused now is set aside. errStopped and errLater end the turn once nothing is in flight.
func (t *turn) fetchAll(ctx, waiting context.Context, items []*item, final bool) error {
	b := &fetchBatch{turn: t, final: final, inFlight: make(chan struct{}, maxInFlightOwn)}
	if t.oneAtATime() {
		b.inFlight = make(chan struct{}, 1)
	}
	b.group, ctx = errgroup.WithContext(ctx)
	fault := b.beginEach(ctx, waiting, items)
	failed := b.group.Wait()
	if failed != nil && errors.Is(fault, context.Canceled) {
		fault = nil // only the failure's effect: the run itself was not broken off
	}
	err := errors.Join(failed, fault, t.flush(context.WithoutCancel(ctx)))
	if ended := b.stopped.Load(); ended != nil && err == nil {
		return *ended
	}
	return err
}

// oneAtATime reports whether the source's limits allow only one request of a tenant at a
// time.
func (t *turn) oneAtATime() bool { return !t.r.source.OwnServer }

// beginEach begins to fetch one item after the other, until the turn ends.
func (b *fetchBatch) beginEach(ctx, waiting context.Context, items []*item) (err error) {
	ahead := 1 // how many are looked up in the archive together
	if b.r.source.Pace == 0 {
		ahead = maxInFlightOwn
	}
	var inArchive map[string]*archive.Entry
	for i, it := range items {
		b.inFlight <- struct{}{}
		if b.stopped.Load() != nil || ctx.Err() != nil || b.oneAtATime() && !b.final && b.wasWoken() {
			return nil
		}
		if i%ahead == 0 {
			if inArchive, err = b.lookUp(ctx, items[i:min(i+ahead, len(items))]); err != nil {
				return err
			}
		}
		entry := inArchive[it.key]
		needed, err := b.prepareFetch(ctx, waiting, it, entry)
		if err != nil {
			return b.stopOn(err)
		}
		if !needed {
			<-b.inFlight
			continue
		}
		b.group.Go(func() error {
			defer func() { <-b.inFlight }()
			return b.finish(ctx, waiting, it, entry)
		})
	}
	return nil
}

// finish fetches a recording that prepareFetch has prepared, and writes what is due to be
// written.
func (b *fetchBatch) finish(ctx, waiting context.Context, it *item, entry *archive.Entry) error {
	err := b.stopOn(b.fetch(ctx, waiting, it, entry, b.final))
	if err == nil && (b.oneAtATime() || b.flushDue()) {
		return b.flush(context.WithoutCancel(ctx))
	}
	return err
}

// stopOn remembers an error that ends the turn but nothing in flight. It returns any other.
func (b *fetchBatch) stopOn(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, errLater) {
		b.stopped.Store(&err)
		return nil
	}
	return err
}

// lookUp returns the archive's entries of items, by their keys.
func (t *turn) lookUp(ctx context.Context, items []*item) (map[string]*archive.Entry, error) {
	keys := make([]string, len(items))
	for i, it := range items {
		keys[i] = it.key
	}
	return t.r.c.archive.FindAll(ctx, t.site.tenant, keys)
}
