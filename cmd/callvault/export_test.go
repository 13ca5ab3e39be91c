//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault"
)

// exportable makes a data folder with a recording of each agent, for one tenant in
// Denver, an hour apart, from 10 p.m. on 11 February 2024 on.
func exportable(t *testing.T, agents ...string) (data string) {
	t.Helper()
	data, in := t.TempDir(), t.TempDir()
	must(t, data, "tenant", "add", "acme-ns", "--time-zone", "America/Denver")
	start := time.Date(2024, 2, 12, 5, 0, 0, 0, time.UTC)
	for i, agent := range agents {
		key := string(rune('a' + i))
		told, err := json.Marshal(callvault.Recording{RecordingKey: key, StartTime: start.Add(time.Duration(i) * time.Hour).UnixMilli(), Agent: agent})
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{key + ".opus": sampleClips(len(agents))[i], key + ".json": told} {
			if err := os.WriteFile(filepath.Join(in, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, data, "import", "--tenant", "acme-ns", in)
	return data
}

// TestExportTable: the table opens in a spreadsheet unchanged, and nothing in it is taken
// for a formula.
func TestExportTable(t *testing.T) {
	agents := []string{"=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "Ann \"A\", 1\nof 2", "Ånn(1)"}
	data, to := exportable(t, agents...), t.TempDir()
	must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to)
	text, err := os.ReadFile(filepath.Join(to, "recordings.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != strings.Count(string(text), "\r\n") || n != len(agents)+2 {
		t.Errorf("the lines do not end as RFC 4180 says: %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != len(agents)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, agent := range agents {
		want := agent
		if i < 5 {
			want = "'" + agent
		}
		if got := rows[i+1][14]; rows[0][14] != "agent" || got != want {
			t.Errorf("%s is %q, want %q", rows[0][14], got, want)
		}
	}
}

// TestExportIsImported: an import restores the metadata of an export as it was, whatever
// the table does to line breaks and apostrophes.
func TestExportIsImported(t *testing.T) {
	agents := []string{"=1", "'=1", "''=1", "'", "'tis", "a\r\nb", "a\rb", "a\nb", "\r=1", "'\r\n=1"}
	data, to, other := exportable(t, agents...), t.TempDir(), t.TempDir()
	export := func(data, to string) (lines string) {
		t.Helper()
		must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to)
		text, err := os.ReadFile(filepath.Join(to, "recordings.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := export(data, to)
	must(t, other, "tenant", "add", "acme-ns", "--time-zone", "America/Denver")
	must(t, other, "import", "--tenant", "acme-ns", to)
	if got := export(other, t.TempDir()); got != want {
		t.Errorf("%s\nbecomes\n%s", want, got)
	}
	// The table alone preserves everything but the form of line breaks.
	other = t.TempDir()
	if err := os.Remove(filepath.Join(to, "recordings.jsonl")); err != nil {
		t.Fatal(err)
	}
	must(t, other, "tenant", "add", "acme-ns", "--time-zone", "America/Denver")
	must(t, other, "import", "--tenant", "acme-ns", to)
	want = strings.NewReplacer(`\r\n`, `\n`, `\r`, `\n`).Replace(want)
	if got := export(other, t.TempDir()); got != want {
		t.Errorf("by the table alone %s\nbecomes\n%s", want, got)
	}
}

// TestExportWithCalls: the metadata of a call is exported with its recording, and
// imported again.
func TestExportWithCalls(t *testing.T) {
	const call = `"call":{"callId":"4711","shortId":167280,"callKey":"4711-call","startTime":1707770449000,"endTime":1707770500000,` +
		`"direction":"INBOUND","recordings":[],"tenantName":"acme-ns","callerId":"ACME NORTHSIDE","dialedPartyNumber":"9705550198",` +
		`"accountCodes":["0866"],"totalHoldDuration":1200,"location":"Grand Junction, CO","dropEventType":"DROP"}`
	in := t.TempDir()
	for name, content := range map[string][]byte{
		"a.opus":     sampleClips(1)[0],
		"told.jsonl": []byte(`{"recordingKey":"a","startTime":1707770449131,"file":"a.opus",` + call + `}`),
	} {
		if err := os.WriteFile(filepath.Join(in, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		data, to := t.TempDir(), t.TempDir()
		must(t, data, "tenant", "add", "acme-ns")
		must(t, data, "import", "--tenant", "acme-ns", in)
		must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-12", "--until", "2024-02-13", "--to", to)
		lines, err := os.ReadFile(filepath.Join(to, "recordings.jsonl"))
		if err != nil || !strings.Contains(string(lines), call) {
			t.Fatalf("%s, %v", lines, err)
		}
		in = to
	}
}

// TestExportAgain: an export resumes one that was cut short, leaves no partial file, and
// uses days of the tenant's time zone.
func TestExportAgain(t *testing.T) {
	data, to := exportable(t, "Ann", "Ben", "Cid", "Dan"), t.TempDir()
	export := func() {
		must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-12", "--until", "2024-02-13", "--to", to)
	}
	export()
	names, err := filepath.Glob(filepath.Join(to, "*"))
	if err != nil || len(names) != 4 { // c and d start on that day in Denver
		t.Fatalf("the folder has %q, %v", names, err)
	}
	whole, kept := filepath.Join(to, "c.opus"), filepath.Join(to, "d.opus")
	before, err := os.Stat(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(whole, whole+".part"); err != nil {
		t.Fatal(err)
	}
	export()
	after, err := os.Stat(kept)
	if again, _ := filepath.Glob(filepath.Join(to, "*")); err != nil || strings.Join(again, " ") != strings.Join(names, " ") {
		t.Errorf("the folder has %q, want %q", again, names)
	} else if !os.SameFile(before, after) {
		t.Error("audio that was there is written anew")
	}
	if _, stderr, status := runOn(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-13", "--until", "2024-02-12", "--to", to); status != 2 {
		t.Errorf("a span that ends before it begins: %d %s", status, stderr)
	}
}

// TestExportOverAPipe: a pipe under a recording's name is replaced, and not read.
func TestExportOverAPipe(t *testing.T) {
	data, to := exportable(t, "Ann"), t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(to, "a.opus"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to)
	if info, err := os.Lstat(filepath.Join(to, "a.opus")); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestDaysWithoutMidnight: where clocks are set forward at midnight, the day begins at
// that moment, so that an export loses nothing of the evening before.
func TestDaysWithoutMidnight(t *testing.T) {
	zone, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	begins := time.Date(2022, 9, 11, 4, 0, 0, 0, time.UTC).UnixMilli() // 01:00 there
	for _, days := range [][2]string{{"2022-09-10", "2022-09-11"}, {"2022-09-11", "2022-09-12"}} {
		span, err := spanIn(zone, days[0], days[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := span.Contains(begins - 1); got != (days[0] == "2022-09-10") {
			t.Errorf("%v has the last of the day before: %t", days, got)
		}
		if got := span.Contains(begins); got != (days[0] == "2022-09-11") {
			t.Errorf("%v has the first of the day: %t", days, got)
		}
	}
}

// TestExportOverOthers: a file with other content is not mistaken for the recording's
// audio, even if it has its name and its size.
func TestExportOverOthers(t *testing.T) {
	data := exportable(t, "Ann")
	for _, format := range []string{"opus", "wav"} {
		to := t.TempDir()
		export := func() []byte {
			t.Helper()
			must(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to, "--format", format)
			audio, err := os.ReadFile(filepath.Join(to, "a."+format))
			if err != nil {
				t.Fatal(err)
			}
			return audio
		}
		want := export()
		for name, other := range map[string][]byte{
			"changed": append(bytes.Clone(want[:len(want)-1]), want[len(want)-1]+1), "cut": want[:len(want)-1], "longer": append(bytes.Clone(want), 0), "empty": nil,
		} {
			if err := os.WriteFile(filepath.Join(to, "a."+format), other, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := export(); !bytes.Equal(got, want) {
				t.Errorf("%s: a file that is %s stays", format, name)
			}
		}
	}
}

// TestExportDamaged: damaged audio is not handed out beside its old SHA-256, and does not
// stop other recordings from being exported.
func TestExportDamaged(t *testing.T) {
	data := exportable(t, "Ann", "Ben", "Cid")
	held, err := filepath.Glob(filepath.Join(data, "audio", "acme-ns", "*", "*", "*", "b.opus"))
	if err != nil || len(held) != 1 {
		t.Fatal(held, err)
	}
	audio, err := os.ReadFile(held[0])
	if err != nil {
		t.Fatal(err)
	}
	audio[len(audio)-1]++
	for i, format := range []string{"opus", "wav", "opus"} {
		to := t.TempDir()
		if i == 2 {
			audio = audio[1:] // shorter than it was
		}
		if err := os.WriteFile(held[0], audio, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // as an earlier export would have left it
			if err := os.WriteFile(filepath.Join(to, "b.opus"), audio, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			stdout, stderr, status := runOn(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to, "--format", format)
			if status != 3 || !strings.Contains(stdout, "3 recordings") || !strings.Contains(stderr, "without audio: b: ") || strings.Contains(stderr, "send") {
				t.Errorf("%s: %d %s%s", format, status, stdout, stderr)
			}
			if names, _ := filepath.Glob(filepath.Join(to, "b*")); len(names) > 0 {
				t.Errorf("there are %q", names)
			}
		}
		stdout, _, _ := runOn(t, data, "export", "--tenant", "acme-ns", "--since", "2024-02-11", "--until", "2024-02-13", "--to", to, "--format", format, "--json")
		if got, want := exportedBytes(t, stdout), sizes(t, filepath.Join(to, "*."+format)); got != want {
			t.Errorf("%s: %d bytes are said to be exported, %d are there", format, got, want)
		}
	}
}

// exportedBytes returns the bytes of an export's JSON.
func exportedBytes(t *testing.T, stdout string) int64 {
	t.Helper()
	var done exported
	if err := json.Unmarshal([]byte(stdout), &done); err != nil {
		t.Fatal(err)
	}
	return done.Bytes
}

// sizes returns the bytes of the files that match the pattern.
func sizes(t *testing.T, pattern string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// failingAudio fails to be read, with the error reason.
type failingAudio struct {
	io.ReadSeeker
	reason error
}

func (a failingAudio) Read([]byte) (int, error) { return 0, a.reason }

// TestExportReadError: audio that the disk cannot read counts as damaged, and does not
// end the export; an unavailable store does.
func TestExportReadError(t *testing.T) {
	for reason, want := range map[error]bool{syscall.EIO: true, callvault.Unavailable: false, callvault.NotFound: false} {
		_, err := io.ReadAll(audioReader{t.Context(), failingAudio{reason: reason}})
		if got := errors.Is(err, errDamaged); got != want || !errors.Is(err, reason) {
			t.Errorf("%v becomes %v", reason, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := io.ReadAll(audioReader{ended, failingAudio{reason: syscall.EIO}}); errors.Is(err, errDamaged) {
		t.Errorf("an interrupted export finds audio damaged: %v", err)
	}
}
