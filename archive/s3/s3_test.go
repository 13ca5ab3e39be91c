package s3_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/archive/s3"
	"callvault/archive/s3/s3test"
)

// watched is a store behind a proxy that records each request.
type watched struct {
	*s3.Store
	mu       sync.Mutex
	requests []string
	headers  []http.Header
	instead  http.HandlerFunc // answers in place of the store, if not nil
}

// watch opens a new bucket through a proxy.
func watch(t *testing.T, server *s3test.Server, settings string) *watched {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{}
	proxy := httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the signature covers it
	}}
	front := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+r.Header.Get("Range"))
		w.headers = append(w.headers, r.Header.Clone())
		answers := w.instead
		w.mu.Unlock()
		if answers == nil {
			answers = proxy.ServeHTTP
		}
		answers(out, r)
	}))
	t.Cleanup(front.Close)
	w.Store = open(t, strings.ReplaceAll(server.Bucket(t), server.URL, front.URL)+settings)
	w.asked()
	return w
}

func open(t *testing.T, address string) *s3.Store {
	t.Helper()
	place, err := s3.ParseLocation(address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// asked returns the requests since it was last called.
func (w *watched) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.requests
	w.requests = nil
	return asked
}

func put(t *testing.T, s *s3.Store, key string, content []byte) error {
	t.Helper()
	file, err := s.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	return s.Put(t.Context(), []string{key}, []*os.File{file})
}

// Opening and seeking send no request. Reading a range of bytes sends one, for exactly that
// range.
func TestOneRequestForARange(t *testing.T) {
	s := watch(t, s3test.Start(t), "")
	content := bytes.Repeat([]byte("0123456789"), 1000)
	if err := put(t, s.Store, "a/b.opus", content); err != nil {
		t.Fatal(err)
	}
	s.asked()
	blob, err := s.Open(t.Context(), "a/b.opus", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if end, err := blob.Seek(0, io.SeekEnd); end != int64(len(content)) || err != nil {
		t.Errorf("its end is at %d, %v", end, err)
	}
	if _, err := blob.Seek(15, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if asked := s.asked(); len(asked) > 0 {
		t.Errorf("opening and seeking asked for %v", asked)
	}
	if err := blob.(interface{ Fetch(int64) error }).Fetch(7); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(blob, got); err != nil || string(got) != "5678901" {
		t.Errorf("read %q, %v", got, err)
	}
	if asked := s.asked(); !slices.Equal(asked, []string{"GET bytes=15-21"}) {
		t.Errorf("asked for %v", asked)
	}
	rest, err := io.ReadAll(blob)
	if err != nil || !bytes.Equal(rest, content[22:]) {
		t.Errorf("the rest has %d bytes, %v", len(rest), err)
	}
	if asked := s.asked(); !slices.Equal(asked, []string{"GET bytes=22-9999"}) {
		t.Errorf("asked for %v", asked)
	}
}

// A large blob is sent in parts and comes back whole.
func TestLargeBlob(t *testing.T) {
	s := watch(t, s3test.Start(t), "")
	content := bytes.Repeat([]byte("callvault"), 4<<20) // 36 MiB
	if err := put(t, s.Store, "large.opus", content); err != nil {
		t.Fatal(err)
	}
	if asked := s.asked(); len(asked) < 4 {
		t.Errorf("it was not sent in parts, but with %v", asked)
	}
	blob, err := s.Open(t.Context(), "large.opus", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	got, err := io.ReadAll(blob)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

// Encryption and storage class are requested for each blob.
func TestSettings(t *testing.T) {
	s := watch(t, s3test.Start(t), "&sse=AES256&storage-class=STANDARD_IA")
	_ = put(t, s.Store, "a.json", []byte("{}")) // this server supports neither; only the request counts
	for i, header := range s.headers {
		if header.Get("Content-Md5") == "" {
			continue
		}
		if header.Get("X-Amz-Server-Side-Encryption") != "AES256" || header.Get("X-Amz-Storage-Class") != "STANDARD_IA" {
			t.Errorf("request %d: %v", i, header)
		}
		return
	}
	t.Error("nothing was put")
}

// A store that is down is unavailable, not empty.
func TestStoreAway(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Bucket(t))
	if err := put(t, s, "a.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := server.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	unavailable(t, s, "killed")
}

// unavailable uses everything that a store offers, and expects it to be unavailable. There
// was a blob a.json of two bytes.
func unavailable(t *testing.T, s *s3.Store, why string) {
	t.Helper()
	_, sizeErr := s.Size(t.Context(), "a.json")
	var listErr error
	for _, err := range s.Keys(t.Context(), "") {
		listErr = err
	}
	blob, err := s.Open(t.Context(), "a.json", 2)
	if err != nil {
		t.Fatal(err)
	}
	_, readErr := blob.Read(make([]byte, 2))
	for what, err := range map[string]error{
		"size": sizeErr, "list": listErr, "read": readErr, "put": put(t, s, "b.json", []byte("{}")), "delete": s.Delete(t.Context(), "a.json"),
		"ready": s.Ready(t.Context()),
	} {
		var store interface{ Unavailable() bool }
		if !errors.As(err, &store) || !store.Unavailable() || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, %s: %v, want unavailable", why, what, err)
		}
	}
}

// A store that no longer accepts the keys, or no longer has the bucket, is unavailable: that
// says nothing about a blob.
func TestStoreRefuses(t *testing.T) {
	server := s3test.Start(t)
	address := server.Bucket(t)
	s, bucket := open(t, address), filepath.Join(server.Dir, strings.Split(address, "/")[2])
	if err := put(t, s, "a.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(bucket, bucket+".away"); err != nil {
		t.Fatal(err)
	}
	unavailable(t, s, "without the bucket")
	if err := os.Rename(bucket+".away", bucket); err != nil {
		t.Fatal(err)
	}
	if size, err := s.Size(t.Context(), "a.json"); size != 2 || err != nil {
		t.Errorf("with the bucket again: %d, %v", size, err)
	}
	if _, err := s.Size(t.Context(), "b.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing blob: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	server.Kill()
	server.Start(t)
	unavailable(t, s, "with other keys")
}

// A store answers with status 400 when temporary keys have expired.
func TestTokenExpires(t *testing.T) {
	s := watch(t, s3test.Start(t), "")
	if err := put(t, s.Store, "a.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.instead = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")
	}
	s.mu.Unlock()
	unavailable(t, s.Store, "with keys that have expired")
}

// A wrong secret is an error when the store is opened, which does not reveal the secret.
func TestWrongKeys(t *testing.T) {
	server := s3test.Start(t)
	address := server.Bucket(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
	place, err := s3.ParseLocation(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Open(t.Context(), place); err == nil || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("opened with a wrong secret: %v", err)
	}
}

// A link gives the blob to anybody, without keys, with the requested headers.
func TestLink(t *testing.T) {
	s := open(t, s3test.Start(t).Bucket(t))
	if err := put(t, s, "a.opus", []byte("audio")); err != nil {
		t.Fatal(err)
	}
	link, err := s.Link(t.Context(), "a.opus", time.Minute, map[string]string{"Content-Disposition": "inline"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(link.String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK || string(got) != "audio" || answer.Header.Get("Content-Disposition") != "inline" || err != nil {
		t.Errorf("%s %v %q %v", answer.Status, answer.Header, got, err)
	}
}

// What is in a hidden folder is not among the store's blobs.
func TestBelow(t *testing.T) {
	s := open(t, s3test.Start(t).Bucket(t))
	below := s.Below(".quarantine")
	if err := errors.Join(put(t, s, "a/b.json", []byte("{}")), put(t, below, "a/c.json", []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	for store, want := range map[*s3.Store]string{s: "a/b.json", below: "a/c.json"} {
		var keys []string
		for key, err := range store.Keys(t.Context(), "a/") {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if !slices.Equal(keys, []string{want}) {
			t.Errorf("keys %v, want %s", keys, want)
		}
	}
	for _, key := range []string{"", "/a", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a/"} {
		if _, err := s.Size(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q counts as a key: %v", key, err)
		}
	}
}
