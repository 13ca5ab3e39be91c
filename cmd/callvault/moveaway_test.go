//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"callvault/archive/s3/s3test"
)

// TestMoveWhileTheStoreRefuses: a store that suddenly refuses access, because its keys
// were replaced or the clock is wrong, does not make recordings damaged. The move ends,
// and resumes once the store accepts it again.
func TestMoveWhileTheStoreRefuses(t *testing.T) {
	t.Setenv("CALLVAULT_DATA", "")
	server := s3test.Start(t)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	var left atomic.Int64 // requests for audio that are answered
	left.Store(1000)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".opus") && left.Add(-1) < 0 || left.Load() < 0 {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	audio := strings.ReplaceAll(server.Bucket(t), server.URL, front.URL)
	data, back := t.TempDir(), filepath.Join(t.TempDir(), "back")
	in := t.TempDir()
	for i, clip := range sampleClips(3) {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%d.opus", i)), clip, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, data, "import", "--audio", audio, "--tenant", addTenant(t, data, "acme-ns"), in)

	args := []string{"move", "--from", data, "--from-audio", audio, "--to", back}
	left.Store(1)
	out, said, status := runOn(t, "unused", args...)
	if status != 1 || !strings.Contains(said, "Access Denied") {
		t.Errorf("a store that refuses: %d %s%s", status, out, said)
	}
	if _, said, status := runOn(t, back, "tenant", "list"); status != 1 || !strings.Contains(said, "is not whole yet") {
		t.Errorf("what was not moved is opened: %d %s", status, said)
	}
	left.Store(1000)
	if out := must(t, "unused", args...); !strings.HasSuffix(out, "; 0 faults") {
		t.Error(out)
	}
	if out := must(t, back, "verify"); !strings.HasPrefix(out, "3 recordings read") || !strings.Contains(out, " 0 faults") {
		t.Error(out)
	}
}

// TestWithin: prefixes of a store are compared by whole path elements.
func TestWithin(t *testing.T) {
	for _, c := range []struct {
		inner, outer string
		want         bool
	}{
		{"s3.example.com s3://b/audio/", "s3.example.com s3://b/", true},
		{"s3.example.com s3://b/audio/x/", "s3.example.com s3://b/audio/", true},
		{"s3.example.com s3://b/audio2/", "s3.example.com s3://b/audio/", false},
		{"s3.example.com s3://b/", "s3.example.com s3://b/audio/", false},
		{"s3.example.com s3://b2/", "s3.example.com s3://b/", false},
		{"other.example.com s3://b/audio/", "s3.example.com s3://b/", false},
		{"/data/audio/audio", "/data/audio", true},
		{"/data/audio2/audio", "/data/audio", false},
	} {
		if got := within(c.inner, c.outer); got != c.want {
			t.Errorf("%s within %s: %v", c.inner, c.outer, got)
		}
	}
}
