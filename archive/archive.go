// Package archive stores recordings and calls: their metadata in SQL, and their
// audio, with a sidecar beside it, as blobs.
//
// It does not know where recordings come from, nor who may have them, except for
// the grant that comes with each list request.
//
// It promises that the audio of a held recording is here: whole, checked, hashed
// and durable. The blob is written first, then the sidecar, then the row, so a
// crash leaves at worst a blob without a row, which Verify reports. Everything but
// users and settings can be rebuilt from the files (Rebuild).
package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"syscall"

	"callvault"
	"callvault/database"

	"golang.org/x/sync/singleflight"
)

// Blobs stores bytes under keys. A key has parts separated by slashes, none of
// which begins with a dot.
type Blobs interface {
	// Stage returns an empty file for bytes that are to become a blob.
	Stage() (*os.File, error)
	// Discard closes and removes a staged file. It does nothing once Put has taken
	// the file.
	Discard(file *os.File)
	// Put turns staged files into blobs, files[i] under keys[i], replacing what was
	// there. Blobs whose keys differ only in their endings are put in the given
	// order. When Put returns nil, all of them are durable; after an error, each is
	// there whole or not at all.
	Put(ctx context.Context, keys []string, files []*os.File) error
	// Open opens a blob of size bytes. If there is no such blob the error is
	// fs.ErrNotExist, which a Remote blob returns only when it is read.
	Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error)
	// Size returns the size of a blob in bytes, or fs.ErrNotExist.
	Size(ctx context.Context, key string) (int64, error)
	// Delete removes a blob, if it is there.
	Delete(ctx context.Context, key string) error
	// Keys yields the keys of all blobs that begin with prefix, in the store's order.
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Archive is the recordings and calls in a database and a store of blobs.
type Archive struct {
	db    *database.DB
	blobs Blobs

	queueMu  sync.Mutex
	queue    []*keeping
	commitMu sync.Mutex // held by the caller of Keep that commits the queue

	measuring singleflight.Group // peaks, by the hash of their audio
	measurers chan struct{}      // one element for each measurement under way
}

// New returns the archive over a database and the blobs that belong to it. If the
// database was opened with OpenReadOnly, the archive can only be read.
func New(ctx context.Context, db *database.DB, blobs Blobs) (*Archive, error) {
	a := &Archive{db: db, blobs: blobs, measurers: make(chan struct{}, peaksAtOnce)}
	if db.ReadOnly() {
		return a, nil
	}
	if err := a.markAll(ctx); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return a, nil
}

// Ready reports whether the archive can serve: its database can be read, a shared database
// can also be written, and the store of blobs is there, if it can say so. A ping alone does
// not show this: SQLite answers it without touching the disk, and so does a PostgreSQL standby.
func (a *Archive) Ready(ctx context.Context) error {
	if err := a.db.Reader.PingContext(ctx); err != nil { // fails sooner than a read would
		return fmt.Errorf("database: %w", err)
	}
	var one int
	err := a.db.Reader.QueryRowContext(ctx, `SELECT 1 FROM recordings LIMIT 1`).Scan(&one)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("database: %w", err)
	}
	if a.db.Shared() { // a connection to a standby is dropped: the next may reach a server that takes writes
		if _, err := a.db.Relaxed.ExecContext(ctx, `UPDATE calls SET updated_ms = updated_ms WHERE FALSE`); err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	if blobs, ok := a.blobs.(interface{ Ready(context.Context) error }); ok {
		return blobs.Ready(ctx)
	}
	return nil
}

// StorageError wraps an error from the database or the blobs with the
// callvault.Code that the caller should get: InsufficientStorage when a disk is
// full, Unavailable when trying again later may help. Other errors are returned
// as they are.
func StorageError(err error) error {
	switch {
	case err == nil:
		return nil
	case database.IsFull(err), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", err, callvault.InsufficientStorage)
	case database.IsBusy(err), unavailable(err):
		return fmt.Errorf("%w: %w", err, callvault.Unavailable)
	}
	return err
}

// unavailable reports whether err says that the store of blobs cannot be reached
// at the moment.
func unavailable(err error) bool {
	var store interface{ Unavailable() bool }
	return errors.As(err, &store) && store.Unavailable()
}

// storeAnswers reports whether the store of blobs says that it is ready, though it
// has just failed to return a blob.
func (a *Archive) storeAnswers(ctx context.Context) bool {
	store, asks := a.blobs.(interface{ Ready(context.Context) error })
	return asks && store.Ready(ctx) == nil
}
