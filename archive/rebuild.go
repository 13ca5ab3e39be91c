package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"callvault"
)

// rebuildBatch is how many recordings are taken in within one transaction.
const rebuildBatch = 256

// Rebuilt is what Rebuild has done so far.
type Rebuilt struct {
	Recordings int // taken in, with or without audio
	Held       int // of those, with audio
	Dropped    int // rows without files, taken away
	Tenants    []string
	Faults     []Checked // files that tell nothing, or are not whole
}

// Rebuild makes the tables of recordings and calls again from the files alone,
// beside what is at work on them. Audio is trusted by its length here; Verify
// reads it. progress is called now and then. It is safe to run again.
func (a *Archive) Rebuild(ctx context.Context, now time.Time, progress func(Rebuilt)) (Rebuilt, error) {
	var done Rebuilt
	var batch []*sidecar
	flush := func() error {
		err := a.takeIn(ctx, batch)
		batch = batch[:0]
		progress(done)
		return err
	}
	for key, err := range a.blobs.Keys(ctx, "") {
		if err != nil {
			return done, err
		}
		side, err := a.rebuildOne(ctx, key, &done)
		if err != nil {
			return done, err
		}
		if side == nil {
			continue
		}
		if batch = append(batch, side); len(batch) == rebuildBatch {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	if err := flush(); err != nil {
		return done, err
	}
	err := a.dropRowsWithoutFiles(ctx, now, &done)
	progress(done)
	return done, err
}

// rebuildOne reads what a file tells: a sidecar to be taken in, or nil.
func (a *Archive) rebuildOne(ctx context.Context, key string, done *Rebuilt) (*sidecar, error) {
	fault := func(format string, args ...any) {
		done.Faults = append(done.Faults, Checked{RecordingKey: key, Fault: fmt.Sprintf(format, args...)})
	}
	if path, isAudio := strings.CutSuffix(key, audioEnding); isAudio {
		if _, err := a.blobs.Size(ctx, path+sidecarEnding); errors.Is(err, fs.ErrNotExist) {
			fault("audio without a sidecar: what it is a recording of is not known")
		}
		return nil, ctx.Err()
	}
	path, isSidecar := strings.CutSuffix(key, sidecarEnding)
	if !isSidecar {
		fault("this file is not the archive's")
		return nil, nil
	}
	side, err := a.readSidecar(ctx, path)
	if err != nil {
		fault("%v", err)
		return nil, ctx.Err()
	}
	if side.Audio != nil {
		if size, err := a.blobs.Size(ctx, path+audioEnding); err != nil || size != side.Audio.Bytes {
			fault("the audio is not here whole; the recording is listed as PENDING until it comes again")
			side.Audio = nil
			side.Recording.Status = callvault.Pending
		}
	}
	done.Recordings++
	if side.Audio != nil {
		done.Held++
	}
	if name := side.Recording.TenantName; len(done.Tenants) == 0 || done.Tenants[len(done.Tenants)-1] != name {
		done.Tenants = append(done.Tenants, name) // a tenant's files come one after the other
	}
	return side, ctx.Err()
}

// takeIn writes the rows of sidecars.
func (a *Archive) takeIn(ctx context.Context, batch []*sidecar) error {
	err := a.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, side := range batch {
			if err := a.takeInOne(ctx, tx, side); err != nil {
				return err
			}
		}
		return nil
	})
	return StorageError(err)
}

func (a *Archive) takeInOne(ctx context.Context, tx *sql.Tx, side *sidecar) error {
	entry, err := side.entry()
	if err != nil {
		return err
	}
	r := &entry.Recording
	earlier, err := scanEntry(tx.QueryRowContext(ctx, findEntry, r.TenantName, r.RecordingKey))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("recording %s: %w", r.RecordingKey, err)
	}
	if earlier != nil {
		if earlier.Added > entry.Added {
			return nil // this sidecar was replaced since, or its removal was cut short
		}
		if earlier.Held && earlier.SHA256 == entry.SHA256 {
			entry.Read = earlier.Read
		}
		if err := deleteRow(ctx, tx, earlier); err != nil {
			return err
		}
	}
	if err := insertRow(ctx, tx, entry); err != nil {
		return err
	}
	return saveCall(ctx, tx, &callRow{call: side.Call, given: side.CallGiven, updatedMs: side.AddedAt})
}

// entry is the recording that the sidecar tells of.
func (s *sidecar) entry() (*Entry, error) {
	r := s.Recording
	e := &Entry{Recording: r, Added: s.AddedAt, path: pathOf(r.TenantName, r.RecordingKey, r.StartTime)}
	if s.Audio == nil {
		return e, nil
	}
	var err error
	if e.SHA256, err = parseHash(s.Audio.SHA256); err != nil {
		return nil, err
	}
	if e.upload, err = parseHash(s.Audio.UploadSHA256); err != nil {
		e.upload = e.SHA256
	}
	e.Held, e.AudioMs, e.Recording.Size = true, s.Audio.Duration, s.Audio.Bytes
	return e, nil
}

// dropRowsWithoutFiles takes away the rows whose sidecar is not there, but those
// that were made since the rebuild began.
func (a *Archive) dropRowsWithoutFiles(ctx context.Context, began time.Time, done *Rebuilt) error {
	var tenant, key string
	var startMs int64
	for {
		page, err := queryEntries(ctx, a.db.Reader, `SELECT `+entryColumns+` FROM recordings
			WHERE (tenant, start_ms, recording_key) > ($1, $2, $3) ORDER BY tenant, start_ms, recording_key LIMIT $4`,
			tenant, startMs, key, pageRecordings)
		if err != nil {
			return fmt.Errorf("rows without files: %w", err)
		}
		var gone []*Entry
		for _, entry := range page {
			r := &entry.Recording
			tenant, startMs, key = r.TenantName, r.StartTime, r.RecordingKey
			_, err := a.blobs.Size(ctx, entry.path+sidecarEnding)
			if errors.Is(err, fs.ErrNotExist) && entry.Added < began.UnixMilli() {
				gone = append(gone, entry)
			}
		}
		if err := a.dropRows(ctx, gone); err != nil {
			return err
		}
		done.Dropped += len(gone)
		if len(page) < pageRecordings {
			return nil
		}
	}
}

func (a *Archive) dropRows(ctx context.Context, gone []*Entry) error {
	if len(gone) == 0 {
		return nil
	}
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, entry := range gone {
			if err := deleteRow(ctx, tx, entry); err != nil {
				return err
			}
		}
		return nil
	})
}
