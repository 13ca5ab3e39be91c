package database_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"callvault/database"
)

// A database is read without writing anything, including what is only in its log, and no
// file is created beside it.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	db := open(t, path)
	if err := db.Tx(t.Context(), func(tx *sql.Tx) error { return raise(db, tx) }); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"with its log", "closed properly", "with an empty log"} {
		if state == "with an empty log" {
			if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := namesIn(t, filepath.Dir(path))
		still, err := database.OpenReadOnly(t.Context(), path)
		if err != nil {
			t.Fatal(state, err)
		}
		if got := revision(t, still); got != 2 {
			t.Errorf("%s: the revision is %d, want 2", state, got)
		}
		var got int64
		if err := still.Row(t.Context(), `SELECT revision FROM account_revision`, nil, &got); err != nil || got != 2 {
			t.Errorf("%s: a look-up finds revision %d, %v", state, got, err)
		}
		if err := still.Tx(t.Context(), func(tx *sql.Tx) error { return raise(still, tx) }); err == nil || !still.ReadOnly() {
			t.Errorf("%s: it was written to, or is not read-only", state)
		}
		if err := still.Close(); err != nil {
			t.Error(state, err)
		}
		if after := namesIn(t, filepath.Dir(path)); !slices.Equal(before, after) {
			t.Errorf("%s: %q became %q", state, before, after)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
