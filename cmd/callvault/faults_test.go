//go:build unix

package main

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServiceLogsWhatIsNotWritten: when the database accepts no more writes, the log says
// so at once, not only at the end; requests are still answered.
func TestServiceLogsWhatIsNotWritten(t *testing.T) {
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

// TestAudioFolderGone: while the disk of the audio is not mounted, the service is not
// ready, and does not answer that the audio does not exist, which a collector would
// believe. A service that is started meanwhile says so and ends.
func TestAudioFolderGone(t *testing.T) {
	t.Parallel()
	data, key, path := vaultWithOne(t)
	audio := filepath.Join(data, "audio")
	mount := func(there bool) {
		t.Helper()
		var err error
		if there {
			err = errors.Join(os.RemoveAll(audio), os.Rename(audio+".away", audio))
		} else {
			err = errors.Join(os.Rename(audio, audio+".away"), os.Mkdir(audio, 0o700))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p := serving(t, data)
	for _, there := range []bool{true, false, true} {
		if !there {
			mount(false)
		}
		for _, asked := range []string{path, "/readyz"} {
			status, body := fetch(t, http.DefaultClient, request(t, "GET", p.url+asked, key, nil))
			if there != (status == 200) || there != (status != 503) {
				t.Errorf("%s while the folder is there, %t: %d %.100q", asked, there, status, body)
			}
		}
		if !there {
			mount(true)
		}
	}
	mount(false)
	stop(t, p)
	out, err := command("serve", "--data", data, "--listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "but no file is in "+audio+"; see whether its disk is mounted") {
		t.Errorf("started while the folder is away: %v, %s", err, out)
	}
	mount(true)
	stop(t, serving(t, data))
}
