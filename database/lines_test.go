package database_test

import (
	"path/filepath"
	"strings"
	"testing"

	"callvault/database/databasetest"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for name, place := range map[string]string{
		"SQLite":     filepath.Join(t.TempDir(), "callvault.db"),
		"PostgreSQL": databasetest.PostgreSQL(t),
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, place)
			lines := func(query string, args ...any) string {
				t.Helper()
				got, err := db.Lines(t.Context(), query, args...)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			const query = `SELECT key AS line FROM json_each($1) WHERE key <> $2 OR CAST($3 AS BIGINT) IS NULL ORDER BY key DESC`
			names := `{"b": true, "a": true, "` + long + `": true}`
			if got, want := lines(query, names, "a", int64(1)), long+"\nb"; got != want {
				t.Errorf("%d bytes, %.20q…, want %.20q…", len(got), got, want)
			}
			if got := lines(query, `{"a": true}`, "a\x00", nil); got != "a" {
				t.Errorf("%q, want a line", got)
			}
			if got := lines(query, `{}`, "a", nil); got != "" {
				t.Errorf("%q of no rows", got)
			}
			if _, err := db.Lines(t.Context(), `SELECT line FROM nowhere`); err == nil {
				t.Error("no error for a table that does not exist")
			}
			if got := lines(query, `{"a": true}`, "b", nil); got != "a" {
				t.Errorf("%q after an error", got)
			}
		})
	}
}

// A list that stalls between two pages holds no connection: there may be more lists than
// connections.
func TestLinesHoldNoConnection(t *testing.T) {
	db := open(t, databasetest.PostgreSQL(t))
	if _, err := db.Lines(t.Context(), `SELECT 'a' AS line`); err != nil {
		t.Fatal(err)
	}
	if n := db.Reader.Stats().InUse; n != 0 {
		t.Errorf("%d connections are held", n)
	}
}
