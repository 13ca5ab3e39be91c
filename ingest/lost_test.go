package ingest_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
)

// lose deletes the audio of all recordings, or truncates it for every second one.
func (w *world) lose() {
	w.Helper()
	cut := false
	for key, err := range w.blobs.Keys(w.Context(), "") {
		w.must(err)
		if !strings.HasSuffix(key, ".opus") {
			continue
		}
		if cut = !cut; cut {
			w.must(os.Truncate(filepath.Join(w.dir, "audio", filepath.FromSlash(key)), 100))
		} else {
			w.must(w.blobs.Delete(w.Context(), key))
		}
	}
}

// hears reads the audio of a recording, and fails if it is not what was held.
func (w *world) hears(key string) {
	w.Helper()
	entry, err := w.archive.Find(w.Context(), acme.Name, key)
	w.must(err)
	audio, err := w.archive.OpenAudio(w.Context(), entry)
	w.must(err)
	defer audio.Close()
	content, err := io.ReadAll(audio)
	w.must(err)
	if sha256.Sum256(content) != entry.SHA256 {
		w.Errorf("%s: the audio is not what was held", key)
	}
}

// TestLostAudioIsImportedAgain: importing a folder again restores audio from it that was
// lost, rather than only reporting that it is there.
func TestLostAudioIsImportedAgain(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	w.write("in-1-2-20240212-134049-1707770449.1.opus", second)
	w.write("in-1-2-20240212-134050-1707770450.2.wav", wav(1, 16, 8000, 1))
	if outcomes, _ := w.imported(); outcomes[archive.Added] != 2 {
		t.Fatal(outcomes)
	}
	before := w.recordings()
	w.lose()
	if outcomes, refused := w.imported(); outcomes[archive.Unchanged] != 2 || len(refused) > 0 {
		t.Errorf("%v, refused %v", outcomes, refused)
	}
	for i, r := range w.recordings() {
		if r != before[i] {
			t.Errorf("%+v became %+v", before[i], r)
		}
		w.hears(r.RecordingKey)
	}
}

// TestLostAudioOfAnotherEncoder: a WAV that encodes to other audio than was held does not
// replace it, and the outcome is not that it is there.
func TestLostAudioOfAnotherEncoder(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	raw := wav(1, 16, 8000, 1)
	spool, err := w.archive.NewSpool()
	w.must(err)
	_, err = io.Copy(spool, bytes.NewReader(second)) // as if another encoder had made it
	w.must(err)
	held, err := spool.Finish()
	w.must(err)
	_, _, err = w.archive.Keep(t.Context(), &archive.Intake{
		Recording: callvault.Recording{RecordingKey: "one", CallKey: "c", StartTime: 1707770449131, Status: callvault.Saved, TenantName: acme.Name},
		Audio:     held, UploadSHA256: sha256.Sum256(raw), Added: time.Now(),
	})
	w.must(err)
	w.lose()
	w.write("a.wav", raw)
	if _, refused := w.imported(); !errors.Is(refused["a.wav"], callvault.Conflict) || !strings.Contains(refused["a.wav"].Error(), "lost") {
		t.Errorf("refused %v", refused)
	}
	if list := w.recordings(); len(list) != 1 {
		t.Errorf("listed: %+v", list)
	}
}
