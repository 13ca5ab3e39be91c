// Package s3test runs a real S3 server for tests: versitygw, which checks signatures, over
// a temporary folder.
package s3test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// howToGet is the command that installs the server.
const howToGet = "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// Server is a running S3 server. Its keys are in the environment of the test.
type Server struct {
	URL string // such as http://127.0.0.1:1234
	// Dir holds a folder for each bucket.
	Dir     string
	Process *os.Process

	program string
	command *exec.Cmd
	said    strings.Builder
}

// Start starts a server, which ends with the test, and sets AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY to its keys. If versitygw is missing, it skips the test, or fails
// it if CALLVAULT_TEST_ALL is set.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := find()
	if err != nil {
		if os.Getenv("CALLVAULT_TEST_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", rand.Text())
	// Not t.TempDir: its name may be too long for what the server appends to it.
	dir, err := os.MkdirTemp("", "s3-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{".meta", "buckets"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{URL: "http://" + freeAddress(t), Dir: filepath.Join(dir, "buckets"), program: program}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", s.said.String())
		}
	})
	s.Start(t)
	return s
}

// Start starts the server again after Kill.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	command := exec.Command(s.program, "--access", os.Getenv("AWS_ACCESS_KEY_ID"), "--secret", os.Getenv("AWS_SECRET_ACCESS_KEY"),
		"--port", strings.TrimPrefix(s.URL, "http://"), "--quiet", "posix", "--sidecar", filepath.Join(filepath.Dir(s.Dir), ".meta"), s.Dir)
	command.Stdout, command.Stderr = &s.said, &s.said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.command, s.Process = command, command.Process
	s.await(t)
}

// Kill ends the server as a crash would, even if it is suspended.
func (s *Server) Kill() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Kill()
	_ = s.command.Wait() // it was killed
}

// find looks for the program in PATH, and where go install puts it.
func find() (string, error) {
	if program, err := exec.LookPath("versitygw"); err == nil {
		return program, nil
	}
	out, err := exec.Command("go", "env", "GOPATH").Output()
	if err == nil {
		program, err := exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "bin", "versitygw"))
		if err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("no S3 server to test against: %s", howToGet)
}

// freeAddress returns a loopback address that nobody listens on: the server cannot report
// which port it has chosen.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await waits until the server answers.
func (s *Server) await(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the S3 server does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Bucket creates a new bucket and returns its address for --audio.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := "b" + strings.ToLower(rand.Text())
	if err := os.Mkdir(filepath.Join(s.Dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	return "s3://" + name + "/audio?endpoint=" + s.URL + "&region=us-east-1"
}
