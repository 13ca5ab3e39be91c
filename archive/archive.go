// Package archive keeps recordings and calls: what is known of them in SQL,
// their audio and a sidecar beside it as blobs.
//
// It does not know where recordings come from, nor who may have them beyond the
// grant that a list is asked for with.
//
// It promises that a recording which is held has its audio here: whole, checked,
// hashed and durable. Blob, sidecar and row are made in that order; a crash
// leaves at worst a blob without a row, which Verify names. All but users and
// settings can be made again from the files (Rebuild).
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

// Blobs keeps bytes under keys: parts between slashes, none of which begins with
// a dot.
type Blobs interface {
	// Stage returns an empty file for bytes that are to become a blob.
	Stage() (*os.File, error)
	// Discard ends a staged file that Put did not take.
	Discard(file *os.File)
	// Put makes staged files blobs, files[i] under keys[i], over what was there:
	// those whose keys differ only in their endings in this order. When it returns
	// nil all are durable; after an error each is there whole or not at all.
	Put(ctx context.Context, keys []string, files []*os.File) error
	// Open opens a blob of size bytes; fs.ErrNotExist when it is not there, which a
	// Remote one tells only when it is read.
	Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error)
	// Size is the number of bytes of a blob; fs.ErrNotExist when it is not there.
	Size(ctx context.Context, key string) (int64, error)
	// Delete removes a blob, if it is there.
	Delete(ctx context.Context, key string) error
	// Keys yields the keys of all blobs that begin with prefix, in their order.
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Archive is the recordings and calls of a database and a store of blobs.
type Archive struct {
	db    *database.DB
	blobs Blobs
	lists *lists

	queueMu  sync.Mutex
	queue    []*keeping
	commitMu sync.Mutex

	measuring singleflight.Group // peaks, by the hash of their audio
	measurers chan struct{}
}

// New returns the archive over a database and the blobs that belong to it. Of a database
// that was opened as it is, it can only be read.
func New(ctx context.Context, db *database.DB, blobs Blobs) (*Archive, error) {
	lists, err := prepareLists(ctx, db.Reader)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Archive{db: db, blobs: blobs, lists: lists, measurers: make(chan struct{}, peaksAtOnce)}
	if db.AsIs() {
		return a, nil
	}
	if err := a.markAll(ctx); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return a, nil
}

// Ready tells whether the archive's database can be read, and written where others share
// it, and whether its blobs are where they were, if they can tell. A ping would not tell:
// of SQLite's it asks nothing that is on the disk, and a standby of PostgreSQL answers it.
func (a *Archive) Ready(ctx context.Context) error {
	if err := a.db.Reader.PingContext(ctx); err != nil { // which is given up sooner than what is read
		return fmt.Errorf("database: %w", err)
	}
	var one int
	err := a.db.Reader.QueryRowContext(ctx, `SELECT 1 FROM recordings LIMIT 1`).Scan(&one)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("database: %w", err)
	}
	if a.db.Shared() { // a connection that is refused is given up: another may lead to where can be written
		if _, err := a.db.Relaxed.ExecContext(ctx, `UPDATE calls SET updated_ms = updated_ms WHERE FALSE`); err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	if blobs, ok := a.blobs.(interface{ Ready(context.Context) error }); ok {
		return blobs.Ready(ctx)
	}
	return nil
}

// StorageError gives an error of the database or the blobs the answer that the
// one who wanted to keep something should get.
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

// unavailable tells whether blobs could not be reached just now.
func unavailable(err error) bool {
	var told interface{ Unavailable() bool }
	return errors.As(err, &told) && told.Unavailable()
}

// storeAnswers tells whether a store that did not give a blob is there for others.
func (a *Archive) storeAnswers(ctx context.Context) bool {
	store, asks := a.blobs.(interface{ Ready(context.Context) error })
	return asks && store.Ready(ctx) == nil
}
