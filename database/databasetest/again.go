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

// folder tells a test binary, and the processes that it starts, which server's
// databases take the place of SQLite's files.
const folder = "CALLVAULT_TEST_POSTGRES"

// Again runs all other tests of the package once more, over PostgreSQL: those
// that open what Place returns for the file of a database.
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

// Second tells whether Again runs the tests, over PostgreSQL: for those of how
// SQLite works.
func Second() bool { return os.Getenv(folder) != "" }

// Place is where the tests that open the SQLite database in the file at path are
// to find it: there, or, when Again runs them, a PostgreSQL database that goes by
// that path.
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
	// In a bubble of testing/synctest the time of who holds a lock stands still while
	// he works, and PostgreSQL's does not.
	return s.url(name) + "&pool_max_conns=8&idle_session_timeout=0"
}

// make makes a database, unless it is there.
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
