package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// The holder of a lock in PostgreSQL must show every keepTime that it is alive. If it does
// not for idleTime, because its process or its machine is suspended, PostgreSQL ends its
// session and so releases the lock.
const (
	keepTime = 10 * time.Second
	idleTime = 30 * time.Second
)

// sessionLock is a lock in PostgreSQL. It lasts as long as its connection.
type sessionLock struct {
	session *sql.Conn
	key     string
	lost    func()

	mu   sync.Mutex
	next *time.Timer // for keep; nil when the lock is not held
}

// lockSession implements Lock on PostgreSQL.
func (db *DB) lockSession(ctx context.Context, name string, lost func()) (release func(), err error) {
	l, err := db.openLock(ctx, name, lost)
	if err != nil {
		return nil, err
	}
	taken, err := l.try(ctx)
	if taken {
		return l.release, nil
	}
	if err == nil {
		err = Held{Name: name, Holder: l.holder(ctx)}
	}
	return nil, errors.Join(err, l.session.Close())
}

// waitSession implements WaitLock on PostgreSQL. It tries again and again, because a
// statement that waits would keep PostgreSQL from vacuuming deleted rows.
func (db *DB) waitSession(ctx context.Context, name string, lost func()) (release func(), err error) {
	l, err := db.openLock(ctx, name, lost)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		taken, err := l.try(ctx)
		if taken {
			return l.release, nil
		}
		if err != nil {
			return nil, errors.Join(err, l.session.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", name, ctx.Err()), l.session.Close())
		}
	}
}

// openLock opens the connection for a lock, without taking the lock.
func (db *DB) openLock(ctx context.Context, name string, lost func()) (*sessionLock, error) {
	session, err := db.locks.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return &sessionLock{session: session, key: "lock " + name, lost: lost}, nil
}

// try takes the lock, if nobody has it.
func (l *sessionLock) try(ctx context.Context) (taken bool, err error) {
	err = l.session.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, l.key).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("%s: %w", l.key, err)
	}
	if taken {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.next = time.AfterFunc(keepTime, l.keep)
	}
	return taken, nil
}

// keep tells PostgreSQL that the holder is alive. When that fails, the lock is lost, or
// soon will be.
func (l *sessionLock) keep() {
	if l.kept() {
		return
	}
	_ = l.session.Close() // the connection has failed already
	if l.lost != nil {
		l.lost()
	}
}

// kept reports whether the lock is still held, or was released on purpose.
func (l *sessionLock) kept() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		return true
	}
	if _, err := l.session.ExecContext(context.Background(), `SELECT 1`); err != nil {
		l.next = nil
		return false
	}
	l.next.Reset(keepTime)
	return true
}

// release releases the lock. It does not leave that to the closing of the connection,
// which would free the lock only a moment later.
func (l *sessionLock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		return
	}
	l.next.Stop()
	l.next = nil
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = l.session.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, l.key)
	_ = l.session.Close() // frees the lock in any case
}

// holder returns who holds the lock, by the name that its process gave PostgreSQL, and
// since when: a connection is made for one lock, and is as old as the wait for it.
func (l *sessionLock) holder(ctx context.Context) string {
	var who string
	err := l.session.QueryRowContext(ctx, `SELECT coalesce(a.application_name, '') || ' since ' ||
		to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
		AND ((l.classid::BIGINT << 32) | l.objid::BIGINT) = hashtextextended($1, 0)`, l.key).Scan(&who)
	if err != nil {
		return "another process"
	}
	return strings.TrimPrefix(who, "callvault ")
}

// Others returns the name, in words, of another Callvault process that is connected to the
// database, or "". On SQLite it is always "": there, locks must do.
func (db *DB) Others(ctx context.Context) (who string, err error) {
	if !db.Shared() {
		return "", nil
	}
	err = db.Reader.QueryRowContext(ctx, `SELECT coalesce(min(application_name), '') FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'callvault process %'
		AND application_name <> current_setting('application_name')`).Scan(&who)
	if err != nil {
		return "", fmt.Errorf("other processes on the database: %w", err)
	}
	return who, nil
}
