package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/database"
)

// listEntry is a recording of a list, in the form that the archive and the ledger take.
type listEntry struct {
	note archive.Note
	item *item // nil when it cannot be kept
	// changed says that the recording is not as it was known. Without it, the call may
	// differ.
	changed bool
}

// maxListed is the largest size in bytes, and duration in milliseconds (35 years), that
// a list is believed to say of a recording. Sums of millions of them do not overflow.
const maxListed = 1 << 40

// toEntry converts a recording of a list: it gets its tenant's name here, and a status
// that says whether the audio is here. The entry has no item when the recording belongs
// to another source's tenant or is malformed; toEntry adds that to bad.
func (r *Run) toEntry(ctx context.Context, t *listedRecording, at int64, bad *badItems) (e listEntry, err error) {
	rec := t.recording
	site, err := r.siteOf(ctx, rec.TenantName)
	if site == nil {
		bad.refused = true
		return e, err
	}
	rec.TenantName = site.tenant
	rec.Size, rec.Duration = min(max(0, rec.Size), maxListed), min(max(0, rec.Duration), maxListed)
	if rec.CallKey == "" && t.call != nil {
		rec.CallKey = t.call.CallKey
	}
	if rec.CallKey == "" {
		rec.CallKey = rec.RecordingKey // a call of its own
	}
	if rec.Status == "" {
		rec.Status = "UNKNOWN"
	}
	if err := rec.Validate(); err != nil {
		bad.add(rec.RecordingKey, t.recording.AppendJSON(nil), err)
		return e, nil
	}
	e.item = itemOf(&rec, r.source.Name, at)
	e.note.Recording = rec
	if !rec.Status.Deleted() {
		e.note.Recording.Status = callvault.Pending
	}
	if t.call != nil && t.call.CallKey == rec.CallKey && t.call.TenantName == t.recording.TenantName {
		call := *t.call
		call.TenantName = site.tenant
		call.EndTime = max(call.EndTime, call.StartTime) // a call that goes on has no end yet
		call.TotalHoldDuration = max(0, call.TotalHoldDuration)
		if call.Validate() == nil {
			e.note.Call = &call
			e.item.digest = append(e.item.digest, digestOfCall(&call)...)
		}
	}
	return e, nil
}

// noteAll writes entries of a list into the archive, so that they are listed here, and
// into the ledger.
func (r *Run) noteAll(ctx context.Context, batch []listEntry) error {
	if batch = withoutRepeats(batch); len(batch) == 0 {
		return nil
	}
	now := time.Now()
	notes := make([]archive.Note, len(batch))
	for i := range batch {
		notes[i] = batch[i].note
	}
	isHeld, err := r.c.archive.Note(ctx, notes, now)
	if err != nil {
		return err
	}
	restored, err := r.c.itemsFromArchive(ctx, batch, isHeld)
	if err != nil {
		return err
	}
	changed, fresh, err := r.c.noteItems(ctx, batch, isHeld, restored)
	if err != nil {
		return err
	}
	if err := r.amend(ctx, changed, now); err != nil {
		return err
	}
	return r.wake(ctx, fresh)
}

// noteItems writes entries of a list into the ledger. isHeld says of each whether its audio
// is here, restored has the items that itemsFromArchive has made. It returns the entries of
// held recordings that are not as they were known, whose change is yet to be kept, and the
// items that are due and were not before.
func (c *Collector) noteItems(ctx context.Context, batch []listEntry, isHeld []bool, restored map[[2]string]*item) (changed []listEntry, fresh []*item, err error) {
	tenants := make([]string, 0, len(batch))
	for it := range itemsOf(batch) {
		tenants = append(tenants, it.tenant)
	}
	err = c.alter(database.FewRows(ctx), tenants, func(tx *sql.Tx) error {
		changed, fresh = nil, nil
		all, err := knownItems(ctx, tx, itemsOf(batch))
		if err != nil {
			return err
		}
		for i, e := range batch {
			it := *e.item // as it is written now
			known := all[it.id()]
			if known != nil && it.repeats(known) {
				continue
			}
			if known != nil && known.state == held && !isHeld[i] {
				isHeld[i] = c.holds(ctx, &it) // perhaps only since archive.Note
			}
			if there := restored[it.id()]; there != nil && (known == nil || known.state != held) {
				known = there
			}
			e.changed = it.carryOver(known, isHeld[i])
			if e.changed || isHeld[i] && known != nil && it.addsCall(known) {
				changed = append(changed, e)
				it.digest = known.digest // until the change is kept
			}
			if it.state == due && (known == nil || known.state != due) {
				fresh = append(fresh, e.item)
			}
			if err := it.write(ctx, tx); err != nil {
				return err
			}
			all[it.id()] = &it
		}
		return nil
	})
	return changed, fresh, err
}

// withoutRepeats returns a batch without repetitions of a recording, which come in lists
// whose calls share one: else the recording would change back and forth from run to run.
func withoutRepeats(batch []listEntry) []listEntry {
	told := make(map[[2]string]int, len(batch))
	left := batch[:0]
	for _, e := range batch {
		at, again := told[e.item.id()]
		switch {
		case !again:
			told[e.item.id()] = len(left)
			left = append(left, e)
		case !e.item.repeats(left[at].item):
			left[at] = e
		}
	}
	return left
}

func itemsOf(batch []listEntry) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for i := range batch {
			if !yield(batch[i].item) {
				return
			}
		}
	}
}

// holds reports whether the archive holds an item's audio.
func (c *Collector) holds(ctx context.Context, it *item) bool {
	entry, err := c.archive.Find(ctx, it.tenant, it.key)
	return err == nil && entry.Held
}

// amend keeps how held recordings have changed at the source. It writes to the ledger
// last, so that a change is kept, at least once, whenever the run is killed.
func (r *Run) amend(ctx context.Context, changed []listEntry, now time.Time) error {
	for i := range changed {
		e := &changed[i]
		amended, err := r.c.archive.Amend(ctx, &e.note, now)
		if errors.Is(err, callvault.NotFound) && !e.changed {
			continue
		}
		if errors.Is(err, callvault.NotFound) { // concerns this recording only; the other changes are kept
			r.addProblem(Problem{Tenant: e.item.tenant, Key: e.item.key, Reason: "the source tells otherwise of it now, which cannot be kept: its sidecar is missing or damaged"})
			continue
		}
		if err != nil {
			return err
		}
		err = r.c.db.Tx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE items SET digest = $1, changed_ms = CASE WHEN $2 THEN CAST($3 AS BIGINT) ELSE changed_ms END
				WHERE tenant = $4 AND recording_key = $5`, e.item.digest, e.changed || amended, now.UnixMilli(), e.item.tenant, e.item.key)
			return err
		})
		if err != nil {
			return fmt.Errorf("ledger of %s: %w", e.item.key, err)
		}
	}
	return nil
}
