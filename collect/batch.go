package collect

import (
	"context"
	"errors"
	"sync/atomic"

	"callvault/archive"

	"golang.org/x/sync/errgroup"
)

// batch is recordings of a turn that are fetched in their order, and side by side where
// the source is one's own.
type batch struct {
	*turn
	final   bool // what is refused now is set aside
	group   *errgroup.Group
	abreast chan struct{}         // has one of each that is under way
	over    atomic.Pointer[error] // errStopped or errLater: nothing more is begun
}

// fetchAll fetches items, each in its time and in their order. At a pace it ends
// early when there is more to fetch, which may be more urgent. ctx is for what is
// under way, waiting for what has not begun. final says that what is refused now is
// set aside. errStopped and errLater end the turn, but nothing that is under way.
func (t *turn) fetchAll(ctx, waiting context.Context, items []*item, final bool) error {
	b := &batch{turn: t, final: final, abreast: make(chan struct{}, keepAbreast)}
	if t.paced() {
		b.abreast = make(chan struct{}, abreastPaced)
	}
	b.group, ctx = errgroup.WithContext(ctx)
	fault := b.beginAll(ctx, waiting, items)
	failed := b.group.Wait()
	if failed != nil && errors.Is(fault, context.Canceled) {
		fault = nil // only what the failure has ended: it is not the run that was broken off
	}
	err := errors.Join(failed, fault, t.flush(context.WithoutCancel(ctx)))
	if ended := b.over.Load(); ended != nil && err == nil {
		return *ended
	}
	return err
}

// paced tells whether the source's limits allow one recording after the other only.
func (t *turn) paced() bool { return !t.r.source.OwnServer }

// beginAll begins to fetch one after the other, until the turn ends.
func (b *batch) beginAll(ctx, waiting context.Context, items []*item) (err error) {
	ahead := 1 // are looked up in the archive together
	if b.r.source.Pace == 0 {
		ahead = keepAbreast
	}
	var inArchive map[string]*archive.Entry
	for i, it := range items {
		b.abreast <- struct{}{}
		if b.over.Load() != nil || ctx.Err() != nil || b.paced() && !b.final && b.hasMore() {
			return nil
		}
		if i%ahead == 0 {
			if inArchive, err = b.lookUp(ctx, items[i:min(i+ahead, len(items))]); err != nil {
				return err
			}
		}
		entry := inArchive[it.key]
		asks, err := b.begin(ctx, waiting, it, entry)
		if err != nil {
			return b.ends(err)
		}
		if !asks {
			<-b.abreast
			continue
		}
		b.group.Go(func() error {
			defer func() { <-b.abreast }()
			return b.finish(ctx, waiting, it, entry)
		})
	}
	return nil
}

// finish fetches a recording whose turn has come.
func (b *batch) finish(ctx, waiting context.Context, it *item, entry *archive.Entry) error {
	err := b.ends(b.fetch(ctx, waiting, it, entry, b.final))
	if err == nil && (b.paced() || b.isBehind()) {
		return b.flush(context.WithoutCancel(ctx))
	}
	return err
}

// ends remembers an error that ends the turn, but nothing that is under way; any other
// it returns.
func (b *batch) ends(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, errLater) {
		b.over.Store(&err)
		return nil
	}
	return err
}

// lookUp returns what the archive knows of items, by their keys.
func (t *turn) lookUp(ctx context.Context, items []*item) (map[string]*archive.Entry, error) {
	keys := make([]string, len(items))
	for i, it := range items {
		keys[i] = it.key
	}
	return t.r.c.archive.FindAll(ctx, t.site.tenant, keys)
}
