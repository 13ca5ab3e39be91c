package pages_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/sample"
)

// fill keeps the sample month's calls, those of acme-ns under their own names,
// and returns them, the newest last.
func (w *world) fill() []sample.Item {
	w.Helper()
	for _, tenant := range sample.Tenants() {
		if tenant.Name != "acme-ns" {
			w.addTenant(tenant)
		}
	}
	var items []sample.Item
	for item := range sample.Month(time.Now()) {
		items = append(items, item)
		w.keep(item.Recording, &item.Call, item.Audio)
	}
	return items
}

// keep keeps a recording with its audio, or without any if audio is nil.
func (w *world) keep(r callvault.Recording, call *callvault.Call, audio []byte) *archive.Entry {
	w.Helper()
	in := &archive.Intake{Recording: r, Call: call, Source: "sample", Added: time.Now()}
	if r.Status.HasAudio() {
		spool, err := w.archive.NewSpool()
		if err != nil {
			w.Fatal(err)
		}
		if _, err = spool.Write(audio); err != nil {
			w.Fatal(err)
		}
		if in.Audio, err = spool.Finish(); err != nil {
			w.Fatal(err)
		}
		in.UploadSHA256 = in.Audio.SHA256
	}
	entry, _, err := w.archive.Keep(w.Context(), in)
	if err != nil {
		w.Fatal(err)
	}
	return entry
}

// clip returns a sample call of 18 s, the same on any day.
func clip() sample.Item {
	for item := range sample.Month(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)) {
		if item.Recording.Status == callvault.Saved {
			return item
		}
	}
	panic("the sample month has no recording")
}

// recording returns a recording of acme-ns.
func recording(key string, start int64) callvault.Recording {
	return callvault.Recording{
		RecordingKey: key, CallKey: key, StartTime: start, Duration: clip().Recording.Duration, Status: callvault.Saved,
		TenantName: "acme-ns", CallingParty: "18885551347", ReceivingParty: "Kelly Jaques(256)", CallDirection: "INBOUND",
		Agent: "Kelly Jaques(256)", Skill: "CC Sales",
	}
}

// loseAudio deletes the audio file of a recording behind the archive's back.
func (w *world) loseAudio(key string) {
	w.Helper()
	lost := 0
	err := filepath.WalkDir(filepath.Dir(w.TempDir()), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == archive.FileName(key)+".opus" {
			lost++
			return os.Remove(path)
		}
		return err
	})
	if err != nil || lost != 1 {
		w.Fatalf("%d files of %s lost: %v", lost, key, err)
	}
}

// events returns the entries of the audit trail with the action.
func (w *world) events(action string) (events []account.Event) {
	w.Helper()
	if err := w.accounts.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	for e, err := range w.accounts.AllEvents(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		if e.Action == action {
			events = append(events, e)
		}
	}
	return events
}

// soon waits until a number of bytes is as wanted: a request is recorded only after it has
// been answered.
func (w *world) soon(what string, want int64, bytes func() int64) {
	w.Helper()
	got := bytes()
	for deadline := time.Now().Add(time.Minute); got != want && time.Now().Before(deadline); got = bytes() {
		time.Sleep(10 * time.Millisecond)
	}
	if got != want {
		w.Errorf("%s: %d bytes, want %d", what, got, want)
	}
}
