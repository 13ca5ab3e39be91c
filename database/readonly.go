package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

// openReadOnly opens the database in the file at path without writing anything.
func openReadOnly(ctx context.Context, path string) (*DB, error) {
	options := "&mode=ro&_pragma=query_only(1)"
	if !logged(path) {
		options += "&immutable=1" // SQLite would make a log, if only to find nothing in it
	}
	pool, err := connect(path, options, max(4, 2*runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, err
	}
	db := &DB{Reader: pool, writer: pool, path: path, turn: semaphore.NewWeighted(1), name: "database " + path, readOnly: true}
	if err := db.known(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), pool.Close())
	}
	return db, nil
}

// logged tells whether there is a log to be read beside a database, as in a snapshot: none
// is left of one that was closed in order.
func logged(path string) bool {
	log, err := os.Stat(path + "-wal")
	if err == nil && log.Size() == 0 {
		_, err = os.Stat(path + "-shm") // by which those find each other who have it open
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// known tells whether the schema is the one that this program knows.
func (db *DB) known(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	_, lacks, err := lacking(ctx, db.Reader, goose.DialectSQLite3, files)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be read where nothing can be written; copy the folder to where it can be: %w", err)
	case lacks:
		return errors.New("it is of an older callvault, and cannot be brought up to date where nothing can be written; copy the folder to where it can be")
	}
	return nil
}
