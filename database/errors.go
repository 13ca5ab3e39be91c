package database

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Result codes of SQLite (sqlite.org/rescode.html).
const (
	sqlitePerm     = 3
	sqliteBusy     = 5
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// damaged says what to do about a file that is a database no more. SQLite writes a log
// that belongs to another state of the file over it, as it does after a crash.
const damaged = "the file is damaged; put it back from a backup, with none that end in -wal and -shm beside it, or move all three away and make it again with rebuild"

// explain says of an error of SQLite what an operator can do about it.
func explain(err error) error {
	why := ""
	switch resultCode(err) {
	case sqliteBusy:
		why = "another process has been writing to it for long; try again when that is done"
	case sqlitePerm, sqliteReadOnly, sqliteCantOpen:
		why = "this user may not read and write there; run as the one to whom the folder belongs, or name another folder"
	case sqliteCorrupt:
		why = damaged
	case sqliteNotADB:
		why = "the file is no database; put it back from a backup, or move it away and make it again with rebuild"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", why, err)
}

// Error codes of PostgreSQL (its manual, appendix A): codes, and the first
// letters of classes of them.
var (
	postgresFull     = []string{"53100"}          // disk_full
	postgresConflict = []string{"40001", "40P01"} // serialization_failure, deadlock_detected
	// connection_exception, too_many_connections, query_canceled,
	// admin_shutdown, crash_shutdown, cannot_connect_now and the like
	postgresAway = []string{"08", "53300", "57014", "57P", "25P03", readOnly}
)

// readOnly is read_only_sql_transaction: to one who writes, PostgreSQL is a standby,
// or has become one.
const readOnly = "25006"

// explainReadOnly says of an error of a standby what an operator can do about it.
func (db *DB) explainReadOnly(err error) error {
	if !hasState(err, []string{readOnly}) {
		return err
	}
	return fmt.Errorf("%s takes no writes, as a standby does; name the server that does, or both with target_session_attrs=read-write: %w", db.name, err)
}

// IsFull tells whether err says that the database's disk is full.
func IsFull(err error) bool { return resultCode(err) == sqliteFull || hasState(err, postgresFull) }

// IsBusy tells whether err says that the database could not be reached, or did
// not answer, for now.
func IsBusy(err error) bool {
	var network net.Error
	switch {
	case err == nil:
		return false
	case resultCode(err) == sqliteBusy, hasState(err, postgresAway), isConflict(err):
		return true
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errUnreached), errors.Is(err, errTurn):
		return true
	}
	return errors.As(err, &network) || isCut(err)
}

// isConflict tells whether two transactions waited for each other, and this one
// was ended so that the other can go on.
func isConflict(err error) bool { return hasState(err, postgresConflict) }

// resultCode is the primary result code of an error of SQLite, 0 when it has none.
func resultCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code() & 0xff
	}
	return 0
}

// hasState tells whether an error of PostgreSQL has one of the codes, or is of one
// of the classes.
func hasState(err error, codes []string) bool {
	var coded interface{ SQLState() string }
	if !errors.As(err, &coded) {
		return false
	}
	for _, code := range codes {
		if strings.HasPrefix(coded.SQLState(), code) {
			return true
		}
	}
	return false
}
