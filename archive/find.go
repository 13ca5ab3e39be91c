package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"callvault"
)

// Entry is a recording as it is kept here.
type Entry struct {
	Recording callvault.Recording
	// Held tells whether its audio is here. SHA256 and AudioMs are the hash and
	// the measured length, in milliseconds, of that audio.
	Held    bool
	SHA256  [sha256.Size]byte
	AudioMs int64
	Added   int64 // when it was kept, in Unix milliseconds
	Read    int64 // when its audio was last read back and found whole; 0 never

	upload [sha256.Size]byte
	path   string
}

const entryColumns = `json, audio_ms, sha256, upload_sha256, path, added_ms, read_ms`

const findEntry = `SELECT ` + entryColumns + ` FROM recordings WHERE tenant = $1 AND recording_key = $2`

// Find returns a tenant's recording, or callvault.NotFound.
func (a *Archive) Find(ctx context.Context, tenant, key string) (*Entry, error) {
	entry, err := scanEntry(a.lists.find.QueryRowContext(ctx, tenant, key))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("there is no recording %s of tenant %s: %w", key, tenant, callvault.NotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("recording %s of %s: %w", key, tenant, err)
	}
	return entry, nil
}

// FindUpload returns the tenant's recording that was made from an upload of this
// hash, or callvault.NotFound.
func (a *Archive) FindUpload(ctx context.Context, tenant string, upload [sha256.Size]byte) (*Entry, error) {
	row := a.db.Reader.QueryRowContext(ctx, `SELECT `+entryColumns+` FROM recordings
		WHERE tenant = $1 AND upload_sha256 = $2 ORDER BY start_ms, recording_key LIMIT 1`, tenant, upload[:])
	entry, err := scanEntry(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, callvault.NotFound
	}
	if err != nil {
		return nil, fmt.Errorf("recordings of %s: %w", tenant, err)
	}
	return entry, nil
}

// OpenAudio opens the audio of a held recording, an Ogg Opus stream.
// callvault.NotFound when it is not held, or its file is gone.
func (a *Archive) OpenAudio(ctx context.Context, entry *Entry) (io.ReadSeekCloser, error) {
	r := &entry.Recording
	if !entry.Held {
		return nil, fmt.Errorf("the audio of recording %s is not here: %w", r.RecordingKey, callvault.NotFound)
	}
	file, err := a.blobs.Open(ctx, entry.path+audioEnding, r.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the audio of recording %s is missing from the archive: %w", r.RecordingKey, callvault.NotFound)
	}
	return file, err
}

func scanEntry(row interface{ Scan(...any) error }) (*Entry, error) {
	e := &Entry{}
	var recording, hash, upload []byte
	if err := row.Scan(&recording, &e.AudioMs, &hash, &upload, &e.path, &e.Added, &e.Read); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(recording, &e.Recording); err != nil {
		return nil, fmt.Errorf("row of a recording: %w", err)
	}
	e.Held = copy(e.SHA256[:], hash) == sha256.Size
	copy(e.upload[:], upload)
	return e, nil
}
