package collect

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"callvault"
	"callvault/archive"
)

// itemsFromArchive returns, by id, items for the recordings of a batch whose audio is here
// although the ledger does not know: a run was killed before it wrote that, or the ledger
// was lost. It leaves out those that an operator has settled.
func (c *Collector) itemsFromArchive(ctx context.Context, batch []listEntry, isHeld []bool) (map[[2]string]*item, error) {
	if !slices.Contains(isHeld, true) { // as when everything in a list is new
		return nil, nil
	}
	known, err := knownItems(ctx, c.db.Reader, itemsOf(batch))
	if err != nil {
		return nil, err
	}
	restored := map[[2]string]*item{}
	for i, e := range batch {
		stands := known[e.item.id()]
		if !isHeld[i] || stands != nil && (stands.state == held || stands.state == settled) {
			continue
		}
		entry, err := c.archive.Find(ctx, e.item.tenant, e.item.key)
		if err != nil {
			return nil, err
		}
		if restored[e.item.id()], err = c.itemFromArchive(ctx, entry, e.item); err != nil {
			return nil, err
		}
	}
	return restored, nil
}

// itemFromArchive makes an item, like listed, of a recording that the archive holds, from
// what the archive keeps of it.
func (c *Collector) itemFromArchive(ctx context.Context, entry *archive.Entry, listed *item) (*item, error) {
	it := itemOf(&entry.Recording, listed.source, 0)
	it.state, it.size = held, entry.Recording.Size
	origin, err := c.archive.Provenance(ctx, entry)
	switch {
	case errors.Is(err, callvault.NotFound): // its sidecar is lost, which verify reports
		return it, nil
	case err != nil:
		return nil, err
	case origin.Source != listed.source: // what is kept was not listed by this source
		it.digest = listed.digest
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
