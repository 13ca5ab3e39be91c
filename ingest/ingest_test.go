package ingest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/archivetest"
	"callvault/archive/disk"
	"callvault/audio"
	"callvault/database"
	"callvault/database/databasetest"
	"callvault/ingest"

	_ "modernc.org/sqlite"
)

// world is an empty archive and its Intake.
type world struct {
	testing.TB
	dir     string
	blobs   *disk.Store
	archive *archive.Archive
	intake  *ingest.Intake
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir()}
	db, err := database.Open(t.Context(), databasetest.Place(filepath.Join(w.dir, "callvault.db")))
	w.must(err)
	blobs, err := disk.Open(filepath.Join(w.dir, "audio"))
	w.must(err)
	t.Cleanup(func() {
		w.nothingStaged()
		if err := errors.Join(blobs.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	w.blobs = blobs
	w.archive, err = archive.New(t.Context(), db, blobs)
	w.must(err)
	w.intake = ingest.New(w.archive)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// nothingStaged fails if there is a staged file.
func (w *world) nothingStaged() {
	w.Helper()
	left, err := filepath.Glob(filepath.Join(w.dir, "audio", ".staging", "*", "*"))
	if err != nil || len(left) > 0 {
		w.Errorf("staged files were left: %v, %v", left, err)
	}
}

var (
	everything = callvault.Grant{AllTenants: true}
	always     = callvault.Span{From: 0, To: math.MaxInt64}
)

// recordings returns all recordings that are listed.
func (w *world) recordings() (list []callvault.Recording) {
	w.Helper()
	for row, err := range w.archive.Recordings(w.Context(), always, &everything).Rows() {
		w.must(err)
		var r callvault.Recording
		w.must(json.Unmarshal([]byte(row), &r))
		list = append(list, r)
	}
	return list
}

// only returns the only recording that is listed.
func (w *world) only() callvault.Recording {
	w.Helper()
	list := w.recordings()
	if len(list) != 1 {
		w.Fatalf("%d recordings are listed: %+v", len(list), list)
	}
	return list[0]
}

func (w *world) calls() (list []callvault.Call) {
	w.Helper()
	for row, err := range w.archive.Calls(w.Context(), always, &everything).Rows() {
		w.must(err)
		var c callvault.Call
		w.must(json.Unmarshal([]byte(row), &c))
		list = append(list, c)
	}
	return list
}

// info returns the Info of a recording's held audio.
func (w *world) info(r *callvault.Recording) audio.Info {
	w.Helper()
	entry, err := w.archive.Find(w.Context(), r.TenantName, r.RecordingKey)
	w.must(err)
	file, err := w.archive.OpenAudio(w.Context(), entry)
	w.must(err)
	defer file.Close()
	info, err := audio.Check(file)
	w.must(err)
	return info
}

// write makes a file below the world's folder "in".
func (w *world) write(name string, content []byte) string {
	w.Helper()
	path := filepath.Join(w.dir, "in", name)
	w.must(os.MkdirAll(filepath.Dir(path), 0o700))
	w.must(os.WriteFile(path, content, 0o600))
	return path
}

// needLibopus skips a test of encoding if there is no encoder. If all tests must run, it
// fails the test.
func needLibopus(t testing.TB) {
	t.Helper()
	_, err := audio.Library()
	switch {
	case err == nil:
	case os.Getenv("CALLVAULT_TEST_ALL") == "1":
		t.Fatalf("libopus is missing: apt-get install libopus0: %v", err)
	default:
		t.Skip("libopus is missing: apt-get install libopus0")
	}
}

// wav makes a WAV of a second of a 400 Hz tone: coding 1 is PCM, 3 float, 6 A-law,
// 7 µ-law.
func wav(coding uint16, bits, rate, channels int) []byte {
	le := binary.LittleEndian
	var sound []byte
	for i := range rate * channels {
		v := math.Sin(2 * math.Pi * 400 * float64(i/channels) / float64(rate))
		switch {
		case coding == 3:
			sound = le.AppendUint32(sound, math.Float32bits(float32(v)))
		case bits == 8 && coding == 1:
			sound = append(sound, byte(128+100*v))
		case bits == 8:
			sound = append(sound, byte(i)) // any byte is a sample
		case bits == 16:
			sound = le.AppendUint16(sound, uint16(int16(16000*v)))
		case bits == 24:
			sound = append(sound, le.AppendUint32(nil, uint32(int32(4000000*v)))[:3]...)
		default:
			sound = le.AppendUint32(sound, uint32(int32(1e9*v)))
		}
	}
	b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), 16, 0, 0, 0)
	b = le.AppendUint16(b, coding)
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*channels*bits/8))
	b = le.AppendUint16(b, uint16(channels*bits/8))
	b = le.AppendUint16(b, uint16(bits))
	b = le.AppendUint32(append(b, "data"...), uint32(len(sound)))
	b = append(b, sound...)
	le.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// unusable returns files that people send as audio but that are not.
func unusable(t testing.TB, opus []byte) map[string][]byte {
	lying := wav(1, 16, 8000, 1)
	binary.LittleEndian.PutUint32(lying[40:], 1<<30)
	foreign := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("..", "audio", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	damaged := bytes.Clone(opus)
	damaged[len(damaged)-1]++
	return map[string][]byte{
		"empty":         {},
		"JPEG":          []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00"),
		"MP3":           foreign("speech.mp3"),
		"Ogg Vorbis":    foreign("vorbis.ogg"),
		"HTML":          []byte("<html><body>Too Many Requests"),
		"truncated":     opus[:len(opus)-10],
		"half":          opus[:len(opus)/2],
		"damaged":       damaged,
		"WAV that lies": lying,
		"WAV header":    lying[:44],
		"cut WAV":       wav(1, 16, 8000, 1)[:20],
	}
}

// TestKeyTakesItsTurn: a file with a key of its own and the same audio without one wait
// for each other: side by side both would be new.
func TestKeyTakesItsTurn(t *testing.T) {
	w := newWorld(t)
	audio := archivetest.Opus(1, 2*time.Second)
	w.write("keyed.opus", audio)
	w.write("keyed.json", []byte(`{"recordingKey":"mine","startTime":5000}`))
	files, _ := w.scan()
	sum := sha256.Sum256(audio)
	end, err := ingest.TakeTurn(w.intake, t.Context(), string(sum[:]))
	w.must(err)
	done := make(chan error, 1)
	go func() {
		_, err := w.intake.File(t.Context(), acme, &files[0])
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("it did not wait for its turn: %v", err)
		end()
	case <-time.After(300 * time.Millisecond):
		end()
		w.must(<-done)
	}
	if r := w.only(); r.RecordingKey != "mine" {
		t.Errorf("%+v", r)
	}
}
