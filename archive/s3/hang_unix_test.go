//go:build unix

package s3_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"callvault/archive/s3/s3test"
)

// A store that hangs in the middle of a request or of an answer is given up.
func TestStoreHangs(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Bucket(t))
	content := bytes.Repeat([]byte("callvault"), 7<<20) // more than the buffers of two sockets hold
	if err := put(t, s, "large.opus", content); err != nil {
		t.Fatal(err)
	}
	blob, err := s.Open(t.Context(), "large.opus", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.ReadFull(blob, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ended := map[string]chan error{"read": make(chan error, 1), "put": make(chan error, 1)}
	go func() {
		_, err := io.Copy(io.Discard, blob)
		ended["read"] <- err
	}()
	go func() { ended["put"] <- put(t, s, "other.opus", content[:10<<20]) }()
	for what, end := range ended {
		select {
		case err := <-end:
			var store interface{ Unavailable() bool }
			if !errors.As(err, &store) || !store.Unavailable() {
				t.Errorf("%s: %v, want unavailable", what, err)
			}
		case <-time.After(2 * time.Minute):
			t.Errorf("%s is still waiting", what)
		}
	}
}
