package database_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/database"
	"callvault/database/databasetest"
)

// lines returns the result of a query as text.
func lines(ctx context.Context, db *database.DB, query string, args ...any) (string, error) {
	text, err := db.AppendLines(ctx, nil, query, args...)
	return string(text), err
}

func TestAppendLines(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for name, place := range map[string]string{
		"SQLite":     filepath.Join(t.TempDir(), "callvault.db"),
		"PostgreSQL": databasetest.PostgreSQL(t),
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, place)
			find := func(query string, args ...any) string {
				t.Helper()
				got, err := lines(t.Context(), db, query, args...)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			const query = `SELECT key AS line FROM json_each($1) WHERE key <> $2 OR CAST($3 AS BIGINT) IS NULL ORDER BY key DESC`
			names := `{"b": true, "a": true, "` + long + `": true}`
			if got, want := find(query, names, "a", int64(1)), long+"\nb"; got != want {
				t.Errorf("%d bytes, %.20q…, want %.20q…", len(got), got, want)
			}
			if got := find(query, `{"a": true}`, "a\x00", nil); got != "a" {
				t.Errorf("%q, want a line", got)
			}
			if got := find(query, `{}`, "a", nil); got != "" {
				t.Errorf("%q of no rows", got)
			}
			if got, err := db.AppendLines(t.Context(), []byte("before: "), query, `{"c": 1, "b": 1}`, "a", nil); string(got) != "before: c\nb" || err != nil {
				t.Errorf("%q, %v, want lines behind what was there", got, err)
			}
			if _, err := lines(t.Context(), db, `SELECT line FROM nowhere`); err == nil {
				t.Error("no error for a table that does not exist")
			}
			if got := find(query, `{"a": true}`, "b", nil); got != "a" {
				t.Errorf("%q after an error", got)
			}
		})
	}
}

// A list that stalls between two pages holds no connection: there may be more lists than
// connections.
func TestLinesHoldNoConnection(t *testing.T) {
	db := open(t, databasetest.PostgreSQL(t))
	if _, err := lines(t.Context(), db, `SELECT 'a' AS line`); err != nil {
		t.Fatal(err)
	}
	if n := db.Reader.Stats().InUse; n != 0 {
		t.Errorf("%d connections are held", n)
	}
}

// A list whose client leaves ends, however long the database would still look for its
// next row, and what it read with serves the next list.
func TestLinesEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, place string) {
		db := open(t, place)
		const endless = `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT CAST(n AS TEXT) AS line FROM s WHERE n < 0`
		for range 10 { // more than there are connections
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if got, err := lines(ctx, db, endless); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q, %v, want that the time is over", got, err)
			}
			cancel()
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 10 {
			if got, err := lines(gone, db, `SELECT 'a' AS line`); !errors.Is(err, context.Canceled) {
				t.Errorf("%q, %v of a client that is gone", got, err)
			}
		}
		if got, err := lines(t.Context(), db, `SELECT 'a' AS line`); got != "a" || err != nil {
			t.Errorf("then %q, %v", got, err)
		}
	})
}

func TestLinesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, place string) {
		db := open(t, place)
		var lists sync.WaitGroup
		for i := range 100 {
			lists.Go(func() {
				want := strconv.Itoa(i)
				got, err := lines(t.Context(), db, `SELECT key AS line FROM json_each($1) WHERE key = $2`, `{"a": 1, "`+want+`": 2}`, want)
				if got != want || err != nil {
					t.Errorf("%q, %v, want %s", got, err, want)
				}
			})
		}
		lists.Wait()
	})
}

func TestRow(t *testing.T) {
	onBoth(t, func(t *testing.T, place string) {
		db := open(t, place)
		const query = `SELECT $2 AS a, CAST($1 AS BIGINT) + 1 AS b, $2 AS c, '' AS d WHERE CAST($3 AS BIGINT) > 0`
		long := strings.Repeat("é\n", 100_000)
		text, empty, number, bytes := "", "not empty", int64(0), []byte("longer than what comes into it")
		for range 2 { // the second time the statement is known
			if err := db.Row(t.Context(), query, []any{int64(1) << 60, long, 1}, &text, &number, &bytes, &empty); err != nil {
				t.Fatal(err)
			}
			if text != long || number != 1<<60+1 || string(bytes) != long || empty != "" {
				t.Errorf("%.20q…, %d, %.20q…, %q", text, number, bytes, empty)
			}
		}
		if err := db.Row(t.Context(), query, []any{1, "a", 0}, &text, &number, &bytes, &empty); err != sql.ErrNoRows {
			t.Errorf("%v without a row", err)
		}
		if err := db.Row(t.Context(), `SELECT 1 UNION ALL SELECT 2 ORDER BY 1`, nil, &number); err != nil || number != 1 {
			t.Errorf("%d, %v of two rows, want the first", number, err)
		}
		if err := db.Row(t.Context(), `SELECT 1, 2`, nil, &number); err == nil {
			t.Error("two columns go into one destination")
		}
		if err := db.Row(t.Context(), `SELECT 'a'`, nil, &number); err == nil {
			t.Errorf("a text is the number %d", number)
		}
		if err := db.Row(t.Context(), `SELECT CAST(NULL AS TEXT)`, nil, &text); err == nil {
			t.Errorf("NULL is the text %q", text)
		}
	})
}

// What a reader of SQLite refuses, and how, does not differ from the driver.
func TestReader(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	var coded interface{ Code() int }
	if _, err := lines(t.Context(), db, `SELECT line FROM nowhere`); !errors.As(err, &coded) || coded.Code() != 1 {
		t.Errorf("%v of a table that does not exist, want result code 1", err)
	}
	if _, err := lines(t.Context(), db, `DELETE FROM tenants RETURNING name AS line`); !errors.As(err, &coded) || coded.Code() != 8 {
		t.Errorf("%v of a statement that writes, want result code 8", err)
	}
	if _, err := lines(t.Context(), db, `SELECT $2 AS line`, "a"); err == nil {
		t.Error("a parameter without an argument is taken")
	}
	if _, err := lines(t.Context(), db, `SELECT $1 AS line`, 1.5); err == nil {
		t.Error("an argument of another type is taken")
	}
	var patience int64
	if err := db.Row(t.Context(), `SELECT timeout FROM pragma_busy_timeout`, nil, &patience); err != nil || patience < 1000 {
		t.Errorf("%v, it waits %d ms for a process that has the file to itself", err, patience)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := lines(t.Context(), db, `SELECT 'a' AS line`); err == nil {
		t.Error("no error after Close")
	}
}

// Close waits for what is being read, which would otherwise be freed under its reader.
func TestCloseWaitsForReaders(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "callvault.db"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lists sync.WaitGroup
	lists.Go(func() {
		const endless = `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT n AS line FROM s WHERE n < 0`
		if _, err := lines(ctx, db, endless); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that the list was cancelled", err)
		}
	})
	for db.Reading() == 0 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("it is closed while a list is read: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	lists.Wait()
}

// A file that cannot be opened for a while, for want of descriptors say, is an error for as
// long as that lasts, and no longer.
func TestReaderNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	db := open(t, path)
	if err := errors.Join(os.Rename(path, path+".away"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var coded interface{ Code() int }
	for range 200 { // more than there are readers
		if _, err := lines(ctx, db, `SELECT 'a' AS line`); !errors.As(err, &coded) || coded.Code()&0xff != 14 {
			t.Fatalf("%v, want result code 14", err)
		}
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
		t.Fatal(err)
	}
	if got, err := lines(ctx, db, `SELECT 'a' AS line`); got != "a" || err != nil {
		t.Errorf("then %q, %v", got, err)
	}
}
