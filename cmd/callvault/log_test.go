package main

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestServiceTellsWhatIsNotWritten: a database that takes nothing more is told of in
// the log, not only at the end; requests are answered on.
func TestServiceTellsWhatIsNotWritten(t *testing.T) {
	t.Parallel()
	data, key, path := vaultWithOne(t)
	p := serving(t, data)
	db, err := sql.Open("sqlite", filepath.Join(data, "callvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"audit", "egress"} {
		_, failed := db.Exec("CREATE TRIGGER full_" + table + " BEFORE INSERT ON " + table + " BEGIN SELECT RAISE(ABORT, 'full'); END")
		err = errors.Join(err, failed)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if status, body := fetch(t, http.DefaultClient, request(t, "GET", p.url+path, key, nil)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	for _, msg := range []string{"the audit trail is not written, trying again every second", "the meter is not saved, trying again every second"} {
		eventually(t, "logged: "+msg, func() bool {
			_, said := p.said.Load(msg)
			return said
		})
	}
	if _, err := db.Exec("DROP TRIGGER full_audit; DROP TRIGGER full_egress"); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Error(err)
	}
}
