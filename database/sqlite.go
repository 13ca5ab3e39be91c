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
	owner.Touch(path) // the files that SQLite makes beside it belong to whom this one does
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
	if db.Reader, err = connect(path, "&_pragma=query_only(1)", max(4, 2*runtime.GOMAXPROCS(0))); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return db, nil
}

// prepare settles what belongs to the file and not to a connection. WAL lets
// readers and the writer work side by side; a page of 8 KiB holds a recording's
// row without an overflow page, and must be chosen before anything is written. Of
// many processes that start together one does it, and the others wait.
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

// Check reads a file of SQLite through and tells whether it holds together: one that
// does not can answer for long without an error. A server is its own to look after.
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

// busyTime is how long a transaction waits for another process that writes, and
// before that for its turn in this one.
const busyTime = 15 * time.Second

var errTurn = errors.New("others here have been waiting for long to write; try again in a while")

// takeTurn waits until no other transaction of this process writes. While another
// process does not let go of SQLite's lock, each waits for that in its turn: who
// came last would wait for all of them.
func (db *DB) takeTurn(ctx context.Context) (end func(), err error) {
	if db.Shared() {
		return func() {}, nil
	}
	end = func() { db.turn.Release(1) }
	if db.turn.TryAcquire(1) {
		return end, nil
	}
	waiting := ctx
	if limit, given := ctx.Value(patienceKey{}).(time.Duration); !given || limit > 0 { // not Patient
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

// connect opens a pool of at most size connections; synchronous=FULL makes each
// commit durable. What is written often is written back once: 32 MB of log, of
// pages of 8 KiB, may pile up before.
func connect(path, options string, size int) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(" + strconv.FormatInt(busyTime.Milliseconds(), 10) + ")&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=wal_autocheckpoint(4000)" + options
	connector, err := newSQLite(dsn)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}
