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

// openAsIs opens the database in the file at path without writing anything.
func openAsIs(ctx context.Context, path string) (*DB, error) {
	// Without a log it was closed in order, and SQLite must be told that it need not make
	// one. With a log beside it, of a snapshot, that is read too.
	options := "&mode=ro&_pragma=query_only(1)"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		options += "&immutable=1"
	}
	pool, err := connect(path, options, max(4, 2*runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, err
	}
	db := &DB{Reader: pool, writer: pool, path: path, turn: semaphore.NewWeighted(1), name: "database " + path, asIs: true}
	if err := db.known(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), pool.Close())
	}
	return db, nil
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
