// Package database opens the database that the other packages keep their tables
// in, brings its schema up to date, and runs transactions and locks on it.
//
// It knows no table by name: migrations/ holds the whole schema in one place,
// and each table belongs to the package that uses it. The SQL driver is chosen
// by the program: it must have imported modernc.org/sqlite.
//
// It promises that a committed transaction survives a power cut, that readers
// never wait for a writer, and that several processes can work on one database.
package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// DB is an open database: many readers, one writer at a time.
type DB struct {
	// Reader serves reads; it is refused every write.
	Reader *sql.DB
	writer *sql.DB
	path   string
}

// Open opens the SQLite database at path, makes it if there is none, and applies
// the migrations that it lacks. A database of a newer Callvault is an error.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("database folder: %w", err)
	}
	writer, err := connect(path, "&_txlock=immediate", 1)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, writer); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), writer.Close())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), writer.Close())
	}
	reader, err := connect(path, "&_pragma=query_only(1)", max(4, 2*runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &DB{Reader: reader, writer: writer, path: path}, nil
}

// prepare settles what belongs to the file and not to a connection. WAL lets
// readers and the writer work side by side; a page of 8 KiB holds a recording's
// row without an overflow page, and must be chosen before anything is written.
func prepare(ctx context.Context, writer *sql.DB) error {
	for _, pragma := range []string{"page_size=8192", "journal_mode=WAL"} {
		if _, err := writer.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	return migrate(ctx, writer)
}

// connect opens a pool of at most size connections; synchronous=FULL makes each
// commit durable.
func connect(path, options string, size int) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(15000)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + options
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("its schema is version %d, this program knows %d: use a newer callvault", current, target)
	}
	if current == target {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// Close closes the database. What was committed stays.
func (db *DB) Close() error { return errors.Join(db.Reader.Close(), db.writer.Close()) }

// Tx runs fn in a write transaction, commits it when fn returns nil and rolls it
// back otherwise. Only one write transaction runs at a time, over all processes:
// what fn reads cannot change before it writes.
func (db *DB) Tx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Result codes of SQLite (sqlite.org/rescode.html).
const (
	sqliteBusy = 5
	sqliteFull = 13
)

// IsFull tells whether err says that the database's disk is full.
func IsFull(err error) bool { return resultCode(err) == sqliteFull }

// IsBusy tells whether err says that the database could not be reached for now.
func IsBusy(err error) bool { return resultCode(err) == sqliteBusy }

// resultCode is the primary result code of a driver's error, 0 when it has none.
func resultCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code() & 0xff
	}
	return 0
}
