package ingest_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/archivetest"
	"callvault/ingest"
)

var second = archivetest.Opus(1, time.Second)

// part is one part of an upload.
type part struct{ name, content string }

const boundary = "limit"

func body(parts ...part) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, p.name, p.content)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func (w *world) send(body io.Reader) (*archive.Entry, archive.Outcome, error) {
	return w.intake.Upload(w.Context(), "acme-ns", &everything, multipart.NewReader(body, boundary))
}

func (w *world) upload(parts ...part) (*archive.Entry, archive.Outcome, error) {
	return w.send(bytes.NewReader(body(parts...)))
}

// uploaded uploads a recording, which must be accepted.
func (w *world) uploaded(want archive.Outcome, parts ...part) callvault.Recording {
	w.Helper()
	entry, outcome, err := w.upload(parts...)
	if err != nil || outcome != want {
		w.Fatalf("outcome %d, %v; want %d", outcome, err, want)
	}
	return entry.Recording
}

const recordingJSON = `{"recordingKey":"r1","callKey":"c1","startTime":1707770449131,"duration":1000,"status":"SAVED","tenantName":"acme-ns","agent":"Kelly Jaques(256)"}`

func TestPartsInAnyOrder(t *testing.T) {
	parts := []part{
		{"recording", recordingJSON},
		{"call", `{"callKey":"c1","startTime":1707770438499,"endTime":1707770497510,"location":"Reno, NV"}`},
		{"audio", string(second)},
	}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		w := newWorld(t)
		got := w.uploaded(archive.Added, parts[order[0]], parts[order[1]], parts[order[2]])
		if got.RecordingKey != "r1" || got.Size != int64(len(second)) || got.Agent != "Kelly Jaques(256)" || w.only() != got {
			t.Errorf("%v: %+v", order, got)
		}
		if calls := w.calls(); len(calls) != 1 || calls[0].Location != "Reno, NV" || calls[0].EndTime != 1707770497510 || calls[0].TenantName != "acme-ns" {
			t.Errorf("%v: %+v", order, calls)
		}
	}
}

// TestWhatIsLeftOutIsMadeUp: keys, status, tenant, duration and the call.
func TestWhatIsLeftOutIsMadeUp(t *testing.T) {
	w := newWorld(t)
	r := w.uploaded(archive.Added, part{"recording", `{"startTime":1707770449131,"callDirection":"INBOUND","callingParty":"1888"}`}, part{"audio", string(second)})
	if !strings.HasSuffix(r.RecordingKey, "-1707770449131") || len(r.RecordingKey) != 36+14 || !strings.HasSuffix(r.CallKey, "-1707770449131-1707770450131") {
		t.Errorf("keys %s, %s", r.RecordingKey, r.CallKey)
	}
	if r.Status != callvault.Saved || r.TenantName != "acme-ns" || r.Duration != 1000 || r.Size != int64(len(second)) {
		t.Errorf("%+v", r)
	}
	calls := w.calls()
	if len(calls) != 1 || calls[0].StartTime != 1707770449131 || calls[0].EndTime != 1707770450131 || calls[0].CallKey != r.CallKey ||
		calls[0].CallerID != "1888" || calls[0].CallID != r.CallKey[:36] {
		t.Errorf("call %+v", calls)
	}
}

func TestCallPart(t *testing.T) {
	audio := part{"audio", string(second)}
	for name, c := range map[string]struct {
		recording, call string
		check           func(call callvault.Call) bool
	}{
		"its key is the recording's": {`{"startTime":5000}`, `{"callKey":"mine","shortId":7}`, func(c callvault.Call) bool {
			return c.CallKey == "mine" && c.ShortID == 7 && c.StartTime == 5000 && c.EndTime == 6000
		}},
		"no key in either": {`{"startTime":5000}`, `{"location":"x"}`, func(c callvault.Call) bool {
			return strings.HasSuffix(c.CallKey, "-5000-6000") && c.Location == "x"
		}},
		"numbers in its key that are no times": {`{"startTime":1707770449131,"callKey":"pbx-7-12"}`, `{"location":"x"}`, func(c callvault.Call) bool {
			return c.StartTime == 1707770449131 && c.EndTime == 1707770450131 && c.CallID == "pbx-7-12" && c.Location == "x"
		}},
		"account codes as they came": {`{"startTime":5000}`, `{"accountCodes":["<a>",{"b":[1.50]}]}`, func(c callvault.Call) bool {
			return string(c.AccountCodes[0])+string(c.AccountCodes[1]) == `"<a>"{"b":[1.50]}`
		}},
		"recordings in it are not taken": {`{"startTime":5000}`, `{"recordings":[{"recordingKey":"forged"}]}`, func(c callvault.Call) bool {
			return len(c.Recordings) == 1 && c.Recordings[0].RecordingKey != "forged"
		}},
		"null":  {`{"startTime":5000,"callKey":"k"}`, `null`, func(c callvault.Call) bool { return c.CallKey == "k" }},
		"empty": {`{"startTime":5000,"callKey":"k"}`, ``, func(c callvault.Call) bool { return c.CallKey == "k" }},
	} {
		w := newWorld(t)
		w.uploaded(archive.Added, part{"recording", c.recording}, part{"call", c.call}, audio)
		if calls := w.calls(); len(calls) != 1 || !c.check(calls[0]) {
			t.Errorf("%s: %+v", name, calls)
		}
	}
	// A null says nothing about the call.
	w := newWorld(t)
	w.uploaded(archive.Added, part{"recording", `{"startTime":5000,"callKey":"k"}`}, part{"call", `{"location":"Reno, NV"}`}, audio)
	w.uploaded(archive.Added, part{"recording", `{"startTime":6000,"callKey":"k"}`}, part{"call", `null`}, audio)
	if calls := w.calls(); len(calls) != 1 || calls[0].Location != "Reno, NV" {
		t.Errorf("after null: %+v", calls)
	}
}

func TestUploadAgain(t *testing.T) {
	w := newWorld(t)
	recording, audio := part{"recording", recordingJSON}, part{"audio", string(second)}
	w.uploaded(archive.Added, recording, audio)
	w.uploaded(archive.Unchanged, recording, audio)
	if _, _, err := w.upload(recording, part{"audio", string(archivetest.Opus(2, time.Second))}); !errors.Is(err, callvault.Conflict) {
		t.Errorf("other audio: %v, want 409", err)
	}
	for _, status := range []string{"PENDING", "DELETED_TIME"} {
		w.uploaded(archive.Added, part{"recording", `{"recordingKey":"` + status + `","startTime":5000,"status":"` + status + `"}`})
	}
	w.uploaded(archive.Completed, part{"recording", `{"recordingKey":"PENDING","startTime":5000}`}, audio)
	var wait sync.WaitGroup
	var outcomes [8]archive.Outcome
	for i := range outcomes {
		wait.Go(func() {
			_, outcome, err := w.upload(part{"recording", `{"recordingKey":"at once","startTime":5000}`}, audio)
			if outcomes[i] = outcome; err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	added := 0
	for _, outcome := range outcomes {
		if outcome == archive.Added {
			added++
		}
	}
	if added != 1 || len(w.recordings()) != 4 {
		t.Errorf("eight at once: %v; listed %d", outcomes, len(w.recordings()))
	}
}

// TestSentAgainStaysInItsCall: a recording that is sent without a call key gets one, and
// keeps it when it is sent again, even at the same time, and when its audio is sent.
func TestSentAgainStaysInItsCall(t *testing.T) {
	w := newWorld(t)
	row := part{"recording", `{"recordingKey":"one","startTime":5000,"status":"PENDING"}`}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, outcome, err := w.upload(row); err != nil || outcome == archive.Updated {
				t.Errorf("the same at once: %d, %v", outcome, err)
			}
		})
	}
	wait.Wait()
	first := w.only()
	w.uploaded(archive.Unchanged, row)
	got := w.uploaded(archive.Completed, part{"recording", `{"recordingKey":"one","startTime":5000}`}, part{"audio", string(second)})
	if calls := w.calls(); got.CallKey != first.CallKey || len(calls) != 1 || calls[0].CallKey != first.CallKey {
		t.Errorf("first %s, now %s; calls %+v", first.CallKey, got.CallKey, calls)
	}
	told := w.uploaded(archive.Added, part{"recording", `{"recordingKey":"two","startTime":5000,"status":"PENDING"}`})
	moved := w.uploaded(archive.Updated, part{"recording", `{"recordingKey":"two","startTime":5000,"status":"PENDING","callKey":"mine"}`})
	if told.CallKey == "mine" || moved.CallKey != "mine" {
		t.Errorf("a call key that is told counts: %s, then %s", told.CallKey, moved.CallKey)
	}
}

// TestCallOfARowWithoutAudio: the metadata of a call is stored even if that of its
// recording is nothing new.
func TestCallOfARowWithoutAudio(t *testing.T) {
	w := newWorld(t)
	row := part{"recording", `{"recordingKey":"one","callKey":"c","startTime":5000,"status":"PENDING"}`}
	w.uploaded(archive.Added, row)
	for _, c := range []struct {
		call string
		want archive.Outcome
	}{
		{`{"location":"Reno, NV"}`, archive.Updated}, {`{"location":"Reno, NV"}`, archive.Unchanged}, {`null`, archive.Unchanged},
		{`{"location":"Boise, ID","accountCodes":["7", 1.50]}`, archive.Updated}, {`{"location":"Boise, ID","accountCodes":["7",1.50]}`, archive.Unchanged},
	} {
		w.uploaded(c.want, row, part{"call", c.call})
	}
	says := func(location string) {
		t.Helper()
		if calls := w.calls(); len(calls) != 1 || calls[0].Location != location {
			t.Errorf("want %s: %+v", location, calls)
		}
	}
	says("Boise, ID")
	// Another recording of the call may change its metadata; one that is only sent again
	// does not.
	other := part{"recording", `{"recordingKey":"two","callKey":"c","startTime":5000,"status":"PENDING"}`}
	w.uploaded(archive.Added, other, part{"call", `{"location":"Elko, NV"}`})
	says("Elko, NV")
	w.uploaded(archive.Unchanged, row, part{"call", `{"location":"Boise, ID","accountCodes":["7",1.50]}`})
	says("Elko, NV")
	w.uploaded(archive.Updated, row, part{"call", `{"location":"Reno, NV"}`})
	says("Reno, NV")
}

// TestUploadsThatAreRefused: each gets its error, and nothing stays of it.
func TestUploadsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	recording, audio := part{"recording", recordingJSON}, part{"audio", string(second)}
	told := func(json string) []part { return []part{{"recording", json}, audio} }
	for name, c := range map[string]struct {
		parts []part
		says  string
	}{
		"nothing":            {nil, "no part named recording"},
		"audio alone":        {[]part{audio}, "no part named recording"},
		"no audio":           {[]part{recording}, "no part named audio"},
		"recording twice":    {[]part{recording, recording, audio}, "more than one part named recording"},
		"call twice":         {[]part{recording, {"call", "{}"}, {"call", "{}"}, audio}, "more than one part named call"},
		"audio twice":        {[]part{recording, audio, audio}, "more than one part named audio"},
		"another part":       {[]part{recording, audio, {"video", "x"}}, `part named "video"`},
		"a part unnamed":     {[]part{recording, audio, {"", "x"}}, `part named ""`},
		"PENDING with audio": {told(`{"startTime":5,"status":"PENDING"}`), "must not have a part named audio"},
		"unknown status":     {told(`{"startTime":5,"status":"saved"}`), "not a status"},
		"another tenant":     {told(`{"startTime":5,"tenantName":"beta-co"}`), "beta-co"},
		"no start":           {told(`{}`), "no startTime"},
		"start of nothing":   {told(`{"startTime":0}`), "no startTime"},
		"start before 1970":  {told(`{"startTime":-5}`), "startTime -5"},
		"start in seconds?":  {told(`{"startTime":253402300800000}`), "startTime"},
		"start as text":      {told(`{"startTime":"2024-02-12T00:00:00Z"}`), "startTime cannot be a string"},
		"start in parts":     {told(`{"startTime":5.5}`), "startTime cannot be a number"},
		"start beyond all":   {told(`{"startTime":1e400}`), "startTime"},
		"negative duration":  {told(`{"startTime":5,"duration":-1}`), "duration"},
		"empty":              {told(``), "cannot be read"},
		"null":               {told(`null`), "no startTime"},
		"an array":           {told(`[]`), "not a JSON object"},
		"a number":           {told(`5`), "not a JSON object"},
		"cut short":          {told(`{"startTime":5`), "cannot be read"},
		"two values":         {told(`{"startTime":5}{"startTime":6}`), "cannot be read"},
		"a brace too many":   {told(`{"startTime":5}}`), "cannot be read"},
		"a bracket too many": {told(`{"startTime":5}]`), "cannot be read"},
		"too long a key":     {told(`{"startTime":5,"recordingKey":"` + strings.Repeat("k", 256) + `"}`), "256 bytes"},
		"a slash in the key": {told(`{"startTime":5,"recordingKey":"../x"}`), "slash"},
		"NUL in the key":     {told(`{"startTime":5,"recordingKey":"a\u0000"}`), "control character"},
		"very long metadata": {told(`{"startTime":5,"tagData":"` + strings.Repeat("x", 1<<20) + `"}`), "has over 1048576 bytes"},
		"call of another":    {append(told(`{"startTime":5}`), part{"call", `{"tenantName":"beta-co"}`}), "beta-co"},
		"another call":       {append(told(`{"startTime":5,"callKey":"a"}`), part{"call", `{"callKey":"b"}`}), "is not the recording's call"},
		"call backwards":     {append(told(`{"startTime":5}`), part{"call", `{"startTime":9,"endTime":8}`}), "not a valid range"},
		"call as text":       {append(told(`{"startTime":5}`), part{"call", `"x"`}), "not a JSON object"},
	} {
		_, _, err := w.upload(c.parts...)
		if !errors.Is(err, callvault.InvalidParameter) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want 400 that says %q", name, err, c.says)
		}
		w.nothingStaged()
	}
	if list := w.recordings(); len(list) > 0 {
		t.Errorf("kept: %+v", list)
	}
}

// TestBodiesThatAreCut: an upload is refused wherever it is cut.
func TestBodiesThatAreCut(t *testing.T) {
	w := newWorld(t)
	whole := body(part{"recording", recordingJSON}, part{"audio", string(second[:300])}, part{"call", `{}`})
	for n := range len(whole) - len("--\r\n") {
		header := whole[max(0, bytes.LastIndex(whole[:n], []byte("--limit\r\n"))):n]
		inHeader := len(header) >= len("--limit\r\n") && !bytes.Contains(header, []byte("\r\n\r\n"))
		for name, cut := range map[string]io.Reader{
			"cut":  bytes.NewReader(whole[:n]),
			"lost": io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(io.ErrUnexpectedEOF)),
		} {
			if name == "cut" && inHeader {
				continue // mime/multipart takes it for the end; over HTTP the error is another one
			}
			if _, _, err := w.send(cut); !errors.Is(err, callvault.InvalidParameter) {
				t.Fatalf("%s after %d of %d bytes, %q: %v, want 400", name, n, len(whole), whole[max(0, n-40):n], err)
			}
		}
	}
	w.nothingStaged()
}

func TestUnusableAudioIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, file := range unusable(t, second) {
		if strings.Contains(name, "WAV") {
			needLibopus(t)
		}
		_, _, err := w.upload(part{"recording", recordingJSON}, part{"audio", string(file)})
		if !errors.Is(err, callvault.UnprocessableAudio) {
			t.Errorf("%s: %v, want 422", name, err)
		}
		w.nothingStaged()
	}
	if list := w.recordings(); len(list) > 0 {
		t.Errorf("kept: %+v", list)
	}
}

func TestWAVsOfAllKinds(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	for i, kind := range []struct {
		coding         uint16
		bits, rate, ch int
	}{{1, 16, 8000, 1}, {1, 8, 11025, 1}, {1, 24, 44100, 2}, {1, 32, 48000, 1}, {3, 32, 16000, 2}, {6, 8, 8000, 1}, {7, 8, 8000, 2}} {
		file := wav(kind.coding, kind.bits, kind.rate, kind.ch)
		r := w.uploaded(archive.Added, part{"recording", fmt.Sprintf(`{"startTime":%d}`, 5000+i)}, part{"audio", string(file)})
		info := w.info(&r)
		if d := info.Duration() - time.Second; d.Abs() > 2*time.Millisecond || info.Channels != 1 || info.InputRate != 8000 || !info.Ended || info.Bytes != r.Size {
			t.Errorf("%+v: %+v", kind, info)
		}
		if r.Duration < 998 || r.Duration > 1002 {
			t.Errorf("%+v: duration %d", kind, r.Duration)
		}
	}
	again := part{"recording", `{"recordingKey":"wav","startTime":5000}`}
	w.uploaded(archive.Added, again, part{"audio", string(wav(1, 16, 8000, 1))})
	w.uploaded(archive.Unchanged, again, part{"audio", string(wav(1, 16, 8000, 1))})
	w.uploaded(archive.Unchanged, again, part{"audio", string(wav(1, 16, 8000, 1))})
}

func FuzzMultipart(f *testing.F) {
	f.Add(body(part{"recording", recordingJSON}, part{"audio", string(second[:200])}))
	f.Add(body(part{"recording", `{"startTime":5,"status":"PENDING"}`}, part{"call", `{}`}))
	f.Add(body(part{"audio", ""}, part{"recording", `{"startTime":5}`}))
	f.Add([]byte("--limit--"))
	f.Add([]byte("--limit\r\n\r\n--limit--\r\n"))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, sent []byte) {
		here := *w
		here.TB = t
		entry, _, err := here.send(bytes.NewReader(sent))
		var code callvault.Code
		switch {
		case err != nil && (!errors.As(err, &code) || code >= callvault.Internal):
			t.Errorf("%v: a bad body is the sender's fault", err)
		case err == nil && entry.Recording.Validate() != nil:
			t.Errorf("kept: %+v", entry.Recording)
		}
	})
}

// TestSentAgainIsNotEncodedAgain: for a WAV that was sent before, the audio encoded then
// is reused. It is encoded again only if that is lost or damaged.
func TestSentAgainIsNotEncodedAgain(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	raw := wav(1, 16, 8000, 1)
	sum := sha256.Sum256(raw)
	encode := func(tenant, key string) (got [sha256.Size]byte) {
		t.Helper()
		known, err := ingest.Known(w.intake, t.Context(), tenant, key)
		w.must(err)
		made, err := ingest.Encode(w.intake, t.Context(), known, bytes.NewReader(raw), sum)
		w.must(err)
		w.archive.Discard(&archive.Intake{Audio: made})
		return made.SHA256
	}
	first := encode("acme-ns", "one")
	spool, err := w.archive.NewSpool()
	w.must(err)
	_, err = spool.Write(second) // as if another encoder had made it
	w.must(err)
	earlier, err := spool.Finish()
	w.must(err)
	entry, _, err := w.archive.Keep(t.Context(), &archive.Intake{
		Recording: callvault.Recording{RecordingKey: "one", CallKey: "c", StartTime: 1707770449131, Status: callvault.Saved, TenantName: "acme-ns"},
		Audio:     earlier, UploadSHA256: sum, Added: time.Now(),
	})
	w.must(err)
	if encode("acme-ns", "one") != entry.SHA256 || encode("acme-ns", "other") != first || encode("beta-co", "one") != first {
		t.Error("sent again it is encoded again, or taken for another")
	}
	for key, err := range w.blobs.Keys(t.Context(), "") {
		w.must(err)
		if strings.HasSuffix(key, ".opus") {
			w.must(w.blobs.Delete(t.Context(), key))
		}
	}
	if encode("acme-ns", "one") != first {
		t.Error("what was lost is not encoded again")
	}
}

// TestStalledBody: the client learns that its body was too slow, and not the addresses
// that net names in its error.
func TestStalledBody(t *testing.T) {
	w := newWorld(t)
	stalled := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8080}, Err: os.ErrDeadlineExceeded}
	whole := body(part{"recording", recordingJSON}, part{"audio", string(second)})
	for _, n := range []int{0, len(whole) / 2} {
		_, _, err := w.send(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(stalled)))
		if !errors.Is(err, callvault.InvalidParameter) || strings.Contains(err.Error(), "10.1.2.3") || !strings.Contains(err.Error(), "too slowly") {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	w.nothingStaged()
}

// TestHalfCharacters: two keys with different halves of characters would become the same
// key.
func TestHalfCharacters(t *testing.T) {
	w := newWorld(t)
	for key, whole := range map[string]bool{
		`\ud83d`: false, `\ude00`: false, `\ud83d\ud83d\ude00`: false, `\uD83Dx`: false, `\ud83d\n`: false, `\\\ud83d`: false,
		`\ud83d\ude00`: true, `\uD83D\uDE00`: true, `\\ud83d`: true, `\u00e9`: true, `\ufffd`: true,
	} {
		_, _, err := w.upload(part{"recording", `{"recordingKey":"k` + key + `","startTime":1707770449131}`}, part{"audio", string(second)})
		if whole && err != nil || !whole && !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
