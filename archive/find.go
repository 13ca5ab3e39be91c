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
	"net/url"
	"time"

	"callvault"
	"callvault/database"
)

// Entry is a recording as it is kept here.
type Entry struct {
	Recording callvault.Recording
	// Held reports whether its audio is here. SHA256 and AudioMs are the hash and
	// the measured length, in milliseconds, of that audio.
	Held    bool
	SHA256  [sha256.Size]byte
	AudioMs int64
	Added   int64 // when it was kept, in Unix milliseconds
	Read    int64 // when its audio was last read back and found whole, in Unix milliseconds; 0 if never

	upload [sha256.Size]byte
	path   string
}

const entryColumns = `json, audio_ms, sha256, upload_sha256, path, added_ms, read_ms`

const findEntry = `SELECT ` + entryColumns + ` FROM recordings WHERE tenant = $1 AND recording_key = $2`

// findEntries is findEntry for many recordings: each row of values is a tenant and a
// key.
func findEntries(values string) string {
	return `SELECT ` + entryColumns + ` FROM (` + values + `) AS asked CROSS JOIN recordings INDEXED BY recordings_by_key
		WHERE tenant = column1 AND recording_key = column2`
}

// findUpload names its index, as other statements with an ORDER BY do: left to
// itself, SQLite would read the whole tenant, whose rows are in that order already.
const findUpload = `SELECT ` + entryColumns + ` FROM recordings INDEXED BY recordings_by_upload
	WHERE tenant = $1 AND upload_sha256 = $2 AND length(upload_sha256) > 0 ORDER BY start_ms, recording_key LIMIT 1`

// Find returns a tenant's recording, or callvault.NotFound.
func (a *Archive) Find(ctx context.Context, tenant, key string) (*Entry, error) {
	entry, err := scanEntry(func(dest ...any) error { return a.db.Row(ctx, findEntry, []any{tenant, key}, dest...) })
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("there is no recording %s of tenant %s: %w", key, tenant, callvault.NotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("recording %s of %s: %w", key, tenant, err)
	}
	return entry, nil
}

// FindAll returns a tenant's recordings with these keys, by key. Unknown keys are
// absent.
func (a *Archive) FindAll(ctx context.Context, tenant string, keys []string) (map[string]*Entry, error) {
	asked := make([][]any, len(keys))
	for i, key := range keys {
		asked[i] = []any{tenant, key}
	}
	all := make(map[string]*Entry, len(keys))
	for values, args := range database.Rows(asked) {
		found, err := queryEntries(ctx, a.db.Reader, findEntries(values), args...)
		if err != nil {
			return nil, fmt.Errorf("recordings of %s: %w", tenant, err)
		}
		for _, entry := range found {
			all[entry.Recording.RecordingKey] = entry
		}
	}
	return all, nil
}

const findAudio = `SELECT status, agent, skill, bytes, sha256, path, added_ms FROM recordings WHERE tenant = $1 AND recording_key = $2`

// FindAudio returns what sending the audio of a tenant's recording needs, or
// callvault.NotFound. Of the entry's Recording only the key, tenant, status, agent,
// skill and size are set; AudioMs and Read are not set.
func (a *Archive) FindAudio(ctx context.Context, tenant, key string) (*Entry, error) {
	e := &Entry{Recording: callvault.Recording{RecordingKey: key, TenantName: tenant}}
	r := &e.Recording
	var hash []byte
	ctx = context.WithoutCancel(ctx) // watching it would take longer than the look-up itself
	err := a.db.Row(ctx, findAudio, []any{tenant, key}, (*string)(&r.Status), &r.Agent, &r.Skill, &r.Size, &hash, &e.path, &e.Added)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("there is no recording %s of tenant %s: %w", key, tenant, callvault.NotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("recording %s of %s: %w", key, tenant, err)
	}
	e.Held = copy(e.SHA256[:], hash) == sha256.Size
	return e, nil
}

// FindUpload returns the tenant's recording that was made from an upload of this
// hash, or callvault.NotFound.
func (a *Archive) FindUpload(ctx context.Context, tenant string, upload [sha256.Size]byte) (*Entry, error) {
	entry, err := scanEntry(a.db.Reader.QueryRowContext(ctx, findUpload, tenant, upload[:]).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, callvault.NotFound
	}
	if err != nil {
		return nil, fmt.Errorf("recordings of %s: %w", tenant, err)
	}
	return entry, nil
}

// OpenAudio opens the audio of a held recording, an Ogg Opus stream. The error is
// callvault.NotFound when the recording is not held, or its file is gone; a Remote
// file returns the latter only when it is read.
func (a *Archive) OpenAudio(ctx context.Context, entry *Entry) (io.ReadSeekCloser, error) {
	r := &entry.Recording
	if !entry.Held {
		return nil, fmt.Errorf("the audio of recording %s is not held here: %w", r.RecordingKey, callvault.NotFound)
	}
	file, err := a.blobs.Open(ctx, entry.path+audioEnding, r.Size)
	if err != nil {
		return nil, audioError(r, err)
	}
	if remote, ok := file.(Remote); ok {
		return &remoteAudio{remote, r}, nil
	}
	return file, nil
}

// linker is implemented by blobs that can be read at a signed URL, without going
// through this program.
type linker interface {
	Link(ctx context.Context, key string, lives time.Duration, header map[string]string) (*url.URL, error)
}

// Link returns a URL at which anybody can read the audio of a held recording until it
// expires; the answer there carries these headers. Not every store of blobs offers
// such URLs.
func (a *Archive) Link(ctx context.Context, entry *Entry, lives time.Duration, header map[string]string) (string, error) {
	store, ok := a.blobs.(linker)
	if !ok {
		return "", errors.New("the store of the archive's audio offers no links to it")
	}
	link, err := store.Link(ctx, entry.path+audioEnding, lives, header)
	if err != nil {
		return "", err
	}
	return link.String(), nil
}

// Remote is a blob that is fetched when it is read. Fetch requests exactly the next n
// bytes, so that the caller knows whether they are available before it sends the
// headers of an answer.
type Remote interface {
	io.ReadSeekCloser
	Fetch(n int64) error
}

// remoteAudio is a recording's audio that is fetched when it is read.
type remoteAudio struct {
	Remote
	recording *callvault.Recording
}

// Fetch implements Remote. The error is callvault.NotFound when the audio is not there.
func (a *remoteAudio) Fetch(n int64) error { return audioError(a.recording, a.Remote.Fetch(n)) }

// Read implements Remote. The error is callvault.NotFound when the audio is not there.
func (a *remoteAudio) Read(p []byte) (int, error) {
	n, err := a.Remote.Read(p)
	if err == io.EOF { // not wrapped: readers compare it with ==
		return n, err
	}
	return n, audioError(a.recording, err)
}

// audioError wraps an error from the blobs with the callvault.Code for a caller that
// wanted a recording's audio.
func audioError(r *callvault.Recording, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the audio of recording %s is missing from the archive: %w", r.RecordingKey, callvault.NotFound)
	}
	return StorageError(err)
}

// scanEntry returns the entry whose columns scan copies.
func scanEntry(scan func(dest ...any) error) (*Entry, error) {
	e := &Entry{}
	var recording, hash, upload []byte
	if err := scan(&recording, &e.AudioMs, &hash, &upload, &e.path, &e.Added, &e.Read); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(recording, &e.Recording); err != nil {
		return nil, fmt.Errorf("row of a recording: %w", err)
	}
	e.Held = copy(e.SHA256[:], hash) == sha256.Size
	copy(e.upload[:], upload)
	return e, nil
}
