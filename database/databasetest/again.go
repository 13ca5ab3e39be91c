package databasetest

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// folder is the environment variable that tells a test binary, and the processes that it
// starts, in which folder the server is whose databases replace SQLite's files.
const folder = "CALLVAULT_TEST_POSTGRES"

// Again runs all other tests of the package once more, over PostgreSQL. This works for
// tests that open what Place returns for the file of a database.
func Again(t *testing.T) {
	if Second() {
		t.Skip("this is the second time")
	}
	s, err := shared()
	need(t, err)
	again := exec.Command(os.Args[0], "-test.timeout=20m")
	again.Env = append(os.Environ(), folder+"="+s.dir)
	if testing.Short() {
		again.Args = append(again.Args, "-test.short")
	}
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("over PostgreSQL: %v\n%s", err, out)
	}
}

// Second reports whether this is the run over PostgreSQL that Again has started: tests of
// how SQLite works skip it.
func Second() bool { return os.Getenv(folder) != "" }

// Place returns what tests are to open instead of the SQLite file at path: the file itself,
// or, in the run that Again has started, a PostgreSQL database that belongs to that path.
func Place(path string) string {
	dir := os.Getenv(folder)
	if dir == "" {
		return path
	}
	s := &Server{dir: dir}
	name := fmt.Sprintf("file_%x", sha256.Sum256([]byte(path)))[:40]
	if err := s.make(name); err != nil {
		panic(err) // a test cannot go on
	}
	// In a bubble of testing/synctest the lock holder's time stands still while it works,
	// but PostgreSQL's does not.
	return s.url(name) + "&pool_max_conns=8&idle_session_timeout=0"
}

// make creates a database, unless it exists.
func (s *Server) make(name string) error {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec("CREATE DATABASE " + name)
	if is := (*pgconn.PgError)(nil); errors.As(err, &is) && (is.Code == "42P04" || strings.Contains(is.ConstraintName, "datname")) {
		return nil
	}
	return err
}
