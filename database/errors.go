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

// damaged says what to do about a damaged file. The log must not stay beside a restored
// one: SQLite would apply it, as it does after a crash, though it belongs to another state
// of the file.
const damaged = "the file is damaged; restore it from a backup, without the files beside it that end in -wal and -shm, or move all three away and make it again with rebuild"

// explain adds to an error from SQLite what an operator can do about it.
func explain(err error) error {
	why := ""
	switch resultCode(err) {
	case sqliteBusy:
		why = "another process has been writing to it for a long time; try again when it is done"
	case sqlitePerm, sqliteReadOnly, sqliteCantOpen:
		why = "this user may not read and write there; run as the owner of the folder, or name another folder"
	case sqliteCorrupt:
		why = damaged
	case sqliteNotADB:
		why = "the file is not a database; restore it from a backup, or move it away and make it again with rebuild"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", why, err)
}

// Error codes of PostgreSQL (its manual, appendix A): whole codes, or the first characters
// that the codes of a class share.
var (
	postgresFull     = []string{"53100"}          // disk_full
	postgresConflict = []string{"40001", "40P01"} // serialization_failure, deadlock_detected
	// connection_exception, too_many_connections, query_canceled,
	// admin_shutdown, crash_shutdown, cannot_connect_now and the like
	postgresAway = []string{"08", "53300", "57014", "57P", "25P03", readOnly}
)

// readOnly is read_only_sql_transaction, the answer to a write when the server is a
// standby, or has become one.
const readOnly = "25006"

// explainReadOnly adds to an error from a standby what an operator can do about it.
func (db *DB) explainReadOnly(err error) error {
	if !hasState(err, []string{readOnly}) {
		return err
	}
	return fmt.Errorf("%s refuses writes, as a standby does; name the server that does, or both with target_session_attrs=read-write: %w", db.name, err)
}

// IsFull reports whether err says that the database's disk is full.
func IsFull(err error) bool { return resultCode(err) == sqliteFull || hasState(err, postgresFull) }

// IsBusy reports whether err says that, for now, the database could not be reached or
// did not answer.
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

// isConflict reports whether PostgreSQL ended a transaction because it conflicted with
// another, as in a deadlock, so that the other could go on.
func isConflict(err error) bool { return hasState(err, postgresConflict) }

// resultCode returns the primary result code of an error from SQLite, 0 when it has none.
func resultCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code() & 0xff
	}
	return 0
}

// hasState reports whether an error from PostgreSQL has one of the codes, or belongs to
// one of the classes.
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
