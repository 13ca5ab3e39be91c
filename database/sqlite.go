package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"callvault/owner"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

// openSQLite opens the database in the file at path.
func openSQLite(ctx context.Context, path string) (*DB, error) {
	if err := owner.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("database folder: %w", err)
	}
	owner.Touch(path) // SQLite gives the files that it creates beside this one to the same owner
	writer, err := connect(path, "&_txlock=immediate", 1)
	if err != nil {
		return nil, err
	}
	db := &DB{writer: writer, path: path, turn: semaphore.NewWeighted(1), name: "database " + path}
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, explain(err)), writer.Close())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), writer.Close())
	}
	// These see other pages after each write: a larger cache would mostly hold outdated ones.
	if db.Reader, err = connect(path, "&_pragma=query_only(1)&_pragma=cache_size(-1000)", maxReaders()); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	db.readers = newReaders(fileURI(path), maxReaders())
	return db, nil
}

// prepare sets what belongs to the file rather than to a connection, and migrates the
// schema. WAL lets readers and the writer work side by side; a page of 8 KiB holds a
// recording's row without an overflow page, and must be chosen before anything is
// written. If several processes start together, one does this while the others wait.
func (db *DB) prepare(ctx context.Context) error {
	release, err := db.WaitLock(ctx, "schema", nil)
	if err != nil {
		return err
	}
	defer release()
	for _, pragma := range []string{"page_size=8192", "journal_mode=WAL"} {
		if _, err := db.writer.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	return migrate(ctx, db.writer, goose.DialectSQLite3, files)
}

type fewRowsKey struct{}

// FewRows promises that no statement of a transaction changes more than some hundred rows.
// SQLite copies each page that a statement changes, since it may have to undo that, into a
// temporary file once there are more than eight; of few rows it keeps them in memory. In a
// file, these copies were six of seven writes that a collected recording took.
func FewRows(ctx context.Context) context.Context { return context.WithValue(ctx, fewRowsKey{}, true) }

// placeUndo chooses where the next transaction keeps the pages that a statement changes.
func (db *DB) placeUndo(ctx context.Context) error {
	inMemory := ctx.Value(fewRowsKey{}) != nil
	if db.Shared() || inMemory == db.undoInMemory {
		return nil
	}
	place := "FILE"
	if inMemory {
		place = "MEMORY"
	}
	if _, err := db.writer.ExecContext(ctx, "PRAGMA temp_store="+place); err != nil {
		return err
	}
	db.undoInMemory = inMemory
	return nil
}

// Check reads a whole SQLite file and returns an error if it is damaged: a damaged file
// can go unnoticed for a long time. A PostgreSQL server has checks of its own, and is not
// checked.
func (db *DB) Check(ctx context.Context) error {
	if db.Shared() {
		return nil
	}
	var found string
	err := db.Reader.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found)
	switch {
	case err != nil:
		return fmt.Errorf("%s: check: %w", db.name, explain(err))
	case found != "ok":
		return fmt.Errorf("%s: %s: %s", db.name, damaged, found)
	}
	return nil
}

// busyTime is how long a transaction waits for another process that writes, and before
// that for its turn among those of this process.
const busyTime = 15 * time.Second

var errTurn = errors.New("too many writes have been waiting here for too long; try again in a while")

// takeTurn waits until no other transaction of this process writes, for at most busyTime
// unless ctx is Patient. Without that limit, if another process held SQLite's lock, the
// last transaction in the queue would wait for busyTime times the length of the queue.
func (db *DB) takeTurn(ctx context.Context) (end func(), err error) {
	if db.Shared() {
		return func() {}, nil
	}
	end = func() { db.turn.Release(1) }
	if db.turn.TryAcquire(1) {
		return end, nil
	}
	waiting := ctx
	if limit, given := ctx.Value(patienceKey{}).(time.Duration); !given || limit > 0 { // unless Patient
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, busyTime)
		defer cancel()
	}
	if err := db.turn.Acquire(waiting, 1); err != nil {
		if ctx.Err() == nil {
			err = errTurn
		}
		return nil, err
	}
	return end, nil
}

// maxReaders is how many connections read a file at a time.
func maxReaders() int { return max(4, 2*runtime.GOMAXPROCS(0)) }

// fileURI is the URI of a file for SQLite, to which options can be added
// (sqlite.org/uri.html).
func fileURI(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" }

// connect opens a pool of at most size connections. synchronous=FULL makes each commit
// durable. The log is written back only when it has some 32 MB, 4000 pages of 8 KiB, so
// that pages which change often are written back once.
func connect(path, options string, size int) (*sql.DB, error) {
	dsn := fileURI(path) + "_pragma=busy_timeout(" + strconv.FormatInt(busyTime.Milliseconds(), 10) + ")&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=wal_autocheckpoint(4000)" + options
	connector, err := newSQLite(dsn)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}
