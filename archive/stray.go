package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"callvault"
)

// strays yields the blobs that belong to no recording, except those of recordings in
// faulty, which were reported already.
func (a *Archive) strays(ctx context.Context, s Selection, faulty map[string]bool, yield func(Checked, error) bool) {
	if s.Part.N > 1 { // the first part looks for all strays
		return
	}
	prefix := ""
	if s.Tenant != "" {
		prefix = FileName(s.Tenant) + "/"
	}
	for key, err := range a.blobs.Keys(ctx, prefix) {
		if err != nil {
			yield(Checked{}, err)
			return
		}
		if faulty[blobPath(key)] {
			continue
		}
		fault, tenant, err := a.stray(ctx, key, s.Span)
		if err == nil && fault != "" {
			// A recording that is being kept just now gets its blobs first: look again
			// while nothing is being kept.
			err = a.alter(ctx, []string{folderOf(key)}, func(*sql.Tx) (err error) {
				fault, tenant, err = a.stray(ctx, key, s.Span)
				return err
			})
		}
		if err != nil {
			yield(Checked{}, err)
			return
		}
		if fault != "" && !yield(Checked{Tenant: tenant, RecordingKey: key, Fault: fault}, nil) {
			return
		}
	}
}

// blobPath returns the path of the recording that the blob with this key belongs to,
// or the key itself if it is not the key of a recording's blob.
func blobPath(key string) string {
	if path, ok := strings.CutSuffix(key, sidecarEnding); ok {
		return path
	}
	path, _ := strings.CutSuffix(key, audioEnding)
	return path
}

// notOurs is the fault of a file that the archive did not write.
const notOurs = "this file does not belong to the archive"

// audioAlone is the fault of audio that has neither a sidecar nor a row.
const audioAlone = "audio without a sidecar: which recording it belongs to is not known; " +
	"a crash leaves such a file when it interrupts an intake that was not acknowledged yet; then it may be deleted"

// stray returns the fault of a blob to which no row belongs, and its tenant if known.
func (a *Archive) stray(ctx context.Context, key string, span callvault.Span) (fault, tenant string, err error) {
	path := blobPath(key)
	if path == key {
		return notOurs, "", nil
	}
	side, err := a.readSidecar(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := a.blobs.Size(ctx, key); errors.Is(err, fs.ErrNotExist) {
			return "", "", nil // deleted since it was listed
		}
		return audioAlone, "", nil
	}
	if unavailable(err) {
		if !a.storeAnswers(ctx) {
			return "", "", StorageError(err)
		}
		return fmt.Sprintf("its sidecar cannot be read, though the store answers: %v", err), "", nil
	}
	if err != nil {
		return fmt.Sprintf("a file without a recording: %v", err), "", ctx.Err()
	}
	r := &side.Recording
	if !span.Contains(r.StartTime) {
		return "", "", nil
	}
	var kept string
	var addedMs int64
	err = a.db.Reader.QueryRowContext(ctx, `SELECT path, added_ms FROM recordings WHERE tenant = $1 AND recording_key = $2`,
		r.TenantName, r.RecordingKey).Scan(&kept, &addedMs)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "the database does not know this file's recording; rebuild takes it in", r.TenantName, nil
	case err != nil:
		return "", "", fmt.Errorf("recording %s: %w", r.RecordingKey, err)
	case kept == "" || kept != path && side.AddedAt > addedMs: // a crash came before its row
		return "the database does not know this form of the recording; rebuild takes it in", r.TenantName, nil
	case kept != path:
		return "an earlier form of a recording whose files are elsewhere", r.TenantName, nil
	}
	return "", "", nil
}
