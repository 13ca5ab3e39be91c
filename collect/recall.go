package collect

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"callvault"
	"callvault/archive"
)

// itemsFromArchive tells, by their names, how the recordings of a batch stand whose audio is
// here, though the ledger does not know: a run was killed before it could write so, or
// the ledger was lost. What an operator has settled is known.
func (c *Collector) itemsFromArchive(ctx context.Context, batch []listEntry, isHeld []bool) (map[[2]string]*item, error) {
	if !slices.Contains(isHeld, true) { // as where all of a list is new
		return nil, nil
	}
	known, err := knownItems(ctx, c.db.Reader, itemsOf(batch))
	if err != nil {
		return nil, err
	}
	recalled := map[[2]string]*item{}
	for i, e := range batch {
		stands := known[e.item.id()]
		if !isHeld[i] || stands != nil && (stands.state == held || stands.state == settled) {
			continue
		}
		entry, err := c.archive.Find(ctx, e.item.tenant, e.item.key)
		if err != nil {
			return nil, err
		}
		if recalled[e.item.id()], err = c.itemFromArchive(ctx, entry, e.item); err != nil {
			return nil, err
		}
	}
	return recalled, nil
}

// itemFromArchive tells how the item stands whose audio the archive holds, from what that keeps
// of it.
func (c *Collector) itemFromArchive(ctx context.Context, entry *archive.Entry, told *item) (*item, error) {
	it := itemOf(&entry.Recording, told.source, 0)
	it.state, it.size = held, entry.Recording.Size
	origin, err := c.archive.Provenance(ctx, entry)
	switch {
	case errors.Is(err, callvault.NotFound): // its sidecar is lost, which verify names
		return it, nil
	case err != nil:
		return nil, err
	case origin.Source != told.source: // it tells what another does
		it.digest = told.digest
	}
	it.doubt = origin.Doubt
	if origin.Accepted != "" {
		it.doubt = cmp.Or(it.doubt, "accepted by "+origin.Accepted)
	}
	if n := len(origin.History); n > 0 {
		it.changedMs = origin.History[n-1].ReplacedAt
	}
	return it, nil
}
