package database_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"callvault/database"

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

// Two openings of one file stand for two processes.
func TestTwoWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?#", "callvault.db")
	dbs := []*database.DB{open(t, path), open(t, path)}
	var wait sync.WaitGroup
	for _, db := range dbs {
		for range 4 {
			wait.Go(func() {
				for range 25 {
					if err := db.Tx(context.Background(), raise); err != nil {
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

func raise(tx *sql.Tx) error {
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

func TestTxRollsBack(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	boom := errors.New("boom")
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		if err := raise(tx); err != nil {
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

func TestReaderIsRefusedWrites(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	if _, err := db.Reader.Exec(`DELETE FROM account_revision`); err == nil {
		t.Error("the reader could write")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	first, second := open(t, path), open(t, path)
	release, err := first.Lock("source/../x")
	if err != nil {
		t.Fatal(err)
	}
	var held database.Held
	if _, err := second.Lock("source/../x"); !errors.As(err, &held) || held.Holder == "another process" {
		t.Errorf("got %v, want Held with its holder", err)
	}
	release()
	again, err := second.WaitLock(t.Context(), "source/../x")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	db := open(t, path)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
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
