// Package database opens the database in which the other packages keep their tables,
// brings its schema up to date, and provides transactions and locks. The database is
// SQLite, in a file, for one machine; or PostgreSQL, for many.
//
// Statements are written once, for both: with parameters $1, $2 and so on, and with
// SQLite's INDEXED BY where there is an ORDER BY. The differences are handled here and
// nowhere else.
//
// It knows no table by name: migrations/ holds the whole schema in one place, and each
// table belongs to the package that uses it. SQLite's driver is registered by the program,
// which must import modernc.org/sqlite; queries that requests wait for most go past it, to
// the library that it is made of.
//
// It promises that a committed transaction survives a power cut, that readers never
// wait for a writer, and that several processes can work on one database.
package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

//go:embed migrations
var migrations embed.FS

// DB is an open database.
type DB struct {
	// Reader serves reads; every write is refused.
	Reader *sql.DB
	// Relaxed serves single statements whose effects within the last second may be
	// lost when the database's machine loses power. They are planned once, whatever
	// their arguments: planning would take longer than running them. It is nil unless
	// the database is Shared.
	Relaxed *sql.DB

	writer       *sql.DB
	readers      *readers            // nil when Shared
	turn         *semaphore.Weighted // to write, in this process; nil when Shared
	undoInMemory bool                // see FewRows; guarded by turn
	locks        *sql.DB             // a connection for each lock that is held; nil unless Shared
	path         string              // of the file; empty when Shared
	readOnly     bool                // nothing can be written
	name         string
}

// Open opens a database and applies the migrations that it lacks. place is the path of
// a SQLite file, which is created if it does not exist, or the URL of a PostgreSQL
// database (postgres://…). Opening the database of a newer Callvault is an error.
func Open(ctx context.Context, place string) (*DB, error) {
	if strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://") {
		return openPostgreSQL(ctx, place)
	}
	return openSQLite(ctx, place)
}

// OpenReadOnly opens the SQLite database in the file at path without writing anything, as
// for a snapshot on a read-only disk. Nobody else may be writing to it, and its schema must
// be the one that this program knows. Every write is refused.
func OpenReadOnly(ctx context.Context, path string) (*DB, error) { return openReadOnly(ctx, path) }

// ReadOnly reports whether the database was opened with OpenReadOnly.
func (db *DB) ReadOnly() bool { return db.readOnly }

// Shared reports whether other machines may work on the database too, that is, whether
// it is PostgreSQL.
func (db *DB) Shared() bool { return db.path == "" }

// Name returns the database's name for people, without secrets.
func (db *DB) Name() string { return db.name }

// Text returns s as both databases store it: as valid UTF-8 without NUL. On PostgreSQL
// it is applied to every argument; a caller that must read back exactly what it wrote
// applies it before writing.
func Text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// migrate applies the migrations that a database lacks.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS, options ...goose.ProviderOption) error {
	provider, lacks, err := lacking(ctx, db, dialect, files, options...)
	if err != nil || !lacks {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// lacking reports whether a database lacks migrations, and returns what applies them.
func lacking(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS, options ...goose.ProviderOption) (provider *goose.Provider, lacks bool, err error) {
	if provider, err = goose.NewProvider(dialect, db, files, options...); err != nil {
		return nil, false, fmt.Errorf("migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("schema version: %w", err)
	}
	if current > target {
		return nil, false, fmt.Errorf("its schema is version %d, but this program only knows version %d: use a newer callvault", current, target)
	}
	return provider, current < target, nil
}

// Close closes the database.
func (db *DB) Close() error {
	if db.Shared() {
		return errors.Join(db.Reader.Close(), db.writer.Close(), db.Relaxed.Close(), db.locks.Close())
	}
	db.readers.close()
	return errors.Join(db.Reader.Close(), db.writer.Close())
}

// maxTries is how often a transaction is run that conflicts with others.
const maxTries = 6

// Tx runs fn in a write transaction, and commits it if fn returns nil or rolls it back
// otherwise. On SQLite only one write transaction runs at a time, across all processes:
// what fn reads cannot change before it writes. On PostgreSQL many run side by side:
// fn must call Exclude before it reads what it is going to write. There, fn is run
// again from its beginning after a deadlock with another transaction.
func (db *DB) Tx(ctx context.Context, fn func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := db.tryTx(ctx, fn)
		if err == nil || try == maxTries || !isConflict(err) {
			return err
		}
		select {
		case <-time.After(time.Duration(rand.IntN(10<<try)) * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (db *DB) tryTx(ctx context.Context, fn func(*sql.Tx) error) error {
	end, err := db.takeTurn(ctx)
	if err != nil {
		return fmt.Errorf("%s: begin transaction: %w", db.name, err)
	}
	defer end()
	if err := db.placeUndo(ctx); err != nil {
		return fmt.Errorf("%s: begin transaction: %w", db.name, explain(err))
	}
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: begin transaction: %w", db.name, explain(err))
	}
	defer tx.Rollback() // does nothing after Commit
	if err := fn(tx); err != nil {
		return db.explainReadOnly(err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// While runs fn, which does not use tx but may take long, such as sending blobs to a store.
// It keeps tx alive meanwhile: PostgreSQL ends a transaction that is idle for long, because
// its process may be suspended and others wait for what it has excluded.
func (db *DB) While(ctx context.Context, tx *sql.Tx, fn func() error) error {
	if !db.Shared() {
		return fn()
	}
	interval := keepTime
	if given, ok := ctx.Value(pulseKey{}).(pulse); ok {
		interval = given.look
	}
	done := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := tx.ExecContext(ctx, `SELECT 1`); err != nil {
					return // the commit will fail
				}
			case <-done:
				return
			}
		}
	})
	defer keeping.Wait()
	defer close(done) // first, even after a panic
	return fn()
}

// Exclude waits for every other transaction that has excluded one of these names, and
// keeps out, until tx ends, those that try to: what tx reads afterwards, they cannot
// change. A transaction must pass all its names in one call. On SQLite a transaction
// excludes all others anyway.
func (db *DB) Exclude(ctx context.Context, tx *sql.Tx, names ...string) error {
	if !db.Shared() {
		return nil
	}
	slices.Sort(names) // so that no two transactions wait for each other
	for _, name := range slices.Compact(names) {
		if _, err := tx.ExecContext(Within(ctx, excludeTime), `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, name); err != nil {
			return fmt.Errorf("keep others from %s: %w", name, err)
		}
	}
	return nil
}
