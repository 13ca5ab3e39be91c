package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"callvault"
	"callvault/database"
)

// findRow returns the row of a recording, or nil when there is none.
func findRow(ctx context.Context, tx *sql.Tx, r *callvault.Recording) (*Entry, error) {
	entry, err := scanEntry(tx.QueryRowContext(ctx, findEntry, r.TenantName, r.RecordingKey).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", r.RecordingKey, err)
	}
	return entry, nil
}

// alter runs fn in a transaction that excludes, across all processes, every other
// alter that names one of these tenants' folders. What fn reads of those tenants
// cannot change before it writes, and no other process is putting blobs of theirs
// at the same time. fn may be run again from its beginning.
func (a *Archive) alter(ctx context.Context, folders []string, fn func(*sql.Tx) error) error {
	names := make([]string, len(folders))
	for i, folder := range folders {
		names[i] = "archive " + folder
	}
	return a.db.Tx(database.FewRows(ctx), func(tx *sql.Tx) error {
		if err := a.db.Exclude(ctx, tx, names...); err != nil {
			return err
		}
		return fn(tx)
	})
}

// foldersOf returns the tenants' folders of these recordings.
func foldersOf[T any](all []T, recording func(T) *callvault.Recording) []string {
	folders := make([]string, len(all))
	for i, one := range all {
		folders[i] = FileName(recording(one).TenantName)
	}
	return folders
}

// folderOf returns the tenant's folder of a path.
func folderOf(path string) string {
	folder, _, _ := strings.Cut(path, "/")
	return folder
}

func recordingOfEntry(e *Entry) *callvault.Recording { return &e.Recording }

// sameInCall reports whether both forms of a recording yield the same call when the
// call is made from its recordings: their status and size do not matter.
func sameInCall(a, b *Entry) bool {
	one, other := a.Recording, b.Recording
	one.Status, one.Size = other.Status, other.Size
	return one == other
}

// stays reports whether a recording's row can be updated in place: neither its
// position in a list nor its call has changed.
func stays(earlier, e *Entry) bool {
	return earlier != nil && earlier.Recording.StartTime == e.Recording.StartTime && earlier.Recording.CallKey == e.Recording.CallKey
}

// writeRow writes a recording's row, replacing the earlier one if there is one.
func writeRow(ctx context.Context, tx *sql.Tx, earlier, e *Entry) error {
	if stays(earlier, e) {
		return updateRow(ctx, tx, e)
	}
	if earlier != nil {
		if err := deleteRow(ctx, tx, earlier); err != nil {
			return err
		}
	}
	return insertRow(ctx, tx, e)
}

// updateRow updates a row in place, which changes fewer indexes than inserting it
// anew.
func updateRow(ctx context.Context, tx *sql.Tx, e *Entry) error {
	r := &e.Recording
	hash, upload := e.hashes()
	_, err := tx.ExecContext(ctx, `UPDATE recordings SET status = $1, agent = $2, skill = $3, json = $4, bytes = $5, audio_ms = $6,
		sha256 = $7, upload_sha256 = $8, path = $9, added_ms = $10, read_ms = $11
		WHERE tenant = $12 AND start_ms = $13 AND recording_key = $14`,
		string(r.Status), r.Agent, r.Skill, string(r.AppendJSON(nil)), r.Size, e.AudioMs,
		hash, upload, e.path, e.Added, e.Read, r.TenantName, r.StartTime, r.RecordingKey)
	if err != nil {
		return fmt.Errorf("row of recording %s: %w", r.RecordingKey, err)
	}
	return nil
}

// hashes returns the hashes as a row stores them: empty when no audio is held.
func (e *Entry) hashes() (audio, upload []byte) {
	if !e.Held {
		return []byte{}, []byte{}
	}
	return e.SHA256[:], e.upload[:]
}

func insertRow(ctx context.Context, tx *sql.Tx, e *Entry) error {
	r := &e.Recording
	hash, upload := e.hashes()
	_, err := tx.ExecContext(ctx, `INSERT INTO recordings (tenant, start_ms, recording_key, call_key, status, agent, skill, json,
		bytes, audio_ms, sha256, upload_sha256, path, added_ms, read_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		r.TenantName, r.StartTime, r.RecordingKey, r.CallKey, string(r.Status), r.Agent, r.Skill, string(r.AppendJSON(nil)),
		r.Size, e.AudioMs, hash, upload, e.path, e.Added, e.Read)
	if err != nil {
		return fmt.Errorf("row of recording %s: %w", r.RecordingKey, err)
	}
	return nil
}

func deleteRow(ctx context.Context, tx *sql.Tx, e *Entry) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM recordings WHERE tenant = $1 AND recording_key = $2`,
		e.Recording.TenantName, e.Recording.RecordingKey)
	if err != nil {
		return fmt.Errorf("row of recording %s: %w", e.Recording.RecordingKey, err)
	}
	return nil
}
