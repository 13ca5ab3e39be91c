package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"callvault"
	"callvault/archive"
	"callvault/audio"
)

func TestUpload(t *testing.T) {
	w := newWorld(t)
	r := recording("a b", 0)
	got := w.post("acme-ns", "robot", part{"audio", clips()[0]}, jsonPart("recording", r))
	if got.StatusCode != 201 || got.Header.Get("Location") != audioPath("acme-ns", "a b") || got.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", got.StatusCode, got.Header, got.body)
	}
	if back := w.get(got.Header.Get("Location")); !bytes.Equal(back.body, clips()[0]) {
		t.Errorf("Location gives %d, %d bytes", back.StatusCode, len(back.body))
	}
	r.Size = int64(len(clips()[0]))
	var kept callvault.Recording
	must(t, json.Unmarshal(got.body, &kept))
	if kept != r {
		t.Errorf("kept %+v, want %+v", kept, r)
	}
	again := w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", clips()[0]})
	if again.StatusCode != 200 || !bytes.Equal(again.body, got.body) {
		t.Errorf("the same again: %d %s", again.StatusCode, again.body)
	}
	wantError(t, "other audio", w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", clips()[1]}), 409, "conflict")
	if back := w.get(audioPath("acme-ns", "a b")); !bytes.Equal(back.body, clips()[0]) {
		t.Error("the refused audio took the place of the one held")
	}
	// The same key of another tenant is another recording.
	r.TenantName = ""
	if got := w.post("beta-co", "robot", jsonPart("recording", r), part{"audio", clips()[1]}); got.StatusCode != 201 {
		t.Errorf("another tenant: %d %s", got.StatusCode, got.body)
	}
}

func TestUploadMakesUpKeys(t *testing.T) {
	w := newWorld(t)
	got := w.post("acme-ns", "robot", part{"recording", fmt.Appendf(nil, `{"startTime":%d}`, startMs)}, part{"audio", clips()[0]})
	var kept callvault.Recording
	must(t, json.Unmarshal(got.body, &kept))
	if got.StatusCode != 201 || !strings.HasSuffix(kept.RecordingKey, fmt.Sprint("-", startMs)) || kept.Status != "SAVED" ||
		kept.TenantName != "acme-ns" || kept.Duration < 1000 || kept.CallKey == "" {
		t.Errorf("%d %+v", got.StatusCode, kept)
	}
	var infos []callvault.Call
	must(t, json.Unmarshal(w.get(calls).body, &infos))
	if len(infos) != 1 || infos[0].StartTime != startMs || infos[0].EndTime != startMs+kept.Duration || infos[0].CallKey != fmt.Sprintf("%s-%d-%d", infos[0].CallID, infos[0].StartTime, infos[0].EndTime) {
		t.Errorf("the call made up for it: %+v", infos)
	}
}

// TestLocation: whatever the key, Location leads to the audio.
func TestLocation(t *testing.T) {
	w := newWorld(t)
	for key, escaped := range map[string]string{
		"..": "%2E%2E", ".": "%2E", "...": "...", "a b": "a%20b", "100%": "100%25", "a?b#c": "a%3Fb%23c", "😀": "%F0%9F%98%80", `a\b"c`: "a%5Cb%22c",
	} {
		got := w.post("acme-ns", "robot", jsonPart("recording", recording(key, 0)), part{"audio", clips()[0]})
		location := got.Header.Get("Location")
		if want := api + "recordings/acme-ns/" + escaped + "/audio"; got.StatusCode != 201 || location != want {
			t.Errorf("%s: %d, Location %s, want %s", key, got.StatusCode, location, want)
			continue
		}
		if back := w.get(location); !bytes.Equal(back.body, clips()[0]) {
			t.Errorf("%s: Location gives %d", key, back.StatusCode)
		}
	}
}

// TestUploadCompletes uploads the audio of a recording that is known as PENDING.
func TestUploadCompletes(t *testing.T) {
	w := newWorld(t)
	r := recording("a", 0)
	r.Status = callvault.Pending
	if got := w.post("acme-ns", "robot", jsonPart("recording", r)); got.StatusCode != 201 {
		t.Fatalf("PENDING: %d %s", got.StatusCode, got.body)
	}
	if got := w.post("acme-ns", "robot", jsonPart("recording", r)); got.StatusCode != 200 {
		t.Errorf("PENDING again: %d %s", got.StatusCode, got.body)
	}
	if listed := rows(t, w.get(list)); len(listed) != 1 || listed[0].Status != callvault.Pending || listed[0].Size != 0 {
		t.Errorf("listed as %+v", listed)
	}
	wantError(t, "no audio yet", w.get(audioPath("acme-ns", "a")), 404, "not_found")
	wantError(t, "audio of a PENDING", w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", clips()[0]}), 400, "invalid_parameter")
	r.Status = callvault.Saved
	wantError(t, "SAVED without audio", w.post("acme-ns", "robot", jsonPart("recording", r)), 400, "invalid_parameter")
	if got := w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", clips()[0]}); got.StatusCode != 201 {
		t.Errorf("completed: %d %s", got.StatusCode, got.body)
	}
	if got := w.get(audioPath("acme-ns", "a")); got.StatusCode != 200 {
		t.Errorf("its audio: %d", got.StatusCode)
	}
	r.Status = callvault.DeletedUser
	wantError(t, "a held one is not taken back", w.post("acme-ns", "robot", jsonPart("recording", r)), 409, "conflict")
}

// TestUploadWithinTheGrant: a user who is narrowed to an agent can upload that agent's
// recordings, and can neither change nor read those of others.
func TestUploadWithinTheGrant(t *testing.T) {
	w := newWorld(t)
	w.user("kelly", callvault.Grant{Tenants: []string{"acme-ns"}, Agents: []string{"Kelly Jaques(256)"}}, callvault.Read, callvault.Write)
	waits := recording("waits", 0)
	waits.Status = callvault.Pending
	if got := w.post("acme-ns", "robot", jsonPart("recording", waits)); got.StatusCode != 201 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	w.keep(recording("held", 1))
	before := w.get(list)
	sound := part{"audio", clips()[1]}
	for _, key := range []string{"waits", "held", "new"} {
		wantError(t, "another's, "+key, w.post("acme-ns", "kelly", jsonPart("recording", recording(key, 0)), sound), 403, "forbidden")
	}
	own := recording("waits", 0)
	own.Agent = "Kelly Jaques(256)"
	wantError(t, "made his own", w.post("acme-ns", "kelly", jsonPart("recording", own), sound), 403, "forbidden")
	own.RecordingKey = "held"
	text := wantError(t, "made his own, held", w.post("acme-ns", "kelly", jsonPart("recording", own), sound), 403, "forbidden")
	if strings.Contains(text, "Spencer") || strings.Contains(text, "SHA") {
		t.Errorf("the answer describes another's recording: %s", text)
	}
	if after := w.get(list); !bytes.Equal(before.body, after.body) {
		t.Errorf("changed by one who may not: %s", after.body)
	}
	own.RecordingKey = "own"
	for _, want := range []int{201, 200} {
		if got := w.post("acme-ns", "kelly", jsonPart("recording", own), sound); got.StatusCode != want {
			t.Errorf("his own: %d %s, want %d", got.StatusCode, got.body, want)
		}
	}
}

func TestUploadRefusals(t *testing.T) {
	w := newWorld(t)
	w.user("reader", callvault.Grant{AllTenants: true}, callvault.Read)
	w.user("writer", callvault.Grant{AllTenants: true}, callvault.Write)
	ok := jsonPart("recording", recording("a", 0))
	sound := part{"audio", clips()[0]}
	withText := func(text string) part { return part{"recording", []byte(text)} }
	vorbis := bytes.Replace(bytes.Clone(clips()[0]), []byte("OpusHead"), []byte("\x01vorbis\x00"), 1)
	broken := bytes.Clone(clips()[0])
	broken[len(broken)/2] ^= 1
	for _, c := range []struct {
		name, tenant, user string
		parts              []part
		status             int
		code               string
	}{
		{"unknown user", "acme-ns", "", []part{ok, sound}, 401, "unauthorized"},
		{"long name", strings.Repeat("t", 256), "reader", []part{ok, sound}, 400, "invalid_parameter"},
		{"may not write", "acme-ns", "reader", []part{ok, sound}, 403, "forbidden"},
		{"may not reach", "nowhere", "robot", []part{ok, sound}, 403, "forbidden"},
		{"no tenant", "nowhere", "writer", []part{ok, sound}, 404, "not_found"},
		{"too large", "acme-ns", "robot", []part{ok, {"audio", make([]byte, 5<<20)}}, 413, "payload_too_large"},
		{"no recording", "acme-ns", "robot", []part{sound}, 400, "invalid_parameter"},
		{"no parts", "acme-ns", "robot", nil, 400, "invalid_parameter"},
		{"two recordings", "acme-ns", "robot", []part{ok, ok, sound}, 400, "invalid_parameter"},
		{"two audios", "acme-ns", "robot", []part{ok, sound, sound}, 400, "invalid_parameter"},
		{"unknown part", "acme-ns", "robot", []part{ok, sound, {"extra", nil}}, 400, "invalid_parameter"},
		{"no JSON", "acme-ns", "robot", []part{withText("hello"), sound}, 400, "invalid_parameter"},
		{"empty JSON", "acme-ns", "robot", []part{withText(""), sound}, 400, "invalid_parameter"},
		{"a list", "acme-ns", "robot", []part{withText("[]"), sound}, 400, "invalid_parameter"},
		{"no UTF-8", "acme-ns", "robot", []part{withText("{\"startTime\":1,\"agent\":\"J\xfcrgen\"}"), sound}, 400, "invalid_parameter"},
		{"no startTime", "acme-ns", "robot", []part{withText("{}"), sound}, 400, "invalid_parameter"},
		{"a text for a number", "acme-ns", "robot", []part{withText(`{"startTime":"now"}`), sound}, 400, "invalid_parameter"},
		{"unknown status", "acme-ns", "robot", []part{withText(`{"startTime":1,"status":"LOST"}`), sound}, 400, "invalid_parameter"},
		{"key with a slash", "acme-ns", "robot", []part{withText(`{"startTime":1,"recordingKey":"a/b"}`), sound}, 400, "invalid_parameter"},
		{"other tenant's", "beta-co", "robot", []part{ok, sound}, 400, "invalid_parameter"},
		{"no call", "acme-ns", "robot", []part{ok, {"call", []byte("hello")}, sound}, 400, "invalid_parameter"},
		{"another call", "acme-ns", "robot", []part{ok, {"call", []byte(`{"callKey":"other"}`)}, sound}, 400, "invalid_parameter"},
		{"empty audio", "acme-ns", "robot", []part{ok, {"audio", nil}}, 422, "unprocessable_audio"},
		{"a picture", "acme-ns", "robot", []part{ok, {"audio", []byte("\xff\xd8\xff\xe0\x00\x10JFIF")}}, 422, "unprocessable_audio"},
		{"an MP3", "acme-ns", "robot", []part{ok, {"audio", []byte("ID3\x04\x00\x00\x00\x00\x00\x00")}}, 422, "unprocessable_audio"},
		{"an error page", "acme-ns", "robot", []part{ok, {"audio", []byte("<html>no</html>")}}, 422, "unprocessable_audio"},
		{"half an Opus", "acme-ns", "robot", []part{ok, {"audio", clips()[0][:len(clips()[0])/2]}}, 422, "unprocessable_audio"},
		{"a flipped bit", "acme-ns", "robot", []part{ok, {"audio", broken}}, 422, "unprocessable_audio"},
		{"a Vorbis", "acme-ns", "robot", []part{ok, {"audio", vorbis}}, 422, "unprocessable_audio"},
		{"no WAV", "acme-ns", "robot", []part{ok, {"audio", []byte("RIFF\xff\xff\xff\xffWAVE")}}, 422, "unprocessable_audio"},
	} {
		wantError(t, c.name, w.post(c.tenant, c.user, c.parts...), c.status, c.code)
	}
	body, contentType := multipartBody(ok, sound)
	for _, c := range []struct {
		name, contentType string
		body              []byte
		status            int
		code              string
	}{
		{"no type", "", body, 415, "unsupported_media_type"},
		{"raw audio", "audio/ogg", clips()[0], 415, "unsupported_media_type"},
		{"JSON", "application/json", []byte("{}"), 415, "unsupported_media_type"},
		{"no boundary", "multipart/form-data", body, 400, "invalid_parameter"},
		{"wrong boundary", contentType + "x", body, 400, "invalid_parameter"},
		{"cut short", contentType, body[:len(body)-20], 400, "invalid_parameter"},
		{"empty", contentType, nil, 400, "invalid_parameter"},
	} {
		r, err := http.NewRequest(http.MethodPost, w.url()+uploadPath, bytes.NewReader(c.body))
		must(t, err)
		setHeaders(r, w.keys["robot"], []string{"Content-Type", c.contentType})
		wantError(t, c.name, w.send(r), c.status, c.code)
	}
	if got := rows(t, w.get(api+"recordings?"+decade)); len(got) != 0 {
		t.Errorf("something refused was kept: %+v", got)
	}
}

const uploadPath = api + "recordings/acme-ns"

// TestUploadTooLargeWithoutLength sends more than is accepted, in chunks, without a
// Content-Length.
func TestUploadTooLargeWithoutLength(t *testing.T) {
	w := newWorld(t)
	body, contentType := multipartBody(jsonPart("recording", recording("a", 0)), part{"audio", make([]byte, 4<<20)})
	r, err := http.NewRequest(http.MethodPost, w.url()+uploadPath, struct{ *bytes.Reader }{bytes.NewReader(body)})
	must(t, err)
	r.ContentLength = -1
	setHeaders(r, w.keys["robot"], []string{"Content-Type", contentType})
	wantError(t, "too large", w.send(r), 413, "payload_too_large")
}

// TestUploadWAV takes a stereo WAV of another rate in; it comes back as Ogg Opus
// of one channel and the same length.
func TestUploadWAV(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	const rate, seconds = 16000, 2
	le := binary.LittleEndian
	wav := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), 16, 0, 0, 0, 1, 0, 2, 0)
	wav = le.AppendUint32(wav, rate)
	wav = le.AppendUint32(wav, rate*4)
	wav = append(wav, 4, 0, 16, 0)
	wav = le.AppendUint32(append(wav, "data"...), rate*seconds*4)
	for i := range rate * seconds {
		v := uint16(int16(9000 * math.Sin(float64(i)*2*math.Pi*440/rate)))
		wav = le.AppendUint16(le.AppendUint16(wav, v), v)
	}
	le.PutUint32(wav[4:], uint32(len(wav)-8))
	r := recording("a", 0)
	r.Duration = 0
	for i, want := range []int{201, 200} {
		got := w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", wav})
		var kept callvault.Recording
		must(t, json.Unmarshal(got.body, &kept))
		if got.StatusCode != want || kept.Duration != seconds*1000 || kept.Size < 500 || kept.Size > 5000 {
			t.Errorf("upload %d: %d %+v", i, got.StatusCode, kept)
		}
	}
	got := w.get(audioPath("acme-ns", "a"))
	info, err := audio.Check(bytes.NewReader(got.body))
	if err != nil || info.Channels != 1 || info.InputRate != 8000 || info.Duration().Seconds() != seconds {
		t.Errorf("%+v, %v", info, err)
	}
}

// needLibopus skips a test of encoding if there is no encoder. If all tests must run, it
// fails the test.
func needLibopus(t *testing.T) {
	t.Helper()
	if _, err := audio.Library(); errors.Is(err, audio.ErrNoLibrary) {
		if os.Getenv("CALLVAULT_TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// TestUploadOfManyChannels takes Ogg Opus of six and of three channels in; it comes back
// with one, of the same length, and as a WAV.
func TestUploadOfManyChannels(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	for name, ms := range map[string]int64{"surround": 700, "discrete": 1000} {
		file, err := os.ReadFile(filepath.Join("..", "audio", "testdata", name+".opus"))
		must(t, err)
		r := recording(name, 0)
		r.Duration = 0
		for i, want := range []int{201, 200} {
			got := w.post("acme-ns", "robot", jsonPart("recording", r), part{"audio", file})
			var kept callvault.Recording
			must(t, json.Unmarshal(got.body, &kept))
			if got.StatusCode != want || kept.Duration != ms {
				t.Errorf("%s, upload %d: %d %s", name, i, got.StatusCode, got.body)
			}
		}
		info, err := audio.Check(bytes.NewReader(w.get(audioPath("acme-ns", name)).body))
		if err != nil || info.Channels != 1 || info.InputRate != 8000 || info.Duration().Milliseconds() != ms {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if wav := w.get(audioPath("acme-ns", name) + "?format=wav"); wav.StatusCode != 200 || int64(len(wav.body)) != 44+16*ms {
			t.Errorf("%s as WAV: %d, %d bytes", name, wav.StatusCode, len(wav.body))
		}
	}
}

// TestTwoUploadsAtOnce sends several audios under one key at the same time: one
// is kept, the same one again is 200, any other 409.
func TestTwoUploadsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.url()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]map[int]int{0: {}, 1: {}} // answers by audio and status
	for i := range 12 {
		wg.Go(func() {
			answer := w.post("acme-ns", "robot", jsonPart("recording", recording("a", 0)), part{"audio", clips()[i%2]})
			mu.Lock()
			defer mu.Unlock()
			got[i%2][answer.StatusCode]++
		})
	}
	wg.Wait()
	kept := 0
	if got[1][201] == 1 {
		kept = 1
	}
	if got[kept][201] != 1 || got[kept][200] != 5 || got[1-kept][409] != 6 {
		t.Errorf("answers by audio: %v", got)
	}
	if back := w.get(audioPath("acme-ns", "a")); !bytes.Equal(back.body, clips()[kept]) {
		t.Error("another audio is held than the one that was acknowledged")
	}
}

// fullDisk is blobs on a disk that is full.
type fullDisk struct {
	archive.Blobs
	full, reads bool // reads: not even reading works without a little room
}

func (d *fullDisk) Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	if d.reads {
		return nil, fmt.Errorf("note that %s is read: %w", key, syscall.ENOSPC)
	}
	return d.Blobs.Open(ctx, key, size)
}

func (d *fullDisk) Put(ctx context.Context, keys []string, files []*os.File) error {
	if d.full {
		return fmt.Errorf("put %s: %w", keys[0], syscall.ENOSPC)
	}
	return d.Blobs.Put(ctx, keys, files)
}

// TestDiskFull fills the disk: uploads are refused with that reason, nothing of them
// stays, and what is held is served.
func TestDiskFull(t *testing.T) {
	var disk *fullDisk
	w := newWorld(t, func(b archive.Blobs) archive.Blobs {
		disk = &fullDisk{Blobs: b}
		return disk
	})
	w.keep(recording("a", 0))
	disk.full = true
	got := w.post("acme-ns", "robot", jsonPart("recording", recording("b", 1)), part{"audio", clips()[1]})
	if text := wantError(t, "full", got, 507, "insufficient_storage"); strings.Contains(text, "space left") {
		t.Errorf("the message tells internals: %q", text)
	}
	if got := keysOf(t, w.get(list)); got != "a" {
		t.Errorf("listed: %q", got)
	}
	if got := w.get(audioPath("acme-ns", "a")); got.StatusCode != 200 {
		t.Errorf("reading: %d", got.StatusCode)
	}
	// As when PostgreSQL has no room to charge a download. The client, who stores nothing,
	// gets a 503.
	disk.reads = true
	wantError(t, "no room to read", w.get(audioPath("acme-ns", "a")), 503, "unavailable")
	disk.full, disk.reads = false, false
	if got := w.post("acme-ns", "robot", jsonPart("recording", recording("b", 1)), part{"audio", clips()[1]}); got.StatusCode != 201 {
		t.Errorf("room again: %d %s", got.StatusCode, got.body)
	}
}
