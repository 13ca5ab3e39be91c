package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/google/go-cmp/cmp"
)

// audioHeaders returns the headers that describe the audio itself.
func audioHeaders(got reply) map[string]string {
	headers := map[string]string{}
	for _, name := range []string{
		"Content-Type", "Content-Length", "Content-Disposition", "Accept-Ranges", "Etag", "Last-Modified", "Repr-Digest",
		"Content-Range", "Content-Encoding",
	} {
		if value := got.Header.Get(name); value != "" {
			headers[name] = value
		}
	}
	return headers
}

func TestAudio(t *testing.T) {
	w := newWorld(t)
	const key = "91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131"
	entry := w.keep(recording(key, 0))
	clip := clips()[0]
	sum := sha256.Sum256(clip)
	want := map[string]string{
		"Content-Type":        "audio/ogg; codecs=opus",
		"Content-Length":      fmt.Sprint(len(clip)),
		"Content-Disposition": `attachment; filename="` + key + `.opus"`,
		"Accept-Ranges":       "bytes",
		"Etag":                fmt.Sprintf(`"%x"`, sum),
		"Last-Modified":       time.UnixMilli(entry.Added).UTC().Format(http.TimeFormat),
		"Repr-Digest":         "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
	}
	for _, path := range []string{audioPath("acme-ns", key), audioPath("acme-ns", key) + "?format=opus", audioPath("acme-ns", key) + "?other=1"} {
		got := w.get(path, "Accept-Encoding", "gzip, zstd")
		if got.StatusCode != 200 || !bytes.Equal(got.body, clip) {
			t.Errorf("GET %s: %d, %d bytes", path, got.StatusCode, len(got.body))
		}
		if diff := cmp.Diff(want, audioHeaders(got)); diff != "" {
			t.Errorf("GET %s:\n%s", path, diff)
		}
		head := w.do(http.MethodHead, path, "Range", "bytes=0-0")
		if head.StatusCode != 200 || len(head.body) != 0 {
			t.Errorf("HEAD with a Range: %d, %d bytes", head.StatusCode, len(head.body))
		}
		if diff := cmp.Diff(want, audioHeaders(head)); diff != "" {
			t.Errorf("HEAD %s:\n%s", path, diff)
		}
	}
	if listed := rows(t, w.get(list))[0]; listed.Size != int64(len(clip)) {
		t.Errorf("the list says %d bytes, the audio has %d", listed.Size, len(clip))
	}
}

func TestStrangeFileNames(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct{ key, want string }{
		{`a"b\c`, `attachment; filename="a_b_c.opus"; filename*=UTF-8''a%22b%5Cc.opus`},
		{"ü b", `attachment; filename="_ b.opus"; filename*=UTF-8''%C3%BC%20b.opus`},
		{"a;b", `attachment; filename="a;b.opus"`},
	} {
		w.keep(recording(c.key, int64(i)))
		got := w.get(audioPath("acme-ns", c.key)).Header.Get("Content-Disposition")
		_, parameters, err := mime.ParseMediaType(got)
		if got != c.want || err != nil || parameters["filename"] != c.key+".opus" {
			t.Errorf("%q: %s, read as %q, %v", c.key, got, parameters["filename"], err)
		}
	}
}

// TestRange compares ranges of both formats with slices of the whole.
func TestRange(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	for _, format := range []string{"opus", "wav"} {
		path := audioPath("acme-ns", "a") + "?format=" + format
		whole := w.get(path)
		n := len(whole.body)
		for _, c := range []struct {
			header     string
			from, to   int // of the body; to is not in it
			wantStatus int
		}{
			{"bytes=0-0", 0, 1, 206}, {"bytes=0-", 0, n, 206}, {"bytes=1-2", 1, 3, 206}, {"bytes=43-45", 43, 46, 206},
			{"bytes=1001-5002", 1001, 5003, 206}, {fmt.Sprintf("bytes=%d-", n-1), n - 1, n, 206},
			{fmt.Sprintf("bytes=10-%d", n+99), 10, n, 206}, {"bytes=-1", n - 1, n, 206}, {fmt.Sprintf("bytes=-%d", n+5), 0, n, 206},
			{"Bytes = 5-6", 5, 7, 206}, {"bytes=-0,5-6", 5, 7, 206}, {fmt.Sprintf("bytes=5-6,%d-", n), 5, 7, 206},
			{"bytes=00-0000000000000000000000000009,", 0, 10, 206}, {"bytes=7-99999999999999999999999999", 7, n, 206},
			{"bytes=-99999999999999999999999999", 0, n, 206}, {"bytes=99999999999999999999999999-", 0, 0, 416},
			{"items=0-1", 0, n, 200}, {"seconds=1-2", 0, n, 200}, {"0-1", 0, n, 200},
			{"bytes=-0", 0, 0, 416}, {"bytes=-00", 0, 0, 416}, {"bytes=-0, -0", 0, 0, 416}, {fmt.Sprintf("bytes=%d-", n), 0, 0, 416},
			{fmt.Sprintf("bytes=%d-%d", n+1, n+2), 0, 0, 416},
		} {
			got := w.get(path, "Range", c.header)
			what := format + " " + c.header
			if c.wantStatus == 416 {
				wantError(t, what, got, 416, "range_not_satisfiable")
				if want := fmt.Sprintf("bytes */%d", n); got.Header.Get("Content-Range") != want {
					t.Errorf("%s: Content-Range %q, want %q", what, got.Header.Get("Content-Range"), want)
				}
				continue
			}
			if got.StatusCode != c.wantStatus || !bytes.Equal(got.body, whole.body[c.from:c.to]) || got.ContentLength != int64(c.to-c.from) {
				t.Errorf("%s: %d, %d bytes", what, got.StatusCode, len(got.body))
			}
			if want := fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, n); c.wantStatus == 206 && got.Header.Get("Content-Range") != want {
				t.Errorf("%s: Content-Range %q, want %q", what, got.Header.Get("Content-Range"), want)
			}
		}
		multipleRanges(t, w.get(path, "Range", "bytes=0-9, 100-199,-7"), whole)
		for _, header := range []string{
			"bytes=x", "bytes=5-2", "bytes=--5", "bytes=1", "bytes=", "bytes=,", "bytes=-", "bytes=+1-5", "bytes=1-+5", "bytes=0-5,x", "bytes=1-2-3", "bytes=0x1-5",
		} {
			got := w.get(path, "Range", header)
			text := wantError(t, header, got, 416, "range_not_satisfiable")
			if !strings.Contains(text, "cannot be read") || got.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", n) {
				t.Errorf("%s: %q, Content-Range %q", header, text, got.Header.Get("Content-Range"))
			}
		}
	}
}

func multipleRanges(t *testing.T, got, whole reply) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if got.StatusCode != 206 || kind != "multipart/byteranges" || err != nil || got.ContentLength != int64(len(got.body)) {
		t.Fatalf("several ranges: %d %s %v", got.StatusCode, kind, err)
	}
	parts, n := multipart.NewReader(bytes.NewReader(got.body), parameters["boundary"]), len(whole.body)
	for _, want := range [][2]int{{0, 10}, {100, 200}, {n - 7, n}} {
		part, err := parts.NextPart()
		must(t, err)
		body, err := io.ReadAll(part)
		must(t, err)
		if !bytes.Equal(body, whole.body[want[0]:want[1]]) || part.Header.Get("Content-Type") != whole.Header.Get("Content-Type") {
			t.Errorf("range %v: %d bytes, %v", want, len(body), part.Header)
		}
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	entry := w.keep(recording("a", 0))
	path := audioPath("acme-ns", "a")
	tag := fmt.Sprintf(`"%x"`, entry.SHA256)
	moment := func(d time.Duration) string {
		return time.UnixMilli(entry.Added).Add(d).UTC().Format(http.TimeFormat)
	}
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"If-None-Match", tag}, 304},
		{[]string{"If-None-Match", `"other", ` + tag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", "W/" + tag}, 304},
		{[]string{"If-None-Match", `"other"`}, 200},
		{[]string{"If-None-Match", `"other"`, "If-Modified-Since", moment(0)}, 200},
		{[]string{"If-Modified-Since", moment(0)}, 304},
		{[]string{"If-Modified-Since", moment(-time.Hour)}, 200},
		{[]string{"If-Match", tag}, 200},
		{[]string{"If-Match", `"other"`}, 412},
		{[]string{"If-Unmodified-Since", moment(-time.Hour)}, 412},
		{[]string{"Range", "bytes=0-1", "If-Range", tag}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", `"other"`}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", "W/" + tag}, 200},
		{[]string{"Range", "bytes=-0", "If-Range", `"other"`}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", moment(0)}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", moment(-time.Hour)}, 200},
		{[]string{"Range", "bytes=0-1", "If-None-Match", tag}, 304},
	} {
		got := w.get(path, c.headers...)
		if got.StatusCode != c.status {
			t.Errorf("%q: %d, want %d", c.headers, got.StatusCode, c.status)
		}
		switch c.status {
		case 304:
			if len(got.body) != 0 || got.Header.Get("Etag") != tag {
				t.Errorf("%q: 304 with %d bytes and the ETag %s", c.headers, len(got.body), got.Header.Get("Etag"))
			}
			if head := w.do(http.MethodHead, path, c.headers...); head.StatusCode != 304 {
				t.Errorf("HEAD %q: %d", c.headers, head.StatusCode)
			}
		case 412:
			wantError(t, fmt.Sprint(c.headers), got, 412, "precondition_failed")
		}
	}
	for name, want := range map[string]int{"If-None-Match": 304, "If-Match": 200} {
		r := w.request(http.MethodGet, path, name, `"other"`)
		r.Header.Add(name, tag)
		if got := w.send(r); got.StatusCode != want {
			t.Errorf("%s in two lines: %d, want %d", name, got.StatusCode, want)
		}
	}
}

func TestWAV(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	opus, path := w.get(audioPath("acme-ns", "a")), audioPath("acme-ns", "a")+"?format=wav"
	got := w.get(path)
	le := binary.LittleEndian
	if got.StatusCode != 200 || len(got.body) < 44 || string(got.body[:4]) != "RIFF" || string(got.body[8:16]) != "WAVEfmt " ||
		le.Uint16(got.body[20:]) != 1 || le.Uint16(got.body[22:]) != 1 || le.Uint32(got.body[24:]) != 8000 || le.Uint16(got.body[34:]) != 16 {
		t.Fatalf("%d, not a WAV of 16 bit, 8 kHz, mono: %x", got.StatusCode, got.body[:min(44, len(got.body))])
	}
	if int(le.Uint32(got.body[4:])) != len(got.body)-8 || int(le.Uint32(got.body[40:])) != len(got.body)-44 {
		t.Errorf("the header does not tell the true length of %d", len(got.body))
	}
	headers := audioHeaders(got)
	if headers["Content-Type"] != "audio/wav" || headers["Content-Disposition"] != `attachment; filename="a.wav"` ||
		headers["Content-Length"] != fmt.Sprint(len(got.body)) || headers["Etag"] == "" || headers["Etag"] == opus.Header.Get("Etag") {
		t.Errorf("headers %v", headers)
	}
	sum := sha256.Sum256(got.body)
	if digest := headers["Repr-Digest"]; digest != "" && digest != "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":" {
		t.Errorf("Repr-Digest is not that of the WAV: %s", digest)
	}
	if again := w.get(path); !bytes.Equal(again.body, got.body) {
		t.Error("another WAV the second time")
	}
	head := w.do(http.MethodHead, path)
	if diff := cmp.Diff(headers, audioHeaders(head)); diff != "" || len(head.body) != 0 {
		t.Errorf("HEAD:\n%s", diff)
	}
	if got := w.get(path, "If-None-Match", headers["Etag"]); got.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", got.StatusCode)
	}
	for _, query := range []string{"format=mp3", "format=", "format", "format=WAV", "format=opus&format=wav", "format=wav&format=wav", "format=%zz", "format=opus;x"} {
		wantError(t, query, w.get(audioPath("acme-ns", "a")+"?"+query), 400, "invalid_parameter")
	}
}

func TestAudioByStatus(t *testing.T) {
	w := newWorld(t)
	for status, want := range map[callvault.Status]int{
		callvault.Saved: 200, callvault.PendingDeleteSpace: 200, callvault.PendingDeleteTime: 200,
		callvault.Pending: 404, callvault.DeletedUser: 404, callvault.DeletedSpace: 404, callvault.DeletedTime: 404,
		callvault.DeletedUnknown: 404,
	} {
		r := recording(string(status), 0)
		r.Status = status
		w.keep(r)
		got := w.get(audioPath("acme-ns", r.RecordingKey))
		if want == 404 {
			wantError(t, string(status), got, 404, "not_found")
		} else if got.StatusCode != want {
			t.Errorf("%s: %d, want %d", status, got.StatusCode, want)
		}
	}
	if got := rows(t, w.get(list)); len(got) != 8 {
		t.Errorf("%d are listed, want all 8", len(got))
	}
}

// TestLostAudio: if the file is gone the client learns that there is no audio, and the
// operator that there should be.
func TestLostAudio(t *testing.T) {
	var kept archive.Blobs
	w := newWorld(t, func(b archive.Blobs) archive.Blobs {
		kept = b
		return b
	})
	w.keep(recording("a", 0))
	pending := recording("b", 0)
	pending.Status = callvault.Pending
	w.keep(pending)
	for key, err := range kept.Keys(t.Context(), "") {
		must(t, errors.Join(err, kept.Delete(t.Context(), key)))
	}
	for _, key := range []string{"a", "b", "none"} {
		wantError(t, key, w.get(audioPath("acme-ns", key)), 404, "not_found")
	}
	text := w.log.String()
	if at := strings.Index(text, `"level":"ERROR"`); at < 0 || strings.Count(text, `"level":"ERROR"`) != 1 || !strings.Contains(text[at:], `"tenant":"acme-ns","key":"a"`) {
		t.Errorf("the log says:\n%s", text)
	}
}

// TestDamagedAudioIsNotLost: that damaged audio which an operator has accepted cannot be
// had as WAV is no reason to alarm the operator.
func TestDamagedAudioIsNotLost(t *testing.T) {
	w := newWorld(t)
	spool, err := w.archive.NewSpool()
	must(t, err)
	damaged := bytes.Clone(clips()[0])
	damaged[len(damaged)/2]++
	_, err = spool.Write(damaged)
	must(t, err)
	kept, err := spool.Accept()
	must(t, err)
	_, _, err = w.archive.Keep(t.Context(), &archive.Intake{Recording: recording("a", 0), Audio: kept, Added: time.Now(), Accepted: "better than none"})
	must(t, err)
	wantError(t, "as WAV", w.get(audioPath("acme-ns", "a")+"?format=wav"), 404, "not_found")
	if text := w.log.String(); strings.Contains(text, `"level":"ERROR"`) {
		t.Errorf("the log says:\n%s", text)
	}
}
