package ingest_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/archivetest"
)

// TestTableBesideNamedFiles: the tables of a folder apply also to files that are named
// one by one, such as by a shell's *.opus. Rows about other audio are ignored.
func TestTableBesideNamedFiles(t *testing.T) {
	w := newWorld(t)
	in := filepath.Join(w.dir, "in")
	w.write("a.opus", archivetest.Opus(0, time.Second))
	w.write("b.opus", archivetest.Opus(1, time.Second))
	w.write("c.opus", archivetest.Opus(2, time.Second))
	w.write("list.csv", []byte("file,agent,startTime\na.opus,Ann,5000\nb.opus,Bob,6000\ngone.opus,Cid,7000\n"))
	w.write("more.jsonl", []byte(`{"recordingKey":"c","startTime":8000,"agent":"Dan"}`))
	w.write("bank.csv", []byte("date,sum\n2024-02-12,5\xa4\n")) // about something else
	outcomes, refused := w.imported(in+"/./a.opus", filepath.Join(in, "c.opus"))
	if outcomes[archive.Added] != 2 || len(refused) > 0 {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	if list := w.recordings(); list[0].Agent != "Ann" || list[0].StartTime != 5000 || list[1].Agent != "Dan" || list[1].RecordingKey != "c" {
		t.Errorf("%+v", list)
	}
	// With the table itself, as * names it.
	outcomes, refused = w.imported(filepath.Join(in, "b.opus"), filepath.Join(in, "list.csv"))
	if outcomes[archive.Added] != 1 || len(refused) != 2 || !strings.Contains(refused["gone.opus"].Error(), "no audio file") || !strings.Contains(refused["a.opus"].Error(), "not named") {
		t.Errorf("with the table: imported %v, refused %v", outcomes, refused)
	}
}

// TestRowsByKeyAndByFile: a row by key and one by file complete each other; of two files with
// that key the first is it. Rows by key that differ are a conflict.
func TestRowsByKeyAndByFile(t *testing.T) {
	w := newWorld(t)
	w.write("a.ogg", archivetest.Opus(0, time.Second))
	w.write("a.opus", archivetest.Opus(1, time.Second))
	w.write("b.opus", archivetest.Opus(2, time.Second))
	w.write("list.csv", []byte("file,agent\na.ogg,Ann\n"))
	w.write("more.jsonl", []byte(`{"recordingKey":"a","startTime":8000}
		{"recordingKey":"b","startTime":8000,"agent":"Bob"}
		{"recordingKey":"b","startTime":8000,"agent":"Cid"}`))
	outcomes, refused := w.imported(filepath.Join(w.dir, "in"))
	if outcomes[archive.Added] != 1 || !errors.Is(refused["a.opus"], callvault.Conflict) || !strings.Contains(fmt.Sprint(refused["b.opus"]), "differ in agent") {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	if list := w.recordings(); list[0].Agent != "Ann" || list[0].StartTime != 8000 {
		t.Errorf("%+v", list)
	}
}

// TestUnreadableTableBesideNamedFiles: files that it may describe are left out, as when
// their folder is named.
func TestUnreadableTableBesideNamedFiles(t *testing.T) {
	w := newWorld(t)
	w.write("a.opus", second)
	w.write("list.csv", []byte("file,agent\na.opus,J\xfcrgen\n"))
	outcomes, refused := w.imported(filepath.Join(w.dir, "in", "a.opus"))
	if len(outcomes) != 0 || len(refused) != 1 || !strings.Contains(refused["a.opus"].Error(), "list.csv") {
		t.Errorf("imported %v, refused %v", outcomes, refused)
	}
}
