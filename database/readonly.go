package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

// openReadOnly opens the database in the file at path without writing anything.
func openReadOnly(ctx context.Context, path string) (*DB, error) {
	options := "&mode=ro"
	if !logged(path) {
		options += "&immutable=1" // otherwise SQLite would create a log, even if only to find it empty
	}
	pool, err := connect(path, options+"&_pragma=query_only(1)", maxReaders())
	if err != nil {
		return nil, err
	}
	db := &DB{
		Reader: pool, writer: pool, readers: newReaders(fileURI(path)+options, maxReaders()),
		path: path, turn: semaphore.NewWeighted(1), name: "database " + path, readOnly: true,
	}
	if err := db.checkSchema(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), pool.Close())
	}
	return db, nil
}

// logged reports whether there is a log beside a database that must be read too, as in a
// snapshot. A database that was closed properly leaves none.
func logged(path string) bool {
	log, err := os.Stat(path + "-wal")
	if err == nil && log.Size() == 0 {
		_, err = os.Stat(path + "-shm") // exists while a process has the database open
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// checkSchema returns an error unless the schema is the one that this program knows.
func (db *DB) checkSchema(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	_, lacks, err := lacking(ctx, db.Reader, goose.DialectSQLite3, files)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be read in a read-only folder; copy the folder to a disk that can be written to: %w", err)
	case lacks:
		return errors.New("it was made by an older callvault, and cannot be brought up to date in a read-only folder; copy the folder to a disk that can be written to")
	}
	return nil
}
