package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// reader is a connection to a SQLite file that only reads, for the few queries that
// requests wait for most (see DB.AppendLines and DB.Row). It calls SQLite itself, without
// database/sql and the driver, in which a row costs more than in the database: the driver
// takes a lock for each column, although nobody else uses the connection, and copies what
// is found several times. It is used by one goroutine at a time.
type reader struct {
	tls        *libc.TLS
	db         uintptr                   // sqlite3 *
	out        uintptr                   // room for a pointer that SQLite returns
	statements map[string]*readStatement // by their query
	texts      []uintptr                 // the texts that are bound to the running statement
}

// readStatement is a prepared statement. Its parameter i+1 takes argument args[i].
type readStatement struct {
	handle uintptr // sqlite3_stmt *
	args   []int
}

// openReader opens the file that a URI of SQLite names.
func openReader(uri string) (*reader, error) {
	r := &reader{tls: libc.NewTLS(), statements: map[string]*readStatement{}}
	if r.out = libc.Xmalloc(r.tls, 8); r.out == 0 {
		r.tls.Close()
		return nil, errors.New("out of memory")
	}
	err := r.withText(uri, func(text uintptr) error {
		// Even a connection that only reads must open the index of the write-ahead log.
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
func (r *reader) close() {
	for _, s := range r.statements {
		sqlite3.Xsqlite3_finalize(r.tls, s.handle)
	}
	sqlite3.Xsqlite3_close_v2(r.tls, r.db)
	libc.Xfree(r.tls, r.out)
	r.tls.Close()
}

// query calls row for each row that the query finds, until it returns false. The
// statement has the row's columns meanwhile.
func (r *reader) query(ctx context.Context, query string, args []any, row func(*readStatement) bool) error {
	s, err := r.prepare(query)
	if err != nil {
		return err
	}
	defer r.reset(s)
	if err := r.bind(s, args); err != nil {
		return err
	}
	defer r.interruptAfter(ctx)()
	for {
		switch code := sqlite3.Xsqlite3_step(r.tls, s.handle); code {
		case sqlite3.SQLITE_ROW:
			if !row(s) {
				return nil
			}
		case sqlite3.SQLITE_DONE:
			return nil
		default:
			if err := ctx.Err(); err != nil {
				return err
			}
			return r.fault(code)
		}
	}
}

// prepare returns the prepared statement of a query, and keeps it for the next time.
func (r *reader) prepare(query string) (*readStatement, error) {
	if s, ok := r.statements[query]; ok {
		return s, nil
	}
	s := &readStatement{}
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
func (r *reader) bind(s *readStatement, args []any) error {
	for i, arg := range s.args {
		if arg >= len(args) {
			return fmt.Errorf("no argument for parameter $%d", arg+1)
		}
		n, code := int32(i+1), int32(0)
		switch value := args[arg].(type) {
		case nil:
			code = sqlite3.Xsqlite3_bind_null(r.tls, s.handle, n)
		case int:
			code = sqlite3.Xsqlite3_bind_int64(r.tls, s.handle, n, int64(value))
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(r.tls, s.handle, n, value)
		case string:
			text, err := libc.CString(value)
			if err != nil {
				return err
			}
			r.texts = append(r.texts, text)
			code = sqlite3.Xsqlite3_bind_text(r.tls, s.handle, n, text, int32(len(value)), 0) // SQLITE_STATIC
		default:
			return fmt.Errorf("argument $%d is a %T", arg+1, value)
		}
		if err := r.fault(code); err != nil {
			return err
		}
	}
	return nil
}

// reset ends a statement's run, and with it its read transaction.
func (r *reader) reset(s *readStatement) {
	sqlite3.Xsqlite3_reset(r.tls, s.handle)
	for _, text := range r.texts {
		libc.Xfree(r.tls, text)
	}
	r.texts = r.texts[:0]
}

// bytes returns a column of a statement's row as bytes in SQLite's memory, good until the
// next row. A text is read as a blob: SQLite would first copy it, to end it with a NUL.
func (r *reader) bytes(s *readStatement, column int) []byte {
	data := sqlite3.Xsqlite3_column_blob(r.tls, s.handle, int32(column))
	return libc.GoBytes(data, int(sqlite3.Xsqlite3_column_bytes(r.tls, s.handle, int32(column))))
}

// scan copies the columns of a statement's row. What the column holds must fit where it
// goes; nothing takes NULL.
func (r *reader) scan(s *readStatement, dest []any) error {
	if n := int(sqlite3.Xsqlite3_column_count(r.tls, s.handle)); n != len(dest) {
		return fmt.Errorf("%d columns for %d destinations", n, len(dest))
	}
	for i, to := range dest {
		kind := sqlite3.Xsqlite3_column_type(r.tls, s.handle, int32(i))
		fits := kind == sqlite3.SQLITE_TEXT || kind == sqlite3.SQLITE_BLOB
		switch to := to.(type) {
		case *string:
			*to = string(r.bytes(s, i))
		case *[]byte:
			*to = append([]byte(nil), r.bytes(s, i)...)
		case *int64:
			fits = kind == sqlite3.SQLITE_INTEGER
			*to = sqlite3.Xsqlite3_column_int64(r.tls, s.handle, int32(i))
		default:
			fits = false
		}
		if !fits {
			return fmt.Errorf("column %d, of type %d (sqlite.org/c3ref/c_blob.html), does not go into a %T", i+1, kind, to)
		}
	}
	return nil
}

// interruptAfter interrupts the running statement once ctx is done. The function that it
// returns must be called when the statement has ended.
func (r *reader) interruptAfter(ctx context.Context) (end func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	ended, gone := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(gone)
		for { // SQLite forgets an interrupt that arrives before the first step
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

// withText calls fn with a copy of s in SQLite's memory, ended by a NUL.
func (r *reader) withText(s string, fn func(text uintptr) error) error {
	text, err := libc.CString(s)
	if err != nil {
		return err
	}
	defer libc.Xfree(r.tls, text)
	return fn(text)
}

// fault returns the error of a result code of SQLite, nil if there is none.
func (r *reader) fault(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	return sqliteFault{int(code), libc.GoString(sqlite3.Xsqlite3_errmsg(r.tls, r.db))}
}

// sqliteFault is an error of SQLite: a result code, and what SQLite says about it.
type sqliteFault struct {
	code int
	text string
}

// Error implements error.
func (f sqliteFault) Error() string { return fmt.Sprintf("%s (%d)", f.text, f.code) }

// Code returns the result code, as the driver's errors do.
func (f sqliteFault) Code() int { return f.code }

// readers are a DB's pool of readers, each opened when it is first needed.
type readers struct {
	uri    string
	idle   chan *reader // a nil one is yet to be opened
	closed sync.Once
}

func newReaders(uri string, size int) *readers {
	p := &readers{uri: uri, idle: make(chan *reader, size)}
	for range size {
		p.idle <- nil
	}
	return p
}

// lend calls fn with a reader, waiting for one if all are busy.
func (p *readers) lend(ctx context.Context, fn func(*reader) error) error {
	if err := ctx.Err(); err != nil {
		return err // a short query would be done before it could be interrupted
	}
	var r *reader
	var open bool
	select {
	case r, open = <-p.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !open {
		return errors.New("the database is closed")
	}
	defer func() { p.idle <- r }()
	if r == nil {
		var err error
		if r, err = openReader(p.uri); err != nil {
			return err
		}
	}
	return fn(r)
}

// appendLines implements DB.AppendLines.
func (p *readers) appendLines(ctx context.Context, text []byte, query string, args []any) ([]byte, error) {
	between := ""
	err := p.lend(ctx, func(r *reader) error {
		return r.query(ctx, query, args, func(s *readStatement) bool {
			text = append(append(text, between...), r.bytes(s, 0)...)
			between = "\n"
			return true
		})
	})
	return text, err
}

// row implements DB.Row.
func (p *readers) row(ctx context.Context, query string, args, dest []any) error {
	result := sql.ErrNoRows
	err := p.lend(ctx, func(r *reader) error {
		return r.query(ctx, query, args, func(s *readStatement) bool {
			result = r.scan(s, dest)
			return false
		})
	})
	if err != nil {
		return err
	}
	return result
}

// close closes the readers, after waiting for those in use.
func (p *readers) close() {
	p.closed.Do(func() {
		for range cap(p.idle) {
			if r := <-p.idle; r != nil {
				r.close()
			}
		}
		close(p.idle)
	})
}
