package ingest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"callvault/archive"
)

// TestCSVThatIsOutOfStep: a table is refused if values may be in the wrong column, or a
// column is there twice.
func TestCSVThatIsOutOfStep(t *testing.T) {
	for text, says := range map[string]string{
		"file,agent,skill\na.opus,Porter, Spencer,Sales\n":     "line 2 has 4 values for 3 columns",
		"file;agent;skill\n\na.opus;Porter; Spencer;Sales;;\n": "line 3 has 6 values for 3 columns",
		"file,agent,skill,Agent\na.opus,Ann,Sales,\n":          "column agent twice",
		"file,agent,skill,,\na.opus,Ann,Sales,,,\n":            "",
		"file,agent,x,x\na.opus,Ann\n":                         "",
		"\ufeffSEP=|\r\nfile|agent\r\na.opus|Ann\r\n":          "",
		"sep=;\r\nfile;agent\r\na.opus;Ann\r\n":                "",
		"\xff\xfef\x00i\x00l\x00e\x00\n\x00":                   "UTF-16",
	} {
		w := newWorld(t)
		w.write("a.opus", second)
		w.write("list.csv", []byte(text))
		outcomes, refused := w.imported(filepath.Join(w.dir, "in"))
		switch {
		case says == "" && (outcomes[archive.Added] != 1 || len(refused) > 0 || w.only().Agent != "Ann"):
			t.Errorf("%q: %v, refused %v", text, outcomes, refused)
		case says != "" && (len(outcomes) > 0 || refused["list.csv"] == nil || !strings.Contains(refused["list.csv"].Error(), says) || refused["a.opus"] == nil):
			t.Errorf("%q: %v, refused %v; want %q", text, outcomes, refused, says)
		}
	}
}

// TestRowsWithoutAudioAndKeys: two rows that begin in the same second, by the clocks of
// telephone systems, are two recordings of two calls, and stay so when imported again.
func TestRowsWithoutAudioAndKeys(t *testing.T) {
	w := newWorld(t)
	w.write("list.csv", []byte("file,startTime,agent,status\na.wav,1707770449000,Ann,DELETED_TIME\nb.wav,1707770449000,Bob,DELETED_TIME\n"))
	for _, want := range []archive.Outcome{archive.Added, archive.Unchanged} {
		if outcomes, refused := w.imported(); outcomes[want] != 2 || len(refused) > 0 {
			t.Errorf("imported %v, refused %v", outcomes, refused)
		}
	}
	if list, calls := w.recordings(), w.calls(); len(list) != 2 || len(calls) != 2 {
		t.Errorf("%+v\n%+v", list, calls)
	}
}

// TestLinesThatAreNotUnicode: a line whose text cannot be kept exactly is refused, as
// in a CSV, a sidecar or an upload, and not stored with U+FFFD in its place.
func TestLinesThatAreNotUnicode(t *testing.T) {
	for _, agent := range []string{"J\xfcrgen", `J\ud83d`, `J\ude00`} {
		w := newWorld(t)
		w.write("a.opus", second)
		w.write("list.jsonl", []byte(`{"file":"a.opus","agent":"Ann"}`+"\n"+`{"file":"b.opus","agent":"`+agent+`"}`))
		_, refused := w.imported(filepath.Join(w.dir, "in"))
		if err := refused["list.jsonl"]; err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: refused %v", agent, refused)
		}
	}
}

// TestTablesThatNameOneAudioInTwoWays: rows that name it by its file and by its key
// complete each other too, and may differ.
func TestTablesThatNameOneAudioInTwoWays(t *testing.T) {
	for skill, agent := range map[string]string{"Sales": "Ann", "": "Bob"} {
		w := newWorld(t)
		w.write("a.opus", second)
		w.write("files.csv", []byte("file,agent\na.opus,Ann\n"))
		w.write("keys.csv", []byte("recordingKey,skill,agent\na,"+skill+","+strings.TrimPrefix(agent, "Ann")+"\n"))
		_, refused := w.imported(filepath.Join(w.dir, "in"))
		switch err := refused["a.opus"]; {
		case agent == "Bob" && (err == nil || !strings.Contains(err.Error(), "differ in agent")):
			t.Errorf("two agents: refused %v", refused)
		case agent == "Ann" && (err != nil || w.only().Agent != "Ann" || w.only().Skill != "Sales" || w.only().RecordingKey != "a"):
			t.Errorf("refused %v, kept %+v", refused, w.recordings())
		}
	}
}
