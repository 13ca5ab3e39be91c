package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// onBoth runs a test on each kind of database, in a place of its own.
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

// raise increments the revision.
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
		t.Errorf("waiting for a held lock ended with %v", err)
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
		t.Error("the database of a newer program was opened")
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

// Where SQLite keeps what it may have to undo (PRAGMA temp_store: 2 is memory) depends on
// what each transaction promises.
func TestFewRows(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	few := database.FewRows(t.Context())
	for i, ctx := range []context.Context{t.Context(), few, few, t.Context(), few} {
		err := db.Tx(ctx, func(tx *sql.Tx) error {
			var place int
			err := tx.QueryRow("PRAGMA temp_store").Scan(&place)
			if inMemory := ctx == few; (place == 2) != inMemory {
				t.Errorf("transaction %d: temp_store is %d, want memory: %t", i, place, inMemory)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A statement that fails halfway is undone, and what came before it is not, however many
// pages it has changed by then, and wherever SQLite keeps them.
func TestStatementIsUndone(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	const rows = 1000
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		exec(t, tx, `CREATE TABLE filled (n BIGINT NOT NULL PRIMARY KEY, page TEXT NOT NULL CHECK (page <> ''))`)
		exec(t, tx, `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1)
			INSERT INTO filled SELECT n, printf('%.6000c', 'a') FROM s`, rows)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, ctx := range []context.Context{t.Context(), database.FewRows(t.Context())} {
		for _, changed := range []int{1, rows / 10, rows} { // 6 MB at last
			kept++
			err := db.Tx(ctx, func(tx *sql.Tx) error {
				exec(t, tx, `UPDATE filled SET page = 'kept' || page WHERE n <= $1`, kept)
				_, err := tx.Exec(`UPDATE filled SET page = CASE WHEN n < $1 THEN 'undone' || page ELSE '' END WHERE n <= $1`, changed)
				if err == nil || !strings.Contains(err.Error(), "CHECK") {
					t.Errorf("%d rows: %v, want that the last one is refused", changed, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var undone, stay int
			err = db.Reader.QueryRow(`SELECT count(*) FILTER (WHERE page LIKE '%undone%'), count(*) FILTER (WHERE page LIKE 'kept%') FROM filled`).Scan(&undone, &stay)
			if err != nil || undone != 0 || stay != kept {
				t.Errorf("%d rows: %d stay changed by the statement that failed, %d by the one before it (%v), want 0 and %d", changed, undone, stay, err, kept)
			}
		}
	}
}

// A statement that is run again, even while its own rows are being read or after the schema
// has changed, returns what a new one would.
func TestStatementsAreKept(t *testing.T) { onBoth(t, statementsAreKept) }

func statementsAreKept(t *testing.T, place string) {
	db := open(t, place)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		exec(t, tx, `CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)`)
		for i := range 4 {
			exec(t, tx, `INSERT INTO numbers (name, n) VALUES ($2, $1)`, i, fmt.Sprint("number ", i))
		}
		const following = `SELECT n FROM numbers WHERE n > $1 AND n <= $1 + $2 ORDER BY n`
		var seen []int
		for _, n := range numbers(t, tx, following, -1, 3) {
			seen = append(append(seen, n), numbers(t, tx, following, n, 2)...)
		}
		if want := []int{0, 1, 2, 1, 2, 3, 2, 3}; !slices.Equal(seen, want) {
			t.Errorf("got %v, want %v", seen, want)
		}
		exec(t, tx, `ALTER TABLE numbers RENAME TO figures`)
		exec(t, tx, `CREATE TABLE numbers (name TEXT, n BIGINT)`)
		exec(t, tx, `INSERT INTO numbers (name, n) VALUES ($2, $1)`, 7, "another")
		if got := numbers(t, tx, following, 0, 9); !slices.Equal(got, []int{7}) {
			t.Errorf("with another schema: %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO figures (name, n) VALUES ($2, $1)`, 1, "twice")
			return err
		}); err == nil {
			t.Error("one key was there twice")
		}
	}
}

func exec(t *testing.T, tx *sql.Tx, query string, args ...any) {
	t.Helper()
	if _, err := tx.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// numbers reads a column.
func numbers(t *testing.T, tx *sql.Tx, query string, args ...any) (list []int) {
	t.Helper()
	rows, err := tx.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// SQLite's connections can run a query while its own rows are being read; PostgreSQL's
// cannot.
func TestStatementWhileItIsRead(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	const query = `WITH RECURSIVE s(n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM s WHERE n < $2) SELECT n FROM s`
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		for range 2 {
			rows, err := tx.Query(query, 1, 3)
			if err != nil {
				return err
			}
			defer rows.Close()
			var seen []int
			for rows.Next() {
				var n int
				if err := rows.Scan(&n); err != nil {
					return err
				}
				seen = append(append(seen, n), numbers(t, tx, query, 10*n, 10*n)...)
			}
			if want := []int{1, 10, 2, 20, 3, 30}; !slices.Equal(seen, want) {
				t.Errorf("got %v, want %v", seen, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A write that waits for another one fails after a while, unless it is patient.
func TestWaitForATurnToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "callvault.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		nothing := func(*sql.Tx) error { return nil }
		held := make(chan struct{})
		var writers sync.WaitGroup
		writers.Go(func() {
			if err := db.Tx(t.Context(), func(*sql.Tx) error { <-held; return nil }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		writers.Go(func() {
			if err := db.Tx(database.Patient(t.Context()), nothing); err != nil {
				t.Errorf("a patient write: %v", err)
			}
		})
		synctest.Wait()
		for range 3 {
			began := time.Now()
			if err := db.Tx(t.Context(), nothing); !database.IsBusy(err) || time.Since(began) != 15*time.Second {
				t.Errorf("after %v: %v, want busy after 15 s", time.Since(began), err)
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Tx(gone, nothing); !errors.Is(err, context.Canceled) {
			t.Errorf("a write whose caller is gone: %v", err)
		}
		time.Sleep(time.Hour)
		close(held)
		writers.Wait()
		if err := db.Tx(t.Context(), nothing); err != nil {
			t.Error(err)
		}
	})
}

// If several processes open a database that lacks migrations, one applies them while the
// others wait.
func TestManyOpenAtOnce(t *testing.T) {
	for range 5 {
		place := filepath.Join(t.TempDir(), "callvault.db")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				db, err := database.Open(context.Background(), place)
				if err == nil {
					err = db.Close()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// A file with pages of another database, as when SQLite's log was left beside a restored
// file, is reported as damaged, with what to do about it.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	db := open(t, path)
	before := size(t, path)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT i FROM n`)
		return err
	})
	if err := errors.Join(err, db.Check(t.Context()), db.Close()); err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, before+16<<10)
	err = open(t, path).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "damaged; restore it from a backup") {
		t.Errorf("pages of a table were overwritten: %v", err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// overwrite overwrites some pages of a file.
func overwrite(t *testing.T, path string, from int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(slices.Repeat([]byte{0xff}, 64<<10), from)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
