package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/archivetest"
	"callvault/ingest"

	"github.com/google/go-cmp/cmp"
)

var acme = &callvault.Tenant{Name: "acme-ns", TimeZone: "America/Denver"}

// scan finds what is below "in", relative to it.
func (w *world) scan(paths ...string) (files []ingest.File, failures map[string]error) {
	w.Helper()
	if len(paths) == 0 {
		paths = []string{filepath.Join(w.dir, "in")}
	}
	return ingest.Scan(paths)
}

// imported imports all of the paths. It returns how many files had each outcome, and the
// errors by file name.
func (w *world) imported(paths ...string) (outcomes map[archive.Outcome]int, refused map[string]error) {
	w.Helper()
	outcomes, refused = map[archive.Outcome]int{}, map[string]error{}
	files, failures := w.scan(paths...)
	for path, err := range failures {
		refused[filepath.Base(path)] = err
	}
	for i := range files {
		outcome, err := w.intake.File(w.Context(), acme, &files[i])
		if err != nil {
			refused[filepath.Base(files[i].Path)] = err
			continue
		}
		outcomes[outcome]++
	}
	return outcomes, refused
}

func (w *world) importsOne(paths ...string) callvault.Recording {
	w.Helper()
	if outcomes, refused := w.imported(paths...); outcomes[archive.Added] != 1 || len(outcomes) != 1 || len(refused) > 0 {
		w.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	return w.only()
}

// TestMetadataBesideAudio: a KEY.json in either form takes precedence; what it leaves out
// comes from the name of the file.
func TestMetadataBesideAudio(t *testing.T) {
	published := `{"recordingKey":"91a1e1e8-08p8","callKey":"1dd0gg18-1707770438499-1707770497510","startTime":1707770449131,"duration":3606,` +
		`"size":1,"eventId":99181,"status":"PENDING_DELETE_TIME","callingParty":"18885553794","tenantName":"acme-ns","skill":"CC Sales","agent":"Spencer Porter(253)"}`
	for name, content := range map[string]string{
		"published": published,
		"with BOM":  "\ufeff" + published,
		"sidecar":   `{"recording":` + published + `,"call":{"callKey":"other"},"callGiven":false,"audio":null,"history":[]}`,
	} {
		w := newWorld(t)
		w.write("91a1e1e8-08p8.opus", second)
		w.write("91a1e1e8-08p8.json", []byte(content))
		r := w.importsOne()
		want := callvault.Recording{
			RecordingKey: "91a1e1e8-08p8", CallKey: "1dd0gg18-1707770438499-1707770497510", StartTime: 1707770449131, Duration: 3606,
			Size: int64(len(second)), EventID: 99181, Status: callvault.PendingDeleteTime, CallingParty: "18885553794", TenantName: "acme-ns",
			Skill: "CC Sales", Agent: "Spencer Porter(253)",
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	w := newWorld(t)
	name := "in-7035559310-13855554334-20240212-134049-1707770449.12"
	w.write(name+".opus", second)
	w.write(name+".json", []byte(`{"agent":"Kelly Jaques(256)"}`))
	if r := w.importsOne(); r.RecordingKey != name || r.Agent != "Kelly Jaques(256)" || r.CallingParty != "13855554334" || r.StartTime != 1707770449000 {
		t.Errorf("%+v", r)
	}
}

// TestSidecarOfAnArchiveIsTakenWhole: the files of one archive can be imported into
// another, with their calls.
func TestSidecarOfAnArchiveIsTakenWhole(t *testing.T) {
	first, other := newWorld(t), newWorld(t)
	first.uploaded(archive.Added, part{"recording", recordingJSON}, part{"audio", string(second)},
		part{"call", `{"callKey":"c1","location":"Reno, NV","accountCodes":["<7>"]}`})
	first.uploaded(archive.Added, part{"recording", `{"startTime":5000}`}, part{"audio", string(second)})
	first.uploaded(archive.Added, part{"recording", `{"startTime":6000,"status":"DELETED_TIME"}`})
	if outcomes, refused := other.imported(filepath.Join(first.dir, "audio")); outcomes[archive.Added] != 3 || len(refused) > 0 {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	if diff := cmp.Diff(first.recordings(), other.recordings()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first.calls(), other.calls()); diff != "" {
		t.Error(diff)
	}
	if outcomes, refused := other.imported(filepath.Join(first.dir, "audio")); outcomes[archive.Unchanged] != 3 || len(refused) > 0 {
		t.Errorf("again: %v, refused %v", outcomes, refused)
	}
}

func TestMetadataInCSV(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"a.opus", "sub/b.opus", "key-c.opus", "out-5551234567-253-20240212-070000-1707746400.1.opus"} {
		w.write(name, archivetest.Opus(i, time.Second))
	}
	w.write("list.csv", []byte("\ufeff\"FILE\",RecordingKEY, startTime ,duration,agent,skill,status,unknown\r\n"+
		"a.opus,key-a,1707770449131,,\"Porter, Spencer\",CC Sales,SAVED,x\r\n"+
		"sub/b.opus,key-b,2024-02-12T13:40:49.131-07:00,900,,,,\r\n"+
		",key-c,20240212T204049Z\r\n"+
		"out-5551234567-253-20240212-070000-1707746400.1.opus,,,,,CC Billing,,\r\n"+
		",key-d,1707770449131,1000,,,DELETED_TIME\r\n"+
		",key-e,1707770449131\r\n"+
		"a-missing.opus,key-f,5\r\n"+
		"\r\n"))
	outcomes, refused := w.imported()
	if got := slices.Sorted(maps.Keys(refused)); outcomes[archive.Added] != 5 || !slices.Equal(got, []string{"a-missing.opus", "key-e"}) {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	byKey := map[string]callvault.Recording{}
	for _, r := range w.recordings() {
		byKey[r.RecordingKey] = r
		if r.Skill == "CC Billing" {
			byKey["out"] = r
		}
	}
	if a := byKey["key-a"]; a.Agent != "Porter, Spencer" || a.Skill != "CC Sales" || a.StartTime != 1707770449131 || a.Duration != 1000 {
		t.Errorf("a: %+v", a)
	}
	if b, c := byKey["key-b"], byKey["key-c"]; b.StartTime != 1707770449131-0 || b.Duration != 900 || c.StartTime != 1707770449000 {
		t.Errorf("b: %+v, c: %+v", b, c)
	}
	if d := byKey["key-d"]; d.Status != callvault.DeletedTime || d.Size != 0 {
		t.Errorf("d: %+v", d)
	}
	if out := byKey["out"]; out.StartTime != 1707746400000 || out.Agent != "253" || out.CallDirection != "OUTBOUND" {
		t.Errorf("what the name tells beside the CSV: %+v", out)
	}
}

// TestFormsOfCSV: as spreadsheets write them in other countries.
func TestFormsOfCSV(t *testing.T) {
	for _, text := range []string{
		"file;agent;recordingKey;startTime\na.opus;\"Müller; \"\"Bo\"\"\";key;1707770449131\n",
		"\ufeff\"file\";\"agent\";\"recordingKey\";\"startTime\"\r\n\"a.opus\";\"Müller; \"\"Bo\"\"\";\"key\";\"2024-02-12T13:40:49,131-07:00\"\r\n",
		"file\tagent\trecordingKey\tstartTime\na.opus\t\"Müller; \"\"Bo\"\"\"\tkey\t1707770449131\n",
	} {
		w := newWorld(t)
		w.write("a.opus", second)
		w.write("list.csv", []byte(text))
		if r := w.importsOne(); r.Agent != `Müller; "Bo"` || r.RecordingKey != "key" || r.StartTime != 1707770449131 {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

// TestMetadataOfAnExport: what export writes is imported unchanged, from its JSON lines
// alone and from its CSV alone.
func TestMetadataOfAnExport(t *testing.T) {
	const csv = "recordingKey,callKey,startTime,duration,size,eventId,status,callingParty,agent,file,sha256\r\n" +
		"key,call,1707770449131,1000,5,7,SAVED,'+13855554334,\"'=Porter, Spencer\",key.opus,00\r\n" +
		"gone,call,1707770449132,1000,0,7,DELETED_TIME,,'tis,,\r\n"
	const lines = `{"recordingKey":"key","callKey":"call","startTime":1707770449131,"duration":1000,"size":5,"eventId":7,"status":"SAVED",` +
		`"callingParty":"+13855554334","agent":"=Porter, Spencer","file":"key.opus","sha256":"00"}` + "\n" +
		`{"recordingKey":"gone","callKey":"call","startTime":1707770449132,"duration":1000,"eventId":7,"status":"DELETED_TIME","agent":"'tis","file":""}` + "\n"
	for name, files := range map[string]map[string]string{
		"table": {"recordings.csv": csv}, "lines": {"recordings.jsonl": lines}, "both": {"recordings.csv": csv, "recordings.jsonl": lines},
	} {
		w := newWorld(t)
		w.write("key.opus", second)
		for file, content := range files {
			w.write(file, []byte(content))
		}
		if outcomes, refused := w.imported(); outcomes[archive.Added] != 2 || len(refused) > 0 {
			t.Errorf("%s: %v, refused %v", name, outcomes, refused)
		}
		list := w.recordings()
		if len(list) != 2 || list[0].CallingParty != "+13855554334" || list[0].Agent != "=Porter, Spencer" || list[0].EventID != 7 ||
			list[1].RecordingKey != "gone" || list[1].Agent != "'tis" || list[1].Status != callvault.DeletedTime {
			t.Errorf("%s: %+v", name, list)
		}
	}
	for text, says := range map[string]string{`{"file":`: "line 1", `{"a":1}`: "belongs to no audio", `[]`: "line 1"} {
		w := newWorld(t)
		w.write("list.jsonl", []byte(text))
		if _, refused := w.imported(); refused["list.jsonl"] == nil || !strings.Contains(refused["list.jsonl"].Error(), says) {
			t.Errorf("%s: %v, want %q", text, refused, says)
		}
	}
}

// TestUnreadableCSV: audio that such a table may describe is not imported with derived
// metadata, unless its name or its KEY.json describes it.
func TestUnreadableCSV(t *testing.T) {
	w := newWorld(t)
	w.write("a.opus", archivetest.Opus(0, time.Second))
	w.write("b.opus", archivetest.Opus(1, time.Second))
	w.write("b.json", []byte(`{"startTime":5000}`))
	w.write("out-5551234567-253-20240212-070000-1707746400.1.opus", archivetest.Opus(2, time.Second))
	w.write("list.csv", []byte("file,agent\na.opus,J\xfcrgen\n"))
	w.write("sub/c.opus", archivetest.Opus(3, time.Second))
	outcomes, refused := w.imported()
	if got := slices.Sorted(maps.Keys(refused)); outcomes[archive.Added] != 3 || !slices.Equal(got, []string{"a.opus", "list.csv"}) {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	for name, says := range map[string]string{"a.opus": "list.csv", "list.csv": "UTF-8"} {
		if !strings.Contains(refused[name].Error(), says) {
			t.Errorf("%s: %v, want %q", name, refused[name], says)
		}
	}
	w.write("list.csv", []byte("file,agent\na.opus,Jürgen\n"))
	if outcomes, refused := w.imported(); outcomes[archive.Added] != 1 || len(refused) > 0 {
		t.Errorf("once it can be read: imported %v, refused %v", outcomes, refused)
	}
}

// TestTwoRowsOfOneFile: the program does not guess which of them is right.
func TestTwoRowsOfOneFile(t *testing.T) {
	w := newWorld(t)
	w.write("a.opus", archivetest.Opus(0, time.Second))
	w.write("b.opus", archivetest.Opus(1, time.Second))
	w.write("list.csv", []byte("file,agent,skill\na.opus,Ann,\na.opus,Bob,\nb.opus,Cid,Sales\nb.opus,Cid,\n,,\n"))
	outcomes, refused := w.imported()
	if outcomes[archive.Added] != 1 || len(refused) != 1 || !strings.Contains(fmt.Sprint(refused["a.opus"]), "differ in agent") {
		t.Fatalf("imported %v, refused %v", outcomes, refused)
	}
	if r := w.only(); r.Agent != "Cid" || r.Skill != "Sales" {
		t.Errorf("%+v", r)
	}
}

func TestFilesThatTellNothing(t *testing.T) {
	w := newWorld(t)
	path := w.write("voice memo.opus", second)
	written := time.Date(2024, 2, 12, 20, 40, 49, 0, time.UTC)
	w.must(os.Chtimes(path, written, written))
	r := w.importsOne()
	if r.StartTime != written.UnixMilli()-1000 || r.Duration != 1000 || r.Status != callvault.Saved {
		t.Errorf("%+v", r)
	}
	if !strings.HasSuffix(r.RecordingKey, fmt.Sprint("-", r.StartTime)) || !strings.HasSuffix(r.CallKey, fmt.Sprint("-", r.StartTime, "-", r.StartTime+1000)) {
		t.Errorf("keys %s, %s", r.RecordingKey, r.CallKey)
	}
}

// TestSameAudioIsOneRecording: whatever its name, how often, how many at once.
func TestSameAudioIsOneRecording(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.write(fmt.Sprintf("copy %d/in-1-2-2024021%d-134049-1707770449.%d.opus", i, i, i), second)
	}
	w.write("other.opus", archivetest.Opus(2, time.Second))
	files, failures := w.scan()
	if len(files) != 9 || len(failures) > 0 {
		t.Fatalf("%d files, %v", len(files), failures)
	}
	for range 2 {
		var wait sync.WaitGroup
		for i := range files {
			wait.Go(func() {
				if _, err := w.intake.File(w.Context(), acme, &files[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if list := w.recordings(); len(list) != 2 {
			t.Errorf("listed: %+v", list)
		}
	}
	if outcomes, refused := w.imported(); outcomes[archive.Unchanged] != 9 || len(refused) > 0 {
		t.Errorf("again: %v, refused %v", outcomes, refused)
	}
}

// TestImportAgainOfWAV: it is not encoded again, and the encoder's version does not
// matter.
func TestImportAgainOfWAV(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	w.write("a.wav", wav(1, 16, 8000, 1))
	w.write("keyed.wav", wav(7, 8, 8000, 1))
	w.write("keyed.json", []byte(`{"startTime":5000}`))
	for _, want := range []archive.Outcome{archive.Added, archive.Unchanged} {
		if outcomes, refused := w.imported(); outcomes[want] != 2 || len(refused) > 0 {
			t.Errorf("%v, refused %v; want outcome %d", outcomes, refused, want)
		}
	}
}

// TestFileThatIsBeingWritten: a WAV whose header does not say how long it is, such as
// Asterisk's while it records, is imported once it no longer grows.
func TestFileThatIsBeingWritten(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	content := wav(1, 16, 8000, 1)
	copy(content[40:44], []byte{0, 0, 0, 0})
	path := w.write("20240212-134049.wav", content)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = file.Write(content[44:])
				err = errors.Join(err, file.Close())
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	_, refused := w.imported()
	close(stop)
	<-stopped
	if err := refused["20240212-134049.wav"]; err == nil || !strings.Contains(err.Error(), "still being written") || len(w.recordings()) != 0 {
		t.Errorf("while it grows: %v, %+v", err, w.recordings())
	}
	written := time.Now().Add(-time.Hour)
	w.must(os.Chtimes(path, written, written))
	if r := w.importsOne(); r.StartTime != 1707770449000 {
		t.Errorf("%+v", r)
	}
}

// TestFilesThatAreRefused: each is reported with the reason, and the others are imported.
func TestFilesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	refusals := map[string]string{}
	for name, content := range unusable(t, second) {
		if strings.Contains(name, "WAV") {
			continue // without libopus it is refused for another reason
		}
		w.write(name+".opus", content)
		refusals[name+".opus"] = "audio cannot be used"
	}
	for name, c := range map[string][2]string{
		"torn":     {`{"startTime":`, "cannot be read"},
		"wrong":    {`{"startTime":"noon"}`, "startTime cannot be a string"},
		"foreign":  {`{"startTime":5,"tenantName":"beta-co"}`, "beta-co"},
		"pending":  {`{"startTime":5,"status":"PENDING"}`, "comes with audio when"},
		"slash":    {`{"startTime":5,"recordingKey":"a/b"}`, "slash"},
		"badcall":  {`{"recording":{"startTime":5},"call":{"startTime":9,"endTime":8},"callGiven":true}`, "not a valid range"},
		"badkept":  {`{"recording":[]}`, "not a JSON object"},
		"badstate": {`{"startTime":5,"status":"GONE"}`, "not a status"},
	} {
		w.write(name+".opus", second)
		w.write(name+".json", []byte(c[0]))
		refusals[name+".opus"] = c[1]
	}
	w.write("alone.json", []byte(`{"startTime":5}`))
	refusals["alone.json"] = "no audio file for"
	w.write("tables/noheader.csv", nil)
	refusals["noheader.csv"] = "header"
	w.write("tables/nokey.csv", []byte("agent;sound\nx;y"))
	refusals["nokey.csv"] = "neither a column file nor"
	w.write("tables/quotes.csv", []byte("file\n\"x"))
	refusals["quotes.csv"] = "quote"
	w.write("numbers.csv", []byte("file,duration\nn.opus,long\n"))
	w.write("n.opus", second)
	refusals["n.opus"] = `the column duration holds "long"`
	w.must(os.Symlink("nowhere", filepath.Join(w.dir, "in", "dangling.opus")))
	refusals["dangling.opus"] = "no such file"
	w.write("good.opus", archivetest.Opus(3, time.Second))

	outcomes, refused := w.imported(filepath.Join(w.dir, "in"), filepath.Join(w.dir, "absent"))
	refusals["absent"] = "no such file"
	for name, says := range refusals {
		if err := refused[name]; err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
		delete(refused, name)
	}
	if outcomes[archive.Added] != 1 || len(outcomes) != 1 || len(refused) > 0 || len(w.recordings()) != 1 {
		t.Errorf("imported %v, refused besides: %v", outcomes, refused)
	}
}

// TestWhatIsScanned: folders, links and single files, nothing twice, and nothing hidden
// unless it is named.
func TestWhatIsScanned(t *testing.T) {
	w := newWorld(t)
	in := filepath.Join(w.dir, "in")
	w.write("a.opus", second)
	w.write("a.json", []byte(`{"startTime":5000}`))
	w.write(".hidden.opus", second)
	w.write(".trash/b.opus", second)
	w.write("sub/c.opus", second)
	w.must(os.Symlink("sub", filepath.Join(in, "link")))
	w.must(os.Symlink(filepath.Join(in, "sub", "c.opus"), filepath.Join(in, "linked.opus")))
	for _, c := range []struct {
		paths []string
		want  []string
	}{
		{[]string{""}, []string{"a.opus", "linked.opus", "sub/c.opus"}},
		{[]string{"", "a.opus", "sub"}, []string{"a.opus", "linked.opus", "sub/c.opus"}},
		{[]string{"link"}, []string{"link/c.opus"}},
		{[]string{"sub/"}, []string{"sub/c.opus"}},
		{[]string{".trash"}, []string{".trash/b.opus"}},
		{[]string{".hidden.opus", "a.opus"}, []string{".hidden.opus", "a.opus"}},
	} {
		var paths, got []string
		for _, path := range c.paths {
			paths = append(paths, in+"/"+path)
		}
		files, failures := w.scan(paths...)
		for _, file := range files {
			name, err := filepath.Rel(in, file.Path)
			w.must(err)
			got = append(got, filepath.ToSlash(name))
		}
		delete(failures, filepath.Join(in, "link")) // a link to a folder, met on the way, is not followed
		if diff := cmp.Diff(c.want, got); diff != "" || len(failures) > 0 {
			t.Errorf("%v: %s, failures %v", c.paths, diff, failures)
		}
	}
	// A file that is named without its metadata is imported with it all the same.
	if r := w.importsOne(filepath.Join(in, "a.opus")); r.RecordingKey != "a" || r.StartTime != 5000 {
		t.Errorf("%+v", r)
	}
}

// TestTwoFilesOfOneStem: a file that is not audio does not take the metadata from one
// that is.
func TestTwoFilesOfOneStem(t *testing.T) {
	w := newWorld(t)
	w.write("call.jpg", []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"))
	w.write("call.opus", second)
	w.write("call.json", []byte(`{"startTime":5000,"agent":"Kelly Jaques(256)"}`))
	outcomes, refused := w.imported()
	if r := w.only(); outcomes[archive.Added] != 1 || r.Agent != "Kelly Jaques(256)" || len(refused) != 1 || !errors.Is(refused["call.jpg"], callvault.UnprocessableAudio) {
		t.Errorf("%+v, %v, refused %v", r, outcomes, refused)
	}
}

func TestHugeMetadata(t *testing.T) {
	w := newWorld(t)
	w.write("a.opus", second)
	w.write("a.json", bytes.Repeat([]byte(" "), 16<<20+1))
	if _, refused := w.imported(); refused["a.opus"] == nil || !strings.Contains(refused["a.opus"].Error(), "too large for the metadata") {
		t.Errorf("refused %v", refused)
	}
}

// TestMetadataThatIsNoFile: a pipe or a device beside the audio is not read, which might
// take forever.
func TestMetadataThatIsNoFile(t *testing.T) {
	w := newWorld(t)
	w.write("a.opus", second)
	w.must(os.Symlink(os.DevNull, filepath.Join(w.dir, "in", "a.json")))
	_, refused := w.imported()
	for _, name := range []string{"a.opus", "a.json"} {
		if refused[name] == nil || !strings.Contains(refused[name].Error(), "not a regular file") {
			t.Errorf("%s: refused %v", name, refused)
		}
	}
}
