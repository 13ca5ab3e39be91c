package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault/database"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
)

func TestManyStartTogether(t *testing.T) {
	place := databasetest.PostgreSQL(t)
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			db, err := database.Open(t.Context(), place)
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wait.Wait()
}

// Both databases have the same tables and columns. Triggers and indexes may differ.
func TestSchemasAgree(t *testing.T) {
	sqlite := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	postgres := open(t, databasetest.PostgreSQL(t))
	of := func(db *database.DB, query string) []string {
		rows, err := db.Reader.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var lines []string
		for rows.Next() {
			var table, column, kind string
			var mandatory bool
			if err := rows.Scan(&table, &column, &kind, &mandatory); err != nil {
				t.Fatal(err)
			}
			if table != "goose_db_version" && !strings.HasPrefix(table, "sqlite_") {
				kind = strings.NewReplacer("BLOB", "BYTEA", "INTEGER", "BIGINT").Replace(strings.ToUpper(kind))
				lines = append(lines, fmt.Sprintf("%s.%s %s not null: %v", table, column, kind, mandatory))
			}
		}
		slices.Sort(lines)
		return lines
	}
	diff := cmp.Diff(
		of(sqlite, `SELECT m.name, c.name, c.type, c."notnull" <> 0 FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'`),
		of(postgres, `SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'public'`))
	if diff != "" {
		t.Errorf("tables and columns (-SQLite +PostgreSQL):\n%s", diff)
	}
	var lax int
	err := postgres.Reader.QueryRow(`SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		JOIN pg_collation k ON k.oid = a.attcollation JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND k.collname <> 'C'`).Scan(&lax)
	if err != nil || lax > 0 {
		t.Errorf("%d columns are not ordered by their bytes, %v", lax, err)
	}
}

// Two transactions that wait for each other both complete.
func TestTxRunsAgainAfterADeadlock(t *testing.T) {
	db := open(t, databasetest.PostgreSQL(t))
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO egress (tenant, epoch, hour, bytes) VALUES ('a', 0, 0, 0), ('b', 0, 0, 0)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	var together, wait sync.WaitGroup
	together.Add(2)
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wait.Go(func() {
			first := true
			err := db.Tx(context.Background(), func(tx *sql.Tx) error {
				runs.Add(1)
				for i, tenant := range order {
					if _, err := tx.Exec(`UPDATE egress SET bytes = bytes + 1 WHERE tenant = $1`, tenant); err != nil {
						return err
					}
					if i == 0 && first {
						first = false
						together.Done()
						together.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var total int64
	if err := db.Reader.QueryRow(`SELECT sum(bytes) FROM egress`).Scan(&total); err != nil || total != 4 || runs.Load() < 3 {
		t.Errorf("%d in all, %v, want 4; %d runs, want 3", total, err, runs.Load())
	}
}

// A database that goes away and comes back is busy meanwhile, and then works as before.
func TestPostgreSQLRestarts(t *testing.T) {
	server := databasetest.Start(t)
	db := open(t, server.Database(t))
	look := func() error {
		var n int
		return db.Reader.QueryRowContext(context.Background(), `SELECT count(*) FROM account_revision`).Scan(&n)
	}
	release, err := db.Lock("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 2 {
		if err := look(); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		if err := look(); !database.IsBusy(err) {
			t.Errorf("while it is away: %v, want busy", err)
		}
		if err := db.Tx(context.Background(), func(*sql.Tx) error { return nil }); !database.IsBusy(err) {
			t.Errorf("while it is away: %v, want busy", err)
		}
		server.Start(t)
		for deadline := time.Now().Add(time.Minute); look() != nil; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is not found again")
			}
		}
	}
}

// A transaction is not ended because its process does something else for long, such as
// sending blobs to a store, unless the process is suspended.
func TestTransactionThatWaits(t *testing.T) {
	t.Parallel()
	db := open(t, databasetest.PostgreSQL(t)+"&idle_in_transaction_session_timeout=1s")
	ctx := database.LookSooner(t.Context(), 100*time.Millisecond, time.Minute)
	wait := func() error { time.Sleep(2500 * time.Millisecond); return nil }
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		if err := raise(db, tx); err != nil {
			return err
		}
		return db.While(ctx, tx, wait)
	})
	if got := revision(t, db); err != nil || got != 2 {
		t.Errorf("revision %d, %v, want 2", got, err)
	}
	err = db.Tx(t.Context(), func(tx *sql.Tx) error {
		if err := raise(db, tx); err != nil {
			return err
		}
		return wait()
	})
	if got := revision(t, db); !database.IsBusy(err) || got != 2 {
		t.Errorf("revision %d, %v, want 2 and busy", got, err)
	}
}

// The URL may set how soon the lock of a silent process is released. That does not apply
// to other connections.
func TestLockOfASilentProcess(t *testing.T) {
	t.Parallel()
	place := databasetest.PostgreSQL(t)
	silent, other := open(t, place+"&idle_session_timeout=300ms"), open(t, place)
	if _, err := silent.Lock("mine", nil); err != nil {
		t.Fatal(err)
	}
	release, err := other.WaitLock(t.Context(), "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	release()
	var left string
	if err := silent.Reader.QueryRow("SHOW idle_session_timeout").Scan(&left); err != nil || left != "0" {
		t.Errorf("a connection that reads ends after %s, %v", left, err)
	}
}

// A lock ends with the connection that took it, and its holder is told. A lock that was
// released does not count as lost.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	place := databasetest.PostgreSQL(t)
	mine, theirs := open(t, place), open(t, place)
	lost := map[string]chan struct{}{"cut": make(chan struct{}), "released": make(chan struct{})}
	release := map[string]func(){}
	for name, heard := range lost {
		free, err := mine.Lock(name, func() { close(heard) })
		if err != nil {
			t.Fatal(err)
		}
		release[name] = free
	}
	var ended string
	err := mine.Reader.QueryRow(`SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND ((l.classid::BIGINT << 32) | l.objid::BIGINT) = hashtextextended('lock cut', 0)`).Scan(&ended)
	if err != nil || ended != "1" {
		t.Fatalf("%s sessions ended, %v", ended, err)
	}
	again, err := theirs.WaitLock(t.Context(), "cut", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	release["released"]()
	select {
	case <-lost["cut"]:
	case <-time.After(time.Minute):
		t.Error("its holder is not told that it is lost")
	}
	select {
	case <-lost["released"]:
		t.Error("what was released counts as lost")
	default:
	}
	release["cut"]() // does nothing now
	if _, err := mine.Lock("cut", nil); !errors.As(err, new(database.Held)) {
		t.Errorf("%v, want held", err)
	}
}

// A process that waits for a lock uses one connection, however long it waits.
func TestWaitingTakesOneConnection(t *testing.T) {
	t.Parallel()
	place := databasetest.PostgreSQL(t)
	holder, waiter := open(t, place), open(t, place)
	release, err := holder.Lock("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, end := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() {
		if _, err := waiter.WaitLock(ctx, "x", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("the wait ended with %v", err)
		}
	})
	waiting := func() (pids string) {
		err := holder.Reader.QueryRow(`SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '') FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%'`).Scan(&pids)
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	var first string
	for len(strings.Fields(first)) < 2 { // those of the holder and of the waiter
		first = waiting()
	}
	time.Sleep(2 * time.Second)
	if later := waiting(); later != first {
		t.Errorf("processes %s hold and wait at first, %s later", first, later)
	}
	end()
	waits.Wait()
}

// All callers give up waiting for a database that hangs, whether their connections are new
// or were idle for a while.
func TestPostgreSQLHangs(t *testing.T) {
	server := databasetest.Start(t)
	db := open(t, server.Database(t)+"&pool_max_conns=4")
	if err := db.Reader.Ping(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // pgx trusts a connection that was idle for less than a second
	server.Freeze(t)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			var n int
			err := db.Reader.QueryRowContext(context.Background(), `SELECT count(*) FROM account_revision`).Scan(&n)
			if !database.IsBusy(err) {
				t.Errorf("%v, want busy", err)
			}
		})
	}
	wait.Wait()
	server.Thaw(t)
	for deadline := time.Now().Add(time.Minute); db.Reader.Ping() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not found again")
		}
	}
}

// A patient statement may take as long as it needs while PostgreSQL answers others, and is
// given up when PostgreSQL hangs.
func TestPatientWhileItHangs(t *testing.T) {
	server := databasetest.Start(t)
	db := open(t, server.Database(t)+"&pool_max_conns=4&connect_timeout=1")
	ctx := database.LookSooner(database.Patient(t.Context()), 200*time.Millisecond, time.Second)
	if _, err := db.Reader.ExecContext(ctx, `SELECT pg_sleep(4)`); err != nil {
		t.Errorf("it was given up though PostgreSQL answers: %v", err)
	}
	for _, idle := range []bool{false, true} {
		failed := make(chan error, 1)
		ask := func() {
			_, err := db.Reader.ExecContext(ctx, `SELECT pg_sleep(600)`)
			failed <- err
		}
		if !idle {
			go ask()
			time.Sleep(500 * time.Millisecond) // it is under way
		}
		server.Freeze(t)
		if idle {
			go ask()
		}
		select {
		case err := <-failed:
			if !database.IsBusy(err) || errors.Is(err, context.Canceled) {
				t.Errorf("%v, want busy", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it waits forever")
		}
		server.Thaw(t)
		for deadline := time.Now().Add(time.Minute); db.Reader.Ping() != nil; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is not found again")
			}
		}
	}
}

// A ping is answered even if the database hangs and the connection was in use just before.
func TestPingWhileItHangs(t *testing.T) {
	server := databasetest.Start(t)
	db := open(t, server.Database(t)+"&pool_max_conns=4")
	for range 2 { // pgx does not trust a new one either
		if err := db.Reader.Ping(); err != nil {
			t.Fatal(err)
		}
	}
	server.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := db.Reader.PingContext(ctx); !database.IsBusy(err) || ctx.Err() != nil {
		t.Errorf("%v, %v, want busy", err, ctx.Err())
	}
}

// Closing a database that hangs does not wait for it, however many connections have
// prepared statements.
func TestCloseWhileItHangs(t *testing.T) {
	server := databasetest.Start(t)
	db := open(t, server.Database(t)+"&pool_max_conns=80")
	stmt, err := db.Reader.PrepareContext(t.Context(), `SELECT revision FROM account_revision`)
	if err != nil {
		t.Fatal(err)
	}
	var all []*sql.Rows
	for range 40 {
		rows, err := stmt.Query()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rows)
	}
	for _, rows := range all {
		rows.Close()
	}
	server.Freeze(t)
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	select {
	case <-closed: // its error does not matter
	case <-time.After(time.Minute):
		t.Error("it is still being closed")
	}
}

// A write to a server that has become a standby fails as if the database were away, and
// the next gets a new connection, which may reach the server that took its place.
func TestServerThatBecomesAStandby(t *testing.T) {
	db := open(t, databasetest.PostgreSQL(t)+"&pool_max_conns=4") // one of them writes
	write := func(statement string) error {
		return db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(statement)
			return err
		})
	}
	const change = `UPDATE account_revision SET revision = revision + 1`
	if err := write(`SET default_transaction_read_only = on`); err != nil {
		t.Fatal(err)
	}
	if err := write(change); !database.IsBusy(err) {
		t.Errorf("a write there: %v, want busy", err)
	}
	if err := write(change); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

// The URL may ask for a server that takes writes, as URLs with several hosts do.
func TestServerThatTakesWrites(t *testing.T) {
	db := open(t, databasetest.PostgreSQL(t)+"&target_session_attrs=read-write")
	var n int
	if err := db.Reader.QueryRow(`SELECT count(*) FROM account_revision`).Scan(&n); err != nil {
		t.Error(err)
	}
	if _, err := db.Reader.Exec(`UPDATE account_revision SET revision = revision + 1`); err == nil {
		t.Error("a write by the reader passes")
	}
}

func TestURLOfTheDatabase(t *testing.T) {
	for place, want := range map[string]string{
		"postgres://user:secret@host/db?pool_max_conns=3":   "at least 4",
		"postgres://user:secret@host/db?pool_max_conns=all": "at least 4",
		"postgres://user:secret@ho st/db":                   "should look like",
		"postgres://user:secret@host/db?sslmode=perhaps":    "sslmode",
		"postgres://user:secret@127.0.0.1:1/db":             "check that PostgreSQL answers there",
		"postgres://user:secret@127.0.0.1:2/db":             "database db on 127.0.0.1, port 2: ", // not the one above
	} {
		_, err := database.Open(t.Context(), place)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error with %q and without the password", place, err, want)
		}
	}
}
