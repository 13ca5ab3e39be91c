package database

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// lineReader is a connection to a SQLite file that reads lines (see DB.Lines). It calls
// SQLite itself, without database/sql and the driver: there a row costs more to pass on
// than to find, and is copied three times; here it is copied once, from SQLite's page
// into the caller's buffer. It is used by one goroutine at a time.
type lineReader struct {
	tls        *libc.TLS
	db         uintptr // sqlite3 *
	out        uintptr // a pointer's room, for what SQLite returns through one
	statements map[string]*lineStatement
}

// lineStatement is a prepared statement. Its parameter i+1 takes argument args[i].
type lineStatement struct {
	handle uintptr // sqlite3_stmt *
	args   []int
}

// openLineReader opens the file that a URI of SQLite names, for reading only.
func openLineReader(uri string) (*lineReader, error) {
	r := &lineReader{tls: libc.NewTLS(), statements: map[string]*lineStatement{}}
	r.out = libc.Xmalloc(r.tls, 8)
	if r.out == 0 {
		r.tls.Close()
		return nil, errors.New("out of memory")
	}
	err := r.withText(uri, func(text uintptr) error {
		// A connection that only reads still has to open the write-ahead log's index.
		const flags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_NOMUTEX
		code := sqlite3.Xsqlite3_open_v2(r.tls, text, r.out, flags, 0)
		r.db = libc.AtomicLoadPUintptr(r.out)
		return r.fault(code)
	})
	if err == nil {
		err = r.fault(sqlite3.Xsqlite3_busy_timeout(r.tls, r.db, int32(busyTime.Milliseconds())))
	}
	if err == nil {
		err = r.withText("PRAGMA query_only=1", func(text uintptr) error {
			return r.fault(sqlite3.Xsqlite3_exec(r.tls, r.db, text, 0, 0, 0))
		})
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("open: %w", err)
	}
	return r, nil
}

// close closes the connection.
func (r *lineReader) close() {
	for _, s := range r.statements {
		sqlite3.Xsqlite3_finalize(r.tls, s.handle)
	}
	sqlite3.Xsqlite3_close_v2(r.tls, r.db)
	libc.Xfree(r.tls, r.out)
	r.tls.Close()
}

// read appends to lines the rows that the query finds.
func (r *lineReader) read(ctx context.Context, lines []byte, query string, args []any) ([]byte, error) {
	s, err := r.prepare(query)
	if err != nil {
		return nil, err
	}
	defer sqlite3.Xsqlite3_reset(r.tls, s.handle) // ends the read transaction
	if err := r.bind(s, args); err != nil {
		return nil, err
	}
	defer r.interruptAfter(ctx)()
	for first := true; ; first = false {
		switch code := sqlite3.Xsqlite3_step(r.tls, s.handle); code {
		case sqlite3.SQLITE_ROW:
		case sqlite3.SQLITE_DONE:
			return lines, nil
		default:
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, r.fault(code)
		}
		if !first {
			lines = append(lines, '\n')
		}
		// As a blob: SQLite would first copy a text, to end it with a NUL.
		line := sqlite3.Xsqlite3_column_blob(r.tls, s.handle, 0)
		lines = append(lines, libc.GoBytes(line, int(sqlite3.Xsqlite3_column_bytes(r.tls, s.handle, 0)))...)
	}
}

// interruptAfter interrupts what is being read once ctx is done. The function that it
// returns must be called when reading has ended.
func (r *lineReader) interruptAfter(ctx context.Context) (end func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(gone)
		for { // SQLite forgets an interrupt that arrives before its first step
			sqlite3.Xsqlite3_interrupt(r.tls, r.db)
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return func() {
		close(ended)
		if !stop() {
			<-gone
		}
	}
}

// prepare returns the prepared statement of a query. It is kept for the next time.
func (r *lineReader) prepare(query string) (*lineStatement, error) {
	if s, ok := r.statements[query]; ok {
		return s, nil
	}
	s := &lineStatement{}
	err := r.withText(query, func(text uintptr) error {
		code := sqlite3.Xsqlite3_prepare_v2(r.tls, r.db, text, -1, r.out, 0)
		s.handle = libc.AtomicLoadPUintptr(r.out)
		return r.fault(code)
	})
	if err != nil {
		return nil, err
	}
	for i := range sqlite3.Xsqlite3_bind_parameter_count(r.tls, s.handle) {
		var arg int
		name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(r.tls, s.handle, i+1))
		if _, err := fmt.Sscanf(name, "$%d", &arg); err != nil {
			sqlite3.Xsqlite3_finalize(r.tls, s.handle)
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		s.args = append(s.args, arg-1)
	}
	r.statements[query] = s
	return s, nil
}

// bind gives a statement its arguments.
func (r *lineReader) bind(s *lineStatement, args []any) error {
	for i, arg := range s.args {
		if arg >= len(args) {
			return fmt.Errorf("no argument for parameter $%d", arg+1)
		}
		n, code := int32(i+1), int32(sqlite3.SQLITE_OK)
		switch value := args[arg].(type) {
		case nil:
			code = sqlite3.Xsqlite3_bind_null(r.tls, s.handle, n)
		case int:
			code = sqlite3.Xsqlite3_bind_int64(r.tls, s.handle, n, int64(value))
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(r.tls, s.handle, n, value)
		case string:
			if err := r.withText(value, func(text uintptr) error {
				return r.fault(sqlite3.Xsqlite3_bind_text(r.tls, s.handle, n, text, int32(len(value)), sqlite3.SQLITE_TRANSIENT))
			}); err != nil {
				return err
			}
		default:
			return fmt.Errorf("argument $%d is a %T", arg+1, value)
		}
		if err := r.fault(code); err != nil {
			return err
		}
	}
	return nil
}

// withText calls fn with a copy of s in SQLite's memory, ended by a NUL.
func (r *lineReader) withText(s string, fn func(text uintptr) error) error {
	text, err := libc.CString(s)
	if err != nil {
		return err
	}
	defer libc.Xfree(r.tls, text)
	return fn(text)
}

// fault is the error of a result code of SQLite; nil if the call succeeded.
func (r *lineReader) fault(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	return sqliteFault{int(code), libc.GoString(sqlite3.Xsqlite3_errmsg(r.tls, r.db))}
}

// sqliteFault is an error of SQLite: a result code and what it says of it.
type sqliteFault struct {
	code int
	text string
}

// Error implements error.
func (f sqliteFault) Error() string { return fmt.Sprintf("%s (%d)", f.text, f.code) }

// Code is the result code, as it is of the driver's errors.
func (f sqliteFault) Code() int { return f.code }

// lineReaders are a DB's line readers, each opened when it is first needed.
type lineReaders struct {
	uri    string
	idle   chan *lineReader // a nil one is yet to be opened
	closed sync.Once
}

func newLineReaders(uri string, size int) *lineReaders {
	l := &lineReaders{uri: uri, idle: make(chan *lineReader, size)}
	for range size {
		l.idle <- nil
	}
	return l
}

// read returns the rows that the query finds, waiting for a reader if all are busy.
func (l *lineReaders) read(ctx context.Context, query string, args []any) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err // a short query would be done before it is interrupted
	}
	var r *lineReader
	var open bool
	select {
	case r, open = <-l.idle:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if !open {
		return "", errors.New("the database is closed")
	}
	defer func() { l.idle <- r }()
	if r == nil {
		var err error
		if r, err = openLineReader(l.uri); err != nil {
			return "", err
		}
	}
	buffer := pages.Get().(*[]byte)
	defer pages.Put(buffer)
	lines, err := r.read(ctx, (*buffer)[:0], query, args)
	if err != nil {
		return "", err
	}
	*buffer = lines
	return string(lines), nil
}

// close closes the readers, after waiting for those that are reading.
func (l *lineReaders) close() {
	l.closed.Do(func() {
		for range cap(l.idle) {
			if r := <-l.idle; r != nil {
				r.close()
			}
		}
		close(l.idle)
	})
}
