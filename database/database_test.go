package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/database"
	"callvault/database/databasetest"

	_ "modernc.org/sqlite"
)

func open(t *testing.T, path string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// onBoth runs a test over each kind of database, at a place of its own.
func onBoth(t *testing.T, test func(t *testing.T, place string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "a b%20?#", "callvault.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, databasetest.PostgreSQL(t)) })
}

// Two openings of one database stand for two processes.
func TestTwoWritersLoseNothing(t *testing.T) {
	onBoth(t, twoWritersLoseNothing)
}

func twoWritersLoseNothing(t *testing.T, place string) {
	dbs := []*database.DB{open(t, place), open(t, place)}
	var wait sync.WaitGroup
	for _, db := range dbs {
		for range 4 {
			wait.Go(func() {
				for range 25 {
					if err := db.Tx(context.Background(), func(tx *sql.Tx) error { return raise(db, tx) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wait.Wait()
	if got := revision(t, dbs[0]); got != 201 {
		t.Errorf("200 increments gave %d, want 201", got)
	}
}

// raise reads the revision, and writes one more.
func raise(db *database.DB, tx *sql.Tx) error {
	if err := db.Exclude(context.Background(), tx, "revision", "another", "revision"); err != nil {
		return err
	}
	var n int64
	if err := tx.QueryRow(`SELECT revision FROM account_revision`).Scan(&n); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE account_revision SET revision = $1`, n+1)
	return err
}

func revision(t *testing.T, db *database.DB) (n int64) {
	t.Helper()
	if err := db.Reader.QueryRow(`SELECT revision FROM account_revision`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTxRollsBack(t *testing.T) { onBoth(t, txRollsBack) }

func txRollsBack(t *testing.T, place string) {
	db := open(t, place)
	boom := errors.New("boom")
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		if err := raise(db, tx); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want boom", err)
	}
	if got := revision(t, db); got != 1 {
		t.Errorf("revision %d after a rollback, want 1", got)
	}
}

func TestReaderIsRefusedWrites(t *testing.T) { onBoth(t, readerIsRefusedWrites) }

func readerIsRefusedWrites(t *testing.T, place string) {
	db := open(t, place)
	if _, err := db.Reader.Exec(`DELETE FROM account_revision`); err == nil {
		t.Error("the reader could write")
	}
}

func TestLock(t *testing.T) { onBoth(t, lock) }

func lock(t *testing.T, place string) {
	first, second := open(t, place), open(t, place)
	release, err := first.Lock("source/../x", nil)
	if err != nil {
		t.Fatal(err)
	}
	var held database.Held
	if _, err := second.Lock("source/../x", nil); !errors.As(err, &held) || !strings.Contains(held.Holder, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v, want Held with its holder", err)
	}
	if other, err := second.Lock("another", nil); err != nil {
		t.Error(err)
	} else {
		other()
	}
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := second.WaitLock(soon, "source/../x", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what is held ended with %v", err)
	}
	release()
	again, err := second.WaitLock(t.Context(), "source/../x", nil)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestNewerSchemaIsRefused(t *testing.T) { onBoth(t, newerSchemaIsRefused) }

func newerSchemaIsRefused(t *testing.T, path string) {
	db := open(t, path)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.Open(t.Context(), path); err == nil {
		t.Error("a database of a newer program was opened")
	}
}

func TestFileIsMadeForLists(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	for pragma, want := range map[string]string{"page_size": "8192", "journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := db.Reader.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", pragma, got, err, want)
		}
	}
}
