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
	Dropped    int // rows without files, deleted
	Tenants    []string
	Faults     []Checked // files that are damaged, incomplete or unknown
	// Recent is how many bytes were fetched within the last callvault.EgressWindow,
	// from which the use of the sources' egress limits can be reconstructed.
	Recent map[HeldHour]int64
}

// HeldHour is an hour, counted from the Unix epoch, in which a tenant's audio came
// from a source.
type HeldHour struct {
	Tenant, Source string
	Hour           int64
}

// Rebuild rebuilds the tables of recordings and calls from the files alone, while
// others may be using them. Of the audio it checks only the length; Verify reads it.
// progress is called now and then. It is safe to run again.
func (a *Archive) Rebuild(ctx context.Context, now time.Time, progress func(Rebuilt)) (Rebuilt, error) {
	done := Rebuilt{Recent: map[HeldHour]int64{}, Faults: []Checked{}}
	recent := now.Add(-callvault.EgressWindow - time.Hour).UnixMilli()
	var sides []*sidecar
	flush := func() error {
		err := a.takeIn(ctx, sides)
		sides = sides[:0]
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
		if held := side.Audio; held != nil && held.HeldAt > recent {
			hour := held.HeldAt / time.Hour.Milliseconds()
			done.Recent[HeldHour{side.Recording.TenantName, side.Source, hour}] += held.Bytes
		}
		if sides = append(sides, side); len(sides) == rebuildBatch {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	if err := flush(); err != nil {
		return done, err
	}
	err := a.dropRowsWithoutFiles(ctx, &done)
	progress(done)
	return done, err
}

// rebuildOne reads one file. It returns the sidecar to be taken in, or nil.
func (a *Archive) rebuildOne(ctx context.Context, key string, done *Rebuilt) (*sidecar, error) {
	fault := func(format string, args ...any) {
		done.Faults = append(done.Faults, Checked{RecordingKey: key, Fault: fmt.Sprintf(format, args...)})
	}
	if path, isAudio := strings.CutSuffix(key, audioEnding); isAudio {
		alone, err := a.alone(ctx, path)
		if alone {
			fault(audioAlone)
		}
		return nil, err
	}
	path, isSidecar := strings.CutSuffix(key, sidecarEnding)
	if !isSidecar {
		fault(notOurs)
		return nil, nil
	}
	side, whole, err := a.readFiles(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // replaced by one at another path since it was listed
	}
	if unavailable(err) && !a.storeAnswers(ctx) {
		return nil, StorageError(err) // otherwise every file would be reported as faulty while the store is away
	}
	if err != nil {
		fault("%v", err)
		return nil, ctx.Err()
	}
	if !whole {
		fault("the audio is missing or not whole; the recording is listed as PENDING until its audio comes again")
	}
	done.Recordings++
	if side.Audio != nil {
		done.Held++
	}
	if name := side.Recording.TenantName; len(done.Tenants) == 0 || done.Tenants[len(done.Tenants)-1] != name {
		done.Tenants = append(done.Tenants, name) // the files of one tenant are listed together
	}
	return side, ctx.Err()
}

// alone reports whether audio has no sidecar. A recording that is being kept just now
// gets its audio first; therefore it looks a second time while nothing is being kept.
func (a *Archive) alone(ctx context.Context, path string) (bool, error) {
	look := func() bool {
		_, err := a.blobs.Size(ctx, path+sidecarEnding)
		return errors.Is(err, fs.ErrNotExist)
	}
	alone := look()
	if !alone {
		return false, ctx.Err()
	}
	err := a.alter(ctx, []string{folderOf(path)}, func(*sql.Tx) error {
		alone = look()
		return nil
	})
	return alone, err
}

// readFiles reads a recording's sidecar, and makes it PENDING if the audio that it
// describes is missing or has another length.
func (a *Archive) readFiles(ctx context.Context, path string) (side *sidecar, whole bool, err error) {
	side, err = a.readSidecar(ctx, path)
	if err != nil || side.Audio == nil {
		return side, true, err
	}
	size, err := a.blobs.Size(ctx, path+audioEnding)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if whole = err == nil && size == side.Audio.Bytes; !whole {
		side.Audio = nil
		side.Recording.Status = callvault.Pending
	}
	return side, whole, nil
}

// takeIn writes the rows of sidecars.
func (a *Archive) takeIn(ctx context.Context, sides []*sidecar) error {
	recordingOfSidecar := func(s *sidecar) *callvault.Recording { return &s.Recording }
	err := a.alter(ctx, foldersOf(sides, recordingOfSidecar), func(tx *sql.Tx) error {
		b, err := readBatch(ctx, tx, sides, recordingOfSidecar)
		if err != nil {
			return err
		}
		for _, side := range sides {
			if err := a.takeInOne(ctx, b, side); err != nil {
				return err
			}
		}
		return b.end(ctx)
	})
	return StorageError(err)
}

func (a *Archive) takeInOne(ctx context.Context, b *batch, side *sidecar) error {
	earlier, err := b.row(ctx, &side.Recording)
	if err != nil {
		return err
	}
	if earlier != nil && earlier.Added != side.AddedAt {
		// The sidecar was replaced since it was read, or an earlier one at another
		// path was not deleted before a crash.
		if side, err = a.latest(ctx, earlier.path, side.path()); side == nil {
			return err
		}
	}
	entry, err := side.entry()
	if err != nil {
		return err
	}
	if earlier != nil && earlier.Held && earlier.SHA256 == entry.SHA256 {
		entry.Read = earlier.Read
	}
	if err := saveRemarks(ctx, b.tx, &side.Recording, side.Remarks); err != nil {
		return err
	}
	return b.replaceRow(ctx, earlier, entry, side.given())
}

// latest reads the latest of the sidecars at the paths; nil when there is none.
func (a *Archive) latest(ctx context.Context, paths ...string) (latest *sidecar, err error) {
	for _, path := range paths {
		if path == "" {
			continue // a recording that was only noted
		}
		side, _, err := a.readFiles(ctx, path)
		switch {
		case err == nil && (latest == nil || side.AddedAt > latest.AddedAt):
			latest = side
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errSidecar):
			return nil, err
		}
	}
	return latest, nil
}

// entry returns the recording that the sidecar describes.
func (s *sidecar) entry() (*Entry, error) {
	e := &Entry{Recording: s.Recording, Added: s.AddedAt, path: s.path()}
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

// filesGone reports whether all of a recording's files are gone. If only the sidecar
// is, the row must stay: nothing else says which recording the audio is.
func (a *Archive) filesGone(ctx context.Context, path string) bool {
	for _, ending := range []string{sidecarEnding, audioEnding} {
		if _, err := a.blobs.Size(ctx, path+ending); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// dropRowsWithoutFiles deletes the rows whose files are gone.
func (a *Archive) dropRowsWithoutFiles(ctx context.Context, done *Rebuilt) error {
	var tenant, key string
	var startMs int64
	for {
		page, err := queryEntries(ctx, a.db.Reader, `SELECT `+entryColumns+` FROM recordings
			WHERE (tenant, start_ms, recording_key) > ($1, $2, $3) ORDER BY tenant, start_ms, recording_key LIMIT $4`,
			tenant, startMs, key, pageEntries)
		if err != nil {
			return fmt.Errorf("rows without files: %w", err)
		}
		var gone []*Entry
		for _, entry := range page {
			r := &entry.Recording
			tenant, startMs, key = r.TenantName, r.StartTime, r.RecordingKey
			if entry.path == "" {
				continue // only noted: it never had files
			}
			if a.filesGone(ctx, entry.path) {
				gone = append(gone, entry)
			}
		}
		if err := a.dropRows(ctx, gone, done); err != nil {
			return err
		}
		if len(page) < pageEntries {
			return nil
		}
	}
}

// dropRows deletes rows, except those that have got files since.
func (a *Archive) dropRows(ctx context.Context, gone []*Entry, done *Rebuilt) error {
	if len(gone) == 0 {
		return nil
	}
	dropped := 0
	err := a.alter(ctx, foldersOf(gone, recordingOfEntry), func(tx *sql.Tx) error {
		dropped = 0
		b, err := readBatch(ctx, tx, gone, recordingOfEntry)
		if err != nil {
			return err
		}
		for _, entry := range gone {
			now, err := b.row(ctx, &entry.Recording)
			if err != nil {
				return err
			}
			if now == nil || !a.filesGone(ctx, now.path) {
				continue
			}
			if err := deleteRow(ctx, tx, now); err != nil {
				return err
			}
			b.rows[rowName(&now.Recording)] = nil
			if err := b.remakeCall(ctx, &now.Recording); err != nil {
				return err
			}
			if err := deleteMarks(ctx, tx, &now.Recording, marksOf(&now.Recording, "")); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	if err == nil {
		done.Dropped += dropped
	}
	return err
}
