//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callvault/archive/s3/s3test"
)

// TestAudioInS3 runs an archive whose audio is in a real S3 server. What is imported is
// served, in ranges too; an object that is gone is 404; while the server is away the
// answer is 503, and uploads are refused; once it is back everything works again.
func TestAudioInS3(t *testing.T) {
	server := s3test.Start(t)
	t.Setenv("CALLVAULT_AUDIO", server.Bucket(t))
	data, key, path := vaultWithOne(t)
	if _, err := os.Stat(filepath.Join(data, "audio")); err == nil {
		t.Error("the data folder has audio too")
	}
	p := serving(t, data)
	want := sampleClips(1)[0]
	status, whole := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path, key, nil))
	if status != http.StatusOK || !bytes.Equal(whole, want) {
		t.Errorf("audio: %d, %d bytes of %d", status, len(whole), len(want))
	}
	part := request(t, http.MethodGet, p.url+path, key, nil)
	part.Header.Set("Range", "bytes=100-199")
	if status, body := fetch(t, http.DefaultClient, part); status != http.StatusPartialContent || !bytes.Equal(body, want[100:200]) {
		t.Errorf("range: %d, %d bytes", status, len(body))
	}
	several := request(t, http.MethodGet, p.url+path, key, nil)
	several.Header.Set("Range", "bytes=0-9,-10")
	if status, body := fetch(t, http.DefaultClient, several); status != http.StatusPartialContent || !bytes.Contains(body, want[:10]) || !bytes.Contains(body, want[len(want)-10:]) {
		t.Errorf("two ranges: %d, %d bytes", status, len(body))
	}
	if status, body := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path+"?format=wav", key, nil)); status != http.StatusOK || !bytes.HasPrefix(body, []byte("RIFF")) {
		t.Errorf("wav: %d", status)
	}
	sum := sha256.Sum256(want)
	if out := must(t, data, "verify", "--json"); !strings.Contains(out, `"faults": []`) {
		t.Errorf("verify of %s: %s", hex.EncodeToString(sum[:]), out)
	}
	awayAndBack(t, server, p, path, key)

	found, err := filepath.Glob(filepath.Join(server.Dir, "*", "audio", "acme-ns", "*", "*", "*", "one.opus"))
	if err != nil || len(found) != 1 {
		t.Fatalf("objects %v, %v", found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path, key, nil)); status != http.StatusNotFound || !bytes.Contains(body, []byte("missing from the archive")) {
		t.Errorf("audio that is gone: %d %s", status, body)
	}
}

// awayAndBack suspends the store and resumes it.
func awayAndBack(t *testing.T, server *s3test.Server, p *process, path, key string) {
	t.Helper()
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The threads of the process go on until one of them has received the signal.
	if _, err := syscall.Wait4(server.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request(t, http.MethodGet, p.url+path, key, nil))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a store that is away: %s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
	head, err := http.DefaultClient.Do(request(t, http.MethodHead, p.url+path, key, nil))
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	same := request(t, http.MethodGet, p.url+path, key, nil)
	same.Header.Set("If-None-Match", head.Header.Get("Etag"))
	if status, _ := fetch(t, http.DefaultClient, same); head.StatusCode != http.StatusOK || status != http.StatusNotModified {
		t.Errorf("HEAD and what has not changed, which ask the store for nothing: %d and %d", head.StatusCode, status)
	}
	if err := server.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path, key, nil)); status != http.StatusOK {
		t.Errorf("a store that is back: %d", status)
	}
}

// TestRedirect: with --audio-redirect a GET is answered with an address in the store, and
// charged for what it asks for; everything else is as usual.
func TestRedirect(t *testing.T) {
	server := s3test.Start(t)
	t.Setenv("CALLVAULT_AUDIO", server.Bucket(t))
	data, key, path := vaultWithOne(t)
	p := serving(t, data, "--audio-redirect")
	want := sampleClips(1)[0]
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method string, header ...string) *http.Response {
		t.Helper()
		r := request(t, method, p.url+path, key, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := stay.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	whole := ask(http.MethodGet)
	if whole.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(whole.Header.Get("Location"), server.URL) || strings.Contains(whole.Header.Get("Location"), key) {
		t.Fatalf("%s to %q", whole.Status, whole.Header.Get("Location"))
	}
	linked, err := http.NewRequest(http.MethodGet, whole.Header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, http.DefaultClient, linked); status != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("the address gives %d, %d bytes of %d", status, len(body), len(want))
	}
	part := ask(http.MethodGet, "Range", "bytes=0-99")
	head := ask(http.MethodHead)
	same := ask(http.MethodGet, "If-None-Match", head.Header.Get("Etag"))
	outside := ask(http.MethodGet, "Range", "bytes=99999999-")
	for got, status := range map[*http.Response]int{part: 307, head: 200, same: 304, outside: 416} {
		if got.StatusCode != status {
			t.Errorf("%s, want %d", got.Status, status)
		}
	}
	wav := request(t, http.MethodGet, p.url+path+"?format=wav", key, nil)
	if status, body := fetch(t, stay, wav); status != http.StatusOK || !bytes.HasPrefix(body, []byte("RIFF")) {
		t.Errorf("wav, which the store has not: %d", status)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	var usage struct{ Used int64 }
	if err := json.Unmarshal([]byte(must(t, data, "tenant", "usage", "acme-ns", "--json")), &usage); err != nil {
		t.Fatal(err)
	}
	if sent := int64(len(want)) + 100; usage.Used < sent {
		t.Errorf("%d bytes were charged, of at least %d", usage.Used, sent)
	}
}

// TestCommandsWithoutTheStore: while the store is unavailable a key can be revoked, and
// the status shown; commands that need the audio say that it is unavailable.
func TestCommandsWithoutTheStore(t *testing.T) {
	server := s3test.Start(t)
	t.Setenv("CALLVAULT_AUDIO", server.Bucket(t))
	data, _, _ := vaultWithOne(t)
	source := "[[source]]\nname = \"acme\"\nurl = \"http://127.0.0.1:1\"\nkey_env = \"ACME_KEY\"\nsince = \"2026-01-01\"\n"
	if err := os.WriteFile(filepath.Join(data, configName), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	for _, args := range [][]string{
		{"user", "disable", "robot"}, {"user", "list"}, {"tenant", "usage", "acme-ns"}, {"tenant", "list"}, {"status"}, {"audit", "list"},
	} {
		must(t, data, args...)
	}
	if _, said, status := runOn(t, data, "verify"); status != 1 || !strings.Contains(said, "audio store s3://") {
		t.Errorf("verify: %d %s", status, said)
	}
}
