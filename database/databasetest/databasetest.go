// Package databasetest gives tests a real PostgreSQL: a server that the test binary
// starts, with a database for each test.
//
// It needs PostgreSQL's own binaries, in PATH or where Debian installs them. If they are
// missing, tests are skipped, or fail if CALLVAULT_TEST_ALL is set. It knows none of our
// tables. The server does not outlive the test binary, however that ends.
package databasetest

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// shared is the server that all tests of the binary share.
var shared = sync.OnceValues(func() (*Server, error) { return start("passing=yes") })

// PostgreSQL returns the URL of an empty database for this test alone.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	s, err := shared()
	need(t, err)
	return s.database(t)
}

// Server is a PostgreSQL server that a test may stop.
type Server struct {
	dir, binaries string
	environment   []string // of the keeper
	process       *exec.Cmd
	leash         *os.File // closed, it ends the server
}

// Start starts a server for this test alone, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	need(t, err)
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(s.dir)
	})
	return s
}

// Database returns the URL of an empty database on the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return s.database(t)
}

// errMissing is the error when PostgreSQL is not installed.
var errMissing = errors.New("PostgreSQL is not installed here (apt-get install postgresql)")

func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && os.Getenv("CALLVAULT_TEST_ALL") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// findBinaries returns the folder of initdb and postgres: the one in PATH, or else the
// newest.
func findBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	if inPath, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(inPath); err == nil {
			found = append(found, real)
		}
	}
	if len(found) == 0 {
		return "", errMissing
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// start creates a database cluster in a temporary folder and starts its server.
func start(environment ...string) (*Server, error) {
	binaries, err := findBinaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "callvault-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, binaries: binaries, environment: environment}
	if err := own(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	initdb := exec.Command(filepath.Join(binaries, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "callvault",
		"--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = dir, asUser()
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// keeper is a shell script that runs the server until its own standard input ends, as it
// does when the test binary is gone. Then it ends the server at once, even one that is
// frozen, and removes its folder if $passing is set.
const keeper = `"$0" "$@" >>"$PWD/log" 2>&1 & echo $! >"$PWD/pid"; cat >/dev/null
kill -QUIT $!; kill -CONT $!; wait $!; [ -z "$passing" ] || rm -rf "$PWD"`

// start starts the server and waits until it answers.
func (s *Server) start() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	c := exec.Command("/bin/sh", "-c", keeper, filepath.Join(s.binaries, "postgres"), "-D", filepath.Join(s.dir, "data"),
		"-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300",
		"-c", "shared_buffers=128MB", "-c", "max_locks_per_transaction=256")
	c.Dir, c.SysProcAttr, c.Stdin = s.dir, asUser(), read
	c.Env = append(os.Environ(), s.environment...)
	if err := c.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	s.process, s.leash = c, write
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w: %s", err, log)
		}
	}
}

// Start starts the server again after Kill.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as a crash does.
func (s *Server) Kill() {
	s.leash.Close()
	_ = s.process.Wait() // it was killed
}

func (s *Server) url(name string) string {
	return "postgres:///" + name + "?" + url.Values{"host": {s.dir}, "user": {"callvault"}}.Encode()
}

var databases atomic.Int64

// database creates an empty database, which lasts as long as the server.
func (s *Server) database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.make(name); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

// pids returns the ids of the server's processes.
func (s *Server) pids(t testing.TB) []string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	main := strings.TrimSpace(string(pid))
	children, err := os.ReadFile(filepath.Join("/proc", main, "task", main, "children"))
	if err != nil {
		t.Skipf("this system does not list the server's processes: %v", err)
	}
	return append([]string{main}, strings.Fields(string(children))...)
}
