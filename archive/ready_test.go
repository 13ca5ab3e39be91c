package archive_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
	"callvault/database/databasetest"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// An archive whose PostgreSQL takes no writes, as a standby does not, is not ready. It is
// ready again once the same address leads to a server that takes them.
func TestReadyMeansWritable(t *testing.T) {
	url := databasetest.PostgreSQL(t)
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	admin.SetMaxOpenConns(1)
	writes := func(what string) {
		t.Helper()
		var name string
		if err := admin.QueryRow(`SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec(`ALTER DATABASE ` + name + ` SET default_transaction_read_only = ` + what); err != nil {
			t.Fatal(err)
		}
	}
	writes("on")
	if db, err = database.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blobs, err := disk.Open(filepath.Join(t.TempDir(), "audio"))
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	a, err := archive.New(t.Context(), db, blobs)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context()); !database.IsBusy(err) {
		t.Errorf("on a server that takes no writes: %v, want busy", err)
	}
	err = db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE account_revision SET revision = revision`)
		return err
	})
	if !database.IsBusy(err) || !strings.Contains(err.Error(), "refuses writes, as a standby does") {
		t.Errorf("a write there: %v", err)
	}
	writes("off")
	if err := a.Ready(t.Context()); err != nil {
		t.Errorf("on a server that takes writes again: %v", err)
	}
}
