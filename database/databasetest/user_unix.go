//go:build unix

package databasetest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// asUser makes PostgreSQL start as another user when the tests run as root, because it
// refuses to run as root.
func asUser() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the tests
	if os.Getuid() == 0 {
		id := nobody()
		attributes.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
	}
	return attributes
}

// nobody returns the id of the user that owns nothing.
func nobody() int {
	if found, err := user.Lookup("nobody"); err == nil {
		if id, err := strconv.Atoi(found.Uid); err == nil {
			return id
		}
	}
	return 65534
}

// own gives the folder to the user that PostgreSQL runs as.
func own(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(dir, nobody(), nobody())
}

// Freeze suspends the server's processes. To its clients, the server is like a machine
// behind a broken network. Thaw resumes them.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { s.signal(t, syscall.SIGCONT) })
	s.signal(t, syscall.SIGSTOP)
}

// Thaw ends a Freeze.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	for _, text := range s.pids(t) {
		pid, err := strconv.Atoi(text)
		if err == nil {
			err = syscall.Kill(pid, signal)
		}
		if err != nil && signal == syscall.SIGSTOP {
			t.Fatal(fmt.Errorf("stop process %s of PostgreSQL: %w", text, err))
		}
	}
}
